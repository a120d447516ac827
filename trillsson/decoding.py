"""Decodes any common audio to mono 16 kHz int16, block by block, in memory that does not depend on its length."""

import math
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from trillsson.audio import UNSUPPORTED, RejectError
from trillsson.config import SAMPLE_RATE
from trillsson.storage import explain_os_errors

BLOCK_SECONDS = 30
"""Seconds decoded at once: a clip's length, so that most clips lie in one block and are not copied."""

_BLOCKS_IN_MEMORY = 8
"""Blocks, 4 minutes in 8 MB, beyond which a recording waits in a temporary file."""

_FULL_SCALE = 32_768
_HEAD_BYTES = 1_024
_OGG_PAGE_BYTES = 65_307
"""The largest page of an Ogg stream."""

_OGG_HEADER_BYTES = 27
_OGG_LAST_PAGE = 4

Block = NDArray[np.int16]


@dataclass(frozen=True)
class Samples:
    """Audio that is decoded already: `[samples]` or `[samples, channels]`, int16 or float32 in [-1, 1], and its Hz."""

    array: NDArray[np.int16] | NDArray[np.float32]
    rate: int


class Decoded:
    """A decoded recording: mono 16 kHz int16. A long one lies in a temporary file; `close` it.

    Attributes:
        samples: its length.
    """

    def __init__(self) -> None:
        self.samples = 0
        self._blocks: list[Block] = []
        self._file: IO[bytes] | None = None

    def append(self, block: Block) -> None:
        """Adds samples at the end."""
        self.samples += block.size
        if self._file is None and len(self._blocks) < _BLOCKS_IN_MEMORY:
            self._blocks.append(block)
            return
        with explain_os_errors("write", Path(tempfile.gettempdir())):
            self._spill(block)

    def _spill(self, block: Block) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="trillsson-")  # noqa: SIM115  # `close` closes it
            for earlier in self._blocks:
                self._file.write(earlier.data)
            self._blocks = []
        self._file.write(block.data)

    def read(self, start: int, stop: int) -> Block:
        """Returns the samples from `start` to `stop`."""
        if self._file is not None:
            self._file.seek(2 * start)
            return np.frombuffer(self._file.read(2 * (stop - start)), np.int16)
        parts, at = [], 0
        for block in self._blocks:
            part = block[max(start - at, 0) : max(stop - at, 0)]
            if part.size:
                parts.append(part)
            at += block.size
        return parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, np.int16), *parts])

    def close(self) -> None:
        """Removes the temporary file, if there is one."""
        if self._file is not None:
            self._file.close()


def decode(audio: Path | bytes | Samples) -> Decoded:
    """Decodes audio in any format that libsndfile reads, at any rate, with any channels and bit depth.

    Channels are averaged; samples beyond full scale are clipped. Mono 16-bit audio at 16 kHz keeps every bit.

    Args:
        audio: a local file, the bytes of one, or samples.

    Raises:
        RejectError: `empty`, `unsupported`, `undecodable`, `truncated` or `non_finite`. A recording is whole, or it is
            a reject.
    """
    recording = Decoded()
    try:
        for block in _sample_blocks(audio) if isinstance(audio, Samples) else _file_blocks(audio):
            recording.append(block)
    except BaseException:
        recording.close()
        raise
    return recording


def _sample_blocks(audio: Samples) -> Iterator[Block]:
    array = audio.array if audio.array.ndim > 1 else audio.array[:, None]
    size = BLOCK_SECONDS * audio.rate
    convert = _Converter(audio.rate, array.shape[1], whole=array.dtype == np.int16)
    for start in range(0, max(len(array), 1), size):
        yield convert(array[start : start + size], last=start + size >= len(array))


def _file_blocks(audio: Path | bytes) -> Iterator[Block]:
    import soundfile

    _refuse_cut(audio)
    try:
        with soundfile.SoundFile(str(audio) if isinstance(audio, Path) else BytesIO(audio)) as sound:
            whole = sound.subtype == "PCM_16"
            size = BLOCK_SECONDS * sound.samplerate
            convert = _Converter(sound.samplerate, sound.channels, whole=whole)
            last = False
            while not last:
                # Integers where the file has them: it takes an eighth of the time of floats for WAV.
                block = sound.read(size, dtype="int16" if whole else "float32", always_2d=True)
                last = len(block) < size
                yield convert(block, last=last)
            if sound.tell() < sound.frames:
                raise RejectError("truncated", f"{sound.tell()} of {sound.frames} frames could be read")
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise _unreadable(audio, error) from error


def _unreadable(audio: Path | bytes, error: Exception) -> RejectError:
    """Returns the reject of a file that libsndfile refuses."""
    kind = audio.suffix.lower() if isinstance(audio, Path) else ""
    if kind in UNSUPPORTED:
        fix = "convert it with ffmpeg to .flac, or to .wav, .aiff, .mp3, .ogg or .opus"
        return RejectError("unsupported", f"{kind} is not read; {fix}")
    # libsndfile's message names the object it read, which differs from run to run.
    return RejectError("undecodable", " ".join(str(error).rpartition(": ")[2].split()))


def _refuse_cut(audio: Path | bytes) -> None:
    """Refuses files that are empty, and those that were cut short and that libsndfile would read without a word.

    Headers of these formats tell how long the file should be; the last page of an Ogg stream is marked as such
    (RFC 3533).
    """
    if isinstance(audio, Path):
        size = audio.stat().st_size
        with audio.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            file.seek(max(0, size - _OGG_PAGE_BYTES))
            tail = file.read() if head[:4] == b"OggS" else b""
    else:
        head, tail, size = audio[:_HEAD_BYTES], audio[-_OGG_PAGE_BYTES:], len(audio)
    if not size:
        raise RejectError("empty", "the file has no bytes")
    announced = _announced_size(head)
    if size < announced:
        raise RejectError("truncated", f"{size} of {announced} bytes are there")
    if head[:4] == b"OggS" and not _ends_stream(tail[max(0, tail.rfind(b"OggS")) :]):
        raise RejectError("truncated", "the last page of the stream is not there, or not whole")


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


class _Converter:
    """Turns blocks of `[samples, channels]` into mono 16 kHz int16; remembers what the resampler has not given yet."""

    def __init__(self, rate: int, channels: int, *, whole: bool) -> None:
        self._as_it_is = whole and channels == 1 and rate == SAMPLE_RATE
        self._scale = np.float32(1 if whole else _FULL_SCALE) / np.float32(channels)
        self._resampler: Any = None
        if rate != SAMPLE_RATE:
            import soxr

            self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32")

    def __call__(self, block: NDArray[Any], *, last: bool) -> Block:
        if self._as_it_is:
            return np.ascontiguousarray(block[:, 0])
        if not np.isfinite(block).all():
            raise RejectError("non_finite", "the samples hold NaN or infinity")
        # Channel by channel: `.mean(axis=1)` takes ten times as long, more than decoding FLAC, and the threads of a
        # matrix product spin on for longer than it takes.
        samples = block.astype(np.float32, copy=False)
        mono = samples[:, 0]
        for channel in range(1, block.shape[1]):
            mono = mono + samples[:, channel]
        if self._resampler is not None:
            mono = self._resampler.resample_chunk(np.ascontiguousarray(mono), last=last)
        scaled = mono * self._scale
        np.rint(scaled, out=scaled)
        return np.clip(scaled, -32_768, 32_767, out=scaled).astype("<i2")
