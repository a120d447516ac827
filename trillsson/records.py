"""What one record of a shard holds, and how it is written: `tf.train.Example` in TFRecord files.

An audio record is one clip: `key`, `audio/pcm16` (little-endian int16 bytes, 16 kHz mono), `audio/sha256` (hex digest
of those bytes), `speaker`, `split` and `label/<name>` (bytes; absent where unknown). An embedding record is one clip's
windows: `key`, `embedding/shape` (two int64: windows, dim) and `embedding/float32` (little-endian bytes, row-major).
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trillsson.audio import Audio, from_pcm16, to_pcm16
from trillsson.digests import SHORT, canonical_json
from trillsson.embedder import Embeddings
from trillsson.errors import IntegrityError
from trillsson.storage import Storage, explain_os_errors
from trillsson.tfrecords import Part, TFRecordWriter, decode_example, encode_example, join_parts, view_example

SCHEMA_VERSION = 2
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


@dataclass(frozen=True, kw_only=True)
class IndexedClip(Clip):
    """What the index of an audio shard says of one record: all of it but the samples.

    Attributes:
        samples: how many there are.
        sha256: hex digest of them, as little-endian int16 bytes.
    """

    samples: int
    sha256: str


def encode_audio(record: AudioRecord) -> bytes:
    """Serialises an audio record. Equal records give equal bytes."""
    parts, _ = encode_clip(record, np.frombuffer(to_pcm16(record.audio), "<i2"))
    return join_parts(parts)


def encode_clip(clip: Clip, pcm: NDArray[np.int16]) -> tuple[tuple[Part, ...], IndexedClip]:
    """Serialises a clip and its samples, `[samples]` int16, as an audio record; returns its entry in the index too."""
    samples = np.ascontiguousarray(pcm, "<i2").view()
    samples.flags.writeable = False  # It becomes part of the record without being copied.
    digest = hashlib.sha256(samples.data).hexdigest()
    features: dict[str, Part | tuple[int, ...]] = {
        "key": clip.key.encode(),
        "audio/pcm16": samples,
        "audio/sha256": digest.encode(),
        "speaker": clip.speaker.encode(),
        "split": clip.split.encode(),
    }
    features |= {_LABEL + name: value.encode() for name, value in clip.labels.items()}
    told = {name: getattr(clip, name) for name in ("key", "speaker", "split", "labels")}
    return encode_example(features), IndexedClip(**told, samples=samples.size, sha256=digest)


def decode_audio(data: bytes) -> AudioRecord:
    """Parses what `encode_audio` wrote.

    Raises:
        IntegrityError: the bytes are no audio record, or the samples do not match their digest.
    """
    features = _strings(data)
    clip = _clip(features)
    pcm = features.get("audio/pcm16", b"")
    if hashlib.sha256(pcm).hexdigest().encode() != features.get("audio/sha256"):
        raise IntegrityError(f"the samples of record {clip.key!r} do not match their digest; run again from prepare")
    return AudioRecord(**vars(clip), audio=from_pcm16(pcm))


def view_audio(data: bytes | memoryview) -> tuple[str, NDArray[np.int16]]:
    """Returns key and samples of an audio record, `[samples]` int16; they are views of `data`, and not digested anew.

    Raises:
        IntegrityError: the bytes are no audio record.
    """
    features: Mapping[str, Any] = view_example(data, only=(b"key", b"audio/pcm16"))
    try:
        return bytes(features["key"]).decode(), np.frombuffer(features["audio/pcm16"], "<i2")
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"a record is no audio record ({error!r}); run again from prepare") from error


def encode_index(clips: Iterable[IndexedClip]) -> bytes:
    """Writes the index of an audio shard: one JSON object a line, in the order of the records."""
    return b"".join(canonical_json({**vars(clip), "labels": dict(clip.labels)}) + b"\n" for clip in clips)


def decode_index(data: bytes) -> Iterator[IndexedClip]:
    """Reads what `encode_index` wrote."""
    for line in data.splitlines():
        yield IndexedClip(**json.loads(line))


def _clip(features: Mapping[str, bytes]) -> Clip:
    try:
        key, speaker, split = (features[name].decode() for name in ("key", "speaker", "split"))
    except KeyError as error:
        raise IntegrityError(f"a record is no audio record, it lacks {error}; run again from prepare") from error
    labels = {name.removeprefix(_LABEL): value.decode() for name, value in features.items() if name.startswith(_LABEL)}
    return Clip(key=key, speaker=speaker, split=split, labels=labels)


def _strings(data: bytes) -> Mapping[str, bytes]:
    return {name: value for name, value in decode_example(data).items() if isinstance(value, bytes)}


def encode_embedding(record: EmbeddingRecord) -> bytes:
    """Serialises an embedding record. Equal records give equal bytes."""
    rows = np.ascontiguousarray(record.embeddings, "<f4")
    features: dict[str, Part | tuple[int, ...]] = {
        "key": record.key.encode(),
        "embedding/shape": rows.shape,
        "embedding/float32": rows.tobytes(),
    }
    return join_parts(encode_example(features))


def decode_embedding(data: bytes | memoryview) -> EmbeddingRecord:
    """Parses what `encode_embedding` wrote.

    Raises:
        IntegrityError: the bytes are no embedding record, or shape and bytes disagree.
    """
    features: Mapping[str, Any] = decode_example(data)
    try:
        key = features["key"].decode()
        rows = np.frombuffer(features["embedding/float32"], "<f4").reshape(features["embedding/shape"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"a record is no embedding record ({error!r}); delete its shard and run again") from error
    return EmbeddingRecord(key=key, embeddings=rows)


def shard_path(shard_id: str, sha256: str) -> str:
    """Path of a shard's records, relative to the dataset's root.

    The digest is part of it: what a killed run left there is never taken for what is made now.
    """
    return f"shards/{shard_id}-{sha256[:SHORT]}.tfrecord"


def write_shard(storage: Storage, shard_id: str, records: Iterable[bytes | tuple[Part, ...]]) -> str:
    """Writes serialised records to one TFRecord file, whole or not at all, and returns its SHA-256."""
    with storage.draft(shard_path(shard_id, "")) as draft:
        with explain_os_errors("write", draft):
            writer = TFRecordWriter(draft)
        with writer:
            for record in records:
                with explain_os_errors("write", draft):  # and not what the records' source raises
                    writer.write(*((record,) if isinstance(record, bytes) else record))
        written = writer.sha256.hexdigest()
        storage.create_from(shard_path(shard_id, written), draft)  # False: the same bytes are there already
        return written
