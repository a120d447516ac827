"""The one transform of every data job: planned shards in, finished shards out, one worker call a shard."""

from collections.abc import Iterator
from typing import Any

import apache_beam as beam

from pipelines.beam.plan import ShardMaker


class MakeShards(beam.PTransform):
    """Turns planned shards into finished ones, each on one worker; yields their ids.

    Args:
        maker: how one shard is made.
    """

    def __init__(self, maker: ShardMaker) -> None:
        super().__init__()
        self._make = _MakeShard(maker)

    def expand(self, planned: beam.PCollection) -> beam.PCollection:
        """Spreads the plan over the workers; only the plan crosses the shuffle."""
        return planned | beam.Reshuffle() | "make shard" >> beam.ParDo(self._make)


class _MakeShard(beam.DoFn):
    def __init__(self, maker: ShardMaker) -> None:
        self._maker = maker

    def setup(self) -> None:
        self._maker.setup()

    def process(self, planned: Any) -> Iterator[str]:
        shard = self._maker.make(planned)
        counter = beam.metrics.Metrics.counter
        counter(type(self._maker).__name__, "records").inc(shard.summary.records)
        for reject in shard.rejects:
            counter(type(self._maker).__name__, f"reject_{reject.reason}").inc()
        yield shard.summary.id
