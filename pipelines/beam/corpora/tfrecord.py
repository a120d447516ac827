"""One record of a TFRecord file without reading those before it.

A record is its length (8 bytes, little-endian), a checksum of those 8 bytes (4), the data, and a checksum of the
data (4). The checksums are masked CRC32C (the format: TensorFlow's `tensorflow/core/lib/io/record_writer.h`).
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trillsson.audio import RejectError

_HEADER = 12
_FOOTER = 4


def record_starts(path: Path) -> NDArray[np.int64]:
    """Returns the offset in bytes of each whole record of a file: `[records]`. Seeks over the data.

    Where the file is cut or damaged, it ends at the last record that can be reached.
    """
    with path.open("rb", buffering=0) as file:
        return np.fromiter(_starts(file.fileno()), np.int64)


def read_record(path: Path, start: int) -> bytes:
    """Returns the data of the record at an offset that `record_starts` gave.

    Raises:
        RejectError: `undecodable`: the data do not match their checksum.
    """
    with path.open("rb", buffering=0) as file:
        length = _length(file.fileno(), start)
        data = os.pread(file.fileno(), (length or 0) + _FOOTER, start + _HEADER)
    if length is None or len(data) < length + _FOOTER or _masked_crc(data[:length]) != data[length:]:
        raise RejectError("undecodable", f"the record at byte {start} does not match its checksum")
    return data[:length]


def _starts(file: int) -> Iterator[int]:
    size, start = os.fstat(file).st_size, 0
    while (length := _length(file, start)) is not None:
        end = start + _HEADER + length + _FOOTER
        if end > size:
            return
        yield start
        start = end


def _length(file: int, start: int) -> int | None:
    """Length of the record at `start`, or None if there is no whole header."""
    header = os.pread(file, _HEADER, start)
    if len(header) < _HEADER or _masked_crc(header[:8]) != header[8:]:
        return None
    return int.from_bytes(header[:8], "little")


def _masked_crc(data: bytes) -> bytes:
    import google_crc32c

    crc: int = google_crc32c.value(data)
    return (((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFF_FFFF).to_bytes(4, "little")
