"""The Hugging Face reader on what is missing, damaged or of another shape."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.beam.corpora.reader import Item
from tests.pipelines.beam.corpora.huggingface_files import (
    AUDIO,
    items_of,
    reader_of,
    row,
    save_to_disk,
    wav,
    write_parquet,
)
from trillsson.audio import RejectError
from trillsson.errors import InputError


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


def test_files_that_are_announced_and_absent(parquet: Path, tmp_path: Path) -> None:
    (parquet / "data/train-00001-of-00002.parquet").unlink()
    save_to_disk(tmp_path / "saved/train", [[row(6)], [row(7)]])
    (tmp_path / "saved/train/data-00000-of-00002.arrow").unlink()
    rejects = [item for item in items_of(tmp_path) if item.reject]
    known = {"size": 0, "stamp": "", "reject": "missing", "detail": "the files beside it announce it"}
    lost, gone = "data/train-00001-of-00002.parquet", "saved/train/data-00000-of-00002.arrow"
    assert rejects == [Item(key=lost, path=lost, split="train", **known), Item(key=gone, path=gone, **known)]


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
