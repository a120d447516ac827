"""Plans shards, so that what earlier runs made is kept and only what is new is computed."""

import contextlib
import json
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import count
from typing import NamedTuple

from pipelines.beam.corpora.reader import Item
from trillsson.datasets import Shard, Source, entry_path, parse_shard_entry, shard_id
from trillsson.digests import canonical_json
from trillsson.errors import IntegrityError, TransientError
from trillsson.storage import Storage

MOST_ITEMS = 256
MOST_BYTES = 128 << 20
"""Bounds of one new shard: items, and bytes of their files."""

_SHARDS_PER_PART = 64
_OLD_DAYS = 30


@dataclass(frozen=True)
class PlannedShard:
    """One shard of a plan: its id and the items that go into it, in order."""

    id: str
    items: tuple[Item, ...]

    @property
    def bytes(self) -> int:
        """Bytes of the items' files."""
        return sum(item.size for item in self.items)


class Ticket(NamedTuple):
    """Where a worker finds a planned shard: only tickets travel through Beam, however many items there are."""

    id: str
    part: str
    number: int


def plan_shards(
    items: Iterable[Item],
    earlier: Iterable[Shard],
    *,
    identity: str,
    taken: Collection[str] = (),
    checksum: Callable[[Item], str] | None = None,
    begun: Iterable[Sequence[Item]] = (),
    most_items: int = MOST_ITEMS,
) -> tuple[PlannedShard, ...]:
    """Distributes items over shards.

    A shard of an earlier run is kept where all its items are still there, unchanged; what a run has begun and not
    finished is shared out as it was there; items that are left are packed into new shards, in order. Without earlier
    runs the plan is a pure function of the items, and their stamps do not count.

    Args:
        items: what goes in, in the order it is stored; keys are unique.
        earlier: finished shards of earlier runs.
        identity: digest of how items become records (spec, schema version); another one keeps no shard.
        taken: ids of whatever was made before, also of what is of no use any more: no new shard gets one of them.
        checksum: computes the checksum of an item's files; if given, it decides what has changed, not their stamps.
        begun: items of shards that were planned before, and may be made or not: of a run that was killed, when shards
            in between are done, packing anew would give others. Read only where items are left.
        most_items: items of a new shard.
    """
    left = {item.key: item for item in items}
    order = list(left)
    planned = []

    def unchanged(source: Source) -> bool:
        item = left.get(source.key)
        if item is None or item.identity != source.identity:
            return False
        if checksum is None:
            return item.stamp == source.stamp
        # Whatever decides an item without being a file follows in the stamp after those of its files.
        beyond = [stamp.split("+")[len(item.files) :] for stamp in (item.stamp, source.stamp)]
        return beyond[0] == beyond[1] and checksum(item) == source.checksum

    for shard in sorted(earlier, key=lambda shard: shard.summary.id):
        if shard.identity == identity and all(map(unchanged, shard.sources)):
            items_left = tuple(left.pop(source.key) for source in shard.sources)
            planned.append(PlannedShard(shard.summary.id, items_left))
    chunks = [
        tuple(left.pop(item.key) for item in chunk)
        for chunk in (begun if left else ())
        if all(left.get(item.key) == item for item in chunk)
    ]
    chunks += _packed(left.values(), most_items)
    planned += [PlannedShard(_free_id(chunk, identity, taken, checksum), chunk) for chunk in chunks]
    firsts = {shard.items[0].key for shard in planned}
    positions = {key: number for number, key in enumerate(order) if key in firsts}
    return tuple(sorted(planned, key=lambda shard: positions[shard.items[0].key]))


def _free_id(
    chunk: Sequence[Item], identity: str, taken: Collection[str], checksum: Callable[[Item], str] | None
) -> str:
    """Returns the id of a new shard.

    The same files elsewhere have other stamps and give the same id; files that changed and kept their size do not, as
    theirs is taken.
    """
    sources = [source_of(item) for item in chunk]
    for known_by in (2, 3):
        if (name := shard_id(sources, identity, known_by=known_by)) not in taken:
            return name
    if checksum is not None:
        sources = [source_of(item, checksum=checksum(item)) for item in chunk]
    names = (shard_id(sources, identity, known_by=4, attempt=attempt) for attempt in count())
    return next(name for name in names if name not in taken)


def silently_changed(earlier: Iterable[Shard], planned: Sequence[PlannedShard]) -> Iterator[str]:
    """Yields the ids of earlier shards that a plan by checksums does not keep, though their items look unchanged.

    They have to be marked stale, or the next plan by stamps would take them for what is there now.
    """
    kept = {shard.id for shard in planned}
    there = {source_of(item) for shard in planned for item in shard.items}
    for shard in earlier:
        if shard.summary.id not in kept and all(source._replace(checksum="") in there for source in shard.sources):
            yield shard.summary.id


