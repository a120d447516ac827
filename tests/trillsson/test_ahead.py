"""Work ahead of its reader: in order, bounded, and its errors come through."""

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trillsson.ahead import ahead, prefetched


@given(st.lists(st.integers()), st.integers(1, 4), st.integers(1, 6))
def test_results_come_in_order(items: list[int], threads: int, most: int) -> None:
    assert list(ahead(lambda item: item + 1, items, threads=threads, most=most)) == [item + 1 for item in items]
    assert list(prefetched(items, most=most)) == items


def test_no_more_is_read_than_may_wait() -> None:
    taken: list[int] = []
    enough = threading.Event()

    def source() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            if len(taken) == 4:
                enough.set()
            yield number

    reader = prefetched(source(), most=3)
    assert next(reader) == 0
    assert enough.wait(5)
    reader.close()
    assert len(taken) == 4


@pytest.mark.parametrize("most", [1, 3])
def test_an_error_comes_after_what_was_read_before_it(most: int) -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    reader = prefetched(source(), most=most)
    assert next(reader) == 1
    with pytest.raises(ValueError, match="broken"):
        next(reader)
