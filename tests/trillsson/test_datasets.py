"""Datasets: what a manifest says, and what is refused."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trillsson.datasets import (
    Dataset,
    Reject,
    Shard,
    ShardSummary,
    Source,
    StoredShard,
    commit_dataset,
    commit_shard,
    find_manifest,
    open_any_dataset,
    open_dataset,
    read_shard_entry,
)
from trillsson.errors import InputError, IntegrityError
from trillsson.records import AudioRecord, write_shard
from trillsson.storage import LocalStorage

StorePair = Callable[..., tuple[str, str]]


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


def test_some_clips_are_picked_from_the_indexes_that_hold_them(store_pair: StorePair, tmp_path: Path) -> None:
    keys = [f"{number:02d}" for number in range(7)]
    clips = [AudioRecord(key=key, audio=np.zeros(2, np.float32)) for key in keys]
    uri, _ = store_pair(tmp_path, clips, [], content={}, per_shard=2)
    dataset = open_dataset(uri, "audio")
    assert [(row, clip.key) for row, clip in dataset.pick([6, 3, 2, 3])] == [(2, "02"), (3, "03"), (6, "06")]
    assert list(dataset.pick([])) == []
    (Path(dataset.root) / dataset.shards[1].index).unlink()
    assert [clip.key for _, clip in dataset.pick(range(2))] == ["00", "01"]
    with pytest.raises(IntegrityError, match=r"a2-\w+\.clips\.jsonl is missing or not as its manifest says"):
        list(dataset.pick([0, 2]))


def test_an_index_of_more_or_fewer_records_is_noticed(dataset: Dataset) -> None:
    index = b"{}\n" * 3
    summary = shard("one").summary.model_copy(update={"index_sha256": hashlib.sha256(index).hexdigest()})
    stored = StoredShard(dataset.root, summary)
    (Path(dataset.root) / stored.index).write_bytes(index)
    with pytest.raises(IntegrityError) as caught:
        stored.clips()
    told = f"index {dataset.root}/{stored.index} holds 3 records, its manifest says 2"
    remedy = f"delete that manifest and {dataset.root}/shards/one* and make the dataset again"
    assert str(caught.value) == f"{told}; {remedy}"


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
    with pytest.raises(
        IntegrityError, match="is damaged, or not of schema version 2; delete it and run its step again"
    ):
        open_dataset(dataset.uri, "audio")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"records": 5}, "5 records, its shards hold 4"),
        ({"items": 4}, "4 items, its shards hold 5"),
        ({"windows": 0}, "0 windows, its shards hold 6"),
        ({"sources": 3}, "3 sources, its shards hold 2"),
        ({"lost": 1}, "1 lost, its shards hold 0"),
        ({"rejects": {"too_short": 2}}, "2 rejects, its shards hold 1"),
    ],
)
def test_a_manifest_whose_totals_are_not_its_shards(dataset: Dataset, change: dict[str, object], told: str) -> None:
    Path(dataset.uri).write_text(dataset.manifest.model_copy(update=change).model_dump_json())
    with pytest.raises(IntegrityError) as caught:
        open_dataset(dataset.uri, "audio")
    assert str(caught.value) == f"manifest {dataset.uri} says {told}; delete it and run again"


def test_a_manifest_by_its_folders_and_spellings(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = Path(dataset.uri)
    (manifest.parent / "notes.txt").write_text("")
    for given in (manifest, manifest.parent, f"{manifest.parent}/", dataset.root, f"{dataset.uri}/"):
        assert find_manifest(str(given)) == dataset.uri
    monkeypatch.chdir(manifest.parent)
    assert find_manifest(manifest.name) == dataset.uri
    monkeypatch.chdir(dataset.root)
    assert find_manifest(f"manifests/{manifest.name}") == find_manifest(".") == dataset.uri


def test_one_of_several_manifests_has_to_be_named(dataset: Dataset) -> None:
    folder = Path(dataset.uri).parent
    for number in range(6):
        (folder / f"{number}.json").write_bytes(Path(dataset.uri).read_bytes())
        os.utime(folder / f"{number}.json", (1_700_000_000 + 3_600 * number,) * 2)
    os.utime(dataset.uri, (1_600_000_000,) * 2)
    (folder / "4.json").write_text("{}")
    os.utime(folder / "4.json", (1_700_000_000 + 3_600 * 4,) * 2)
    with pytest.raises(InputError) as caught:
        find_manifest(dataset.root)
    assert str(caught.value) == (
        f"{dataset.root} holds 7 manifests; name one, the newest first: "
        f"{folder}/5.json (2023-11-15 03:13 UTC, 4 records), "
        f"{folder}/4.json (2023-11-15 02:13 UTC, damaged, or not of schema version 2), "
        f"{folder}/3.json (2023-11-15 01:13 UTC, 4 records), "
        f"{folder}/2.json (2023-11-15 00:13 UTC, 4 records), "
        f"{folder}/1.json (2023-11-14 23:13 UTC, 4 records) and 2 more"
    )


def test_what_is_no_manifest(dataset: Dataset) -> None:
    manifests = f"{dataset.root}/manifests"
    Path(f"{manifests}/folder.json").mkdir()
    refused = {
        f"{dataset.root}/shards": f"{dataset.root}/shards holds no dataset; name the manifest that a step printed, or "
        "run that step",
        f"{manifests}/folder.json": f"cannot read {manifests}/folder.json: Is a directory; give another path or mend "
        "its rights",
        f"{manifests}/a\0b.json": f"storage '{manifests}/a\\x00b.json' holds a NUL character, which no file's name "
        "can; give another path",
    }
    for given, message in refused.items():
        with pytest.raises(InputError) as caught:
            open_any_dataset(find_manifest(given))
        assert str(caught.value) == message
