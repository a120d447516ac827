"""TFRecord files of `tf.train.Example`, without TensorFlow: what only moves records stays small and starts fast.

A TFRecord file is a sequence of: length (uint64), masked CRC32C of the length (uint32), data, masked CRC32C of the data
(uint32), all little-endian (TensorFlow, `core/lib/io/record_writer.h`). An Example is a protocol buffer: a map from
name to a feature, here a list of bytes or of int64 (TensorFlow, `core/example/feature.proto`).
"""

import hashlib
import os
import struct
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from types import TracebackType

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from trillsson.errors import IntegrityError
from trillsson.storage import explain_os_errors

Feature = bytes | tuple[int, ...]
"""The value of one feature: one string of bytes, or integers."""

Part = bytes | NDArray[np.int16] | NDArray[np.uint8]
"""A piece of what is written. An array must be contiguous, little-endian and read-only."""

View = memoryview | tuple[int, ...]
"""The value of one feature as it lies in a record, not copied."""

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
            if (length := _length(head)) is None:
                raise _damaged(path)
            data = file.read(length)
            tail = file.read(_TAIL.size)
            if len(data) < length or len(tail) < _TAIL.size or _TAIL.unpack(tail)[0] != _masked(data):
                raise _damaged(path)
            yield data


class TFRecordReader:
    """Reads records of a TFRecord file into one piece of memory that is used again, and passes over others.

    Args:
        path: a local file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with explain_os_errors("read", path):
            self._file = path.open("rb", buffering=0)
        self._buffer = np.empty(0, np.uint8)

    def read(self) -> memoryview:
        """Returns the data of the next record; they are valid until the next call.

        Raises:
            IntegrityError: there is none, it is cut short, or a checksum does not match.
        """
        size = self._size()
        if size + _TAIL.size > self._buffer.size:
            self._buffer = np.empty(2 * (size + _TAIL.size), np.uint8)
        taken = self._buffer[: size + _TAIL.size]
        data = taken[:size]
        data.flags.writeable = False
        with explain_os_errors("read", self._path):
            found = self._file.readinto(taken.data)
        if found < taken.size or _TAIL.pack(_masked(data)) != taken[size:].tobytes():
            raise _damaged(self._path)
        return data.data

    def skip(self, records: int) -> None:
        """Passes over records without looking at their data: what is missing of the last is noticed by what follows.

        Raises:
            IntegrityError: a header is missing or damaged.
        """
        for _ in range(records):
            self._file.seek(self._size() + _TAIL.size, os.SEEK_CUR)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _size(self) -> int:
        """Reads a record's header and returns how many bytes of data follow."""
        with explain_os_errors("read", self._path):
            length = _length(self._file.read(_HEAD.size))
        if length is None:
            raise _damaged(self._path)
        return length


def record_starts(path: Path) -> NDArray[np.int64]:
    """Returns the offset in bytes of each whole record of a TFRecord file: `[records]`. Seeks over the data.

    Where the file is cut or damaged, it ends at the last record that can be reached.
    """
    with path.open("rb", buffering=0) as file:
        return np.fromiter(_starts(file.fileno()), np.int64)


def read_record(path: Path, start: int) -> bytes | None:
    """Returns the data of the record at an offset in bytes that `record_starts` gave, or None if it is damaged."""
    with path.open("rb", buffering=0) as file:
        length = _length(os.pread(file.fileno(), _HEAD.size, start))
        data = os.pread(file.fileno(), (length or 0) + _TAIL.size, start + _HEAD.size)
    whole = length is not None and len(data) == length + _TAIL.size
    return data[:length] if whole and _TAIL.pack(_masked(data[:length])) == data[length:] else None


def _starts(file: int) -> Iterator[int]:
    size, start = os.fstat(file).st_size, 0
    while (length := _length(os.pread(file, _HEAD.size, start))) is not None:
        end = start + _HEAD.size + length + _TAIL.size
        if end > size:
            return
        yield start
        start = end


def _length(head: bytes) -> int | None:
    """Returns how many bytes of data follow a record's header, or None if it is cut short or damaged."""
    if len(head) < _HEAD.size:
        return None
    length, check = _HEAD.unpack(head)
    return int(length) if check == _masked(head[:8]) and length <= _LARGEST else None


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


def decode_example(data: bytes | memoryview) -> dict[str, Feature]:
    """Parses what `encode_example` wrote, or any other Example of such features.

    Raises:
        IntegrityError: the bytes are no Example.
    """
    return {name: value if isinstance(value, tuple) else bytes(value) for name, value in view_example(data).items()}


def view_example(data: bytes | memoryview, *, only: Container[bytes] | None = None) -> dict[str, View]:
    """Parses an Example without copying what is in it: bytes are views of `data`.

    Args:
        data: the Example.
        only: names of the features that are wanted; None for all of them.

    Raises:
        IntegrityError: the bytes are no Example.
    """
    features: dict[str, View] = {}
    try:
        for number, block in _fields(memoryview(data)):
            if number != 1:
                raise ValueError(f"field {number}")
            for _, entry in _fields(block):
                parts = dict(_fields(entry))
                name = bytes(parts[1])
                if only is None or name in only:
                    features[name.decode()] = _feature(parts.get(2, memoryview(b"")))
    except (ValueError, KeyError, IndexError) as error:
        raise IntegrityError("a record is no tf.train.Example; delete its shard and run again") from error
    return features


def _feature(data: memoryview) -> View:
    for kind, block in _fields(data):
        values = [value for number, value in _fields(block) if number == 1]
        if kind == _BYTES_LIST:
            return values[0] if len(values) == 1 else memoryview(b"".join(values))
        if kind == _INT64_LIST:
            return tuple(number for packed in values for number in _varints(packed))
        raise ValueError(f"list of kind {kind}")
    return memoryview(b"")


def _fields(data: memoryview) -> list[tuple[int, memoryview]]:
    """Returns number and content of every length-delimited field, the only kind that an Example is made of."""
    fields = []
    at, end = 0, len(data)
    while at < end:
        tag, size = data[at], data[at + 1]
        at += 2
        if tag & 0x87 != 2:  # one byte, for numbers below 16, whose lower bits are the wire type of such fields
            raise ValueError(f"tag {tag}")
        if size & 0x80:
            size, at = _read_varint(data, at - 1)
        if at + size > end:
            raise ValueError("cut short")
        fields.append((tag >> 3, data[at : at + size]))
        at += size
    return fields


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
