"""Has Beam make the shards of a plan that are missing."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipelines.beam.plan import PlannedShard, ShardMaker
from pipelines.beam.runner import run_pipeline, shard_progress
from trillsson.datasets import Shard, entry_path, read_shard_entry, shard_path
from trillsson.storage import Storage, open_storage


def make_shards(
    planned: Sequence[PlannedShard[Any]], root: str, *, maker: ShardMaker, description: str, options: Sequence[str]
) -> tuple[Shard, ...]:
    """Makes the planned shards that are missing below `root` and returns all of them, in the plan's order.

    Args:
        planned: the plan.
        root: URI of the dataset.
        maker: how one shard is made.
        description: what the progress bar says.
        options: Beam's options.
    """
    storage = open_storage(root)
    ids = [shard.id for shard in planned]
    finished = _finished(storage, ids)
    missing = [shard for shard in planned if shard.id not in finished]
    if missing:
        missing_ids = [shard.id for shard in missing]
        with shard_progress(description, len(missing), lambda: _count(storage, missing_ids)):
            import apache_beam as beam

            from pipelines.beam.transforms import MakeShards

            run_pipeline(lambda pipeline: pipeline | beam.Create(missing) | MakeShards(maker), options)
        finished = {**finished, **_finished(storage, missing_ids)}
    return tuple(finished[each] for each in ids)


def _count(storage: Storage, ids: Iterable[str]) -> int:
    """Counts the shards that are finished, by one listing."""
    return len({entry_path(each) for each in ids} & set(storage.list("shards")))


def _finished(storage: Storage, ids: Iterable[str]) -> Mapping[str, Shard]:
    """Maps the shards whose entry and records are both in place to their entries."""
    there = set(storage.list("shards"))
    whole = [each for each in ids if {entry_path(each), shard_path(each)} <= there]
    entries = {each: read_shard_entry(storage, each) for each in whole}
    return {each: shard for each, shard in entries.items() if shard is not None}
