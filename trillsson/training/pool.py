"""Which clips are learnt from: never one that any task tests on, and a share held out for validation.

The rule stands here twice, for Python (`part_of`) and for a TensorFlow graph (`in_part`); a test holds them together.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from trillsson.config import Task, Training
from trillsson.records import Clip
from trillsson.splits import Split, normalise_split, words_for

if TYPE_CHECKING:
    import tensorflow as tf

_BUCKETS = 1 << 30


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
    return "validation" if bool(_held_out(clip.key, training)) else "train"


def in_part(part: Split, key: "tf.Tensor", splits: "tf.Tensor", training: Training) -> "tf.Tensor":
    """Tells inside a graph whether a clip belongs to a part: a bool scalar.

    Args:
        part: the part asked for.
        key: the clip's key, a string scalar.
        splits: what its split columns say, `[columns]` strings.
        training: as for `part_of`.
    """
    import tensorflow as tf

    words = tf.strings.lower(tf.strings.strip(splits))
    test = tf.reduce_any(tf.equal(words[:, None], tf.constant(words_for("test"))[None, :]))
    if part == "test":
        return test
    held_out = _held_out(key, training)
    return tf.logical_not(test) & (held_out if part == "validation" else tf.logical_not(held_out))


def _held_out(key: "str | tf.Tensor", training: Training) -> "tf.Tensor":
    import tensorflow as tf

    bucket = tf.strings.to_hash_bucket_strong(key, _BUCKETS, [training.seed, 0])
    return bucket < int(training.validation_fraction * _BUCKETS)
