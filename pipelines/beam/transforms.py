"""The one transform of every data job: planned shards in, finished shards out, one worker call a shard."""

import uuid
from collections import Counter
from collections.abc import Iterator
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

import apache_beam as beam

from pipelines.beam.shards import ShardMaker, finished_shard

_LOADED: "WeakValueDictionary[str, ShardMaker]" = WeakValueDictionary()
"""What tasks of this process have loaded and still use."""

_LOADING = Lock()


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
        self._key = uuid.uuid4().hex

    def setup(self) -> None:
        # A worker process may run several tasks, each with a copy of this: a model is loaded once all the same. Beam's
        # own way to share keeps the last one for ever, and so two where one step follows another.
        with _LOADING:
            if loaded := _LOADED.get(self._key):
                self._maker = loaded
            else:
                self._maker.setup()
                _LOADED[self._key] = self._maker

    def process(self, planned: Any) -> Iterator[str]:
        # A cluster runs a task again from its beginning when it lost the worker: what that has committed is not made
        # twice. At the start of a job none of its shards is there.
        shard = finished_shard(self._maker.root, planned.id) or self._maker.make(planned)
        step = type(self._maker).__name__
        counted = Counter(f"reject_{reject.reason}" for reject in shard.rejects)
        counted.update(shards=1, clips=shard.summary.records, audio_ms=round(1000 * shard.summary.seconds))
        for name, count in counted.items():
            beam.metrics.Metrics.counter(step, name).inc(count)
        yield shard.summary.id
