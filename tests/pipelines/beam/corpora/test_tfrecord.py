"""Random access to TFRecord files, on files that TensorFlow wrote."""

from pathlib import Path

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.beam.corpora.tfrecord import read_record, record_starts
from trillsson.audio import RejectError


def write(path: Path, records: list[bytes]) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


@settings(max_examples=25, deadline=None)
@given(records=st.lists(st.binary(max_size=40), max_size=5))
def test_every_record_by_its_start(tmp_path_factory: pytest.TempPathFactory, records: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("records") / "a.tfrecord"
    write(path, records)
    starts = record_starts(path)
    assert [read_record(path, int(start)) for start in reversed(starts)] == records[::-1]


@pytest.mark.parametrize(("size", "starts"), [(38, [0, 19]), (37, [0]), (20, [0]), (19, [0]), (18, []), (0, [])])
def test_a_cut_file_ends_at_its_last_whole_record(tmp_path: Path, size: int, starts: list[int]) -> None:
    path = tmp_path / "a.tfrecord"
    write(path, [b"abc", b"def"])
    path.write_bytes(path.read_bytes()[:size])
    assert record_starts(path).tolist() == starts


@pytest.mark.parametrize(("at", "readable"), [(0, 0), (9, 0), (13, 2), (17, 2), (19, 1)])
def test_damage_is_found(tmp_path: Path, at: int, readable: int) -> None:
    path = tmp_path / "a.tfrecord"
    write(path, [b"abc", b"def"])
    start = record_starts(path)[0]
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    assert len(record_starts(path)) == readable
    if at < 19:
        with pytest.raises(RejectError, match=r"^undecodable: the record at byte 0 does not match its checksum$"):
            read_record(path, int(start))
