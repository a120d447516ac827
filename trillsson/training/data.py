"""The input pipeline: shards of audio and of targets, zipped by key, become shuffled batches of windows.

An epoch is a sequence of chapters of some thousand windows. A window is put where the shuffled order wants it as soon
as it is read; a batch is a piece of a chapter and is not copied again. The order is a function of the seed and the
epoch alone, and is known before anything is read: a resumed training sees exactly what an uninterrupted one would have
seen, and reads nothing of what it has behind it.
"""

import random
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trillsson.ahead import prefetched
from trillsson.audio import fill_windows, window_count
from trillsson.config import Framing, Task, Training
from trillsson.embedder import Embeddings
from trillsson.errors import InputError, IntegrityError
from trillsson.pairs import DatasetPair
from trillsson.training.pool import part_of, split_columns
from trillsson.training.shards import Pcm, StoredClip, TrainingShard, interleaved
from trillsson.training.targets import Standardiser

_CHAPTER_WINDOWS = 2048
"""Windows in a chapter, rounded up to whole batches: 131 MB. One is filled while another is used."""

_SHARDS_AT_ONCE = 16
"""Shards that are read in turns, clip by clip: those of one shard are often of few speakers."""

Batch = tuple[NDArray[np.int16], Embeddings]
"""Waveforms, `[batch, window]` int16, 32,768 to one, and standardised targets, `[batch, dim]` float32."""

Order = Callable[[int, int], Sequence[int]]
"""Takes the number of a chapter and its windows; returns the row that each of them goes to."""


