import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trillsson.config import Task
from trillsson.datasets import Dataset, Reject, open_dataset
from trillsson.errors import InputError, IntegrityError
from trillsson.inspection import inspect, summarise
from trillsson.inspection.labels import Value
from trillsson.inspection.speakers import Shared
from trillsson.inspection.words import remarks
from trillsson.records import AudioRecord, EmbeddingRecord

MakeClip = Callable[..., AudioRecord]
MakeDataset = Callable[..., Dataset]
Claim = Callable[..., Dataset]
StorePair = Callable[..., tuple[str, str]]


def test_splits_speakers_and_labels(make_dataset: MakeDataset, make_clip: MakeClip) -> None:
    clips = [
        make_clip("a", 1, speaker="ann", split="train", mood="calm"),
        make_clip("b", 2, speaker="ann", split="Training", mood="cross"),
        make_clip("c", 3, speaker="bob", split="dev", mood="calm"),
        make_clip("d", 4, speaker="ann", split="eval", mood="calm"),
        make_clip("e", 5, split="test"),
        make_clip("f", 6, speaker="cem", mood="calm"),
        make_clip("g", 7, speaker="cem", split="fold 3", mood=""),
    ]
    found = summarise(make_dataset(clips, per_shard=3))
    # In the order train, validation, test, no split, other.
    assert found.splits.clips == (2, 1, 2, 1, 1)
    assert found.splits.hours == pytest.approx((0.4 / 3600, 0.2 / 3600, 0.4 / 3600, 0.2 / 3600, 0.2 / 3600))
    assert found.splits.unknown_words == ("fold 3",)
    speakers = found.splits.speakers
    assert (speakers.total, speakers.counts) == (3, (1, 1, 1, 1, 1))
    assert speakers.unknown == (0, 0, 1, 0, 0)
    # A speaker without a split is in none: only train, validation and test are meant to share nobody.
    assert speakers.shared == {("train", "test"): 1}
    assert speakers.named == (Shared("ann", ("train", "test")),)
    (mood,) = found.columns
    assert mood.values == (
        Value("calm", clips=(1, 1, 1, 1, 0), speakers=(1, 1, 1, 1, 0)),
        Value("cross", clips=(1, 0, 0, 0, 0), speakers=(1, 0, 0, 0, 0)),
    )
    assert (mood.distinct, mood.complete, mood.others) == (2, True, (0, 0, 0, 0, 0))
    assert mood.without == (0, 0, 1, 0, 1)
    assert sum(found.durations.histogram.counts) == 7


def test_a_column_that_repeats_the_split_is_left_out(make_dataset: MakeDataset, make_clip: MakeClip) -> None:
    clips = [make_clip(key, number, split=key, split_=key, fold="x") for number, key in enumerate(("train", "test"))]
    assert [column.name for column in summarise(make_dataset(clips)).columns] == ["fold"]


def test_copies_within_and_across(make_dataset: MakeDataset, make_clip: MakeClip) -> None:
    own = make_dataset(
        [
            make_clip("a", 1, split="test"),
            make_clip("b", 2, split="train"),
            make_clip("c", 1, split="val"),
            make_clip("d", 3, split="test"),
            make_clip("e", 4, split="test"),
            make_clip("f", 4, split="test"),
        ],
        per_shard=2,
    )
    other = make_dataset(
        [make_clip("p", 9, split="train"), make_clip("q", 3), make_clip("r", 2, split="eval"), make_clip("s", 9)],
        corpus="more",
        per_shard=3,
    )
    alone = summarise(own).duplicates
    assert (alone.groups, alone.copies, alone.across, alone.leaks) == (2, 2, 0, 1)
    assert [[clip.key for clip in group.clips] for group in alone.named] == [["a", "c"], ["e", "f"]]

    both = summarise(own, [other]).duplicates
    # p and s are copies of each other, and no business of the first dataset.
    assert (both.groups, both.copies, both.across, both.leaks) == (4, 2, 2, 3)
    assert [[(clip.corpus, clip.key) for clip in group.clips] for group in both.named] == [
        [("speech", "a"), ("speech", "c")],
        [("speech", "b"), ("more", "r")],
        [("speech", "d"), ("more", "q")],
        [("speech", "e"), ("speech", "f")],
    ]
    told = [(leak.test.key, leak.learnt.key, leak.learnt.split) for leak in both.named_leaks]
    assert told == [("a", "c", "validation"), ("d", "q", "no split"), ("r", "b", "train")]


