"""What one record of a shard holds, and how it is written: `tf.train.Example` in TFRecord files.

An audio record is one clip: `key`, `audio/pcm16` (little-endian int16 bytes, 16 kHz mono), `audio/sha256` (hex digest
of those bytes), `speaker`, `split` and `label/<name>` (bytes; absent where unknown). An embedding record is one clip's
windows: `key`, `embedding/shape` (two int64: windows, dim) and `embedding/float32` (little-endian bytes, row-major).
"""

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from trillsson.audio import Audio, from_pcm16, to_pcm16
from trillsson.digests import file_digest
from trillsson.embedder import Embeddings
from trillsson.errors import IntegrityError, TransientError
from trillsson.storage import Storage

SCHEMA_VERSION = 1
_LABEL = "label/"


@dataclass(frozen=True, kw_only=True)
class Clip:
    """What is known of one clip. Empty strings stand for what is not."""

    key: str
    speaker: str = ""
    split: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class AudioRecord(Clip):
    """One clip with its samples: at most 30 s of mono 16 kHz, float32 in [-1, 1]."""

    audio: Audio


@dataclass(frozen=True)
class EmbeddingRecord:
    """One clip's embeddings: `[windows, dim]` float32, one row a window, in time order."""

    key: str
    embeddings: Embeddings


def encode_audio(record: AudioRecord) -> bytes:
    """Serialises an audio record. Equal records give equal bytes."""
    pcm = to_pcm16(record.audio)
    features = {
        "key": record.key.encode(),
        "audio/pcm16": pcm,
        "audio/sha256": hashlib.sha256(pcm).hexdigest().encode(),
        "speaker": record.speaker.encode(),
        "split": record.split.encode(),
    }
    features |= {_LABEL + name: value.encode() for name, value in record.labels.items()}
    return _serialised({name: _bytes_feature(value) for name, value in features.items()})


def decode_audio(data: bytes) -> AudioRecord:
    """Parses what `encode_audio` wrote.

    Raises:
        IntegrityError: the bytes are no audio record, or the samples do not match their digest.
    """
    features = _bytes_features(data)
    clip = _clip(features)
    pcm = features.get("audio/pcm16", b"")
    if hashlib.sha256(pcm).hexdigest().encode() != features.get("audio/sha256"):
        raise IntegrityError(f"the samples of record {clip.key!r} do not match their digest; run again from prepare")
    return AudioRecord(**vars(clip), audio=from_pcm16(pcm))


def decode_clip(data: bytes) -> Clip:
    """Parses what `encode_audio` wrote, but for the samples.

    Raises:
        IntegrityError: the bytes are no audio record.
    """
    return _clip(_bytes_features(data))


def _clip(features: Mapping[str, bytes]) -> Clip:
    try:
        key, speaker, split = (features[name].decode() for name in ("key", "speaker", "split"))
    except KeyError as error:
        raise IntegrityError(f"a record is no audio record, it lacks {error}; run again from prepare") from error
    labels = {name.removeprefix(_LABEL): value.decode() for name, value in features.items() if name.startswith(_LABEL)}
    return Clip(key=key, speaker=speaker, split=split, labels=labels)


def _bytes_features(data: bytes) -> Mapping[str, bytes]:
    return {name: b"".join(feature.bytes_list.value) for name, feature in _parsed(data).items()}


def encode_embedding(record: EmbeddingRecord) -> bytes:
    """Serialises an embedding record. Equal records give equal bytes."""
    rows = np.ascontiguousarray(record.embeddings, "<f4")
    return _serialised(
        {
            "key": _bytes_feature(record.key.encode()),
            "embedding/shape": _int64_feature(rows.shape),
            "embedding/float32": _bytes_feature(rows.tobytes()),
        }
    )


def decode_embedding(data: bytes) -> EmbeddingRecord:
    """Parses what `encode_embedding` wrote.

    Raises:
        IntegrityError: the bytes are no embedding record, or shape and bytes disagree.
    """
    features = _parsed(data)
    try:
        key = features["key"].bytes_list.value[0].decode()
        shape = tuple(features["embedding/shape"].int64_list.value)
        rows = np.frombuffer(features["embedding/float32"].bytes_list.value[0], "<f4").reshape(shape)
    except (KeyError, IndexError, ValueError) as error:
        raise IntegrityError(f"a record is no embedding record ({error!r}); delete its shard and run again") from error
    return EmbeddingRecord(key=key, embeddings=rows)


def write_shard(storage: Storage, path: str, records: Iterable[bytes]) -> str:
    """Writes serialised records to one TFRecord file and returns its SHA-256.

    The file is put in place whole, or not at all. One that is there already is left, and its digest returned.
    """
    import tensorflow as tf

    with tempfile.TemporaryDirectory(prefix="trillsson-") as folder:
        draft = Path(folder) / "shard"
        writer = tf.io.TFRecordWriter(str(draft))
        for record in records:
            with _full_disk(folder):
                writer.write(record)
        with _full_disk(folder):
            writer.close()
        if storage.create_from(path, draft):
            return file_digest(draft)
        # A run that was killed, or one beside this, left the shard; a model's last bits may differ from machine to
        # machine, so the bytes that count are those in place.
        return file_digest(storage.local(path, Path(folder)))


@contextmanager
def _full_disk(folder: str) -> Iterator[None]:
    """Explains a failing write of TensorFlow's; what the records' source raises is not its business."""
    import tensorflow as tf

    try:
        yield
    except (tf.errors.OpError, OSError) as error:
        raise TransientError(f"cannot write below {folder}; free some space there and run again") from error


def read_shard(path: Path) -> Iterator[bytes]:
    """Yields the serialised records of a local TFRecord file, in order.

    Raises:
        IntegrityError: the file is cut short or its checksums do not match.
    """
    import tensorflow as tf

    try:
        yield from tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    except tf.errors.DataLossError as error:
        raise IntegrityError(f"shard {path} is damaged; delete it and run again") from error


def _bytes_feature(value: bytes) -> Any:
    import tensorflow as tf

    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _int64_feature(values: Iterable[int]) -> Any:
    import tensorflow as tf

    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def _serialised(features: Mapping[str, Any]) -> bytes:
    import tensorflow as tf

    example = tf.train.Example(features=tf.train.Features(feature=features))
    data: bytes = example.SerializeToString(deterministic=True)
    return data


def _parsed(data: bytes) -> Mapping[str, Any]:
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    try:
        features: Mapping[str, Any] = tf.train.Example.FromString(data).features.feature
    except DecodeError as error:
        raise IntegrityError("a record is no tf.train.Example; delete its shard and run again") from error
    return features
