"""The TFDS reader, on data sets that TensorFlow Datasets itself wrote."""

import io
import json
import pickle
import re
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from pipelines.beam.corpora import open_reader
from pipelines.beam.corpora.reader import Item, Recording
from pipelines.beam.corpora.tfds import TfdsReader
from trillsson.audio import RejectError
from trillsson.config import TfdsCorpus, parse_release
from trillsson.decoding import Samples
from trillsson.errors import InputError
from trillsson.storage import open_storage

tfds = pytest.importorskip("tensorflow_datasets", reason="install extra `tfds`")

FOLDER = "tiny/1.0.0"
TRAIN = f"{FOLDER}/tiny-train.tfrecord-00000-of-00002"
Rows = Mapping[str, Sequence[Mapping[str, Any]]]


def features(**changes: Any) -> Any:
    """As crema_d has them, and a number and a bool."""
    known = {
        "audio": tfds.features.Audio(file_format="wav", sample_rate=16_000),
        "label": tfds.features.ClassLabel(names=["NEU", "HAP"]),
        "speaker_id": np.str_,
        "age": np.int32,
        "mono": np.bool_,
        **changes,
    }
    return tfds.features.FeaturesDict({name: feature for name, feature in known.items() if feature is not None})


def row(number: int, **changes: Any) -> Mapping[str, Any]:
    known = {
        "audio": tone(number),
        "label": number % 2,
        "speaker_id": f"{1001 + number}",
        "age": 20 + number,
        "mono": True,
    }
    return {name: value for name, value in {**known, **changes}.items() if value is not None}


def tone(number: int) -> Any:
    return np.arange(-800, 800, dtype=np.int64) * (number + 1)


def prepare(data_dir: Path, rows: Rows | None = None, shape: Any = None, *, shards: int = 1, **options: Any) -> None:
    """Has the library write a data set: by default three rows of train and one of test."""
    splits = rows or {"train": [row(0), row(1), row(2)], "test": [row(3)]}
    tfds.dataset_builders.store_as_tfds_dataset(
        **{"name": "tiny", "version": "1.0.0", "disable_shuffling": True, **options},
        features=shape or features(),
        split_datasets={split: list(enumerate(examples)) for split, examples in splits.items()},
        data_dir=data_dir,
        download_config=tfds.download.DownloadConfig(num_shards=shards, try_download_gcs=False),
    )


def reader_of(data_dir: Path | str, **changes: Any) -> TfdsReader:
    return TfdsReader(TfdsCorpus(**{"kind": "tfds", "path": str(data_dir), "dataset": "tiny", **changes}))


def opened(reader: TfdsReader, tmp_path: Path) -> list[Recording]:
    return [reader.open(item, tmp_path) for item in reader.items()]


def samples(recording: Recording) -> Samples:
    assert isinstance(recording.audio, Samples)
    return recording.audio


def test_every_row_of_every_shard_is_an_item(tmp_path: Path) -> None:
    prepare(tmp_path, shards=2, rows={"train": [row(0), row(1), row(2)], "test": [row(3), row(4)]})
    items = list(reader_of(tmp_path).items())
    state = (tmp_path / TRAIN).stat()
    assert [(item.key, item.row, item.split) for item in items] == [
        ("tiny-test.tfrecord-00000-of-00002/000000", 0, "test"),
        ("tiny-test.tfrecord-00001-of-00002/000000", 0, "test"),
        ("tiny-train.tfrecord-00000-of-00002/000000", 0, "train"),
        ("tiny-train.tfrecord-00000-of-00002/000001", 1, "train"),
        ("tiny-train.tfrecord-00001-of-00002/000000", 0, "train"),
    ]
    assert items[3] == Item(
        key="tiny-train.tfrecord-00000-of-00002/000001",
        path=TRAIN,
        size=state.st_size // 2,  # the file has two rows
        stamp=items[3].stamp,
        split="train",
        row=1,
    )
    assert re.fullmatch(rf"{state.st_mtime_ns}\+[0-9a-f]{{16}}", items[3].stamp)


def test_open_brings_samples_speaker_and_labels(tmp_path: Path) -> None:
    prepare(tmp_path, shards=2, rows={"train": [row(0), row(1), row(2)], "test": [row(3), row(4)]})
    recordings = opened(reader_of(tmp_path), tmp_path)
    for number, recording in zip([3, 4, 0, 1, 2], recordings, strict=True):
        assert samples(recording).rate == 16_000
        assert samples(recording).array.dtype == np.int16
        np.testing.assert_array_equal(samples(recording).array, tone(number))
    assert recordings[3].speaker == "1002"
    assert recordings[3].split == "train"
    assert recordings[3].labels == {"age": "21", "label": "HAP", "mono": "true"}