def test_test_by_the_split_columns_of_tasks(make_dataset: MakeDataset, make_clip: MakeClip) -> None:
    own = make_dataset(
        [
            make_clip("a", 1, split="train", speaker="ann", by_speaker="test"),
            make_clip("b", 1, split="train", speaker="bob", by_speaker="train"),
            make_clip("c", 2, split="test", speaker="bob", by_speaker="train"),
            make_clip("d", 3, split="train", speaker="ann", by_speaker="fold1"),
        ]
    )
    other = make_dataset([make_clip("p", 3, by_speaker="test"), make_clip("q", 3, session="eval")], corpus="more")
    tasks = {
        "mood": Task(corpus="speech", label="mood", split="by_speaker"),
        "age": Task(corpus="speech", label="age", split="by_speaker"),
        "digit": Task(corpus="speech", label="digit"),
        "word": Task(corpus="speech", label="word", split="absent"),
        "more": Task(corpus="more", label="word", split="session"),
    }
    plain = summarise(own, [other])
    assert (plain.task_splits, plain.tests, plain.duplicates.leaks) == ((), 1, 0)
    found = summarise(own, [other], tasks=tasks)
    absent, by_speaker = found.task_splits
    assert (by_speaker.column, by_speaker.tasks, by_speaker.clips) == ("by_speaker", ("mood", "age"), (2, 0, 1, 0, 1))
    assert (by_speaker.speakers.counts, by_speaker.unknown_words) == ((1, 0, 1, 0, 1), ("fold1",))
    assert (absent.clips, absent.empty, by_speaker.empty) == ((0, 0, 0, 4, 0), True, False)
    assert (found.splits, found.tests) == (plain.splits, 2)
    assert found.test_columns == ("absent", "by_speaker", "session")
    told = [(leak.test.key, leak.test.split, leak.learnt.key) for leak in found.duplicates.named_leaks]
    # `p` is test by a column that no task of its corpus takes its split from.
    assert told == [("a", "train; test by by_speaker", "b"), ("q", "no split; test by session", "d")]
    assert [remark.text for remark in remarks(found)] == [
        "Leak: 2 test clips are among the clips that are learnt from as well.",
        "1 speaker is in train and test.",
        "No clip has a split in column 'absent', where task word would look for it.",
        "1 clip has a split in column 'by_speaker' that is not known, such as 'fold1': training refuses that.",
        "1 clip is an exact copy of another clip in this dataset.",
        "1 clip is in another dataset too.",
    ]


def test_a_test_clip_leaks_only_into_corpora_that_are_learnt_from(
    make_dataset: MakeDataset, make_clip: MakeClip
) -> None:
    own = make_dataset([make_clip("a", 1, split="test"), make_clip("b", 1, split="train"), make_clip("c", 2)])
    other = make_dataset([make_clip("p", 1), make_clip("q", 2, split="test")], corpus="more")

    def leaks(*learnt_from: str) -> list[tuple[str, str]]:
        found = summarise(own, [other], learnt_from=learnt_from).duplicates
        assert (found.groups, found.copies, found.across, found.leaks) == (2, 1, 2, len(found.named_leaks))
        return [(leak.test.key, leak.learnt.key) for leak in found.named_leaks]

    assert leaks("speech", "more") == [("a", "b"), ("q", "c")]
    assert leaks("more") == [("a", "p")]
    assert leaks("third") == []


def test_only_the_first_are_named_and_all_are_counted(make_dataset: MakeDataset, make_clip: MakeClip) -> None:
    clips = [
        make_clip(f"{sound}-{copy}", sound, split="test" if copy else "") for sound in range(25) for copy in (0, 1)
    ]
    clips += [make_clip(f"0-{copy}", 0) for copy in (2, 3, 4)]
    found = summarise(make_dataset(clips)).duplicates
    assert (found.groups, found.copies, found.leaks) == (25, 28, 25)
    assert (len(found.named), len(found.named_leaks)) == (20, 20)
    assert ([clip.key for clip in found.named[0].clips], found.named[0].count) == (["0-0", "0-1", "0-2", "0-3"], 5)
    assert found.named_leaks[19].test.key == "19-1"


