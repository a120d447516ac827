"""What readers of containers share."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from pipelines.beam.corpora.containers import LocalFile, Recent, as_text
from trillsson.errors import InputError


def test_recent_keeps_the_last_few() -> None:
    made: list[str] = []

    def make(key: str) -> str:
        made.append(key)
        return key.upper()

    recent: Recent[str, str] = Recent(2)
    for key in "abacb":
        assert recent.get(key, lambda key=key: make(key)) == key.upper()  # type: ignore[misc]
    assert made == ["a", "b", "c", "b"]  # c drove out b, which was asked for longer ago than a


def test_recent_makes_a_value_once_for_all_threads() -> None:
    made: list[int] = []
    ready = threading.Barrier(8)

    def ask(_: int) -> str:
        ready.wait()
        return recent.get("key", lambda: made.append(1) or "value")  # type: ignore[func-returns-value]

    recent: Recent[str, str] = Recent(1)
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(ask, range(8))) == ["value"] * 8
    assert made == [1]


def test_recent_forgets_a_failure() -> None:
    recent: Recent[str, float] = Recent(1)
    with pytest.raises(ZeroDivisionError):
        recent.get("key", lambda: 1 / 0)
    assert recent.get("key", lambda: 1.5) == 1.5


def test_recent_travels_empty() -> None:
    recent: Recent[str, str] = Recent(1)
    recent.get("key", lambda: "old")
    assert pickle.loads(pickle.dumps(recent)).get("key", lambda: "new") == "new"


def test_a_local_file_is_itself_and_stays(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"a")
    file = LocalFile(str(tmp_path), "a.bin")
    assert file.path == tmp_path / "a.bin"
    del file
    assert (tmp_path / "a.bin").read_bytes() == b"a"
    with pytest.raises(InputError, match=rf"^{tmp_path}/b\.bin does not exist; restore it or run again$"):
        LocalFile(str(tmp_path), "b.bin")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (np.False_, "false"),
        (7, "7"),
        (np.int64(-7), "-7"),
        (0.5, "0.5"),
        (np.float32(0.1), "0.1"),
        (" a b\n", "a b"),
        ("né".encode(), "né"),
    ],
)
def test_cells_as_text(value: object, text: str) -> None:
    assert as_text(value) == text


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"\xff", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        ([1], r"\[1\] is no text, number or bool"),
    ],
)
def test_cells_that_are_none(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        as_text(value)
