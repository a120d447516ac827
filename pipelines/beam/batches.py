"""Batches of windows: filled across clips, bounded by seconds of audio, halved once when memory is short."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from threading import Lock

import numpy as np

from trillsson.audio import frame
from trillsson.config import Framing
from trillsson.datasets import Reject
from trillsson.embedder import Embedder, Embeddings, Windows
from trillsson.errors import InputError
from trillsson.records import AudioRecord, EmbeddingRecord

OUT_OF_MEMORY = "out_of_memory"
_MEMORY_ERRORS = frozenset({"ResourceExhaustedError", "OutOfMemoryError", "MemoryError"})
"""What TensorFlow, PyTorch and Python raise when memory is short, by name: none of them is imported here."""


@dataclass(frozen=True)
class Part:
    """Rows of a batch that are of one clip; `last` marks the clip's end."""

    key: str
    rows: int
    last: bool


@dataclass(frozen=True)
class Batch:
    """Windows of one clip or of several: `[n, window]` float32, and whose they are, in order."""

    windows: Windows
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Embedded:
    """What became of a batch: a row for each window, and which of them memory did not suffice for."""

    parts: tuple[Part, ...]
    rows: Embeddings
    exhausted: frozenset[int]


def batches(clips: Iterable[AudioRecord], framing: Framing, *, windows: int) -> Iterator[Batch]:
    """Cuts clips into windows and packs these into batches of `windows`; only the last batch is smaller.

    Args:
        clips: in the order in which their embeddings are wanted.
        framing: how they are cut.
        windows: in one batch.
    """
    waiting: list[Windows] = []
    parts: list[Part] = []
    free = windows
    for clip in clips:
        left = frame(clip.audio, framing)
        while len(left):
            taken, left = left[:free], left[free:]
            waiting.append(taken)
            parts.append(Part(clip.key, len(taken), last=not len(left)))
            free -= len(taken)
            if not free:
                yield Batch(np.concatenate(waiting), tuple(parts))
                waiting, parts, free = [], [], windows
    if waiting:
        yield Batch(np.concatenate(waiting), tuple(parts))


class Batcher:
    """Embeds batches; survives one that is too large for memory, and refuses an embedder that batches change.

    Several threads may use it: the embedder is called by one at a time, since TFLite's interpreter bears no more.

    Args:
        embedder: embeds.
        tolerance: how far a row may depend on its batch, as a share of the largest value.
    """

    def __init__(self, embedder: Embedder, *, tolerance: float) -> None:
        self._embedder = embedder
        self._tolerance = tolerance
        self._compared = False
        self._one_at_a_time = Lock()

    def embed(self, batch: Batch) -> Embedded:
        """Embeds a batch. Where memory is short, each half is tried once; what still fails is marked, not raised.

        Raises:
            InputError: a window alone has another embedding than in a batch.
        """
        with self._one_at_a_time:
            return self._embed(batch)

    def _embed(self, batch: Batch) -> Embedded:
        size = len(batch.windows)
        try:
            rows = self._embedder.embed(batch.windows)
        except Exception as error:
            if not _is_memory_error(error):
                raise
            return self._halved(batch)
        if not self._compared and size > 1:
            self._compared = self._compare(batch.windows, rows)
        return Embedded(batch.parts, rows, frozenset())

    def _halved(self, batch: Batch) -> Embedded:
        size = len(batch.windows)
        rows = np.full((size, self._embedder.dim), np.nan, np.float32)
        exhausted: set[int] = set()
        for half in np.array_split(np.arange(size), 2 if size > 1 else 1):
            try:
                rows[half] = self._embedder.embed(batch.windows[half])
            except Exception as error:
                if not _is_memory_error(error):
                    raise
                exhausted.update(half.tolist())
        return Embedded(batch.parts, rows, frozenset(exhausted))

    def _compare(self, windows: Windows, rows: Embeddings) -> bool:
        """Compares the last window's row with that of the window alone; False where they are not finite."""
        alone = self._embedder.embed(windows[-1:])[0]
        if not (np.isfinite(alone).all() and np.isfinite(rows[-1]).all()):
            return False
        difference = float(np.abs(alone - rows[-1]).max() / max(float(np.abs(alone).max()), 1e-6))
        if difference > self._tolerance:
            raise InputError(
                f"the embedder gives another embedding for a window alone than in a batch: they differ by "
                f"{difference:.1g} of its largest value, at most {self._tolerance:g} is borne; export it for inference"
            )
        return True


def assemble(embedded: Iterable[Embedded]) -> Iterator[EmbeddingRecord | Reject]:
    """Joins the rows of batches to one outcome a clip, in order: its embeddings, or the reason why it has none."""
    rows: list[Embeddings] = []
    exhausted = False
    for batch in embedded:
        start = 0
        for part in batch.parts:
            stop = start + part.rows
            rows.append(batch.rows[start:stop])
            exhausted |= not batch.exhausted.isdisjoint(range(start, stop))
            start = stop
            if part.last:
                yield _outcome(part.key, np.concatenate(rows), exhausted=exhausted)
                rows, exhausted = [], False


def _outcome(key: str, rows: Embeddings, *, exhausted: bool) -> EmbeddingRecord | Reject:
    if exhausted:
        return Reject(key=key, stage="embed", reason=OUT_OF_MEMORY, detail="half a batch did not fit either")
    if not np.isfinite(rows).all():
        return Reject(key=key, stage="embed", reason="non_finite_embedding")
    return EmbeddingRecord(key=key, embeddings=rows)


def _is_memory_error(error: Exception) -> bool:
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & _MEMORY_ERRORS) or ("XlaRuntimeError" in names and "RESOURCE_EXHAUSTED" in str(error))