def test_rows_in_any_order_from_several_threads(tmp_path: Path) -> None:
    prepare(tmp_path, {"train": [row(number) for number in range(12)]}, shards=4)
    reader = reader_of(tmp_path)
    items = list(reader.items())[::-1] * 5
    with ThreadPoolExecutor(8) as threads:
        speakers = list(threads.map(lambda item: reader.open(item, tmp_path).speaker, items))
    assert speakers == [str(1012 - number) for number in range(12)] * 5


def test_it_travels_pickled_and_used(tmp_path: Path) -> None:
    prepare(tmp_path)
    reader = reader_of(tmp_path)
    item = next(reader.items())
    before = reader.open(item, tmp_path)
    assert pickle.loads(pickle.dumps(reader)).open(item, tmp_path).labels == before.labels


def test_the_spec_is_one_of_a_release(tmp_path: Path) -> None:
    release = parse_release(
        {
            "name": "small",
            "workdir": "work",
            "registry": "registry",
            "corpora": {"speech": {"kind": "tfds", "path": str(tmp_path), "dataset": "crema_d:1.0.0"}},
            "teacher": {"kind": "conformer", "dim": 64, "layers": 2, "layer": 1},
            "students": {"nano": {"architecture": "nano"}},
            "training": {"corpora": ["speech"], "steps": 10},
            "tasks": {"emotion": {"corpus": "speech", "label": "label"}},
        },
        source="here",
    )
    corpus = release.corpora["speech"]
    assert isinstance(corpus, TfdsCorpus)
    assert isinstance(open_reader(corpus), TfdsReader)


@pytest.mark.parametrize("dataset", ["", "crema d", "a/b/c", "tiny:1", "tiny:newest"])
def test_names_that_are_none(dataset: str) -> None:
    with pytest.raises(ValueError, match="give a data set's name, such as crema_d"):
        TfdsCorpus(kind="tfds", path="data", dataset=dataset)


def test_only_the_wanted_features(tmp_path: Path) -> None:
    prepare(tmp_path)
    recording = opened(reader_of(tmp_path, speaker="age", labels=("speaker_id",)), tmp_path)[0]
    assert (recording.speaker, recording.labels) == ("23", {"speaker_id": "1004"})


def test_classes_without_names_and_no_speaker(tmp_path: Path) -> None:
    """As in voxceleb."""
    shape = features(label=tfds.features.ClassLabel(num_classes=1252), speaker_id=None, youtube_id=tfds.features.Text())
    rows = {"train": [row(0, label=1251, speaker_id=None, youtube_id="Y8hIVOBuels")]}
    prepare(tmp_path, rows, shape)
    recording = opened(reader_of(tmp_path, labels=("label", "youtube_id")), tmp_path)[0]
    assert (recording.speaker, recording.labels) == ("", {"label": "1251", "youtube_id": "Y8hIVOBuels"})


def test_an_unknown_class_is_no_label(tmp_path: Path) -> None:
    prepare(tmp_path, {"train": [row(0, label=-1)]})
    assert opened(reader_of(tmp_path), tmp_path)[0].labels == {"age": "20", "mono": "true"}


@pytest.mark.parametrize(
    ("audio", "value", "expected"),
    [
        ({"dtype": np.int16}, np.array([-32_768, 0, 32_767], np.int16), np.array([-32_768, 0, 32_767], np.int16)),
        ({"dtype": np.float32}, np.array([-1, 0.25, 1.5], np.float32), np.array([-1, 0.25, 1], np.float32)),
        ({"shape": (None, 2)}, np.array([[1, -1], [2, -2]]), np.array([[1, -1], [2, -2]], np.int16)),
    ],
)
def test_samples_of_other_types(tmp_path: Path, audio: Mapping[str, Any], value: Any, expected: Any) -> None:
    shape = features(audio=tfds.features.Audio(sample_rate=8_000, **audio))
    prepare(tmp_path, {"train": [row(0, audio=value)]}, shape)
    got = samples(opened(reader_of(tmp_path), tmp_path)[0])
    assert (got.rate, got.array.dtype) == (8_000, expected.dtype)
    np.testing.assert_array_equal(got.array, expected)


