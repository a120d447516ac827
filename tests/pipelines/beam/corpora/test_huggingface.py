"""The Hugging Face reader, on files as `datasets` 5.2.0 writes them: the schemas and JSON here are what it made.

It was `Dataset.to_parquet` and `DatasetDict.save_to_disk` of columns `Audio(sampling_rate=16000)`,
`ClassLabel(names=["no", "yes"])`, `Value("string")` twice and `Value("int32")`.
"""

import io
import json
import os
import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from pipelines.beam.corpora import open_reader
from pipelines.beam.corpora.huggingface import HuggingFaceReader
from pipelines.beam.corpora.reader import Item
from pipelines.beam.prepare import PrepareSpec, run
from trillsson.audio import RejectError
from trillsson.config import HuggingFaceCorpus, parse_release
from trillsson.datasets import open_dataset
from trillsson.errors import InputError
from trillsson.storage import open_storage

NOTE = (
    b'{"info": {"features": {"audio": {"sampling_rate": 16000, "_type": "Audio"}, '
    b'"label": {"names": ["no", "yes"], "_type": "ClassLabel"}, "speaker_id": {"dtype": "string", "_type": "Value"}, '
    b'"age": {"dtype": "int32", "_type": "Value"}, "text": {"dtype": "string", "_type": "Value"}}}}'
)
AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
SCHEMA = pa.schema(
    [("audio", AUDIO), ("label", pa.int64()), ("speaker_id", pa.string()), ("age", pa.int32()), ("text", pa.string())],
    metadata={b"huggingface": NOTE},
)
STATE = {
    "_fingerprint": "be54c4869c68dd1e",
    "_format_columns": ["age", "audio", "label", "speaker_id", "text"],
    "_format_kwargs": {},
    "_format_type": None,
    "_output_all_columns": False,
    "_split": None,
}
Row = Mapping[str, Any]


def wav(number: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.full(1_600, number, np.int16), 16_000, format="WAV")
    return file.getvalue()


def row(number: int, **changes: Any) -> Row:
    audio = {"bytes": wav(number), "path": f"{number}.wav"}
    known = {"audio": audio, "label": number % 2, "speaker_id": f"s{number}", "age": 20 + number, "text": "hello"}
    return {**known, **changes}


def write_parquet(path: Path, rows: Sequence[Row], schema: pa.Schema = SCHEMA) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), path, row_group_size=2)


def save_to_disk(folder: Path, shards: Sequence[Sequence[Row]], **state: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"data-{number:05d}-of-{len(shards):05d}.arrow" for number in range(len(shards))]
    for name, rows in zip(names, shards, strict=True):
        with pa.OSFile(str(folder / name), "wb") as file, pa.ipc.new_stream(file, SCHEMA) as stream:
            for batch in pa.Table.from_pylist(rows, SCHEMA).to_batches(max_chunksize=2):
                stream.write_batch(batch)
    told = {"_data_files": [{"filename": name} for name in names], **STATE, **state}
    (folder / "state.json").write_text(json.dumps(told, indent=2))
    (folder / "dataset_info.json").write_text('{"features": {}}')


def reader_of(root: Path | str, **changes: Any) -> HuggingFaceReader:
    return HuggingFaceReader(HuggingFaceCorpus(**{"kind": "huggingface", "path": str(root), **changes}))


def items_of(root: Path, **changes: Any) -> list[Item]:
    return list(reader_of(root, **changes).items())


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    """Two files of train, with three and two rows, and one of test, in a folder `data`."""
    write_parquet(tmp_path / "data/train-00000-of-00002.parquet", [row(0), row(1), row(2)])
    write_parquet(tmp_path / "data/train-00001-of-00002.parquet", [row(3), row(4)])
    write_parquet(tmp_path / "data/test-00000-of-00001.parquet", [row(5)])
    (tmp_path / "README.md").write_text("---\nlicense: cc0-1.0\n---\n")
    return tmp_path


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """As `parquet`, made by `DatasetDict.save_to_disk`, with a cache that a later `map` left."""
    save_to_disk(tmp_path / "train", [[row(0), row(1), row(2)], [row(3), row(4)]])
    save_to_disk(tmp_path / "test", [[row(5)]])
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    (tmp_path / "train/cache-3e15411d7a510a2f.arrow").write_bytes(b"no stream")
    return tmp_path


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


@pytest.mark.parametrize("layout", ["parquet", "saved"])
def test_rows_without_audio(tmp_path: Path, layout: str) -> None:
    rows = [row(0), row(1, audio=None), row(2, audio={"bytes": None, "path": None})]
    if layout == "parquet":
        write_parquet(tmp_path / "train.parquet", rows)
    else:
        save_to_disk(tmp_path, [rows])
    reader = reader_of(tmp_path)
    items = list(reader.items())
    assert [(item.reject, item.detail) for item in items] == [("", ""), ("missing", "the row has no audio"), ("", "")]
    for item in items[1:]:
        with pytest.raises(RejectError, match=r"^missing: the row has no audio$"):
            reader.open(item, tmp_path)


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


