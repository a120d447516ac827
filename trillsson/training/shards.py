"""A shard of audio and the shard of its targets, as training reads them: some of the clips, one after the other."""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trillsson.embedder import Embeddings
from trillsson.errors import IntegrityError
from trillsson.records import decode_embedding, view_audio
from trillsson.tfrecords import TFRecordReader

Pcm = NDArray[np.int16]


@dataclass(frozen=True)
class TrainingShard:
    """One pair of shards, and how many windows of each clip are wanted.

    Attributes:
        audio: local path of the audio shard.
        targets: local path of the target shard.
        answered: `[clips]` bool: which clips have targets.
        windows: `[clips]` int32: how many windows each clip has; 0 where it is left out.
    """

    audio: Path
    targets: Path
    answered: NDArray[np.bool_]
    windows: NDArray[np.int32]

    def clips(self) -> Iterator["StoredClip"]:
        """Yields the wanted clips, in order. Nothing is read before a clip's `read` is called."""
        with closing(_Cursor(self)) as cursor:
            for position in np.flatnonzero(self.windows).tolist():
                yield StoredClip(cursor, position, int(self.windows[position]))


@dataclass(frozen=True)
class StoredClip:
    """A clip that can be read until the next one is asked for.

    Attributes:
        windows: how many it has.
    """

    _cursor: "_Cursor"
    _position: int
    windows: int

    def read(self) -> tuple[Pcm, Embeddings]:
        """Returns samples, `[samples]` int16, and targets, `[windows, dim]`; they are valid until the next read.

        Raises:
            IntegrityError: a record is damaged, or audio and targets are not of the same clip.
        """
        return self._cursor.read(self._position)


class _Cursor:
    """Where a reader of a pair of shards is; its files are opened when something is read."""

    def __init__(self, shard: TrainingShard) -> None:
        self._shard = shard
        # Before clip n lie n audio records, and as many target records as clips before it have an answer.
        self._before = np.concatenate([[0], np.cumsum(shard.answered)])
        self._at = 0
        self._opened: tuple[TFRecordReader, TFRecordReader] | None = None

    def read(self, position: int) -> tuple[Pcm, Embeddings]:
        self._opened = self._opened or (TFRecordReader(self._shard.audio), TFRecordReader(self._shard.targets))
        audio, targets = self._opened
        audio.skip(position - self._at)
        targets.skip(int(self._before[position] - self._before[self._at]))
        key, samples = view_audio(audio.read())
        record = decode_embedding(targets.read())
        self._at = position + 1
        found, windows = len(record.embeddings), int(self._shard.windows[position])
        if key != record.key or found != windows:
            told = f"{found} targets of {record.key} where {windows} of {key} belong"
            raise IntegrityError(f"{self._shard.targets} has {told}; delete it and embed again")
        return samples, record.embeddings

    def close(self) -> None:
        for reader in self._opened or ():
            reader.close()


def interleaved(shards: Iterable[TrainingShard], *, at_once: int) -> Iterator[StoredClip]:
    """Yields the clips of several shards in turn; a shard that is through gives way to the next."""
    waiting = (shard.clips() for shard in shards)
    turns = deque(islice(waiting, at_once))
    while turns:
        clips = turns.popleft()
        if (clip := next(clips, None)) is None:
            turns.extendleft(islice(waiting, 1))
        else:
            yield clip
            turns.append(clips)