@pytest.mark.parametrize(
    ("dtype", "value", "message"),
    [
        (np.int64, [0, 32_768], "out_of_range: integer samples from 0 to 32768 are not int16"),
        (np.float32, [0, -300], r"out_of_range: float samples reach 300, beyond \[-1, 1\]"),
        (np.float32, [0, np.nan], "non_finite: the samples hold NaN or infinity"),
    ],
)
def test_samples_that_are_no_audio(tmp_path: Path, dtype: Any, value: Any, message: str) -> None:
    shape = features(audio=tfds.features.Audio(sample_rate=16_000, dtype=dtype))
    prepare(tmp_path, {"train": [row(0, audio=np.array(value, dtype))]}, shape)
    with pytest.raises(RejectError, match=f"^{message}$"):
        opened(reader_of(tmp_path), tmp_path)


def test_encoded_audio_stays_as_it_is(tmp_path: Path) -> None:
    """As in librispeech/lazy_decode."""
    wav = io.BytesIO()
    soundfile.write(wav, tone(0).astype(np.int16), 16_000, format="WAV")
    shape = features(audio=tfds.features.Audio(file_format="wav", sample_rate=16_000, lazy_decode=True))
    prepare(tmp_path, {"train": [row(0, audio=io.BytesIO(wav.getvalue()))]}, shape)
    assert opened(reader_of(tmp_path), tmp_path)[0].audio == wav.getvalue()


@pytest.mark.parametrize("audio", ["feature", "tensor"])
def test_a_data_set_that_does_not_say_its_rate(tmp_path: Path, audio: str) -> None:
    kinds = {"feature": tfds.features.Audio(), "tensor": tfds.features.Tensor(shape=(None,), dtype=np.int64)}
    prepare(tmp_path, shape=features(audio=kinds[audio]))
    assert samples(opened(reader_of(tmp_path, sample_rate=44_100), tmp_path)[0]).rate == 44_100
    message = rf"^{tmp_path}/tiny/1.0.0 does not say the sample rate of 'audio'; give `sample_rate`$"
    with pytest.raises(InputError, match=message):
        list(reader_of(tmp_path).items())


def test_the_newest_version_and_a_named_one(tmp_path: Path) -> None:
    for version in ("1.0.0", "1.10.0", "1.9.0"):
        prepare(tmp_path, version=version)
    (tmp_path / "tiny/incomplete.2IFLAY_2.0.0").mkdir()
    (tmp_path / "tiny/incomplete.2IFLAY_2.0.0/dataset_info.json").touch()
    assert next(reader_of(tmp_path).items()).path.startswith("tiny/1.10.0/")
    assert next(reader_of(tmp_path, dataset="tiny:1.9.0").items()).path.startswith("tiny/1.9.0/")


def test_configs(tmp_path: Path) -> None:
    prepare(tmp_path, config="en")
    assert next(reader_of(tmp_path).items()).path.startswith("tiny/en/1.0.0/")
    prepare(tmp_path, config="de")
    assert next(reader_of(tmp_path, dataset="tiny/de").items()).path.startswith("tiny/de/1.0.0/")
    assert next(reader_of(tmp_path, dataset="tiny/en:1.0.0").items()).path.startswith("tiny/en/1.0.0/")
    with pytest.raises(InputError, match=rf"^{tmp_path}/tiny has configs de, en; give dataset: tiny/<config>$"):
        list(reader_of(tmp_path).items())


