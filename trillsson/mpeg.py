"""MPEG audio (MP3, MP2) frame by frame, decoded by dr_mp3.

libsndfile leaves sound out without a word: it reads as many frames as the tag of the first one announces, and without a
tag it guesses from the first frame's bit rate. dr_mp3 believes tags too, but reads to the end where there is none. So
frames are counted here, in a twentieth of the time that decoding takes.
"""

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trillsson.audio import RejectError

_OTHERS = frozenset({b"RIFX", b"RF64", b"riff", b"FORM", b"OggS", b"fLaC", b"caff", b".snd", b"NIST"})
"""How files of other formats begin."""

_MPEG_IN_WAV = frozenset({b"\x50\0", b"\x55\0"})
"""Formats of WAV files that hold layers I and II, or III."""

_TAGS = (b"Xing", b"Info")
_BLOCK_BYTES = 1 << 20
_HEADER_BYTES = 4
_ID3_BYTES = 10
_ID3V1_BYTES = 128
_TAG_BYTES = 256
"""So much of a first frame is read: no tag reaches beyond."""

_SEARCHED_BYTES = 1 << 20
"""So far behind tags the first frame is looked for."""

_SYNC = re.compile(rb"\xff(?=[\xe2-\xe7\xf2-\xff][\x10-\xef])")
"""Where a header may begin: neither reserved nor free (a version, a layer, a bit rate)."""

_CHAIN = 3
"""So many frames in a row are no coincidence, and fewer beyond what a tag announces are a coder's way to count."""

_RESERVOIR_BYTES = 511
"""So far back a frame of layer III takes bits from (ISO 11172-3, 2.4.2.7): without these it cannot be decoded."""

_DELAYS_AT = 141
"""Where LAME's part of the tag says what its coder put before and after the sound: 12 bits each."""

_DECODER_DELAY = 529
"""Samples by which every decoder of layer III is late: 528 of its filters, and one."""

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
    """What stays the same from frame to frame: version (3: MPEG-1, 2: MPEG-2, 0: 2.5), layer (1 to 3), Hz, channels."""

    version: int
    layer: int
    rate: int
    channels: int


@dataclass(frozen=True)
class Frame:
    """What the header of a frame says: its kind, and the size of the whole frame in bytes."""

    kind: Kind
    size: int

    @property
    def samples(self) -> int:
        """Samples a channel in one frame."""
        if self.kind.layer == 1:
            return 384
        return 576 if self.kind.layer == 3 and self.kind.version != 3 else 1152


@dataclass(frozen=True)
class MpegStream:
    """A stream of frames in a file.

    Attributes:
        rate: Hz.
        channels: 1 or 2.
        skipped: samples a channel before the sound, which the coder put there.
        samples: of sound, a channel.
        decoded: what all frames give, a channel, but for those that may lack bits which lay before them.
        start: where its first frame begins, in bytes; one that holds a tag is none of the stream.
        end: where its last frame ends. dr_mp3 leaves out a last frame with anything behind it.
    """

    rate: int
    channels: int
    skipped: int
    samples: int
    decoded: int
    start: int
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
    return Frame(Kind(version, layer, hertz, 1 if head[3] >> 6 == 3 else 2), size)


def may_be_mpeg(head: bytes) -> bool:
    """Tells by the first bytes of a file whether it may be MPEG audio: in a WAV file, or of no other known format."""
    at = head.find(b"fmt ")
    if head[:4] == b"RIFF":
        return at >= 0 and head[at + 8 : at + 10] in _MPEG_IN_WAV
    return head[:4] not in _OTHERS


def find_mpeg(file: BinaryIO) -> MpegStream | None:
    """Finds all frames of a file, and that they are what its first one announces.

    Args:
        file: any file; it is not closed.

    Returns:
        The stream; None where there is none.

    Raises:
        RejectError: `undecodable` if there is more than is announced, or something else between frames; `truncated`
            if there is less, or if the last frame is not whole.
    """
    begin = after_id3(file)
    found = _find_frames(file, begin, begin + _SEARCHED_BYTES)
    if found is None:
        return None
    start, first = found
    before = _read(file, begin, start - begin)
    if parse_frame(before[:_HEADER_BYTES]) or any(tag in before for tag in _TAGS):
        raise RejectError("undecodable", f"its first frames, at byte {begin}, are damaged; mend it with ffmpeg")
    count, end = _walk(file, start, first)
    tag = _parse_tag(_read(file, start, _TAG_BYTES), first)
    if tag:
        count, start = count - 1, start + first.size
    announced = tag.frames if tag else 0
    more = _find_frames(file, end) is not None
    if 0 < announced <= count and (more or count > announced + _CHAIN):
        told = f"it holds more than the {announced} frames that its first one announces, as joined files do"
        raise RejectError("undecodable", f"{told}; split it")
    if more:
        told = f"damage, a tag, another rate or other channels at byte {end}, with more sound behind it"
        raise RejectError("undecodable", f"{told}; mend or split it with ffmpeg")
    rest = parse_frame(_read(file, end, _HEADER_BYTES))
    if rest and rest.kind == first.kind:
        raise RejectError("truncated", f"its last frame, at byte {end}, is not whole")
    if count < announced:
        raise RejectError("truncated", f"{count} of {announced} frames are there")
    skipped = tag.before + _DECODER_DELAY if tag and tag.before else 0
    left_out = skipped + max(tag.after - _DECODER_DELAY, 0) if tag and count == announced else skipped
    return MpegStream(
        first.kind.rate,
        first.kind.channels,
        skipped=skipped,
        samples=max(count * first.samples - left_out, 0),
        decoded=max(count - _without_bits(_read(file, start, _TAG_BYTES), first), 0) * first.samples,
        start=start,
        end=end,
    )