@pytest.mark.parametrize("path", ["/home/me/a.wav", "../a.wav", "https://a.b/a.wav", "none.wav", "folder"])
def test_a_file_that_is_not_beside_it(tmp_path: Path, path: str) -> None:
    write_parquet(tmp_path / "corpus/train.parquet", [row(0, audio={"bytes": None, "path": path})])
    (tmp_path / "a.wav").write_bytes(wav(0))
    (tmp_path / "corpus/folder").mkdir()
    reader = reader_of(tmp_path / "corpus")
    message = f"^missing: the row has no bytes, and its path '{path}' is not below the corpus$"
    with pytest.raises(RejectError, match=message):
        reader.open(next(reader.items()), tmp_path)


def test_a_class_that_has_no_name(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", [row(0, label=2)])
    item = items_of(tmp_path)[0]
    assert (item.reject, item.detail) == ("bad_label", "label: 2 is none of 2 classes")


@pytest.mark.parametrize(
    ("told", "kind", "fault"),
    [
        ({}, pa.int64(), "whose names are no list of texts"),
        ({"names": None}, pa.int64(), "whose names are no list of texts"),
        ({"names": {"0": "no"}}, pa.int64(), "whose names are no list of texts"),
        ({"names": [0, 1]}, pa.int64(), "whose names are no list of texts"),
        ({"names": ["no", "yes"]}, pa.string(), "of string, not of integers"),
        ({"names": ["no", "yes"]}, pa.float64(), "of double, not of integers"),
    ],
)
def test_classes_that_cannot_be(tmp_path: Path, told: Mapping[str, Any], kind: pa.DataType, fault: str) -> None:
    note = {"info": {"features": {"label": {**told, "_type": "ClassLabel"}}}}
    schema = pa.schema([("audio", AUDIO), ("label", kind)], metadata={"huggingface": json.dumps(note)})
    write_parquet(tmp_path / "train.parquet", [{"audio": None, "label": None}], schema)
    message = f"column 'label' of {tmp_path}/train.parquet is a ClassLabel {fault}; get it again"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        items_of(tmp_path)
    assert len(items_of(tmp_path, labels=())) == 1


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


def test_files_that_are_announced_and_absent(parquet: Path, tmp_path: Path) -> None:
    (parquet / "data/train-00001-of-00002.parquet").unlink()
    save_to_disk(tmp_path / "saved/train", [[row(6)], [row(7)]])
    (tmp_path / "saved/train/data-00000-of-00002.arrow").unlink()
    rejects = [item for item in items_of(tmp_path) if item.reject]
    known = {"size": 0, "stamp": "", "reject": "missing", "detail": "the files beside it announce it"}
    lost, gone = "data/train-00001-of-00002.parquet", "saved/train/data-00000-of-00002.arrow"
    assert rejects == [Item(key=lost, path=lost, split="train", **known), Item(key=gone, path=gone, **known)]


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"audio": "sound"}, "{file} has no column 'sound'; it has audio, label, speaker_id, age, text"),
        ({"audio": "text"}, "column 'text' of {file} is string; name one of struct<bytes, path> or binary"),
        ({"speaker": "voice"}, "{file} has no column 'voice'; it has audio, label, speaker_id, age, text"),
        (
            {"labels": ("audio",)},
            "column 'audio' of {file} is struct<bytes: binary, path: string>; "
            "name one of a class, text, number or bool",
        ),
    ],
)
def test_options_that_do_not_fit(parquet: Path, changes: Mapping[str, Any], message: str) -> None:
    file = parquet / "data/test-00000-of-00001.parquet"
    with pytest.raises(InputError, match=f"^{message.format(file=file)}$"):
        items_of(parquet, **changes)


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"text": pa.string()}, "no column of audio, of text"),
        ({"left": AUDIO, "right": AUDIO}, "columns of audio left, right, of left, right"),
    ],
)
def test_no_audio_or_too_much(tmp_path: Path, columns: Mapping[str, Any], found: str) -> None:
    schema = pa.schema(list(columns.items()))
    write_parquet(tmp_path / "train.parquet", [dict.fromkeys(columns)], schema)
    with pytest.raises(InputError, match=f"^{tmp_path}/train.parquet has {found}; name one in `audio`$"):
        items_of(tmp_path)


def test_columns_of_one_name(tmp_path: Path) -> None:
    table = pa.table([pa.array([row(0)["audio"]], AUDIO), pa.array([1]), pa.array([2])], names=["audio", "x", "x"])
    pq.write_table(table, tmp_path / "train.parquet")
    with pytest.raises(InputError, match=rf"^{tmp_path}/train\.parquet has 2 columns 'x'; give each its own name$"):
        items_of(tmp_path)
    assert len(items_of(tmp_path, labels=())) == 1


