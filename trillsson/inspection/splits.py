"""The splits that clips are counted by: the three that this project knows, and the rest."""

from collections.abc import Iterable

from trillsson.errors import InputError
from trillsson.records import Clip
from trillsson.splits import normalise_split
from trillsson.training.pool import split_words

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


def is_tested(clip: Clip, columns: Iterable[str]) -> bool:
    """Tells whether a clip is test by the corpus's own split or by one of `columns`, as training does.

    A word that is not known, which training refuses, does not make a clip test.
    """
    return any(split_index(word) == TEST for _, word in split_words(clip, columns))


def split_told(clip: Clip, columns: Iterable[str]) -> str:
    """Returns a clip's own split, and by which of `columns` it is test where it is not by its own."""
    own = split_index(clip.split)
    by = [column for column in columns if own != TEST and split_index(clip.labels.get(column, "")) == TEST]
    return SPLITS[own] + (f"; test by {', '.join(by)}" if by else "")


def used(counts: Iterable[Counts]) -> tuple[int, ...]:
    """Returns the places of the splits that hold anything in any of `counts`: the columns worth showing."""
    held = list(counts)
    return tuple(place for place in range(len(SPLITS)) if any(each[place] for each in held))