def test_splits_are_translated_and_left_out(tmp_path: Path) -> None:
    """As in librispeech."""
    prepare(tmp_path, {"train_clean100": [row(0)], "dev_other": [row(1)], "test_other": [row(2)]})
    splits = {"train_clean100": "train", "dev_other": "validation"}
    items = reader_of(tmp_path, splits=splits).items()
    assert [item.split for item in items] == ["validation", "train"]
    message = "has split 'dev_other'; use one of dev, .*, validation, or name it in `splits`$"
    with pytest.raises(InputError, match=message):
        list(reader_of(tmp_path).items())
    where = f"{tmp_path}/tiny/1.0.0"
    message = f"^splits names 'dev'; {where} has dev_other, test_other, train_clean100$"
    with pytest.raises(InputError, match=message):
        list(reader_of(tmp_path, splits={"dev": "validation"}).items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"audio": "sound"}, "{where} has no feature 'sound'; it has age, audio, label, mono, speaker_id"),
        ({"audio": "label"}, "feature 'label' of {where} is of kind ClassLabel; name one of audio"),
        ({"speaker": "voice"}, "{where} has no feature 'voice'; it has age, audio, label, mono, speaker_id"),
        (
            {"labels": ("audio",)},
            "feature 'audio' of {where} is of kind Audio; name one of a class, text, number or bool",
        ),
        ({"sample_rate": 8_000}, "sample_rate is 8000, but {where} says 16000; leave it out"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, changes: Mapping[str, Any], message: str) -> None:
    prepare(tmp_path)
    with pytest.raises(InputError, match=f"^{message.format(where=tmp_path / FOLDER)}$"):
        list(reader_of(tmp_path, **changes).items())


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ("other", r"other/<version>/dataset_info\.json"),
        ("tiny:2.0.0", r"tiny/2\.0\.0/dataset_info\.json"),
        ("tiny/en", r"tiny/en/<version>/dataset_info\.json"),
    ],
)
def test_a_data_set_that_is_not_there(tmp_path: Path, dataset: str, expected: str) -> None:
    prepare(tmp_path)
    message = rf"^{tmp_path} is not laid out as expected: expected {expected}; found tiny/1\.0\.0/dataset_info\.json"
    with pytest.raises(InputError, match=message):
        list(reader_of(tmp_path, dataset=dataset).items())


def test_files_of_another_format(tmp_path: Path) -> None:
    prepare(tmp_path, file_format="array_record")
    message = f"^{tmp_path}/tiny/1.0.0 holds array_record files; prepare it with file_format tfrecord, which is read"
    with pytest.raises(InputError, match=message):
        list(reader_of(tmp_path).items())


def test_info_that_is_damaged(tmp_path: Path) -> None:
    prepare(tmp_path)
    info = tmp_path / FOLDER / "dataset_info.json"
    content = json.loads(info.read_text())
    del content["splits"][0]["shardLengths"]
    info.write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"^{info} has no shardLengths for train; prepare the data set anew$"):
        list(reader_of(tmp_path).items())
    info.write_text("{")
    with pytest.raises(InputError, match=f"^{info} is not JSON: .*; prepare the data set anew$"):
        list(reader_of(tmp_path).items())
    (tmp_path / FOLDER / "features.json").unlink()
    info.write_text(json.dumps({"name": "tiny", "splits": []}))
    with pytest.raises(InputError, match=r"features\.json does not exist; prepare the data set anew$"):
        list(reader_of(tmp_path).items())


def test_names_of_classes_that_do_not_match(tmp_path: Path) -> None:
    prepare(tmp_path)
    (tmp_path / FOLDER / "label.labels.txt").write_text("NEU\n")
    with pytest.raises(InputError, match=f"^label.labels.txt of {tmp_path}/tiny/1.0.0: .*; prepare the data set anew$"):
        list(reader_of(tmp_path).items())


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("dataset_info.json", "[]", "the whole: give a mapping, not []; prepare"),
        ("dataset_info.json", '{"name": "tiny", "splits": null}', "splits: give a list, not null; prepare"),
        ("dataset_info.json", '{"name": "tiny", "splits": [{}]}', "splits.0.name: missing; prepare"),
        (
            "dataset_info.json",
            '{"name": "tiny", "splits": [{"name": "train", "shardLengths": ["many"]}]}',
            "splits.0.shardLengths.0: give a whole number, not 'many'; prepare",
        ),
        ("dataset_info.json", "[" * 100_000, "is not JSON: "),
        (
            "dataset_info.json",
            '{"name": "tiny", "splits": [{"name": "train", "shardLengths": ["1"], "filepathTemplate": "{BAD}"}]}',
            "has filepathTemplate '{BAD}' of train, which names no file",
        ),
        ("features.json", '"x"', "cannot be read: it holds str, not an object"),
        ("features.json", '{"pythonClassName": "a.b", "x": 1}', 'has no field named "x"'),
        ("label.labels.txt", b"\xff\n", "is not UTF-8 text: "),
    ],
)
def test_small_files_that_are_damaged(tmp_path: Path, name: str, text: str | bytes, part: str) -> None:
    prepare(tmp_path)
    (tmp_path / FOLDER / name).write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(InputError, match=re.escape(part)) as caught:
        list(reader_of(tmp_path).items())
    assert name in str(caught.value)
    assert str(tmp_path / FOLDER) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["label.labels.txt", "features.json"])