def mpeg_blocks(path: Path, stream: MpegStream, *, size: int) -> Iterator[NDArray[np.int16]]:
    """Yields blocks of `[samples, channels]` int16, `size` samples each but for the last.

    Args:
        path: a file with the bytes of the stream and nothing else.
        stream: what it is.
        size: samples a channel in one block.

    Raises:
        RejectError: `undecodable` if there is less in it than its frames should hold.
    """
    import miniaudio

    found = 0
    try:
        for data in miniaudio.mp3_stream_file(str(path), size):
            block = np.frombuffer(data, np.int16).reshape(-1, stream.channels)
            first = max(stream.skipped - found, 0)
            wanted = block[first : max(stream.skipped + stream.samples - found, first)]
            found += len(block)
            if len(wanted):
                yield wanted
    except miniaudio.DecodeError as error:
        raise RejectError("undecodable", str(error)) from error
    if found < stream.decoded:
        raise RejectError("undecodable", f"only {found} of the {stream.decoded} samples of its frames can be decoded")


def after_id3(file: BinaryIO) -> int:
    """Returns where the ID3v2 tags at the start of a file end; the size of one is told in four times seven bits."""
    at = 0
    while len(head := _read(file, at, _ID3_BYTES)) == _ID3_BYTES and head[:3] == b"ID3":
        size = 0
        for byte in head[6:]:
            size = size << 7 | byte & 0x7F
        at += size + _ID3_BYTES * (2 if head[5] & 0x10 else 1)  # with a footer
    return at


class _Tag(NamedTuple):
    """What a Xing or LAME tag announces, 0 where it does not.

    Attributes:
        frames: behind its own.
        before: samples that the coder put before the sound.
        after: samples that the coder put after it.
    """

    frames: int
    before: int
    after: int


def _side_bytes(first: Frame) -> int:
    """Returns how long the side information of a frame of layer III is (ISO 11172-3 and 13818-3, 2.4.1.7)."""
    return (32, 17)[first.kind.channels == 1] if first.kind.version == 3 else (17, 9)[first.kind.channels == 1]


def _parse_tag(head: bytes, first: Frame) -> _Tag | None:
    """Returns what the first frame announces, if it holds a tag: that lies where the bits of the sound would begin."""
    head = head.ljust(_TAG_BYTES, b"\0")
    for checksum in (0, 2):  # LAME leaves no room for one, others do
        at = _HEADER_BYTES + checksum + _side_bytes(first)
        if first.kind.layer == 3 and head[at : at + 4] in _TAGS:
            flags, frames = struct.unpack_from(">II", head, at + 4)
            packed = int.from_bytes(head[at + _DELAYS_AT : at + _DELAYS_AT + 3], "big") if flags == 15 else 0
            return _Tag(frames if flags & 1 else 0, packed >> 12, packed & 0xFFF)
    return None


def _without_bits(head: bytes, first: Frame) -> int:
    """Returns how many frames at the start may lack bits that lay before it."""
    head = head.ljust(_TAG_BYTES, b"\0")
    at = _HEADER_BYTES + (0 if head[1] & 1 else 2)
    begins = head[at] << 1 | head[at + 1] >> 7 if first.kind.version == 3 else head[at]
    if first.kind.layer != 3 or not begins:
        return 0
    return _RESERVOIR_BYTES // (first.size - at - _side_bytes(first)) + 1


def _walk(file: BinaryIO, at: int, first: Frame) -> tuple[int, int]:
    """Goes from frame to frame of one kind; returns how many whole ones there are, and where the last one ends."""
    total = _total(file)
    count, block, begin = 0, b"", at
    while True:
        if at + _HEADER_BYTES > begin + len(block):
            block, begin = _read(file, at, _BLOCK_BYTES), at
        frame = parse_frame(block[at - begin : at - begin + _HEADER_BYTES])
        if frame is None or frame.kind != first.kind or at + frame.size > total:
            return count, at
        count += 1
        at += frame.size


def _find_frames(file: BinaryIO, at: int, before: int | None = None) -> tuple[int, Frame] | None:
    """Returns where frames in a row begin, from a position on and before another, and the first of them.

    Three in a row are no coincidence, nor are fewer that end where the file does.
    """
    total = _total(file)
    while len(block := _read(file, at, _BLOCK_BYTES)) >= _HEADER_BYTES:
        for sync in _SYNC.finditer(block):
            position = at + sync.start()
            if before is not None and position >= before:
                return None
            chain = list(islice(_chain(file, position, (block, at)), _CHAIN))
            whole = len(chain) == _CHAIN or (chain and chain[-1][0] == total)
            if whole and all(end <= total and frame.kind == chain[0][1].kind for end, frame in chain):
                return position, chain[0][1]
        at += max(len(block) - _HEADER_BYTES + 1, 1)
    return None


def _chain(file: BinaryIO, at: int, known: tuple[bytes, int]) -> Iterator[tuple[int, Frame]]:
    """Yields frames that follow each other, with their ends; `known` are bytes of the file and where they lie."""
    block, begin = known
    while True:
        head = block[at - begin : at - begin + _HEADER_BYTES]
        frame = parse_frame(head if len(head) == _HEADER_BYTES else _read(file, at, _HEADER_BYTES))
        if frame is None:
            return
        at += frame.size
        yield at, frame


def _total(file: BinaryIO) -> int:
    """Returns the length of a file without the ID3v1 tag at its end."""
    total = file.seek(0, os.SEEK_END)
    at = max(total - _ID3V1_BYTES, 0)
    return at if _read(file, at, 3) == b"TAG" else total


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)