def test_an_extension_in_capitals(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-00000-of-00002.PARQUET", [row(0)])
    assert [(item.key, item.split, item.reject) for item in items_of(tmp_path)] == [
        ("train-00000-of-00002.PARQUET/000000", "train", ""),
        ("train-00001-of-00002.parquet", "train", "missing"),
    ]


def test_another_layout(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in ("state.json", "data/a.arrow", "data/b.wav", "data/c.wav"):
        (tmp_path / name).write_text("{}")
    expected = r"<split>-00000-of-00001\.parquet files, or folders with a state\.json and data-\*\.arrow files"
    start, found = rf"^{tmp_path} is not laid out as expected: expected {expected}", "found data/a.arrow, data/b.wav"
    with pytest.raises(InputError, match=f"{start}; {found}, data/c.wav and 1 more$"):
        items_of(tmp_path)
    with pytest.raises(InputError, match=rf"{start} that match files en/\*; {found}"):
        items_of(tmp_path, files=("en/*",))


@pytest.mark.parametrize("kind", ["bytes: int32, path: string", "bytes: binary, path: int32"])
def test_audio_whose_parts_are_of_other_types(tmp_path: Path, kind: str) -> None:
    types = {"int32": pa.int32(), "string": pa.string(), "binary": pa.binary()}
    parts = [(name, types[word]) for name, word in (part.split(": ") for part in kind.split(", "))]
    write_parquet(tmp_path / "train.parquet", [{"audio": None}], pa.schema([("audio", pa.struct(parts))]))
    message = (
        f"^column 'audio' of {tmp_path}/train.parquet is struct<{kind}>; name one of struct<bytes, path> or binary$"
    )
    with pytest.raises(InputError, match=message):
        items_of(tmp_path)


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    text = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"], pa.binary()).buffers())
    audio = pa.array([{"bytes": wav(0), "path": None}], AUDIO)
    pq.write_table(pa.table({"audio": audio, "text": text}), tmp_path / "train.parquet")
    message = f"^{tmp_path}/train.parquet cannot be read: 'utf-8' codec can't decode byte 0xff .*; get it again$"
    with pytest.raises(InputError, match=message):
        items_of(tmp_path)


@pytest.mark.parametrize("text", ["", '{"_data_files": ['])
def test_a_state_that_is_cut(tmp_path: Path, text: str) -> None:
    save_to_disk(tmp_path / "train", [[row(0)]])
    save_to_disk(tmp_path / "test", [[row(1)]])
    (tmp_path / "test/state.json").write_text(text)
    with pytest.raises(InputError, match=f"^{tmp_path}/test/state.json is not JSON: .*; get it again$"):
        items_of(tmp_path)


@pytest.mark.parametrize(
    ("changes", "shown"), [({"_data_files": [{"filename": 5}]}, "5"), ({"_split": ["train"]}, "['train']")]
)
def test_a_state_with_a_name_that_is_none(tmp_path: Path, changes: Mapping[str, Any], shown: str) -> None:
    save_to_disk(tmp_path / "train", [[row(0)]], **changes)
    message = f"{tmp_path}/train/state.json has {shown} for a name; get it again"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        items_of(tmp_path)


def test_a_split_that_is_named_and_has_no_state(tmp_path: Path) -> None:
    save_to_disk(tmp_path / "train", [[row(0)]])
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    message = f"^{tmp_path}/dataset_dict.json names split 'test', and test/state.json does not exist; get it again$"
    with pytest.raises(InputError, match=message):
        items_of(tmp_path)
    assert len(items_of(tmp_path, splits={"train": "train"})) == 1
    assert len(items_of(tmp_path, files=("train/*",))) == 1


def test_a_split_whose_name_is_none(tmp_path: Path) -> None:
    save_to_disk(tmp_path / "train", [[row(0)]])
    (tmp_path / "dataset_dict.json").write_text('{"splits": [["train"]]}')
    message = f"{tmp_path}/dataset_dict.json has ['train'] for a name; get it again"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        items_of(tmp_path, splits={"train": "train"})


@pytest.mark.parametrize("name", ["train.parquet", "data-00000-of-00001.arrow"])
def test_a_file_that_is_damaged(tmp_path: Path, name: str) -> None:
    save_to_disk(tmp_path / "train", [[row(0)]])
    (tmp_path / "train" / name).write_bytes(b"PAR1 and no more than that")
    with pytest.raises(InputError, match=f"^{tmp_path}/train/{name} cannot be read: .*; get it again$"):
        items_of(tmp_path, files=(f"*{name}",))


def test_files_that_change_under_way(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    write_parquet(path, [row(0), row(1), row(2)])
    items = items_of(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[:4] + bytes(40) + data[44:])  # the head of the first page
    with pytest.raises(RejectError, match=r"^undecodable: ."):
        reader_of(tmp_path).open(items[0], tmp_path)
    write_parquet(path, [row(0)])
    with pytest.raises(RejectError, match=r"^truncated: train\.parquet has no row 2$"):
        reader_of(tmp_path).open(items[2], tmp_path)
    path.unlink()
    with pytest.raises(RejectError, match=r"^missing: .*train\.parquet does not exist; restore it or run again$"):
        reader_of(tmp_path).open(items[0], tmp_path)


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
