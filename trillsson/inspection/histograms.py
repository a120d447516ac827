"""Histograms: fixed edges, counts that add up to the number of values."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trillsson.config import SAMPLE_RATE

_WIDTHS = (1_600, 4_000, 8_000, 16_000, 40_000, 80_000)
"""Samples in a bin of durations: 0.1 to 5 s."""
_MOST_BINS = 12


@dataclass(frozen=True)
class Histogram:
    """How many values lie between edges. A bin holds its lower edge and not its upper one; the last holds both.

    Attributes:
        edges: one more than there are bins, rising.
        counts: values in each bin.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Durations:
    """Statistics of clips' lengths, in seconds. All 0 where there are no clips."""

    shortest: float
    median: float
    mean: float
    longest: float
    histogram: Histogram


def durations(samples: NDArray[np.uint32]) -> Durations:
    """Describes clips' lengths, given in samples; bins are as narrow as 12 of them allow."""
    if not samples.size:
        return Durations(0.0, 0.0, 0.0, 0.0, Histogram((), ()))
    low, high = int(samples.min()), int(samples.max())
    width = next((each for each in _WIDTHS if _bins(low, high, each) <= _MOST_BINS), 0)
    if not width:  # longer than any clip of this project's own; still to be shown
        width = -(-(high - low) // (_MOST_BINS - 1))
    first = low // width
    edges = width * np.arange(first, first + _bins(low, high, width) + 1)
    counts, _ = np.histogram(samples, edges)
    return Durations(
        shortest=low / SAMPLE_RATE,
        median=float(np.median(samples)) / SAMPLE_RATE,
        mean=float(samples.mean()) / SAMPLE_RATE,
        longest=high / SAMPLE_RATE,
        histogram=Histogram(tuple((edges / SAMPLE_RATE).tolist()), tuple(counts.tolist())),
    )


def binned(values: Sequence[float], edges: Sequence[float]) -> Histogram:
    """Counts values between edges; one that lies beyond them counts in the first bin or the last."""
    clipped = np.clip(np.asarray(values, np.float64), edges[0], edges[-1])
    counts, _ = np.histogram(clipped, np.asarray(edges, np.float64))
    return Histogram(tuple(map(float, edges)), tuple(counts.tolist()))


def _bins(low: int, high: int, width: int) -> int:
    return max(1, -(-high // width) - low // width)
