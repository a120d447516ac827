"""Plans: every item once, what is finished is kept, nothing depends on chance."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from pipelines.beam.plan import PlannedShard, plan_shards
from trillsson.datasets import Shard, ShardSummary, Source


@dataclass(frozen=True)
class Item:
    key: str
    version: int = 0

    @property
    def source(self) -> Source:
        return Source(key=self.key, identity=str(self.version))


def finished(planned: PlannedShard[Item]) -> Shard:
    summary = ShardSummary(id=planned.id, sha256="", items=1, records=1, seconds=1.0)
    return Shard(summary=summary, sources=tuple(item.source for item in planned.items))


def plan(items: list[Item], earlier: list[Shard], identity: str = "v1") -> tuple[PlannedShard[Item], ...]:
    return plan_shards(items, earlier, identity=identity, per_shard=3)


KEYS = st.lists(st.integers(0, 30), unique=True, max_size=20).map(lambda numbers: [f"{n:02d}" for n in sorted(numbers)])


@given(KEYS)
def test_a_first_plan_holds_every_item_once_in_order(keys: list[str]) -> None:
    shards = plan([Item(key) for key in keys], [])
    assert [item.key for shard in shards for item in shard.items] == keys
    assert all(len(shard.items) <= 3 for shard in shards)


@given(KEYS, KEYS, st.sets(st.integers(0, 30)))
def test_a_later_plan_keeps_what_is_whole_and_unchanged(first: list[str], second: list[str], changed: set[int]) -> None:
    earlier = plan([Item(key) for key in first], [])
    items = [Item(key, version=int(int(key) in changed)) for key in second]
    later = plan(items, [finished(shard) for shard in earlier])
    assert sorted(item.key for shard in later for item in shard.items) == second
    whole = {shard.id for shard in earlier if set(shard.items) <= set(items)}
    assert whole == {shard.id for shard in earlier} & {shard.id for shard in later}


@given(KEYS)
def test_another_identity_keeps_nothing(keys: list[str]) -> None:
    items = [Item(key) for key in keys]
    earlier = plan(items, [])
    later = plan(items, [finished(shard) for shard in earlier], identity="v2")
    assert not {shard.id for shard in earlier} & {shard.id for shard in later}


def test_shards_of_two_histories_never_share_an_item() -> None:
    one = plan([Item("a"), Item("b")], [])
    two = plan([Item("b"), Item("c")], [])
    later = plan([Item("a"), Item("b"), Item("c")], [finished(shard) for shard in (*one, *two)])
    assert sorted(item.key for shard in later for item in shard.items) == ["a", "b", "c"]
