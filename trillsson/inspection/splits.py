"""The splits that clips are counted by: the three that this project knows, and the rest."""

from collections.abc import Iterable

from trillsson.errors import InputError
from trillsson.splits import normalise_split

SPLITS = ("train", "validation", "test", "no split", "other")
"""`other` is a word that the project does not know: training and tasks would refuse it."""

TEST = SPLITS.index("test")

Counts = tuple[int, ...]
"""One number a split, in the order of `SPLITS`."""


def split_index(word: str) -> int:
    """Returns the place in `SPLITS` of a data set's word for a split."""
    if not word:
        return SPLITS.index("no split")
    try:
        return SPLITS.index(normalise_split(word, where="a clip"))
    except InputError:
        return SPLITS.index("other")


def used(counts: Iterable[Counts]) -> tuple[int, ...]:
    """Returns the places of the splits that hold anything in any of `counts`: the columns worth showing."""
    held = list(counts)
    return tuple(place for place in range(len(SPLITS)) if any(each[place] for each in held))
