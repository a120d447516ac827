"""The words that data sets use for their splits, and the three that this project knows."""

from typing import Literal

from trillsson.errors import InputError

Split = Literal["train", "validation", "test"]

_WORDS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
}


def normalise_split(word: str, *, where: str) -> Split:
    """Translates a data set's word for a split, in any case.

    Args:
        word: what the data set says.
        where: what to call the place in the error.

    Raises:
        InputError: the word is not known.
    """
    try:
        return _WORDS[word.strip().lower()]
    except KeyError:
        known = ", ".join(sorted(_WORDS))
        raise InputError(f"{where} has split {word!r}; use one of {known}") from None


def is_split(word: str) -> bool:
    """Tells whether a word means a split."""
    return word.strip().lower() in _WORDS
