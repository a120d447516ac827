"""The Hugging Face reader: rows become items, and the launcher reads no audio."""

import os
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.beam.corpora import open_reader
from pipelines.beam.corpora.huggingface import HuggingFaceReader
from pipelines.beam.corpora.reader import Item
from pipelines.beam.prepare import PrepareSpec, run
from tests.pipelines.beam.corpora.huggingface_files import (
    AUDIO,
    SCHEMA,
    items_of,
    reader_of,
    row,
    save_to_disk,
    wav,
    write_parquet,
)
from trillsson.audio import RejectError
from trillsson.config import HuggingFaceCorpus, parse_release
from trillsson.datasets import open_dataset
from trillsson.errors import InputError
from trillsson.storage import open_storage


def test_every_row_of_every_parquet_file_is_an_item(parquet: Path) -> None:
    items = items_of(parquet)
    state = (parquet / "data/train-00000-of-00002.parquet").stat()
    assert [(item.key, item.split, item.speaker) for item in items] == [
        ("data/test-00000-of-00001.parquet/000000", "test", "s5"),
        ("data/train-00000-of-00002.parquet/000000", "train", "s0"),
        ("data/train-00000-of-00002.parquet/000001", "train", "s1"),
        ("data/train-00000-of-00002.parquet/000002", "train", "s2"),
        ("data/train-00001-of-00002.parquet/000000", "train", "s3"),
        ("data/train-00001-of-00002.parquet/000001", "train", "s4"),
    ]
    assert items[2] == Item(
        key="data/train-00000-of-00002.parquet/000001",
        path="data/train-00000-of-00002.parquet",
        size=state.st_size // 3,  # the file has three rows
        stamp=str(state.st_mtime_ns),
        speaker="s1",
        split="train",
        labels={"label": "yes", "age": "21", "text": "hello"},
        row=1,
    )


def test_every_row_of_every_saved_file_is_an_item(saved: Path) -> None:
    items = items_of(saved)
    assert [(item.key, item.split, item.speaker) for item in items] == [
        ("test/data-00000-of-00001.arrow/000000", "test", "s5"),
        ("train/data-00000-of-00002.arrow/000000", "train", "s0"),
        ("train/data-00000-of-00002.arrow/000001", "train", "s1"),
        ("train/data-00000-of-00002.arrow/000002", "train", "s2"),
        ("train/data-00001-of-00002.arrow/000000", "train", "s3"),
        ("train/data-00001-of-00002.arrow/000001", "train", "s4"),
    ]
    assert items[2].labels == {"label": "yes", "age": "21", "text": "hello"}


