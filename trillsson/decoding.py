"""Decodes any common audio to mono 16 kHz int16, block by block, in memory that does not depend on its length."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from trillsson.audio import UNSUPPORTED, RejectError
from trillsson.completeness import read_ends, refuse_cut, refuse_joined
from trillsson.config import SAMPLE_RATE
from trillsson.flac import FlacError, FlacInfo, flac_blocks, parse_flac_info
from trillsson.mpeg import MpegStream, after_id3, find_mpeg, may_be_mpeg, mpeg_blocks
from trillsson.storage import explain_os_errors

BLOCK_SECONDS = 30
"""Seconds decoded at once: a clip's length, so that most clips lie in one block and are not copied."""

_BLOCKS_IN_MEMORY = 8
"""Blocks, 4 minutes in 8 MB, beyond which a recording waits in a temporary file."""

_COPY_BYTES = 1 << 20
_FULL_SCALE = 32_768

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
    if isinstance(audio, Samples):
        return _collected(_sample_blocks(audio))
    ends = read_ends(audio)
    info = parse_flac_info(ends.head)
    with _opened(audio) as file:
        refuse_joined(file, after_id3(file))
        if info and not info.samples:
            raise RejectError(
                "undecodable", "its header does not tell its length, as of FLAC from a pipe; encode it anew"
            )
        if isinstance(audio, Path) and info and info.bits == 16:
            with contextlib.suppress(FlacError):
                return _collected(_flac_blocks(audio, info))
        refuse_cut(ends)
        stream = find_mpeg(file) if may_be_mpeg(ends.head) else None
    if stream:
        with _on_disk(audio, stream.start, stream.end) as path:
            return _collected(_mpeg_blocks(path, stream))
    return _collected(_file_blocks(audio))


def _collected(blocks: Iterator[Block]) -> Decoded:
    recording = Decoded()
    try:
        for block in blocks:
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


def _flac_blocks(path: Path, info: FlacInfo) -> Iterator[Block]:
    convert = _Converter(info.rate, info.channels, whole=True)
    left = info.samples
    for block in flac_blocks(path, info, size=BLOCK_SECONDS * info.rate):
        left -= len(block)
        yield convert(block, last=left <= 0)


def _mpeg_blocks(path: Path, stream: MpegStream) -> Iterator[Block]:
    convert = _Converter(stream.rate, stream.channels, whole=True)
    for block in mpeg_blocks(path, stream, size=BLOCK_SECONDS * stream.rate):
        yield convert(block, last=False)
    yield convert(np.zeros((0, stream.channels), np.int16), last=True)


def _opened(audio: Path | bytes) -> BinaryIO:
    return BytesIO(audio) if isinstance(audio, bytes) else audio.open("rb")


@contextlib.contextmanager
def _on_disk(audio: Path | bytes, start: int, end: int) -> Iterator[Path]:
    """Gives the path of a file with these bytes of it: itself, or a temporary one."""
    if isinstance(audio, Path) and (start, end) == (0, audio.stat().st_size):
        yield audio
        return
    with contextlib.ExitStack() as stack:
        with explain_os_errors("write", Path(tempfile.gettempdir())):
            copy = stack.enter_context(tempfile.NamedTemporaryFile(prefix="trillsson-"))
            with _opened(audio) as file:
                file.seek(start)
                while file.tell() < end and (block := file.read(min(end - file.tell(), _COPY_BYTES))):
                    copy.write(block)
            copy.flush()
        yield Path(copy.name)


def _file_blocks(audio: Path | bytes) -> Iterator[Block]:
    import soundfile

    try:
        with soundfile.SoundFile(str(audio) if isinstance(audio, Path) else BytesIO(audio)) as sound:
            if sound.subtype.startswith("MPEG"):
                told = "its frames cannot be found: they are of a free format, or damaged, or too few"
                raise RejectError("undecodable", f"{told}; convert it with ffmpeg")
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


class _Converter:
    """Turns blocks of `[samples, channels]` into mono 16 kHz int16; remembers what the resampler has not given yet."""

    def __init__(self, rate: int, channels: int, *, whole: bool) -> None:
        self._step = rate
        self._as_it_is = whole and channels == 1 and rate == SAMPLE_RATE
        self._scale = np.float32(1 if whole else _FULL_SCALE) / np.float32(channels)
        self._resampler: Any = None
        if rate != SAMPLE_RATE:
            import soxr

            self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32")

    def __call__(self, block: NDArray[Any], *, last: bool) -> Block:
        if self._as_it_is:
            return np.ascontiguousarray(block[:, 0])
        if block.dtype.kind == "f" and not np.isfinite(block).all():
            raise RejectError("non_finite", "the samples hold NaN or infinity")
        # Second by second, which stays in the processor's cache: half a minute at once takes a third longer.
        starts = range(0, max(len(block), 1), self._step)
        return np.concatenate(
            [self._converted(block[at : at + self._step], last=last and at == starts[-1]) for at in starts]
        )

    def _converted(self, block: NDArray[Any], *, last: bool) -> Block:
        # Channel by channel: `.mean(axis=1)` takes ten times as long, more than decoding FLAC, and the threads of a
        # matrix product spin on for longer than it takes.
        samples = block.astype(np.float32, copy=False)
        mono = samples[:, 0]
        for channel in range(1, block.shape[1]):
            mono = mono + samples[:, channel]
        if self._resampler is None:
            scaled = mono * self._scale
        else:
            scaled = self._resampler.resample_chunk(np.ascontiguousarray(mono), last=last)
            scaled *= self._scale
        np.rint(scaled, out=scaled)
        return np.clip(scaled, -32_768, 32_767, out=scaled).astype("<i2")
