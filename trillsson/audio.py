"""Clips and windows: where a recording is cut, how samples are stored, how windows are framed.

Samples are float32 in [-1, 1]; stored samples are little-endian int16, 32,768 to one.
"""

import posixpath
from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from trillsson.config import SAMPLE_RATE, Framing
from trillsson.embedder import Windows
from trillsson.errors import InputError

Audio = NDArray[np.float32]
"""Mono samples at 16 kHz: shape `[samples]`, float32 in [-1, 1]."""

SampleT = TypeVar("SampleT", np.float32, np.int16)

CLIP_SAMPLES = 30 * SAMPLE_RATE
SHORTEST_SAMPLES = SAMPLE_RATE // 10
"""A clip under 0.1 s is a reject: it holds less than eight log-mel frames."""

EXTENSIONS = frozenset({
    ".aif", ".aifc", ".aiff", ".au", ".bwf", ".caf", ".flac", ".mp2", ".mp3", ".mpga", ".oga", ".ogg", ".opus", ".rf64",
    ".snd", ".sph", ".w64", ".wav", ".wave",
})  # fmt: skip
"""Extensions of audio that libsndfile reads."""

UNSUPPORTED = frozenset({
    ".3gp", ".aac", ".ac3", ".amr", ".ape", ".m4a", ".m4b", ".mka", ".mp4", ".spx", ".webm", ".wma", ".wv",
})  # fmt: skip
"""Extensions of audio that it does not read: such a file is a reject `unsupported`, not something that is no audio."""

PCM_SCALE = 32_768.0
"""What an int16 sample is divided by."""


class RejectError(Exception):
    """An input that becomes a reject: `reason` is a counter's name, `detail` says more about this one."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def is_audio(path: str) -> bool:
    """Tells by its name whether a file is audio, of a kind that can be read or not."""
    return posixpath.splitext(path)[1].lower() in EXTENSIONS | UNSUPPORTED and not is_leftover(path)


def is_leftover(path: str) -> bool:
    """Tells whether a file is what macOS leaves in archives beside each file: `._<name>`, which holds no audio."""
    return posixpath.basename(path).startswith("._")


def clip_starts(samples: int) -> range:
    """Returns the start of every clip of a file: one each 30 s, at least one.

    What is left at the end must be long enough for a clip; under 0.1 s it is left out.
    """
    return range(0, max(samples - SHORTEST_SAMPLES + 1, 1), CLIP_SAMPLES)


def cut(samples: int, segments: Sequence[tuple[float, float]] | None) -> list[tuple[int, int]]:
    """Returns the start and the end of every clip of a recording, in samples.

    Args:
        samples: length of the recording at 16 kHz.
        segments: starts and ends in seconds of the parts that are wanted; None for all of it. Parts, or ends of
            parts, beyond the recording's end are left out. One of over 30 s becomes several clips.
    """
    parts = [(0, samples)]
    if segments is not None:
        parts = [(round(start * SAMPLE_RATE), min(round(end * SAMPLE_RATE), samples)) for start, end in segments]
    return [
        (start + offset, min(start + offset + CLIP_SAMPLES, end))
        for start, end in parts
        if end > start or segments is None
        for offset in clip_starts(end - start)
    ]


def to_pcm16(audio: Audio) -> bytes:
    """Encodes float32 samples in [-1, 1] as little-endian int16; full scale is clipped to 32,767."""
    samples: NDArray[np.int16] = np.clip(np.rint(audio * PCM_SCALE), -32_768, 32_767).astype("<i2")
    return samples.tobytes()


def from_pcm16(pcm: bytes) -> Audio:
    """Decodes little-endian int16 bytes to float32 in [-1, 1): the inverse of `to_pcm16`."""
    return np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(PCM_SCALE)


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
    windows = np.empty((window_count(audio.size, framing), framing.window), np.float32)
    fill_windows(windows, audio, framing)
    return windows


def fill_windows(
    rows: Iterable[NDArray[SampleT]], audio: NDArray[SampleT], framing: Framing, *, first: int = 0
) -> None:
    """Writes windows into rows that are there already, as `frame` cuts them.

    Args:
        rows: one `[window]` array for each window that is wanted.
        audio: `[samples]`, at least one.
        framing: how it is cut.
        first: number of the window that goes into the first row.
    """
    for number, row in enumerate(rows, first):
        start = number * framing.hop
        real = audio[start : start + framing.window]
        row[: real.size] = real
        if real.size == framing.window:
            continue
        if framing.padding == "constant":
            row[real.size :] = 0
        else:
            positions = np.arange(start + real.size, start + framing.window)
            row[real.size :] = audio[mirrored(positions, audio.size)]


def mirrored(positions: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Maps positions beyond the end to those of the signal mirrored there, again and again (numpy's `symmetric`)."""
    phase = positions % (2 * size)
    return np.where(phase < size, phase, 2 * size - 1 - phase)
