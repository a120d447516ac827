"""Plans shards, so that what earlier runs made is kept and only what is new is computed."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from trillsson.datasets import Shard, Source, read_shard_entry, shard_id
from trillsson.errors import IntegrityError
from trillsson.storage import Storage


class Item(Protocol):
    """What a plan deals in: anything that can say what it is."""

    @property
    def source(self) -> Source:
        """The item's key, and a digest of everything that matters of it."""


ItemT = TypeVar("ItemT", bound=Item)


@dataclass(frozen=True)
class PlannedShard(Generic[ItemT]):
    """One shard of a plan: its id and the items that go into it, in order."""

    id: str
    items: tuple[ItemT, ...]


class ShardMaker(Protocol):
    """Makes one shard at a time on a worker. It is sent there pickled, so it holds specs, not models."""

    def setup(self) -> None:
        """Loads what is heavy, once a worker."""

    def make(self, planned: PlannedShard[Any]) -> Shard:
        """Makes, writes and commits one shard."""


def plan_shards(
    items: Sequence[ItemT], earlier: Iterable[Shard], *, identity: str, per_shard: int
) -> tuple[PlannedShard[ItemT], ...]:
    """Distributes items over shards.

    A shard of an earlier run is kept where all its items are still there, unchanged; items that no kept shard holds
    are packed into new shards, in order. Without earlier shards the plan is a pure function of the items.

    Args:
        items: what goes in, in the order it is stored.
        earlier: finished shards of earlier runs.
        identity: digest of how items become records (spec, schema version); another one keeps no shard.
        per_shard: items of a new shard.
    """
    left = {item.source: item for item in items}
    planned: list[PlannedShard[ItemT]] = []
    for shard in sorted(earlier, key=lambda shard: shard.summary.id):
        if shard.summary.id != shard_id(shard.sources, identity) or not all(source in left for source in shard.sources):
            continue
        planned.append(PlannedShard(shard.summary.id, tuple(left.pop(source) for source in shard.sources)))
    rest = list(left.values())
    for start in range(0, len(rest), per_shard):
        chunk = tuple(rest[start : start + per_shard])
        planned.append(PlannedShard(shard_id([item.source for item in chunk], identity), chunk))
    order = {item.source: position for position, item in enumerate(items)}
    return tuple(sorted(planned, key=lambda shard: order[shard.items[0].source]))


def finished_shards(storage: Storage) -> Iterator[Shard]:
    """Yields the shards of a dataset root whose entry is in place."""
    for path in storage.list("shards"):
        if path.endswith(".json"):
            # An entry that cannot be read is no reason to stop: its shard is planned as if it were not there.
            with contextlib.suppress(IntegrityError):
                shard = read_shard_entry(storage, path.removeprefix("shards/").removesuffix(".json"))
                if shard is not None:
                    yield shard
