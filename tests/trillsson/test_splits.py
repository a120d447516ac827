"""The words for splits."""

import pytest

from trillsson.errors import InputError
from trillsson.splits import is_split, normalise_split


@pytest.mark.parametrize(
    ("word", "split"),
    [("train", "train"), (" Dev ", "validation"), ("val", "validation"), ("EVAL", "test"), ("test", "test")],
)
def test_words(word: str, split: str) -> None:
    assert normalise_split(word, where="here") == split
    assert is_split(word)


def test_an_unknown_word() -> None:
    with pytest.raises(InputError, match=r"^row 3 has split 'fold1'; use one of dev, eval, test, testing, train, "):
        normalise_split("fold1", where="row 3")
    assert not is_split("fold1")
