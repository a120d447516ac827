"""The log-mel front end in numpy, in float64 as the original computes it: the reference for every other version.

Parameters and formulas are the original system's (google-research, `export_model/tf_frontend.py`): periodic Hann
frames without centring, magnitude spectrum, HTK mel triangles, natural logarithm.
"""

import numpy as np
from numpy.typing import NDArray

from trillsson.config import SAMPLE_RATE, LogMelSpec
from trillsson.embedder import Windows
from trillsson.errors import InputError

LogMels = NDArray[np.float32]
"""Log-mel energies: shape `[n, frames, bands]`, float32; silence is `log(offset)`, -6.9 by default."""

MEL_FLOOR = 1e-12
"""The original's floor under a mel band, applied before the offset is added."""

TYPICAL_MEAN, TYPICAL_STD = -2.5, 2.0
"""Of the log-mels of LibriSpeech at the default offset (measured on 100 clips): scales a network's input to about 1."""


def frame_count(samples: int, spec: LogMelSpec) -> int:
    """Returns how many whole frames fit in `samples` samples: 198 in 2 s.

    Raises:
        InputError: not even one frame fits.
    """
    if samples < spec.frame_length:
        raise InputError(f"{samples} samples hold no frame of {spec.frame_length}; give a longer window")
    return 1 + (samples - spec.frame_length) // spec.frame_step


def hann(length: int) -> NDArray[np.float64]:
    """Returns the periodic Hann window, `tf.signal.hann_window`'s default: `[length]` float64."""
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(length) / length)


def hertz_to_mel(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Maps Hz to mel by HTK's formula, `1127 ln(1 + f / 700)`."""
    return 1127.0 * np.log1p(hertz / 700.0)


def mel_weights(spec: LogMelSpec) -> NDArray[np.float32]:
    """Returns the mel triangles, `[fft_length // 2 + 1, bands]` float32.

    The same numbers as `tf.signal.linear_to_mel_weight_matrix`: triangles in mel, of height 1, that leave out the
    DC bin as HTK does.
    """
    bins = hertz_to_mel(np.linspace(0.0, SAMPLE_RATE / 2, spec.fft_length // 2 + 1))[1:, None]
    lowest, highest = hertz_to_mel(np.array([spec.lowest_hz, spec.highest_hz]))
    edges = np.linspace(lowest, highest, spec.bands + 2)
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    triangles = np.minimum((bins - lower) / (centre - lower), (upper - bins) / (upper - centre))
    return np.pad(np.maximum(triangles, 0.0), ((1, 0), (0, 0))).astype(np.float32)


def log_mel(windows: Windows, spec: LogMelSpec) -> LogMels:
    """Computes log-mel energies, `[n, samples]` float32 to `[n, frames, bands]` float32.

    Raises:
        InputError: a window is shorter than one frame.
    """
    frames = frame_count(windows.shape[1], spec)
    cut = np.lib.stride_tricks.sliding_window_view(windows, spec.frame_length, axis=1)[:, :: spec.frame_step]
    # float64: next to a loud tone, float32 rounding is as large as the offset that the logarithm rests on.
    magnitude = np.abs(np.fft.rfft(cut * hann(spec.frame_length), spec.fft_length))
    mel = magnitude.reshape(len(windows) * frames, -1) @ mel_weights(spec).astype(np.float64)
    levels = np.log(np.maximum(mel, MEL_FLOOR) + spec.offset)
    return np.asarray(levels.reshape(len(windows), frames, spec.bands), np.float32)