@pytest.mark.parametrize("layout", ["parquet", "saved"])
def test_open_brings_the_bytes_of_the_row(layout: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    reader = reader_of(request.getfixturevalue(layout))
    items = list(reader.items())
    recordings = [reader.open(item, tmp_path) for item in items]
    assert [recording.audio for recording in recordings] == [wav(number) for number in (5, 0, 1, 2, 3, 4)]
    assert recordings[2].speaker == "s1"
    assert recordings[2].split == "train"
    assert recordings[2].labels == {"label": "yes", "age": "21", "text": "hello"}


@pytest.mark.parametrize("layout", ["parquet", "saved"])
def test_rows_in_any_order_from_several_threads(layout: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    reader = reader_of(request.getfixturevalue(layout))
    items = list(reader.items())[::-1] * 10
    with ThreadPoolExecutor(8) as threads:
        audio = list(threads.map(lambda item: reader.open(item, tmp_path).audio, items))
    assert audio == [wav(number) for number in (4, 3, 2, 1, 0, 5)] * 10


def test_it_travels_pickled_and_used(parquet: Path, tmp_path: Path) -> None:
    reader = reader_of(parquet)
    item = next(reader.items())
    reader.open(item, tmp_path)
    assert pickle.loads(pickle.dumps(reader)).open(item, tmp_path).audio == wav(5)


def test_the_spec_is_one_of_a_release(tmp_path: Path) -> None:
    release = parse_release(
        {
            "name": "small",
            "workdir": "work",
            "registry": "registry",
            "corpora": {"speech": {"kind": "huggingface", "path": str(tmp_path), "splits": {"dev": "validation"}}},
            "teacher": {"kind": "conformer", "dim": 64, "layers": 2, "layer": 1},
            "students": {"nano": {"architecture": "nano"}},
            "training": {"corpora": ["speech"], "steps": 10},
            "tasks": {"digit": {"corpus": "speech", "label": "digit"}},
        },
        source="here",
    )
    corpus = release.corpora["speech"]
    assert isinstance(corpus, HuggingFaceCorpus)
    assert corpus.splits == {"dev": "validation"}
    assert isinstance(open_reader(corpus), HuggingFaceReader)


def test_the_launcher_reads_no_audio(parquet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    batches = pq.ParquetFile.iter_batches

    def watched(self: pq.ParquetFile, *args: Any, columns: list[str], **kwargs: Any) -> Iterator[pa.RecordBatch]:
        read.extend(columns)
        yield from batches(self, *args, columns=columns, **kwargs)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", watched)
    items_of(parquet)
    assert set(read) == {"speaker_id", "label", "age", "text", "audio.path"}


def test_cells_that_say_nothing_are_no_labels(tmp_path: Path) -> None:
    rows = [row(0, label=-1, speaker_id=None, age=None, text=" "), row(1, label=None, text=" a ")]
    write_parquet(tmp_path / "train.parquet", rows)
    assert [(item.speaker, item.labels) for item in items_of(tmp_path)] == [
        ("", {}),
        ("s1", {"age": "21", "text": "a"}),
    ]


def test_only_the_wanted_columns(parquet: Path) -> None:
    item = items_of(parquet, speaker="age", labels=("speaker_id",))[0]
    assert (item.speaker, item.labels) == ("25", {"speaker_id": "s5"})
    item = items_of(parquet, speaker="label", labels=())[0]
    assert (item.speaker, item.labels) == ("yes", {})


@pytest.mark.parametrize(("path", "place"), [("clips/a.wav", "data/clips"), ("clips/a.wav", "clips")])
def test_a_row_may_name_a_file_beside_it(tmp_path: Path, path: str, place: str) -> None:
    write_parquet(tmp_path / "data/train.parquet", [row(0, audio={"bytes": None, "path": path})])
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / "a.wav").write_bytes(wav(0))
    reader = reader_of(tmp_path)
    assert reader.open(next(reader.items()), tmp_path).audio == tmp_path / place / "a.wav"


def test_a_file_that_a_row_names_is_in_its_stamp(tmp_path: Path) -> None:
    rows = [row(number, audio={"bytes": None, "path": f"{number}.wav"}) for number in range(2)]
    write_parquet(tmp_path / "data/train.parquet", rows)
    before = items_of(tmp_path)
    own = str((tmp_path / "data/train.parquet").stat().st_mtime_ns)
    assert [item.stamp for item in before] == [own, own]
    (tmp_path / "1.wav").write_bytes(wav(1))
    os.utime(tmp_path / "1.wav", ns=(1, 1_234_567_890))
    reader = reader_of(tmp_path)
    after = list(reader.items())
    assert [item.stamp for item in after] == [own, f"{own}+1234567890"]
    assert [item.files for item in after] == [("data/train.parquet",), ("data/train.parquet", "1.wav")]
    assert reader.open(after[1], tmp_path).audio == tmp_path / "1.wav"


def test_classes_that_are_stored_once_each(tmp_path: Path) -> None:
    schema = SCHEMA.set(1, pa.field("label", pa.dictionary(pa.int8(), pa.int64())))
    write_parquet(tmp_path / "train.parquet", [row(1)], schema)
    assert items_of(tmp_path)[0].labels["label"] == "yes"


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("train-00000-of-00001.parquet", "train"),
        ("en/validation-00000-of-00001.parquet", "validation"),
        ("data/test-00000-of-00001-6b3c2b0c1f2e4a5d.parquet", "test"),
        ("default/test/0000.parquet", "test"),
        ("dev.parquet", "validation"),
        ("train-clips.parquet", "train"),
        ("clips.parquet", ""),
        ("0000.parquet", ""),
    ],
)
def test_splits_by_name(tmp_path: Path, path: str, split: str) -> None:
    write_parquet(tmp_path / path, [row(0)])
    assert items_of(tmp_path)[0].split == split