def test_what_decides_labels_is_in_the_stamps(tmp_path: Path, name: str) -> None:
    prepare(tmp_path)
    before = next(reader_of(tmp_path).items())
    path = tmp_path / FOLDER / name
    path.write_text(path.read_text().replace("HAP", "SAD") + "\n")
    after = next(reader_of(tmp_path).items())
    assert before.stamp.partition("+")[0] == after.stamp.partition("+")[0]
    assert before.stamp != after.stamp


def test_new_names_of_classes_reach_a_worker_that_knows_the_old(tmp_path: Path) -> None:
    prepare(tmp_path)
    reader = reader_of(tmp_path)
    assert opened(reader, tmp_path)[0].labels["label"] == "HAP"
    (tmp_path / FOLDER / "label.labels.txt").write_text("NEU\nSAD\n")
    assert opened(reader, tmp_path)[0].labels["label"] == "SAD"


@pytest.mark.parametrize(("announced", "held"), [("2", "3"), ("0", "more")])
def test_a_file_with_more_rows_than_are_announced(tmp_path: Path, announced: str, held: str) -> None:
    prepare(tmp_path)
    info = tmp_path / FOLDER / "dataset_info.json"
    content = json.loads(info.read_text())
    content["splits"][0]["shardLengths"] = [announced]
    info.write_text(json.dumps(content))
    file = tmp_path / FOLDER / "tiny-train.tfrecord-00000-of-00001"
    message = f"^{file} holds {held} rows, and dataset_info.json announces {announced}; prepare the data set anew$"
    with pytest.raises(InputError, match=message):
        opened(reader_of(tmp_path), tmp_path)


def test_a_file_that_is_announced_and_absent(tmp_path: Path) -> None:
    prepare(tmp_path, shards=2, rows={"train": [row(0), row(1), row(2)]})
    (tmp_path / TRAIN).unlink()
    items = list(reader_of(tmp_path).items())
    assert [item.reject for item in items] == ["missing", "missing", ""]
    assert items[1] == Item(
        key="tiny-train.tfrecord-00000-of-00002/000001",
        path=TRAIN,
        size=0,
        stamp="",
        split="train",
        row=1,
        reject="missing",
        detail="dataset_info.json announces 2 rows in it",
    )


def test_a_file_that_is_cut(tmp_path: Path) -> None:
    prepare(tmp_path)
    path = tmp_path / FOLDER / "tiny-train.tfrecord-00000-of-00001"
    path.write_bytes(path.read_bytes()[:-5])
    reader = reader_of(tmp_path)
    items = [item for item in reader.items() if item.split == "train"]
    assert reader.open(items[1], tmp_path).speaker == "1002"
    message = f"^truncated: 2 records of {FOLDER}/tiny-train.tfrecord-00000-of-00001 can be read$"
    with pytest.raises(RejectError, match=message):
        reader.open(items[2], tmp_path)


def test_a_file_that_vanishes(tmp_path: Path) -> None:
    prepare(tmp_path)
    reader = reader_of(tmp_path)
    item = next(reader.items())
    (tmp_path / item.path).unlink()
    with pytest.raises(RejectError, match=r"^missing: .* does not exist; restore it or run again$"):
        reader.open(item, tmp_path)


def test_a_record_that_is_damaged(tmp_path: Path) -> None:
    prepare(tmp_path)
    path = tmp_path / FOLDER / "tiny-test.tfrecord-00000-of-00001"
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    message = "^undecodable: the record at byte 0 does not match its checksum$"
    with pytest.raises(RejectError, match=message):
        opened(reader_of(tmp_path), tmp_path)


def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorflow_datasets", None)
    message = r"^tensorflow_datasets is not installed; pip install 'trillsson\[tfds\]'$"
    with pytest.raises(InputError, match=message):
        list(reader_of(tmp_path).items())


def test_on_an_object_store(tmp_path: Path, gcs_prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data, scratch = tmp_path / "data", tmp_path / "scratch"
    scratch.mkdir()
    prepare(data, {"train": [row(number) for number in range(6)]}, shards=3)
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    for file in filter(Path.is_file, data.rglob("*")):
        open_storage(gcs_prefix).create(file.relative_to(data).as_posix(), file.read_bytes())
    shutil.rmtree(data)
    reader = reader_of(gcs_prefix)
    recordings = opened(reader, tmp_path / "cache")
    assert [recording.speaker for recording in recordings] == ["1001", "1002", "1003", "1004", "1005", "1006"]
    np.testing.assert_array_equal(samples(recordings[5]).array, tone(5))
    assert len([path for path in scratch.rglob("*") if path.is_file()]) == 2  # the last two files, not three
    del reader
    assert not list(scratch.iterdir())
