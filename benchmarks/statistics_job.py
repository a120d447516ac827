"""How many windows a second `statistics` takes in, beyond what it costs to start.

    .venv/bin/python benchmarks/statistics_job.py [windows] [dim]

The targets come from memory, so what is measured is tensorflow-transform's analysis of them, and neither reading nor
labels. One process; the time of few windows is taken from that of all, and neither has imports in it.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np

from pipelines.beam import statistics
from pipelines.beam.statistics import StatisticsSpec
from pipelines.process import settle_environment
from trillsson.config import Task, Training
from trillsson.embedder import Embeddings
from trillsson.pairs import ShardPair

A_SHARD = 16_384
A_CLIP = 15


def main(windows: int, dim: int) -> None:
    """Prints what a run of few windows takes, one of all, and the rate between the two."""
    settle_environment()
    seconds(1, dim)
    few = seconds(1, dim)
    shards = max(2, windows // A_SHARD)
    rate = (shards - 1) * A_SHARD / (seconds(shards, dim) - few)
    print(f"statistics of {shards * A_SHARD} windows of {dim}: {rate:.0f} windows/s; of few: {few:.1f} s", flush=True)


def seconds(shards: int, dim: int) -> float:
    """Returns what the analysis of so many shards takes."""
    spec = StatisticsSpec(
        audio=(),
        targets=(),
        screened="",
        training=Training(corpora=("noise",), steps=1),
        tasks={"none": Task(corpus="noise", label="none")},
        workdir="",
    )

    clip = np.random.default_rng(0).standard_normal((A_CLIP, dim), dtype=np.float32)

    def rows(*_: object, **__: object) -> Iterator[Embeddings]:  # in place of reading shards
        for _first in range(0, A_SHARD, A_CLIP):
            yield clip

    with tempfile.TemporaryDirectory() as folder, patch.object(statistics, "_training_windows", rows):
        (Path(folder) / "made").mkdir()
        start = time.perf_counter()
        output = Path(folder) / "made/targets"
        none = ShardPair("noise", audio=None, embeddings=None)  # type: ignore[arg-type]  # `rows` reads nothing
        statistics._analyse_targets([none] * shards, spec, dim=dim, excluded=frozenset(), output=output)
        return time.perf_counter() - start


if __name__ == "__main__":
    main(int((sys.argv[1:] or ["200000"])[0]), int((sys.argv[2:] or ["1024"])[0]))
