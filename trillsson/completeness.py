"""Whether a file of audio is all there, and one file only: decoders read on, or stop, without a word."""

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from trillsson.audio import RejectError

_HEAD_BYTES = 1_024
_OGG_PAGE_BYTES = 65_307
"""The largest page of an Ogg stream."""

_OGG_HEADER_BYTES = 27
_OGG_LAST_PAGE = 4

_BLOCK_BYTES = 1 << 20
_START_BYTES = 8
_STARTS = {
    b"fLaC": re.compile(rb"fLaC[\x00\x80]\x00\x00\x22"),
    b"OggS": re.compile(rb"OggS\x00[\x02\x03\x06\x07]"),
}
"""How files begin that decoders read the first of: FLAC's mark and the header of STREAMINFO, 34 bytes long (RFC 9639,
sections 8.1 and 8.2); Ogg's first page of a stream (RFC 3533, section 6)."""


@dataclass(frozen=True)
class Ends:
    """What can be told of a file without reading it.

    Attributes:
        head: its first 1,024 bytes, or as many as there are.
        tail: its last 65,307 bytes; they may be left out of a file that is no Ogg stream.
        size: how many bytes it has.
    """

    head: bytes
    tail: bytes
    size: int


def read_ends(audio: Path | bytes) -> Ends:
    """Reads the first and the last bytes of a file, or of the bytes of one."""
    if isinstance(audio, bytes):
        return Ends(audio[:_HEAD_BYTES], audio[-_OGG_PAGE_BYTES:], len(audio))
    with audio.open("rb", buffering=0) as file:
        head = file.read(_HEAD_BYTES)
        size = file.seek(0, os.SEEK_END)
        if head[:4] != b"OggS":
            return Ends(head, b"", size)
        file.seek(max(0, size - _OGG_PAGE_BYTES))
        return Ends(head, file.read(), size)


def refuse_cut(ends: Ends) -> None:
    """Refuses files that are empty, and those that were cut short and that libsndfile would read without a word.

    Headers of these formats tell how long the file should be; the last page of an Ogg stream is marked as such
    (RFC 3533).

    Raises:
        RejectError: `empty` or `truncated`.
    """
    if not ends.size:
        raise RejectError("empty", "the file has no bytes")
    announced = _announced_size(ends.head)
    if ends.size < announced:
        raise RejectError("truncated", f"{ends.size} of {announced} bytes are there")
    if ends.head[:4] == b"OggS" and not _ends_stream(ends.tail[max(0, ends.tail.rfind(b"OggS")) :]):
        raise RejectError("truncated", "the last page of the stream is not there, or not whole")


def refuse_joined(file: BinaryIO, at: int) -> None:
    """Refuses a FLAC or Ogg file with another one in it, which decoders would drop without a word.

    Args:
        file: any file; one of another format is left alone.
        at: where it begins, behind tags of ID3v2.

    Raises:
        RejectError: `undecodable`.
    """
    file.seek(at)
    start = _STARTS.get(file.read(4))
    if start is None:
        return
    at += 4
    file.seek(at)
    while len(block := file.read(_BLOCK_BYTES)) >= _START_BYTES:
        if start.search(block):
            raise RejectError(
                "undecodable", "another file lies behind the first one, as joined files have it; split it"
            )
        at += len(block) - _START_BYTES + 1
        file.seek(at)


def _ends_stream(page: bytes) -> bool:
    """Tells whether an Ogg page is whole and the last one: a header of 27 bytes, sizes of segments, segments."""
    if len(page) < _OGG_HEADER_BYTES or not page[5] & _OGG_LAST_PAGE:
        return False
    segments = page[_OGG_HEADER_BYTES : _OGG_HEADER_BYTES + page[26]]
    return len(page) >= _OGG_HEADER_BYTES + page[26] + sum(segments)


def _announced_size(head: bytes) -> int:
    """Returns how many bytes a file should have by its header, 0 where that is not told."""

    def number(start: int, size: int, order: Literal["little", "big"]) -> int:
        value = int.from_bytes(head[start : start + size], order)
        return 0 if value == (1 << 8 * size) - 1 else value  # all ones: a stream of unknown length

    kind = head[:4]
    if kind == b"RIFF" and (inside := number(4, 4, "little")):
        return inside + 8
    if kind in (b"RIFX", b"FORM") and (inside := number(4, 4, "big")):
        return inside + 8
    if kind == b"RF64" and (inside := number(20, 8, "little")):
        return inside + 8
    if kind == b"riff":  # Sony Wave64
        return number(16, 8, "little")
    if kind == b".snd" and (inside := number(8, 4, "big")):
        return number(4, 4, "big") + inside
    return _sphere_size(head) if head.startswith(b"NIST_1A\n") else 0


def _sphere_size(head: bytes) -> int:
    """Returns how many bytes a NIST SPHERE file should have; its header is text: its own length, a field a line."""
    fields = dict(re.findall(rb"^(\w+) -\w+ (\S+)", head, re.MULTILINE))
    try:
        counts = [int(fields[name]) for name in (b"sample_count", b"sample_n_bytes", b"channel_count")]
        whole = int(head[8:16]) + math.prod(counts)
    except (KeyError, ValueError):
        return 0
    return 0 if b"," in fields.get(b"sample_coding", b"") else whole  # such as `pcm,embedded-shorten`: compressed