def test_splits_of_saved_folders(tmp_path: Path) -> None:
    save_to_disk(tmp_path / "alone", [[row(0)]])
    save_to_disk(tmp_path / "marked", [[row(1)]], _split="validation")
    assert [item.split for item in items_of(tmp_path)] == ["", "validation"]


def test_splits_are_translated_and_left_out(tmp_path: Path) -> None:
    for word in ("train.clean.100", "validation.other", "test.other"):
        write_parquet(tmp_path / f"all/{word}-00000-of-00001.parquet", [row(0)])
    splits = {"train.clean.100": "train", "validation.other": ""}
    assert [item.split for item in items_of(tmp_path, splits=splits)] == ["train", ""]
    message = (
        r"test\.other-00000-of-00001\.parquet has split 'test\.other'; use one of dev, .*, or name it in `splits`$"
    )
    with pytest.raises(InputError, match=message):
        items_of(tmp_path)
    message = rf"^splits names 'dev'; {tmp_path} has test\.other, train\.clean\.100, validation\.other$"
    with pytest.raises(InputError, match=message):
        items_of(tmp_path, splits={"dev": "validation"})


@pytest.mark.parametrize("files", [("data/test-*",), ("*/test*", "none")])
def test_only_the_wanted_files(parquet: Path, files: tuple[str, ...]) -> None:
    assert [item.speaker for item in items_of(parquet, files=files)] == ["s5"]


def test_audio_of_other_shapes(tmp_path: Path) -> None:
    """As other programs write it: bytes alone, and no note of what the columns are."""
    schema = pa.schema([("sound", pa.large_binary()), ("mood", pa.dictionary(pa.int8(), pa.string())), ("x", AUDIO)])
    rows = [{"sound": wav(0), "mood": "glad", "x": None}, {"sound": None, "mood": "sad", "x": None}]
    write_parquet(tmp_path / "train.parquet", rows, schema)
    reader = reader_of(tmp_path, audio="sound")
    items = list(reader.items())
    assert [(item.labels, item.reject) for item in items] == [({"mood": "glad"}, ""), ({"mood": "sad"}, "")]
    assert reader.open(items[0], tmp_path).audio == wav(0)
    with pytest.raises(RejectError, match=r"^missing: the row has no audio$"):
        reader.open(items[1], tmp_path)


def test_an_extension_in_capitals(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-00000-of-00002.PARQUET", [row(0)])
    assert [(item.key, item.split, item.reject) for item in items_of(tmp_path)] == [
        ("train-00000-of-00002.PARQUET/000000", "train", ""),
        ("train-00001-of-00002.parquet", "train", "missing"),
    ]


@pytest.mark.parametrize("layout", ["parquet", "saved"])
def test_on_an_object_store(
    layout: str, request: pytest.FixtureRequest, gcs_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = request.getfixturevalue(layout)
    for file in filter(Path.is_file, local.rglob("*")):
        open_storage(gcs_prefix).create(file.relative_to(local).as_posix(), file.read_bytes())
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    reader = reader_of(gcs_prefix)
    items = list(reader.items())
    assert [item.speaker for item in items] == ["s5", "s0", "s1", "s2", "s3", "s4"]
    assert not list(scratch.iterdir())
    assert [reader.open(item, tmp_path).audio for item in items] == [wav(number) for number in (5, 0, 1, 2, 3, 4)]
    assert len([path for path in scratch.rglob("*") if path.is_file()]) == 2  # the last two files, not three
    del reader
    assert not list(scratch.iterdir())


def test_rows_that_name_files_on_an_object_store(gcs_prefix: str, tmp_path: Path) -> None:
    named = [row(number, audio={"bytes": None, "path": f"{number}.wav"}) for number in range(2)]
    pq.write_table(pa.Table.from_pylist(named, SCHEMA), tmp_path / "train.parquet")
    storage = open_storage(f"{gcs_prefix}/corpus")
    storage.create("train.parquet", (tmp_path / "train.parquet").read_bytes())
    for number in range(2):
        storage.create(f"{number}.wav", wav(number))
    corpus = HuggingFaceCorpus(kind="huggingface", path=storage.uri, speaker="speaker_id")
    dataset = open_dataset(run(PrepareSpec(name="c", corpus=corpus, workdir=f"{gcs_prefix}/work")), "audio")
    assert [clip.speaker for clip in dataset.clips()] == ["s0", "s1"]
