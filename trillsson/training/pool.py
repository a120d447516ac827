"""Which clips are learnt from: never one that any task tests on, and a share held out for validation."""

import hashlib
from collections.abc import Iterable, Mapping

from trillsson.config import Task, Training
from trillsson.records import Clip
from trillsson.splits import Split, normalise_split

_DRAWN_BYTES = 8


def split_columns(corpus: str, tasks: Mapping[str, Task]) -> tuple[str, ...]:
    """Returns the CSV columns that tasks of a corpus take their split from, where it is not the corpus's own."""
    return tuple(sorted({task.split for task in tasks.values() if task.corpus == corpus and task.split}))


def is_test(clip: Clip, columns: Iterable[str]) -> bool:
    """Tells whether any task tests on a clip.

    Args:
        clip: what is known of the clip.
        columns: the split columns of the corpus's tasks; a clip that is test in any, or in its own split, is test.

    Raises:
        InputError: a split is called by a word that is not known.
    """
    splits = split_words(clip, columns)
    return "test" in {normalise_split(word, where=f"column {column!r} of {clip.key}") for column, word in splits}


def split_words(clip: Clip, columns: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Returns each column that says something of a clip's split, and its word; the corpus's own split comes first.

    A column of a task may be called `split` too, and be another than the corpus's own.
    """
    said = (("split", clip.split), *((column, clip.labels.get(column, "")) for column in columns))
    return tuple((column, word) for column, word in said if word)


def part_of(clip: Clip, columns: Iterable[str], training: Training) -> Split:
    """Decides what training uses a clip for, from the clip alone, so that every job decides alike.

    Args:
        clip: what is known of the clip.
        columns: as for `is_test`.
        training: says which share of the other clips validates, whatever a task uses them for.

    Raises:
        InputError: a split is called by a word that is not known.
    """
    if is_test(clip, columns):
        return "test"
    return "validation" if _held_out(clip.key, training) else "train"


def _held_out(key: str, training: Training) -> bool:
    """Tells whether a clip falls into the share that validates: by its key and the seed alone."""
    drawn = hashlib.blake2b(f"{training.seed}/{key}".encode(), digest_size=_DRAWN_BYTES).digest()
    return int.from_bytes(drawn, "big") < training.validation_fraction * (1 << 8 * _DRAWN_BYTES)
