"""MPEG audio (MP3, MP2) frame by frame, to find what libsndfile leaves out without a word.

libsndfile reads as many frames as the Xing tag of the first one announces, so it drops what was joined behind them.
Where there is no such tag it guesses from the first frame's bit rate, and drops what lies beyond the guess: such files
are decoded by dr_mp3, which reads on to the end.
"""

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trillsson.audio import RejectError

_BLOCK_BYTES = 1 << 20
_HEADER_BYTES = 4
_ID3_BYTES = 10
_SYNC = re.compile(rb"\xff[\xe0-\xff]")

_TAG_BYTES = 64
"""So much of a frame holds what is read of a tag: header, checksum, side information of up to 32 bytes, four words."""

_CHAIN = 3
"""So many frames in a row are no coincidence."""

_RESERVOIR_BYTES = 511
"""So far back a frame of layer III takes bits from (ISO 11172-3, 2.4.2.7): without these it cannot be decoded."""

_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""Hz by the two bits of the version: MPEG-1 (ISO 11172-3, 2.4.2.3), MPEG-2 (ISO 13818-3), and the unofficial 2.5."""

_KILOBITS = {
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates by whether it is MPEG-1, and by layer, in the same places of the standards; index 0 is a free format."""


class Kind(NamedTuple):
    """Version (3: MPEG-1, 2: MPEG-2, 0: 2.5), layer (1 to 3), and Hz."""

    version: int
    layer: int
    rate: int


@dataclass(frozen=True)
class Frame:
    """What the header of a frame says.

    Attributes:
        kind: what stays the same from frame to frame.
        channels: 1 or 2.
        size: of the whole frame, in bytes.
    """

    kind: Kind
    channels: int
    size: int

    @property
    def samples(self) -> int:
        """Samples a channel in one frame."""
        if self.kind.layer == 1:
            return 384
        return 576 if self.kind.layer == 3 and self.kind.version != 3 else 1152


@dataclass(frozen=True)
class Untagged:
    """A stream that no tag tells the length of.

    Attributes:
        rate: Hz.
        channels: of its first frame.
        samples: the fewest that it holds, a channel.
        end: where its last frame ends, in bytes: dr_mp3 leaves out a last frame with anything behind it.
    """

    rate: int
    channels: int
    samples: int
    end: int


