"""Audio in, windows out: decode any common file to mono 16 kHz, cut clips, frame windows.

Samples are float32 in [-1, 1]; stored samples are little-endian int16, 32,768 to one.
"""

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from trillsson.config import SAMPLE_RATE, Framing
from trillsson.embedder import Windows
from trillsson.errors import InputError

Audio = NDArray[np.float32]
"""Mono samples at 16 kHz: shape `[samples]`, float32 in [-1, 1]."""

CLIP_SAMPLES = 30 * SAMPLE_RATE
SHORTEST_SAMPLES = SAMPLE_RATE // 10
"""A clip under 0.1 s is a reject: it holds less than eight log-mel frames."""

EXTENSIONS = frozenset({".wav", ".flac", ".ogg", ".mp3"})
_BLOCK_SECONDS = 30
_PCM_SCALE = 32_768.0


class RejectError(Exception):
    """An input that becomes a reject: `reason` is a counter's name, `detail` says more about this one."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def decode(file: BinaryIO) -> Audio:
    """Decodes a whole file to mono 16 kHz, block by block, so that memory holds the result and one block.

    Args:
        file: a seekable binary file in any format libsndfile reads, at any rate, channels and bit depth.

    Returns:
        `[samples]` float32. Channels are averaged; samples beyond full scale are clipped to [-1, 1].

    Raises:
        RejectError: `undecodable`, `truncated` or `non_finite`.
    """
    import soundfile

    _refuse_cut_wav(file)
    try:
        with soundfile.SoundFile(file) as sound:
            announced = sound.frames
            blocks = list(_resampled_blocks(sound))
            if sound.tell() < announced:
                raise RejectError("truncated", f"{sound.tell()} of {announced} frames could be read")
    except (soundfile.SoundFileError, RuntimeError) as error:
        # libsndfile's message names the object it read, which differs from run to run.
        raise RejectError("undecodable", " ".join(str(error).rpartition(">: ")[2].split())) from error
    return np.clip(np.concatenate(blocks), -1.0, 1.0) if blocks else np.zeros(0, np.float32)


def _refuse_cut_wav(file: BinaryIO) -> None:
    """Libsndfile reads a WAV that was cut short without a word; its header tells how long it should be."""
    head = file.read(8)
    size = file.seek(0, 2)
    file.seek(0)
    announced = int.from_bytes(head[4:], "little") + 8
    if head[:4] == b"RIFF" and size < announced <= 0xFFFF_FFFF:  # a larger one stands for a stream of unknown length
        raise RejectError("truncated", f"{size} of {announced} bytes are there")


def _resampled_blocks(sound: "soundfile.SoundFile") -> Iterator[Audio]:  # type: ignore[name-defined]  # noqa: F821
    import soxr

    size = _BLOCK_SECONDS * sound.samplerate
    average = np.full(sound.channels, 1.0 / sound.channels, np.float32)
    resampler = soxr.ResampleStream(sound.samplerate, SAMPLE_RATE, 1, dtype="float32")
    while True:
        block = sound.read(size, dtype="float32", always_2d=True)
        if not np.isfinite(block).all():
            raise RejectError("non_finite", "the samples hold NaN or infinity")
        last = len(block) < size
        # A matrix product: `.mean(axis=1)` takes six times as long, more than decoding FLAC.
        mono = block @ average if sound.channels > 1 else block[:, 0]
        yield mono if sound.samplerate == SAMPLE_RATE else resampler.resample_chunk(mono, last=last)
        if last:
            return


def clip_starts(samples: int) -> range:
    """Returns the start of every clip of a file: one each 30 s, at least one.

    What is left at the end must be long enough for a clip; under 0.1 s it is left out.
    """
    return range(0, max(samples - SHORTEST_SAMPLES + 1, 1), CLIP_SAMPLES)


def to_pcm16(audio: Audio) -> bytes:
    """Encodes float32 samples in [-1, 1] as little-endian int16; full scale is clipped to 32,767."""
    samples: NDArray[np.int16] = np.clip(np.rint(audio * _PCM_SCALE), -32_768, 32_767).astype("<i2")
    return samples.tobytes()


def from_pcm16(pcm: bytes) -> Audio:
    """Decodes little-endian int16 bytes to float32 in [-1, 1): the inverse of `to_pcm16`."""
    return np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(_PCM_SCALE)


def window_count(samples: int, framing: Framing) -> int:
    """Returns how many windows `framing` cuts from `samples` samples: at least one."""
    beyond = max(0, samples - framing.window)
    whole = beyond // framing.hop
    return 1 + (whole if framing.tail == "drop" else -(-beyond // framing.hop))


def frame(audio: Audio, framing: Framing) -> Windows:
    """Cuts `[samples]` into `[n, window]` float32 windows on the framing's grid.

    Raises:
        InputError: the audio is empty or not one-dimensional.
    """
    if audio.ndim != 1 or not audio.size:
        raise InputError(f"audio has shape {audio.shape}; give one non-empty row of 16 kHz samples")
    windows = np.zeros((window_count(audio.size, framing), framing.window), np.float32)
    for number, window in enumerate(windows):
        start = number * framing.hop
        real = audio[start : start + framing.window]
        window[: real.size] = real
        if framing.padding == "symmetric" and real.size < framing.window:
            positions = np.arange(start + real.size, start + framing.window)
            window[real.size :] = audio[mirrored(positions, audio.size)]
    return windows


def mirrored(positions: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Maps positions beyond the end to those of the signal mirrored there, again and again (numpy's `symmetric`)."""
    phase = positions % (2 * size)
    return np.where(phase < size, phase, 2 * size - 1 - phase)
