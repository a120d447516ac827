"""Plans: every item once, what is finished is kept, nothing depends on chance."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.beam import plan
from pipelines.beam.corpora.reader import Item
from pipelines.beam.plan import (
    PlannedShard,
    discard_plan,
    find_begun,
    find_earlier,
    plan_shards,
    read_planned,
    silently_changed,
    source_of,
    stale_path,
    store_plan,
)
from trillsson.datasets import Shard, ShardSummary, commit_shard, entry_path
from trillsson.errors import TransientError
from trillsson.storage import LocalStorage


def item(key: str, *, stamp: int = 0, size: int = 1, **known: object) -> Item:
    return Item(key=key, path=key, size=size, stamp=str(stamp), **known)  # type: ignore[arg-type]


def finished(planned: PlannedShard, checksum: Callable[[Item], str] = lambda item: "") -> Shard:
    sources = tuple(source_of(each, checksum=checksum(each)) for each in planned.items)
    summary = ShardSummary(id=planned.id, sha256="", sources=len(sources), items=1, records=1, seconds=1.0)
    return Shard(summary=summary, identity="v1", sources=sources)


make_plan = partial(plan_shards, identity="v1", most_items=3)
KEYS = st.lists(st.integers(0, 30), unique=True, max_size=20).map(lambda numbers: [f"{n:02d}" for n in sorted(numbers)])


def ids_of(shards: Iterable[PlannedShard]) -> set[str]:
    return {shard.id for shard in shards}


def keys_of(shards: Sequence[PlannedShard]) -> list[str]:
    return [each.key for shard in shards for each in shard.items]


@given(KEYS)
def test_a_first_plan_holds_every_item_once_in_order(keys: list[str]) -> None:
    shards = make_plan(map(item, keys), [])
    assert keys_of(shards) == keys
    assert all(len(shard.items) <= 3 for shard in shards)


@given(KEYS)
def test_a_first_plan_is_the_same_for_a_copy_of_the_corpus(keys: list[str]) -> None:
    copied = make_plan([item(key, stamp=9) for key in keys], [])
    assert [shard.id for shard in make_plan(map(item, keys), [])] == [shard.id for shard in copied]


@given(KEYS, KEYS, st.sets(st.integers(0, 30)))
def test_a_later_plan_keeps_what_is_whole_and_unchanged(first: list[str], second: list[str], changed: set[int]) -> None:
    earlier = make_plan(map(item, first), [])
    items = [item(key, stamp=int(int(key) in changed)) for key in second]
    later = make_plan(items, map(finished, earlier), taken=ids_of(earlier))
    assert sorted(keys_of(later)) == second
    whole = {shard.id for shard in earlier if all(each in items for each in shard.items)}
    assert whole == {shard.id for shard in earlier} & {shard.id for shard in later}


@given(KEYS)
def test_another_identity_keeps_nothing(keys: list[str]) -> None:
    earlier = make_plan(map(item, keys), [])
    later = plan_shards(map(item, keys), map(finished, earlier), identity="v2", most_items=3)
    assert not {shard.id for shard in earlier} & {shard.id for shard in later}


@pytest.mark.parametrize(
    "known", [{"speaker": "b"}, {"split": "test"}, {"labels": {"a": "b"}}, {"size": 2}, {"row": 1}]
)
def test_what_is_known_of_an_item_counts(known: dict[str, object]) -> None:
    (one,) = make_plan([item("a")], [])
    (two,) = make_plan([item("a", **known)], [finished(one)])
    assert one.id != two.id


def test_shards_of_two_histories_never_share_an_item() -> None:
    one = make_plan(map(item, "ab"), [])
    two = make_plan(map(item, "bc"), [])
    later = make_plan(map(item, "abc"), map(finished, (*one, *two)))
    assert sorted(keys_of(later)) == ["a", "b", "c"]


def test_a_shard_is_bounded_by_the_bytes_of_its_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "MOST_BYTES", 10)
    shards = make_plan([item(key, size=size) for key, size in zip("abcde", (4, 6, 1, 99, 1), strict=True)], [])
    assert [[each.key for each in shard.items] for shard in shards] == [["a", "b"], ["c"], ["d"], ["e"]]
    assert [shard.bytes for shard in shards] == [10, 1, 99, 1]


def test_checksums_decide_where_they_are_given() -> None:
    bytes_of = {"a": "1", "b": "2"}.__getitem__

    def changes(each: Item) -> str:
        return {"a": "1", "b": "3"}[each.key]

    earlier = [finished(*make_plan([item(key)], []), lambda each: bytes_of(each.key)) for key in "ab"]
    touched = [item(key, stamp=9) for key in "ab"]
    kept = make_plan(touched, earlier, checksum=lambda each: bytes_of(each.key))
    assert {shard.id for shard in kept} == {shard.summary.id for shard in earlier}
    taken = {shard.summary.id for shard in earlier}
    changed = make_plan(map(item, "ab"), earlier, taken=taken, checksum=changes)
    assert len({shard.id for shard in changed} & {shard.summary.id for shard in earlier}) == 1
    assert list(silently_changed(earlier, changed)) == [earlier[1].summary.id]
    assert list(silently_changed(earlier, kept)) == []


def test_what_lies_beside_an_item_counts_with_checksums_too() -> None:
    def beside(stamp: str) -> Item:
        return Item(key="a", path="a", size=1, stamp=stamp)

    (first,) = make_plan([beside("1+1")], [])
    (touched,) = make_plan([beside("2+1")], [finished(first)], checksum=lambda each: "")
    (other,) = make_plan([beside("1+2")], [finished(first)], taken={first.id}, checksum=lambda each: "")
    assert (touched.id, other.id == first.id) == (first.id, False)


def test_a_new_shard_never_gets_an_id_that_was_used() -> None:
    taken: set[str] = set()
    for _ in range(6):
        (shard,) = make_plan([item("a")], [], taken=taken)
        assert shard.id not in taken
        taken.add(shard.id)


def test_known_rejects_are_packed_by_themselves() -> None:
    items = [item(key, reject="missing" if key in "bd" else "") for key in "abcd"]
    shards = make_plan(items, [])
    assert [[each.key for each in shard.items] for shard in shards] == [["a", "c"], ["b", "d"]]
    found = make_plan([item(key) for key in "abcd"], map(finished, shards), taken=ids_of(shards))
    assert shards[0] in found


def test_stale_and_damaged_shards_are_passed_over_and_their_ids_too(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    shards = [finished(each) for each in make_plan(map(item, "abcdefg"), [])]
    ids = [shard.summary.id for shard in shards]
    for shard in shards[:2]:
        commit_shard(storage, shard)
    storage.create(entry_path(ids[2]), b"{")
    storage.create(stale_path(ids[0]), b"")
    earlier = find_earlier(storage)
    assert earlier == (({ids[1]: shards[1]}), frozenset(ids))


SIZES = st.lists(st.integers(1, 60), min_size=1, max_size=25)


@given(sizes=SIZES, data=st.data())
def test_whatever_of_a_plan_is_done_the_next_run_plans_the_same(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], data: st.DataObject
) -> None:
    items = [item(f"{number:02d}", size=size) for number, size in enumerate(sizes)]
    old = data.draw(st.integers(0, len(items)))
    storage = LocalStorage(tmp_path_factory.mktemp("plans"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "MOST_BYTES", 100)
        before = [finished(shard) for shard in make_plan(items[:old], [])]
        whole = make_plan(items, before)
        new = [shard for shard in whole if shard.id not in {made.summary.id for made in before}]
        store_plan(storage, new)
        done = [finished(shard) for shard in new if data.draw(st.booleans())]
        left = [*before, *done]
        taken = [made.summary.id for made in left]
        assert make_plan(items, left, taken=taken, begun=find_begun(storage)) == whole


def test_what_was_begun_of_other_files_is_packed_anew(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    store_plan(storage, make_plan([item("a"), item("b"), item("c", stamp=1)], []))
    storage.create("plans/2026-01-01-damaged-0.json", b"{")
    now = [item("a"), item("b"), item("c", stamp=2), item("d")]
    assert make_plan(now, [], begun=find_begun(storage)) == make_plan(now, [])


def test_what_was_begun_is_not_read_where_nothing_is_left() -> None:
    def none() -> Iterator[Sequence[Item]]:
        raise AssertionError
        yield ()

    whole = make_plan([item("a")], [])
    assert make_plan([item("a")], map(finished, whole), begun=none()) == whole


ITEMS = st.builds(
    Item,
    key=st.text(min_size=1),
    path=st.text(),
    size=st.integers(0, 2**40),
    stamp=st.text(),
    speaker=st.text(),
    split=st.text(),
    labels=st.dictionaries(st.text(), st.text(), max_size=2),
    row=st.integers(0, 9),
    reject=st.text(),
    detail=st.text(),
)


@given(st.lists(ITEMS, min_size=1, max_size=5, unique_by=lambda each: each.key))
def test_a_worker_finds_what_was_planned(tmp_path_factory: pytest.TempPathFactory, items: list[Item]) -> None:
    storage = LocalStorage(tmp_path_factory.mktemp("plans"))
    shards = make_plan(items, [])
    tickets = store_plan(storage, shards)
    assert [read_planned(storage, ticket) for ticket in tickets] == list(shards)
    discard_plan(storage, tickets)
    assert storage.list() == []


@pytest.mark.parametrize("data", [b"{", b"[]", b'[[{"bogus": 1}]]'])
def test_a_plan_that_was_removed_or_damaged(tmp_path: Path, data: bytes) -> None:
    storage = LocalStorage(tmp_path)
    (ticket,) = store_plan(storage, make_plan([item("a")], []))
    discard_plan(storage, [ticket])
    told = (
        r"plan .*/plans/\d{4}-\d\d-\d\d-\w+-0\.json was removed while it was carried out, or this host does not see it"
    )
    message = f"^{told}; run again, with a workdir that all hosts see$"
    with pytest.raises(TransientError, match=message):
        read_planned(storage, ticket)
    storage.create(ticket.part, data)
    with pytest.raises(TransientError, match=r"^plan .*-0\.json is damaged; run again$"):
        read_planned(storage, ticket)


def test_plans_of_long_ago_are_swept(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    storage.create("plans/2020-01-01-0123-0.json", b"[]")
    (ticket,) = store_plan(storage, make_plan([item("a")], []))
    assert storage.list() == [ticket.part]
