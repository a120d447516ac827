"""A seeded random sample of a dataset's clips: their levels, and some of them to look at and listen to.

To measure all clips would read all audio. Shards are drawn first, then clips of those; one shard is on disk at a time.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trillsson.audio import Audio
from trillsson.config import SAMPLE_RATE
from trillsson.datasets import Dataset, StoredShard
from trillsson.errors import IntegrityError
from trillsson.records import AudioRecord, Clip, decode_audio
from trillsson.storage import join
from trillsson.tfrecords import read_tfrecords

MEASURED = 500
"""Clips whose level is measured."""

LONGEST_EXCERPT = 10 * SAMPLE_RATE
"""Samples of a clip that can be listened to."""

_SHARDS = 16
_FULL_SCALE = 32_767 / 32_768
"""The largest positive sample of 16 bits; the largest negative one is -1."""


@dataclass(frozen=True)
class Level:
    """How loud one clip is.

    Attributes:
        rms: dB relative to full scale, of which a constant 1.0 has 0 and a sine of amplitude 1 has -3.01; -inf for
            digital silence.
        peak: the same of the largest sample.
        clipped: share of samples at full scale.
    """

    rms: float
    peak: float
    clipped: float


@dataclass(frozen=True, eq=False)
class Excerpt:
    """A clip to listen to: what is known of it, its length in seconds, and its first 10 s."""

    clip: Clip
    seconds: float
    audio: Audio


@dataclass(frozen=True, eq=False)
class Sample:
    """What was drawn.

    Attributes:
        levels: one a clip drawn, in the order of the dataset.
        excerpts: those of the clips that can be listened to, in the order of the dataset.
        shards: how many shards the clips come from.
        seed: what decided the draw.
    """

    levels: tuple[Level, ...]
    excerpts: tuple[Excerpt, ...]
    shards: int
    seed: int


def draw(dataset: Dataset, *, players: int = 8, measured: int = MEASURED, seed: int = 0) -> Sample:
    """Draws clips at random and measures them: the same ones for the same dataset and seed.

    At most 16 shards are read, drawn with a chance in proportion to their records.

    Args:
        dataset: an audio dataset.
        players: how many clips to keep to listen to.
        measured: how many clips to measure; at least the players.
        seed: decides which.

    Raises:
        IntegrityError: a shard is missing or changed, or holds fewer records than the manifest says.
    """
    generator = np.random.default_rng(seed)
    shards = _drawn_shards(dataset, generator)
    records = np.array([shard.summary.records for shard in shards], np.int64)
    total = int(records.sum())
    rows = np.sort(generator.choice(total, min(max(measured, players), total), replace=False))
    heard = set(generator.choice(rows, min(players, rows.size), replace=False).tolist())
    levels, excerpts = [], []
    for row, record in _read(shards, records, rows=rows):
        levels.append(measure(record.audio))
        if row in heard:
            clip = Clip(key=record.key, speaker=record.speaker, split=record.split, labels=record.labels)
            excerpts.append(Excerpt(clip, record.audio.size / SAMPLE_RATE, record.audio[:LONGEST_EXCERPT].copy()))
    return Sample(tuple(levels), tuple(excerpts), len(shards), seed)


def measure(audio: Audio) -> Level:
    """Measures one clip, `[samples]` float32 in [-1, 1]; one without samples is silence."""
    if not audio.size:
        return Level(-np.inf, -np.inf, 0.0)
    full = np.count_nonzero((audio >= _FULL_SCALE) | (audio <= -1.0))
    rms = float(np.sqrt(np.mean(np.square(audio, dtype=np.float64))))
    return Level(_decibels(rms), _decibels(float(np.abs(audio).max())), full / audio.size)


def _decibels(amplitude: float) -> float:
    return float(20 * np.log10(amplitude)) if amplitude else -np.inf


def _drawn_shards(dataset: Dataset, generator: np.random.Generator) -> list[StoredShard]:
    held = [shard for shard in dataset.shards if shard.summary.records]
    if len(held) <= _SHARDS:
        return held
    records = np.array([shard.summary.records for shard in held], np.float64)
    drawn = generator.choice(len(held), _SHARDS, replace=False, p=records / records.sum())
    return [held[place] for place in sorted(drawn.tolist())]


def _read(
    shards: list[StoredShard], records: NDArray[np.int64], *, rows: NDArray[np.int64]
) -> Iterator[tuple[int, AudioRecord]]:
    """Yields the records of some rows of the shards laid end to end; `rows` rise."""
    start = 0
    for shard, count in zip(shards, records.tolist(), strict=True):
        wanted = set(rows[(rows >= start) & (rows < start + count)].tolist())
        if wanted:
            with tempfile.TemporaryDirectory(prefix="trillsson-") as cache:
                read = islice(read_tfrecords(shard.fetch(Path(cache))), max(wanted) - start + 1)
                for row, data in enumerate(read, start):
                    if row in wanted:
                        wanted.remove(row)
                        yield row, decode_audio(data)
            if wanted:
                where = join(shard.root, shard.summary.files[0])
                told = f"shard {where} holds fewer records than the {count} of its manifest"
                raise IntegrityError(f"{told}; delete that manifest and make the dataset again")
        start += count