@dataclass(frozen=True)
class Windows:
    """All windows of the training corpora, as a source of batches.

    Attributes:
        learnt: the shards, with the clips that are learnt from.
        held_out: the shards, with the clips that validate.
    """

    learnt: tuple[TrainingShard, ...]
    held_out: tuple[TrainingShard, ...]
    framing: Framing
    standardiser: Standardiser
    training: Training

    def batches(self, windows: int, *, start: int) -> Generator[Batch, None, None]:
        """Yields training batches without end, from step `start` on.

        Args:
            windows: how many training windows the statistics count.
            start: the step to go on from; batches before it are skipped.

        Raises:
            InputError: there are fewer windows than one batch takes.
            IntegrityError: there are more or fewer windows than were counted, or a shard is damaged.
        """
        batch = self.training.batch_size
        if windows < batch:
            raise InputError(
                f"training has {windows} windows, fewer than batch_size {batch}; lower training.batch_size or add audio"
            )
        if (found := count_windows(self.learnt)) != windows:
            raise IntegrityError(
                f"the statistics count {windows} windows, the shards hold {found}; run statistics again"
            )
        size = -(-_CHAPTER_WINDOWS // batch) * batch
        first_epoch, skipped = divmod(start, windows // batch)
        number, offset = divmod(skipped * batch, size)
        epochs = (
            self._epoch(epoch, size=size, first=number if epoch == first_epoch else 0) for epoch in count(first_epoch)
        )
        # The next epoch's first chapter is read ahead as well.
        for waveforms, targets in prefetched(chain.from_iterable(epochs), most=1):
            for at in range(offset, len(targets) - batch + 1, batch):
                yield waveforms[at : at + batch], targets[at : at + batch]
            offset = 0

    def validation(self) -> Iterator[Batch]:
        """Yields the validation windows in batches, in the order of the shards; the last batch may be short."""
        clips = (clip for shard in self.held_out for clip in shard.clips())
        total = count_windows(self.held_out)
        batches = self._chapters(clips, total, size=self.training.batch_size, order=lambda _, windows: range(windows))
        return prefetched(batches, most=2)

    def _epoch(self, epoch: int, *, size: int, first: int) -> Iterator[Batch]:
        """Yields the chapters of an epoch from the `first` on."""

        def draw(what: str) -> random.Random:
            return random.Random(f"{self.training.seed}/{epoch}/{what}")  # noqa: S311  # an order, not a secret

        def order(number: int, windows: int) -> Sequence[int]:
            return draw(f"chapter {number}").sample(range(windows), windows)

        shards = draw("shards").sample(self.learnt, len(self.learnt))
        clips = interleaved(shards, at_once=_SHARDS_AT_ONCE)
        return self._chapters(clips, count_windows(shards), size=size, order=order, first=first)

    def _chapters(
        self, clips: Iterator[StoredClip], total: int, *, size: int, order: Order, first: int = 0
    ) -> Iterator[Batch]:
        """Yields the windows of clips in chapters of `size`, from the `first` chapter on; the last may be short."""
        number, chapter = first, None
        begin = 0
        for clip in clips:
            elsewhere = max(first * size - begin, 0)  # windows of this clip that lie before what is wanted
            begin += clip.windows
            if elsewhere >= clip.windows:
                continue
            samples, targets = clip.read()
            done = elsewhere
            while done < clip.windows:
                if chapter is None:
                    rows = order(number, min(size, total - number * size))
                    chapter = _Chapter(rows, self.framing, dim=self.standardiser.dim)
                done += chapter.fill(samples, self.standardiser.apply(targets), first=done)
                if chapter.full:
                    yield chapter.waveforms, chapter.targets
                    number, chapter = number + 1, None


class _Chapter:
    """Windows and their targets, being filled.

    Args:
        rows: the row of each window, in the order in which they come.
        framing: how clips are cut.
        dim: length of a target.
    """

    def __init__(self, rows: Sequence[int], framing: Framing, *, dim: int) -> None:
        self.waveforms = np.empty((len(rows), framing.window), np.int16)
        self.targets = np.empty((len(rows), dim), np.float32)
        self._framing = framing
        self._rows = rows
        self._filled = 0

    @property
    def full(self) -> bool:
        return self._filled == len(self._rows)

    def fill(self, samples: Pcm, targets: Embeddings, *, first: int) -> int:
        """Takes a clip's windows from the `first` on, as many as there is room for; returns how many that are.

        Args:
            samples: of the clip, `[samples]` int16.
            targets: of all its windows, `[windows, dim]` float32, standardised.
            first: number of the first window that is taken.
        """
        rows = self._rows[self._filled : self._filled + len(targets) - first]
        fill_windows((self.waveforms[row] for row in rows), samples, self._framing, first=first)
        self.targets[list(rows)] = targets[first : first + len(rows)]
        self._filled += len(rows)
        return len(rows)


def count_windows(shards: Iterable[TrainingShard]) -> int:
    """Returns how many windows are wanted of shards."""
    return sum(int(shard.windows.sum()) for shard in shards)


def open_windows(
    pairs: Sequence[DatasetPair],
    training: Training,
    *,
    tasks: dict[str, Task],
    excluded: Collection[str],
    standardiser: Standardiser,
    framing: Framing,
    cache: Path,
) -> Windows:
    """Opens those shards of the training corpora that hold something to learn, checking them against the manifests.

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
        IntegrityError: a shard or an index does not match its manifest.
    """
    learnt: list[TrainingShard] = []
    held_out: list[TrainingShard] = []
    for pair in pairs:
        if pair.corpus not in training.corpora:
            continue
        if pair.framing != framing:
            raise InputError(
                f"targets {pair.embeddings.uri} are framed {pair.framing}, the model is {framing}; embed anew"
            )
        rejected, columns = pair.rejected(), split_columns(pair.corpus, tasks)
        for shard, index in zip(pair.shards, pair.audio.indexes(), strict=True):
            clips = list(index)
            answered = np.array([clip.key not in rejected for clip in clips], bool)
            windows = np.array([window_count(clip.samples, framing) for clip in clips], np.int32)
            parts = ["" if clip.key in excluded else part_of(clip, columns, training) for clip in clips]
            of_part = [answered & np.array([each == part for each in parts], bool) for part in ("train", "validation")]
            if not any(map(np.any, of_part)):
                continue
            paths = shard.audio.fetch(cache), shard.embeddings.fetch(cache)
            for wanted, shards in zip(of_part, (learnt, held_out), strict=True):
                shards.append(TrainingShard(*paths, answered=answered, windows=np.where(wanted, windows, 0)))
    return Windows(tuple(learnt), tuple(held_out), framing=framing, standardiser=standardiser, training=training)