@lru_cache(maxsize=4096)
def parse_frame(head: bytes) -> Frame | None:
    """Returns what the 4 bytes of a frame's header say, or None if they are no such header."""
    if len(head) < _HEADER_BYTES or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    bitrate, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer == 4 or rate == 3 or not 0 < bitrate < 15:
        return None
    hertz = _RATES[version][rate]
    bits = 1000 * _KILOBITS[version == 3, layer][bitrate - 1]
    if layer == 1:
        size = 4 * (12 * bits // hertz + padding)
    else:
        size = (72 if layer == 3 and version != 3 else 144) * bits // hertz + padding
    return Frame(Kind(version, layer, hertz), 1 if head[3] >> 6 == 3 else 2, size)


def may_be_mpeg(head: bytes) -> bool:
    """Tells by the first bytes of a file whether it may be MPEG audio."""
    return head[:3] == b"ID3" or parse_frame(head[:_HEADER_BYTES]) is not None


def find_untagged(file: BinaryIO) -> Untagged | None:
    """Finds what libsndfile cannot tell the length of.

    Args:
        file: any file; it is not closed.

    Returns:
        What the stream holds; None where there is no MPEG audio, or where a tag tells its length.

    Raises:
        RejectError: `undecodable` if it holds more than its tag announces, or something else between its frames;
            `truncated` if no tag tells its length and its last frame is not whole.
    """
    start = _after_id3(file)
    first = parse_frame(_read(file, start, _HEADER_BYTES))
    if first is None or _walk(file, start, first, most=_CHAIN)[0] < _CHAIN:
        return None
    announced, size = _read_tag(_read(file, start, _TAG_BYTES))
    if not announced:
        return _untagged(file, start, first)
    if not size or _has_frames(file, start + size):
        _, end = _walk(file, start, first, most=announced + 1)  # and the one that holds the tag
        if _has_frames(file, end):
            told = f"it holds more than the {announced} frames that its first one announces, as joined files do"
            raise RejectError("undecodable", f"{told}; split it")
    return None


def mpeg_blocks(path: Path, stream: Untagged, *, size: int) -> Iterator[NDArray[np.int16]]:
    """Yields blocks of `[samples, channels]` int16, `size` samples each but for the last.

    Args:
        path: a file of MPEG audio with nothing behind its last frame.
        stream: what `find_untagged` found in it.
        size: samples a channel in one block.

    Raises:
        RejectError: `undecodable` if there is less in it than its frames should hold.
    """
    import miniaudio

    found = 0
    try:
        for data in miniaudio.mp3_stream_file(str(path), size):
            block = np.frombuffer(data, np.int16).reshape(-1, stream.channels)
            found += len(block)
            yield block
    except miniaudio.DecodeError as error:
        raise RejectError("undecodable", str(error)) from error
    if found < stream.samples:
        raise RejectError("undecodable", f"only {found} of the {stream.samples} samples of its frames can be decoded")


def _untagged(file: BinaryIO, start: int, first: Frame) -> Untagged:
    count, end = _walk(file, start, first)
    if _has_frames(file, end):
        told = f"damage, a tag or another rate at byte {end}, with more sound behind it"
        raise RejectError("undecodable", f"{told}; mend or split it with ffmpeg")
    rest = parse_frame(_read(file, end, _HEADER_BYTES))
    if rest and rest.kind == first.kind:
        raise RejectError("truncated", f"its last frame, at byte {end}, is not whole")
    reservoir = _RESERVOIR_BYTES // first.size + 1
    return Untagged(first.kind.rate, first.channels, max(count - reservoir, 0) * first.samples, end)


def _after_id3(file: BinaryIO) -> int:
    """Returns where an ID3v2 tag at the start ends; its size is told in four times seven bits."""
    head = _read(file, 0, _ID3_BYTES)
    if len(head) < _ID3_BYTES or head[:3] != b"ID3":
        return 0
    size = 0
    for byte in head[6:]:
        size = size << 7 | byte & 0x7F
    return size + _ID3_BYTES * (2 if head[5] & 0x10 else 1)  # with a footer


def _read_tag(frame: bytes) -> tuple[int, int]:
    """Returns the frames and the bytes that a Xing or LAME tag announces, 0 for what it does not."""
    at = max(frame.find(b"Xing"), frame.find(b"Info"))
    if at < 0:
        return 0, 0
    flags, first, second = struct.unpack_from(">III", frame, at + 4)
    frames = first if flags & 1 else 0
    size = 0 if not flags & 2 else second if frames else first
    return frames, size


def _walk(file: BinaryIO, at: int, first: Frame, *, most: int | None = None) -> tuple[int, int]:
    """Goes from frame to frame of one kind; returns how many whole ones there are, and where the last one ends."""
    total = file.seek(0, os.SEEK_END)
    count, block, begin = 0, b"", at
    while count != most:
        if at + _HEADER_BYTES > begin + len(block):
            block, begin = _read(file, at, _BLOCK_BYTES), at
        frame = parse_frame(block[at - begin : at - begin + _HEADER_BYTES])
        if frame is None or frame.kind != first.kind or at + frame.size > total:
            break
        count += 1
        at += frame.size
    return count, at


def _has_frames(file: BinaryIO, at: int) -> bool:
    """Tells whether there are frames in a row anywhere from a position on."""
    while len(block := _read(file, at, _BLOCK_BYTES)) >= _HEADER_BYTES:
        for sync in _SYNC.finditer(block):
            position = at + sync.start()
            frame = parse_frame(_read(file, position, _HEADER_BYTES))
            if frame and _walk(file, position, frame, most=_CHAIN)[0] == _CHAIN:
                return True
        at += len(block) - 1
    return False


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)
