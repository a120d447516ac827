"""The input pipeline: shards of audio and of targets, zipped by key, become shuffled batches of windows.

All of it runs inside tf.data. The order of batches is a function of the seed and the epoch alone, so that a resumed
training sees exactly what an uninterrupted one would have seen.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trillsson.config import Framing, Task, Training
from trillsson.errors import InputError, IntegrityError
from trillsson.pairs import DatasetPair
from trillsson.splits import Split
from trillsson.training.pool import in_part, split_columns
from trillsson.training.targets import Standardiser
from trillsson.windows import frame_tensor

if TYPE_CHECKING:
    import tensorflow as tf

_SHUFFLED_WINDOWS = 4096
"""Windows in the shuffle buffer: 262 MB as int16."""

_SHARDS_AT_ONCE = 4
Batch = tuple[NDArray[np.float32], NDArray[np.float32]]
IsOneOf = Callable[["tf.Tensor"], "tf.Tensor"]
"""Takes a key, a string scalar, and returns a bool scalar."""


@dataclass(frozen=True)
class Windows:
    """All windows of the training corpora, as a source of batches.

    Attributes:
        files: paths of the audio and the target file of every pair of shards.
        columns: split columns of any task.
        relevant: `[shards, 1 + columns]` bool: which count for each shard, the corpus's own split before the columns.
        rejected: tells by its key, inside a graph, whether a clip has no targets.
        excluded: the same, whether it is to be left out of every part.
    """

    files: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    relevant: NDArray[np.bool_]
    rejected: IsOneOf
    excluded: IsOneOf
    framing: Framing
    standardiser: Standardiser
    training: Training

    def batches(self, windows: int, *, start: int) -> Iterator[Batch]:
        """Yields training batches without end, from step `start` on.

        Args:
            windows: how many training windows there are.
            start: the step to go on from; batches before it are skipped.

        Yields:
            `[batch, window]` float32 waveforms and `[batch, dim]` float32 standardised targets.

        Raises:
            InputError: there are fewer windows than one batch takes.
            IntegrityError: there are fewer windows than were counted.
        """
        steps = windows // self.training.batch_size
        if not steps:
            raise InputError(
                f"training has {windows} windows, fewer than batch_size {self.training.batch_size}; "
                "lower training.batch_size or add audio"
            )
        first_epoch, skipped = divmod(start, steps)
        for epoch in count(first_epoch):
            taken = 0
            for batch in self._epoch(epoch).take(steps).skip(skipped).as_numpy_iterator():
                yield batch
                taken += 1
            if taken + skipped != steps:
                found = (taken + skipped) * self.training.batch_size
                raise IntegrityError(
                    f"the statistics count {windows} windows, the shards hold {found}; run statistics again"
                )
            skipped = 0

    def validation(self) -> "tf.data.Dataset":
        """Returns the validation windows in batches, in the order of the shards; the last batch may be short."""
        held_out = self._windows(range(len(self.files)), part="validation")
        return self._scaled(held_out.batch(self.training.batch_size))

    def _epoch(self, epoch: int) -> "tf.data.Dataset":
        draw = random.Random(f"{self.training.seed}/{epoch}")  # noqa: S311  # an order, not a secret
        order = draw.sample(range(len(self.files)), len(self.files))
        windows = self._windows(order, part="train")
        shuffled = windows.shuffle(_SHUFFLED_WINDOWS, seed=draw.getrandbits(31), reshuffle_each_iteration=False)
        return self._scaled(shuffled.batch(self.training.batch_size, drop_remainder=True))

    def _windows(self, order: Sequence[int], *, part: Split) -> "tf.data.Dataset":
        import tensorflow as tf

        audio, targets = (tf.constant([self.files[shard][side] for shard in order]) for side in (0, 1))
        shards = tf.data.Dataset.from_tensor_slices((audio, targets, self.relevant[list(order)]))
        return shards.interleave(
            lambda audio, targets, relevant: self._shard(audio, targets, relevant, part=part),
            cycle_length=_SHARDS_AT_ONCE,
            num_parallel_calls=_SHARDS_AT_ONCE,
            deterministic=True,
        )

    def _shard(self, audio: "tf.Tensor", targets: "tf.Tensor", relevant: "tf.Tensor", *, part: Split) -> Any:
        import tensorflow as tf

        answered = tf.data.TFRecordDataset(audio).map(self._parse_clip).filter(lambda key, *_: ~self.rejected(key))
        pairs = tf.data.Dataset.zip((answered, tf.data.TFRecordDataset(targets).map(self._parse_target)))

        def wanted(clip: Any, target: Any) -> "tf.Tensor":
            key, splits, _ = clip
            same = tf.debugging.assert_equal(key, target[0], "audio and targets are not of the same clip")
            with tf.control_dependencies([same]):
                return in_part(part, key, tf.where(relevant, splits, ""), self.training) & ~self.excluded(key)

        return pairs.filter(wanted).map(self._cut).unbatch()

    def _parse_clip(self, record: "tf.Tensor") -> Any:
        import tensorflow as tf

        text = tf.io.FixedLenFeature([], tf.string, default_value="")
        names = [f"label/{column}" for column in self.columns]
        found = tf.io.parse_single_example(record, dict.fromkeys(["key", "split", "audio/pcm16", *names], text))
        return found["key"], tf.stack([found["split"], *(found[name] for name in names)]), found["audio/pcm16"]

    def _parse_target(self, record: "tf.Tensor") -> Any:
        import tensorflow as tf

        text = tf.io.FixedLenFeature([], tf.string)
        found = tf.io.parse_single_example(record, {"key": text, "embedding/float32": text})
        rows = tf.io.decode_raw(found["embedding/float32"], tf.float32)
        return found["key"], tf.reshape(rows, [-1, self.standardiser.dim])

    def _cut(self, clip: Any, target: Any) -> Any:
        import tensorflow as tf

        return frame_tensor(tf.io.decode_raw(clip[2], tf.int16), self.framing), target[1]

    def _scaled(self, batches: "tf.data.Dataset") -> "tf.data.Dataset":
        import tensorflow as tf

        def scaled(pcm: "tf.Tensor", target: "tf.Tensor") -> Any:
            return tf.cast(pcm, tf.float32) / 32_768.0, self.standardiser.apply(target)

        return batches.map(scaled, num_parallel_calls=2, deterministic=True).prefetch(2)


def open_windows(
    pairs: Sequence[DatasetPair],
    training: Training,
    *,
    tasks: dict[str, Task],
    excluded: Iterable[str],
    standardiser: Standardiser,
    framing: Framing,
    cache: Path,
) -> Windows:
    """Opens the shards of the training corpora, checking every byte against the manifests.

    Args:
        pairs: audio and target datasets.
        training: names the corpora.
        tasks: say which clips are test clips.
        excluded: keys of clips that are not learnt from.
        standardiser: standardises the targets.
        framing: how the model's windows are cut; must be how the targets' were.
        cache: where shards on `gs://` are copied to.

    Raises:
        InputError: targets were framed another way.
        IntegrityError: a shard does not match its manifest.
    """
    learnt = [pair for pair in pairs if pair.corpus in training.corpora]
    for pair in learnt:
        if pair.framing != framing:
            raise InputError(
                f"targets {pair.embeddings.uri} are framed {pair.framing}, the model is {framing}; embed anew"
            )
    by_corpus = {pair.corpus: split_columns(pair.corpus, tasks) for pair in learnt}
    columns = tuple(sorted({column for own in by_corpus.values() for column in own}))
    shards = [shard for pair in learnt for shard in pair.shards]
    return Windows(
        files=tuple(
            (
                str(shard.audio.fetch(cache)),
                str(shard.embeddings.fetch(cache)),
            )
            for shard in shards
        ),
        columns=columns,
        relevant=np.array([[True, *(column in by_corpus[shard.corpus] for column in columns)] for shard in shards]),
        rejected=_is_one_of([key for pair in learnt for key in pair.rejected()]),
        excluded=_is_one_of(list(excluded)),
        framing=framing,
        standardiser=standardiser,
        training=training,
    )


def _is_one_of(keys: Sequence[str]) -> IsOneOf:
    """Returns a lookup in a hash table. To be called outside graphs."""
    import tensorflow as tf

    if not keys:  # which the table would refuse
        return lambda key: tf.zeros_like(key, tf.bool)
    entries = tf.lookup.KeyValueTensorInitializer(tf.constant(keys, tf.string), tf.ones(len(keys), tf.int32))
    table = tf.lookup.StaticHashTable(entries, default_value=0)
    # The table lives as long as this closure: TensorFlow drops it with its Python object, whatever graph still uses it.
    return lambda key: tf.greater(table.lookup(key), 0)