def test_a_dataset_is_not_compared_with_itself(
    make_dataset: MakeDataset, make_clip: MakeClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, other = make_dataset([make_clip("a")]), make_dataset([make_clip("b")], corpus="other")
    (tmp_path / "link").symlink_to(dataset.root)
    shutil.copytree(dataset.root, tmp_path / "copy")
    monkeypatch.chdir(dataset.root)
    manifest = f"manifests/{Path(dataset.uri).name}"
    for again, absolute in {
        dataset.uri: dataset.uri,
        f"{dataset.root}/": dataset.uri,
        manifest: dataset.uri,
        f"../audio/{manifest}": f"{dataset.root}/../audio/{manifest}",
        f"{dataset.root}/../audio": f"{dataset.root}/../audio/{manifest}",
        f"{tmp_path}/link/{manifest}": f"{tmp_path}/link/{manifest}",
        f"{tmp_path}/copy": f"{tmp_path}/copy/{manifest}",
    }.items():
        with pytest.raises(InputError) as caught:
            inspect(dataset.uri, against=[other.uri, again])
        wanted = f"--against: {absolute} holds the same records as {dataset.uri}; name each dataset once"
        assert str(caught.value) == wanted
    with pytest.raises(InputError, match=rf"^--against: {other.uri} holds the same records as {other.uri}; name each"):
        inspect(dataset.uri, against=[other.uri, other.uri])


def test_a_damaged_index_is_told(make_dataset: MakeDataset, make_clip: MakeClip) -> None:
    dataset = make_dataset([make_clip("a")])
    (Path(dataset.root) / dataset.shards[0].index).write_text("")
    with pytest.raises(IntegrityError, match=r"a0-\w+\.clips\.jsonl is missing or not as its manifest says"):
        summarise(dataset)


@pytest.mark.parametrize("claimed", [0, 3])
def test_an_index_of_more_or_fewer_records_than_the_manifest_says(
    make_dataset: MakeDataset, make_clip: MakeClip, claim: Claim, claimed: int
) -> None:
    dataset = claim(make_dataset([make_clip("a", 1), make_clip("b", 1)]), records=claimed, items=claimed)
    with pytest.raises(IntegrityError) as caught:
        inspect(dataset.uri)
    told = f"index {dataset.root}/{dataset.shards[0].index} holds 2 records, its manifest says {claimed}"
    remedy = f"delete that manifest and {dataset.root}/shards/a0* and make the dataset again"
    assert str(caught.value) == f"{told}; {remedy}"


def test_an_embedding_shard_without_the_records_that_its_manifest_says(
    store_pair: StorePair, make_clip: MakeClip, claim: Claim, tmp_path: Path
) -> None:
    _, uri = store_pair(tmp_path, [make_clip("a", 1)], [], content={})
    dataset = claim(open_dataset(uri, "embeddings"), records=1, items=2)
    with pytest.raises(IntegrityError, match=r"/shards/\w{16}-\w{16}\.tfrecord holds no record, its manifest says 1; "):
        inspect(dataset.uri)


def test_an_embedding_dataset(store_pair: StorePair, make_clip: MakeClip, tmp_path: Path) -> None:
    clips = [make_clip("a", 1), make_clip("b", 2)]
    content = {"embedder": {"kind": "tflite"}, "fingerprint": "f1e2", "framing": {}, "batch_tolerance": 0.01}
    rows = [EmbeddingRecord("a", np.zeros((3, 5), np.float32))]
    _, uri = store_pair(tmp_path, clips, rows, content=content)
    assert inspect(uri) == (
        f"speech: embeddings\n{uri}\n\n"
        "embedder          tflite\n"
        "fingerprint       f1e2\n"
        "framing           windows of 2 s every 2 s, filled (symmetric)\n"
        "batch tolerance   0.01\n"
        "clips             1\n"
        "windows           0\n"
        "numbers a window  5\n"
        "hours             0.000\n"
        "shards            1\n"
        "size              147 bytes\n"
        "rejected clips    1 of 2\n\n"
        "Rejects, and the first of each reason\n"
        "        1  non_finite_embedding\n"
        "           b"
    )
    for options, name in (
        ({"html": tmp_path / "page.html"}, "--html"),
        ({"against": [uri]}, "--against"),
        ({"config": tmp_path / "release.yaml"}, "--config"),
    ):
        wanted = rf"^{name}: dataset {uri} holds embeddings; give the audio dataset they are of$"
        with pytest.raises(InputError, match=wanted):
            inspect(uri, **options)  # type: ignore[arg-type]
    assert not (tmp_path / "page.html").exists()


def test_a_page_about_a_folder_whose_name_is_no_text(
    make_dataset: MakeDataset, make_clip: MakeClip, tmp_path: Path
) -> None:
    root = shutil.copytree(make_dataset([make_clip("a", 1)]).root, tmp_path / os.fsdecode(b"a\xff"))
    inspect(str(root), html=tmp_path / "page.html")
    assert f"<code>{tmp_path}/a?/manifests/" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_missing_manifest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"^dataset {tmp_path}/manifests/x.json does not exist; name the manifest"):
        inspect(f"{tmp_path}/manifests/x.json")


def test_rejects_name_the_first_three_of_each_reason(
    store_pair: StorePair, make_clip: MakeClip, tmp_path: Path
) -> None:
    clips = [make_clip(f"{number}", number) for number in range(6)]
    _, uri = store_pair(tmp_path, clips, [EmbeddingRecord("0", np.zeros((1, 2), np.float32))], content={}, per_shard=2)
    from trillsson.inspection.summary import reject_reasons

    (reason,) = reject_reasons(open_dataset(uri, "embeddings"))
    assert (reason.reason, reason.count) == ("non_finite_embedding", 5)
    assert reason.first == tuple(
        Reject(key=key, stage="embed", reason="non_finite_embedding") for key in ("1", "2", "3")
    )
