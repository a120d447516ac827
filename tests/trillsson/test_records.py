"""Records: round trips, a golden encoding, and damage."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from trillsson.audio import to_pcm16
from trillsson.digests import file_digest
from trillsson.errors import IntegrityError, TransientError
from trillsson.records import (
    AudioRecord,
    EmbeddingRecord,
    IndexedClip,
    decode_audio,
    decode_embedding,
    decode_index,
    encode_audio,
    encode_clip,
    encode_embedding,
    encode_index,
    shard_path,
    write_shard,
)
from trillsson.storage import LocalStorage
from trillsson.tfrecords import read_tfrecords

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def record(**changes: object) -> AudioRecord:
    fields: dict[str, object] = {
        "key": "c/a.wav#0",
        "audio": np.float32([0.0, 0.5, -1.0]),
        "speaker": "ann",
        "split": "train",
        "labels": {"digit": "7"},
    }
    return AudioRecord(**{**fields, **changes})  # type: ignore[arg-type]


def entry_of(made: AudioRecord) -> IndexedClip:
    return encode_clip(made, np.frombuffer(to_pcm16(made.audio), "<i2"))[1]


def test_an_entry_of_the_index_is_one_line_of_json() -> None:
    assert encode_index([entry_of(record())]) == (
        b'{"key":"c/a.wav#0","labels":{"digit":"7"},"samples":3,'
        b'"sha256":"b66c70b0be777700929b0bc297897e498634b86a636e9108ae7beb242f11ebed","speaker":"ann","split":"train"}\n'
    )


def test_an_audio_record_is_the_example_of_the_contract() -> None:
    features = tf.train.Example.FromString(encode_audio(record())).features.feature
    assert {name: feature.bytes_list.value[0] for name, feature in features.items()} == {
        "key": b"c/a.wav#0",
        "audio/pcm16": b"\x00\x00\x00\x40\x00\x80",
        "audio/sha256": b"b66c70b0be777700929b0bc297897e498634b86a636e9108ae7beb242f11ebed",
        "speaker": b"ann",
        "split": b"train",
        "label/digit": b"7",
    }


@given(key=TEXT, speaker=TEXT, split=TEXT, labels=st.dictionaries(TEXT, TEXT, max_size=3), samples=st.integers(0, 50))
def test_audio_round_trip(key: str, speaker: str, split: str, labels: dict[str, str], samples: int) -> None:
    audio = np.arange(samples, dtype=np.float32) / 64
    made = record(key=key, speaker=speaker, split=split, labels=labels, audio=audio)
    found = decode_audio(encode_audio(made))
    np.testing.assert_array_equal(found.audio, audio)
    entry = entry_of(made)
    digest = hashlib.sha256((np.arange(samples, dtype="<i2") * 512).tobytes()).hexdigest()
    assert entry == IndexedClip(key=key, speaker=speaker, split=split, labels=labels, samples=samples, sha256=digest)
    assert list(decode_index(encode_index([entry, entry]))) == [entry, entry]
    assert encode_audio(found) == encode_audio(made)


@given(windows=st.integers(0, 4), dim=st.integers(1, 5))
def test_embedding_round_trip(windows: int, dim: int) -> None:
    rows = np.random.default_rng(0).standard_normal((windows, dim)).astype(np.float32)
    found = decode_embedding(encode_embedding(EmbeddingRecord(key="k", embeddings=rows)))
    assert found.key == "k"
    np.testing.assert_array_equal(found.embeddings, rows)


def test_samples_that_changed_are_noticed() -> None:
    example = tf.train.Example.FromString(encode_audio(record()))
    example.features.feature["audio/pcm16"].bytes_list.value[0] = b"\x01\x00\x00\x40\x00\x80"
    with pytest.raises(IntegrityError, match=r"the samples of record 'c/a.wav#0' do not match their digest"):
        decode_audio(example.SerializeToString())


def test_other_bytes_are_no_record() -> None:
    with pytest.raises(IntegrityError, match=r"a record is no tf\.train\.Example"):
        decode_audio(b"\xff\xff\xff")
    with pytest.raises(IntegrityError, match=r"a record is no audio record, it lacks 'key'"):
        decode_audio(b"")
    with pytest.raises(IntegrityError, match="a record is no embedding record"):
        decode_embedding(encode_audio(record()))


def test_a_shard_is_named_by_what_it_holds_and_read_back(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    digests = [write_shard(storage, "x", records) for records in ([b"one", b"two"], [b"one", b"two"], [b"other"])]
    assert digests[0] == digests[1] == file_digest(tmp_path / shard_path("x", digests[0]))
    assert storage.list() == sorted(shard_path("x", digest) for digest in set(digests))
    assert list(read_tfrecords(tmp_path / shard_path("x", digests[0]))) == [b"one", b"two"]


def test_a_damaged_shard_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / shard_path("x", write_shard(LocalStorage(tmp_path), "x", [b"one" * 100]))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(IntegrityError, match=r"shard .*x-\w+\.tfrecord is damaged; delete it and run again"):
        list(read_tfrecords(path))


def test_a_failing_source_leaves_no_shard(tmp_path: Path) -> None:
    def records() -> object:
        yield b"one"
        raise TransientError("lost")

    with pytest.raises(TransientError, match="lost"):
        write_shard(LocalStorage(tmp_path), "x", records())  # type: ignore[arg-type]
    assert LocalStorage(tmp_path).list() == []
