"""TFRecord files of `tf.train.Example`, without TensorFlow: what only moves records stays small and starts fast.

A TFRecord file is a sequence of: length (uint64), masked CRC32C of the length (uint32), data, masked CRC32C of the data
(uint32), all little-endian (TensorFlow, `core/lib/io/record_writer.h`). An Example is a protocol buffer: a map from
name to a feature, here a list of bytes or of int64 (TensorFlow, `core/example/feature.proto`).
"""

import hashlib
import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from types import TracebackType

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from trillsson.errors import IntegrityError

Feature = bytes | tuple[int, ...]
"""The value of one feature: one string of bytes, or integers."""

Part = bytes | NDArray[np.int16]
"""A piece of what is written. An array must be contiguous, little-endian and read-only."""

_HEAD = struct.Struct("<QI")
_TAIL = struct.Struct("<I")
_MASK_DELTA = 0xA282EAD8
_LARGEST = 1 << 30
"""Bytes of a record beyond which a length is taken for damage."""

_BYTES_LIST, _INT64_LIST = 1, 3


class TFRecordWriter:
    """Writes a TFRecord file and knows the digest of what it wrote.

    Attributes:
        sha256: SHA-256 of the file so far.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb")
        self.sha256 = hashlib.sha256()

    def write(self, *parts: Part) -> None:
        """Appends one record, given in one piece or in several, which are not joined: samples are not copied."""
        length = struct.pack("<Q", sum(map(_size, parts)))
        for part in (length, _TAIL.pack(_masked(length)), *parts, _TAIL.pack(_masked(*parts))):
            data = part if isinstance(part, bytes) else part.data
            self._file.write(data)
            self.sha256.update(data)

    def __enter__(self) -> "TFRecordWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def read_tfrecords(path: Path) -> Iterator[bytes]:
    """Yields the records of a TFRecord file, in order.

    Raises:
        IntegrityError: the file is cut short, or a checksum does not match.
    """
    with path.open("rb") as file:
        while head := file.read(_HEAD.size):
            if len(head) < _HEAD.size:
                raise _damaged(path)
            length, check = _HEAD.unpack(head)
            if _masked(head[:8]) != check or length > _LARGEST:
                raise _damaged(path)
            data = file.read(length)
            tail = file.read(_TAIL.size)
            if len(data) < length or len(tail) < _TAIL.size or _TAIL.unpack(tail)[0] != _masked(data):
                raise _damaged(path)
            yield data


def record_starts(path: Path) -> NDArray[np.int64]:
    """Returns the offset in bytes of each whole record of a TFRecord file: `[records]`. Seeks over the data.

    Where the file is cut or damaged, it ends at the last record that can be reached.
    """
    with path.open("rb", buffering=0) as file:
        return np.fromiter(_starts(file.fileno()), np.int64)


def read_record(path: Path, start: int) -> bytes | None:
    """Returns the data of the record at an offset in bytes that `record_starts` gave, or None if it is damaged."""
    with path.open("rb", buffering=0) as file:
        length = _length(file.fileno(), start)
        data = os.pread(file.fileno(), (length or 0) + _TAIL.size, start + _HEAD.size)
    whole = length is not None and len(data) == length + _TAIL.size
    return data[:length] if whole and _TAIL.pack(_masked(data[:length])) == data[length:] else None


def _starts(file: int) -> Iterator[int]:
    size, start = os.fstat(file).st_size, 0
    while (length := _length(file, start)) is not None:
        end = start + _HEAD.size + length + _TAIL.size
        if end > size:
            return
        yield start
        start = end


def _length(file: int, start: int) -> int | None:
    """Length of the record at `start`, or None if there is no whole header."""
    head = os.pread(file, _HEAD.size, start)
    if len(head) < _HEAD.size:
        return None
    length, check = _HEAD.unpack(head)
    return int(length) if check == _masked(head[:8]) else None


def encode_example(features: Mapping[str, Part | tuple[int, ...]]) -> tuple[Part, ...]:
    """Serialises an Example, its features in the order of their names: equal features give equal bytes.

    Returns:
        The parts that make up the bytes; an array that was given is one of them, and is not copied.
    """
    entries: list[Part] = []
    for name in sorted(features):
        value = features[name]
        kind = _INT64_LIST if isinstance(value, tuple) else _BYTES_LIST
        content = b"".join(map(_varint, value)) if isinstance(value, tuple) else value
        encoded = name.encode()
        feature = _nested(kind, [_header(1, _size(content)), content])
        entries += _nested(1, [_header(1, len(encoded)), encoded, *_nested(2, feature)])
    # Small parts are joined; what is left are few large ones.
    return tuple(
        join_parts(group) if small else group[0]
        for small, groups in groupby(_nested(1, entries), lambda part: isinstance(part, bytes))
        for group in ([list(groups)] if small else [[each] for each in groups])
    )


def join_parts(parts: Iterable[Part]) -> bytes:
    """Returns the bytes that parts stand for."""
    return b"".join(part if isinstance(part, bytes) else part.data for part in parts)


def decode_example(data: bytes) -> dict[str, Feature]:
    """Parses what `encode_example` wrote, or any other Example of such features.

    Raises:
        IntegrityError: the bytes are no Example.
    """
    features: dict[str, Feature] = {}
    try:
        for number, block in _fields(memoryview(data)):
            if number != 1:
                raise ValueError(f"field {number}")
            for _, entry in _fields(block):
                parts = dict(_fields(entry))
                features[bytes(parts[1]).decode()] = _feature(parts.get(2, memoryview(b"")))
    except (ValueError, KeyError, IndexError) as error:
        raise IntegrityError("a record is no tf.train.Example; delete its shard and run again") from error
    return features


def _feature(data: memoryview) -> Feature:
    for kind, block in _fields(data):
        values = [value for number, value in _fields(block) if number == 1]
        if kind == _BYTES_LIST:
            return b"".join(values)
        if kind == _INT64_LIST:
            return tuple(number for packed in values for number in _varints(packed))
        raise ValueError(f"list of kind {kind}")
    return b""


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yields number and content of every length-delimited field, the only kind that an Example is made of."""
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        if tag & 7 != 2:  # the wire type of length-delimited fields
            raise ValueError(f"wire type {tag & 7}")
        size, at = _read_varint(data, at)
        if at + size > len(data):
            raise ValueError("cut short")
        yield tag >> 3, data[at : at + size]
        at += size


def _varints(data: memoryview) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _read_varint(data, at)
        yield value - (1 << 64) if value >> 63 else value


def _read_varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # the high bit says that more follow
            return value, at
        shift += 7


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _header(number: int, size: int) -> bytes:
    return _varint(number << 3 | 2) + _varint(size)


def _nested(number: int, parts: Sequence[Part]) -> list[Part]:
    return [_header(number, sum(map(_size, parts))), *parts]


def _size(part: Part) -> int:
    return len(part) if isinstance(part, bytes) else part.nbytes


def _masked(*parts: Part) -> int:
    check = 0
    for part in parts:
        check = google_crc32c.extend(check, part)
    return ((check >> 15 | check << 17) + _MASK_DELTA) & 0xFFFFFFFF


def _damaged(path: Path) -> IntegrityError:
    return IntegrityError(f"shard {path} is damaged; delete it and run again")