def source_of(item: Item, *, checksum: str = "") -> Source:
    """Returns what a shard's entry says of an item that went in."""
    return Source(item.key, item.identity, item.stamp, checksum)


def _packed(items: Collection[Item], most_items: int) -> Iterator[tuple[Item, ...]]:
    """Packs items in order; those that are known to be rejects by themselves, as they may yet come."""
    yield from _chunks((item for item in items if not item.reject), most_items)
    yield from _chunks((item for item in items if item.reject), most_items)


def _chunks(items: Iterable[Item], most_items: int) -> Iterator[tuple[Item, ...]]:
    waiting: list[Item] = []
    weight = 0
    for item in items:
        if waiting and (len(waiting) == most_items or weight + item.size > MOST_BYTES):
            yield tuple(waiting)
            waiting, weight = [], 0
        waiting.append(item)
        weight += item.size
    if waiting:
        yield tuple(waiting)


class Earlier(NamedTuple):
    """What earlier runs left.

    Attributes:
        shards: those that can be kept, by id.
        taken: ids of all shards, also of stale ones and of those whose entry cannot be read.
    """

    shards: Mapping[str, Shard]
    taken: frozenset[str]


def find_earlier(storage: Storage) -> Earlier:
    """Reads the entries of all shards of a dataset root."""
    there = set(storage.list("shards"))
    ids = [path.removeprefix("shards/").removesuffix(".json") for path in sorted(there) if path.endswith(".json")]
    wanted = [each for each in ids if stale_path(each) not in there]
    shards = {}
    for each, data in zip(wanted, storage.read_many([entry_path(each) for each in wanted]), strict=True):
        # One that cannot be read is no reason to stop: its items go into a shard of another id.
        with contextlib.suppress(IntegrityError):
            if data is not None:
                shards[each] = parse_shard_entry(storage, each, data)
    return Earlier(shards, frozenset(ids))


def stale_path(shard_id: str) -> str:
    """Path of the mark of a shard whose files have changed without a change of their stamps."""
    return f"shards/{shard_id}.stale"


def store_plan(storage: Storage, planned: Sequence[PlannedShard]) -> tuple[Ticket, ...]:
    """Writes planned shards where workers find them; returns their tickets, in order."""
    tickets = []
    today = datetime.now(UTC).date()
    for path in storage.list("plans"):
        # Left by a launcher that was killed: none works on a plan for weeks.
        with contextlib.suppress(ValueError):
            if (today - date.fromisoformat(path.removeprefix("plans/")[:10])).days > _OLD_DAYS:
                storage.delete(path)
    # Of this launcher's own: one beside it must not lose its plan when this one is done.
    run = f"{today.isoformat()}-{uuid.uuid4().hex}"
    for start in range(0, len(planned), _SHARDS_PER_PART):
        shards = planned[start : start + _SHARDS_PER_PART]
        part = f"plans/{run}-{start // _SHARDS_PER_PART}.json"
        storage.create(part, canonical_json([[_told(item) for item in shard.items] for shard in shards]))
        tickets += [Ticket(shard.id, part, number) for number, shard in enumerate(shards)]
    return tuple(tickets)


def find_begun(storage: Storage) -> Iterator[tuple[Item, ...]]:
    """Yields the items of every shard of the plans that launchers are carrying out, or did not live to finish."""
    for data in storage.read_many(storage.list("plans")):
        # One that cannot be read is of no use, and no harm: its items are packed anew.
        with contextlib.suppress(ValueError, TypeError, AttributeError):
            yield from [tuple(Item(**told) for told in items) for items in json.loads(data or b"[]")]


def read_planned(storage: Storage, ticket: Ticket) -> PlannedShard:
    """Returns the planned shard of a ticket.

    Raises:
        TransientError: somebody removed the plan, or damaged it.
    """
    data = storage.read(ticket.part)
    if data is None:
        told = f"plan {storage.uri}/{ticket.part} was removed while it was carried out, or this host does not see it"
        raise TransientError(f"{told}; run again, with a workdir that all hosts see")
    try:
        return PlannedShard(ticket.id, tuple(Item(**told) for told in json.loads(data)[ticket.number]))
    except (ValueError, TypeError, IndexError) as error:
        raise TransientError(f"plan {storage.uri}/{ticket.part} is damaged; run again") from error


def discard_plan(storage: Storage, tickets: Iterable[Ticket]) -> None:
    """Removes a plan that is carried out."""
    for part in sorted({ticket.part for ticket in tickets}):
        storage.delete(part)


def _told(item: Item) -> dict[str, object]:
    """Returns the fields of an item, without those that are empty and need not be given."""
    fields = {**{name: getattr(item, name) for name in Item.__slots__}, "labels": dict(item.labels)}
    return {name: value for name, value in fields.items() if value or name in ("path", "size")}
