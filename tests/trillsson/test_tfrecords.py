"""TFRecord files and Examples: the same bytes as TensorFlow's, and damage is noticed."""

from pathlib import Path

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from trillsson.digests import file_digest
from trillsson.errors import IntegrityError
from trillsson.tfrecords import (
    TFRecordReader,
    TFRecordWriter,
    decode_example,
    encode_example,
    join_parts,
    read_record,
    read_tfrecords,
    record_starts,
)

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
INTEGERS = st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=4).map(tuple)
FEATURES = st.dictionaries(NAMES, st.binary(max_size=300) | INTEGERS, max_size=6)


def tensorflows(features: dict[str, bytes | tuple[int, ...]]) -> tf.train.Example:
    def feature(value: bytes | tuple[int, ...]) -> tf.train.Feature:
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=value))

    made = {name: feature(value) for name, value in features.items()}
    return tf.train.Example(features=tf.train.Features(feature=made))


@given(FEATURES)
def test_tensorflow_reads_what_is_written(features: dict[str, bytes | tuple[int, ...]]) -> None:
    assert tf.train.Example.FromString(join_parts(encode_example(features))) == tensorflows(features)


def test_an_example_is_written_as_tensorflow_writes_it() -> None:
    features = {"key": b"c/a#0", "audio/pcm16": b"\x00" * 300, "label/digit": b"7", "shape": (3, 1024, -1)}
    assert join_parts(encode_example(features)) == tensorflows(features).SerializeToString(deterministic=True)


@given(FEATURES)
def test_an_example_is_read_back(features: dict[str, bytes | tuple[int, ...]]) -> None:
    assert decode_example(tensorflows(features).SerializeToString()) == features


@given(st.binary(max_size=60))
def test_other_bytes_are_an_example_or_are_refused(data: bytes) -> None:
    try:
        found = decode_example(data)
    except IntegrityError as error:
        assert str(error) == "a record is no tf.train.Example; delete its shard and run again"  # noqa: PT017
    else:
        assert isinstance(found, dict)


@pytest.fixture
def records() -> list[bytes]:
    return [b"", b"one", b"two" * 70_000]


@pytest.fixture
def written(tmp_path: Path, records: list[bytes]) -> Path:
    path = tmp_path / "x.tfrecord"
    with TFRecordWriter(path) as writer:
        for record in records:
            writer.write(record)
    assert writer.sha256.hexdigest() == file_digest(path)
    return path


def test_a_file_is_the_bytes_that_tensorflow_writes(written: Path, records: list[bytes], tmp_path: Path) -> None:
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for record in records:
            writer.write(record)
    assert written.read_bytes() == (tmp_path / "theirs").read_bytes()


def test_a_file_is_read_back(written: Path, records: list[bytes]) -> None:
    assert list(read_tfrecords(written)) == records


@pytest.mark.parametrize("kept", [5, 12, 15, 17, 40, -1])
def test_a_file_that_was_cut_is_noticed(written: Path, kept: int) -> None:
    written.write_bytes(written.read_bytes()[:kept])
    with pytest.raises(IntegrityError, match=r"^shard .*x\.tfrecord is damaged; delete it and run again$"):
        list(read_tfrecords(written))


@pytest.mark.parametrize("at", [0, 9, 16 + 4, 16 + 13, 100, -3])
def test_a_flipped_byte_is_noticed(written: Path, at: int) -> None:
    data = bytearray(written.read_bytes())
    data[at] ^= 1
    written.write_bytes(data)
    with pytest.raises(IntegrityError, match="is damaged"):
        list(read_tfrecords(written))


def write_with_tensorflow(path: Path, records: list[bytes]) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


@settings(max_examples=25)
@given(records=st.lists(st.binary(max_size=40), max_size=5))
def test_every_record_by_its_start(tmp_path_factory: pytest.TempPathFactory, records: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("records") / "a.tfrecord"
    write_with_tensorflow(path, records)
    starts = record_starts(path)
    assert [read_record(path, int(start)) for start in reversed(starts)] == records[::-1]


@pytest.mark.parametrize(("size", "starts"), [(38, [0, 19]), (37, [0]), (20, [0]), (19, [0]), (18, []), (0, [])])
def test_a_cut_file_s_starts_end_at_its_last_whole_record(tmp_path: Path, size: int, starts: list[int]) -> None:
    path = tmp_path / "a.tfrecord"
    write_with_tensorflow(path, [b"abc", b"def"])
    path.write_bytes(path.read_bytes()[:size])
    assert record_starts(path).tolist() == starts


@pytest.mark.parametrize(("at", "readable"), [(0, 0), (9, 0), (13, 2), (17, 2), (19, 1)])
def test_a_damaged_record_is_not_read(tmp_path: Path, at: int, readable: int) -> None:
    path = tmp_path / "a.tfrecord"
    write_with_tensorflow(path, [b"abc", b"def"])
    start = record_starts(path)[0]
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    assert len(record_starts(path)) == readable
    if at < 19:
        assert read_record(path, int(start)) is None


@given(records=st.lists(st.binary(max_size=40), max_size=6), data=st.data())
def test_records_are_read_and_passed_over(
    tmp_path_factory: pytest.TempPathFactory, records: list[bytes], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("records") / "a.tfrecord"
    write_with_tensorflow(path, records)
    reader, at = TFRecordReader(path), 0
    while at < len(records):
        skipped = data.draw(st.integers(0, len(records) - at - 1))
        reader.skip(skipped)
        assert bytes(reader.read()) == records[at + skipped]
        at += skipped + 1
    with pytest.raises(IntegrityError, match=rf"^shard {path} is damaged; delete it and run again$"):
        reader.read()
    reader.close()


@pytest.mark.parametrize("at", [0, 9, 13, 17])
def test_a_damaged_record_is_refused_by_the_reader(tmp_path: Path, at: int) -> None:
    path = tmp_path / "a.tfrecord"
    write_with_tensorflow(path, [b"abc", b"def"])
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"a\.tfrecord is damaged"):
        TFRecordReader(path).read()


@pytest.mark.parametrize("size", [37, 30, 20, 18, 5])
def test_a_cut_file_is_refused_by_the_reader(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.tfrecord"
    write_with_tensorflow(path, [b"abc", b"def"])
    path.write_bytes(path.read_bytes()[:size])
    reader = TFRecordReader(path)
    with pytest.raises(IntegrityError, match=r"a\.tfrecord is damaged"):
        [reader.read() for _ in range(2)]
