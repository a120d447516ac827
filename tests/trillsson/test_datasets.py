"""Datasets: what a manifest says, and what is refused."""

from pathlib import Path

import pytest

from trillsson.datasets import (
    Dataset,
    Reject,
    Shard,
    ShardSummary,
    Source,
    commit_dataset,
    commit_shard,
    open_dataset,
    read_shard_entry,
)
from trillsson.errors import InputError, IntegrityError
from trillsson.records import write_shard
from trillsson.storage import LocalStorage


def shard(name: str, *, records: int = 2, rejects: tuple[Reject, ...] = (), sha256: str = "") -> Shard:
    items = records + len(rejects)
    summary = ShardSummary(id=name, sha256=sha256, items=items, records=records, windows=3, seconds=1.25)
    return Shard(summary=summary, sources=(Source(key=name, identity="1"),), rejects=rejects)


SHORT = Reject(key="c/a#0", stage="prepare", reason="too_short", detail="0.01 s")


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    storage = LocalStorage(tmp_path / "d")
    written = write_shard(storage, "one", [b"1", b"2"])
    shards = [shard("one", sha256=written), shard("two", rejects=(SHORT,))]
    for each in shards:
        commit_shard(storage, each)
    return open_dataset(commit_dataset(storage.uri, shards, kind="audio", corpus="c", content={"a": 1}), "audio")


def test_a_manifest_adds_up_its_shards(dataset: Dataset) -> None:
    manifest = dataset.manifest
    assert (manifest.items, manifest.records, manifest.windows, manifest.seconds) == (5, 4, 6, 2.5)
    assert manifest.rejects == {"too_short": 1}
    assert "numpy" in manifest.tools
    assert list(dataset.rejects()) == [SHORT]
    assert (manifest.sources, manifest.lost) == (2, 0)


def test_the_same_dataset_is_committed_once(dataset: Dataset) -> None:
    before = Path(dataset.uri).read_bytes()
    shards = [read_shard_entry(LocalStorage(Path(dataset.root)), name) for name in ("one", "two")]
    again = commit_dataset(dataset.root, filter(None, shards), kind="audio", corpus="c", content={"a": 1})
    assert again == dataset.uri
    assert Path(dataset.uri).read_bytes() == before


def test_items_must_be_records_and_rejects(tmp_path: Path) -> None:
    wrong = shard("x").model_copy(update={"rejects": (SHORT,)})
    with pytest.raises(IntegrityError, match="shard x: 2 items in, 2 records out and 1 rejects; this is a bug"):
        commit_shard(LocalStorage(tmp_path), wrong)
    assert LocalStorage(tmp_path).list() == []


def test_sources_must_be_those_that_were_planned(tmp_path: Path) -> None:
    wrong = shard("x")
    wrong = wrong.model_copy(update={"sources": (*wrong.sources, Source("more", "1"))})
    with pytest.raises(IntegrityError, match="shard x: 2 sources were planned and 1 became items; this is a bug"):
        commit_shard(LocalStorage(tmp_path), wrong)


def test_a_dataset_must_hold_all_the_sources_that_were_listed(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"^c: 2 sources went in, the shards hold 1; this is a bug, report it$"):
        commit_dataset(str(tmp_path), [shard("x")], kind="audio", corpus="c", content={}, sources=2)


def test_a_dataset_is_known_by_its_records(tmp_path: Path) -> None:
    def made(name: str, *more: Shard) -> Dataset:
        first = shard(name, sha256="same")
        return open_dataset(
            commit_dataset(str(tmp_path), [first, *more], kind="audio", corpus="c", content={}), "audio"
        )

    only_rejects = shard("none", records=0, rejects=(SHORT,), sha256="empty")
    assert made("one").id == made("another name").id == made("one", only_rejects).id
    assert len({made("one").uri, made("another name").uri, made("one", only_rejects).uri}) == 3


def test_a_changed_index_is_noticed(dataset: Dataset) -> None:
    with pytest.raises(
        IntegrityError, match=r"shards/one-\.clips\.jsonl is missing or not as its manifest says; delete "
    ):
        dataset.shards[0].clips()


def test_a_changed_shard_is_noticed(dataset: Dataset, tmp_path: Path) -> None:
    stored = dataset.shards[0]
    path = stored.fetch(tmp_path)
    path.write_bytes(b"other")
    message = (
        r"^shard .*/one-\w{16}\.tfrecord has digest d9298a10d1b07358, its manifest says \w{16}; "
        r"delete .*/d/shards/one\* and make the dataset again$"
    )
    with pytest.raises(IntegrityError, match=message):
        stored.fetch(tmp_path)


def test_an_entry_whose_files_are_gone_is_not_taken_for_another_shard(dataset: Dataset) -> None:
    storage = LocalStorage(Path(dataset.root))
    commit_shard(storage, shard("one", sha256="another"))  # its files are there: somebody else was first
    (Path(dataset.root) / dataset.shards[0].summary.files[0]).unlink()
    with pytest.raises(
        IntegrityError, match=r"/shards/one\.json names a file that is gone and cannot be made again; del"
    ):
        commit_shard(storage, shard("one", sha256="another"))


def test_other_rejects_make_another_manifest(tmp_path: Path) -> None:
    other = SHORT.model_copy(update={"key": "c/b#0"})
    uris = {
        commit_dataset(str(tmp_path), [shard("x", rejects=(each,))], kind="audio", corpus="c", content={})
        for each in (SHORT, other)
    }
    assert len(uris) == 2


def test_a_missing_shard_entry_is_noticed(dataset: Dataset) -> None:
    (Path(dataset.root) / "shards/two.json").unlink()
    with pytest.raises(IntegrityError, match=r"shards/two\.json is missing; run again to restore it"):
        list(dataset.rejects())


@pytest.mark.parametrize("uri", ["d/manifests/none.json", "nowhere.json", ""])
def test_a_dataset_that_does_not_exist(uri: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"dataset .* does not exist; name the manifest that a step printed"):
        open_dataset(str(tmp_path / uri) if uri else "", "audio")


def test_a_dataset_of_another_kind(dataset: Dataset) -> None:
    with pytest.raises(InputError, match=r"holds audio; give one that holds embeddings"):
        open_dataset(dataset.uri, "embeddings")


def test_a_manifest_of_another_schema(dataset: Dataset) -> None:
    path = Path(dataset.uri)
    path.write_text(path.read_text().replace('"schema_version":2', '"schema_version":1'))
    with pytest.raises(IntegrityError, match="is not one of schema version 2; make it anew"):
        open_dataset(dataset.uri, "audio")
