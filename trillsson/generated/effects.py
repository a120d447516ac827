"""What is done to speech after it is spoken: re-synthesis, slurring, the channel and the noise.

Pure functions of numpy arrays. Signals are `[samples]` float64 at 22,050 Hz; every result has the length of its input.
"""

import numpy as np
from numpy.typing import NDArray

from trillsson.generated.espeak import RATE

Signal = NDArray[np.float64]
Spectrum = NDArray[np.complex128]

_FFT = 1024
_HOP = _FFT // 4
_TINY = 1e-10


def stft(signal: Signal) -> Spectrum:
    """Returns the short-time Fourier transform `[frames, 513]`: Hann windows of 46 ms, a quarter apart."""
    padded = np.pad(signal, (_FFT, _FFT + -len(signal) % _HOP))
    return np.fft.rfft(np.lib.stride_tricks.sliding_window_view(padded, _FFT)[::_HOP] * _hann())


def istft(spectrum: Spectrum, samples: int) -> Signal:
    """Returns the `samples` whose `stft` is nearest to `spectrum` (Griffin and Lim, 1984, equation 6)."""
    frames = np.fft.irfft(spectrum) * _hann()
    overlap = _FFT // _HOP
    blocks = np.zeros((len(frames) + overlap - 1, _HOP))
    for part in range(overlap):
        blocks[part : part + len(frames)] += frames[:, part * _HOP : (part + 1) * _HOP]
    # Squared Hann windows a quarter apart add up to 3 / 2.
    return blocks.ravel()[_FFT : _FFT + samples] / 1.5


def griffin_lim(signal: Signal, *, iterations: int, rng: np.random.Generator) -> Signal:
    """Finds new phases, from random ones, for the magnitudes of the spectrum (Griffin and Lim, 1984).

    The magnitudes are averaged over 194 Hz first, as synthesisers that pass through mel bands blur them.
    """
    magnitude = moving_average(np.abs(stft(signal)), 9)
    phase = np.exp(2j * np.pi * rng.random(magnitude.shape))
    for _ in range(iterations):
        guess = stft(istft(magnitude * phase, len(signal)))
        phase = guess / np.maximum(np.abs(guess), _TINY)
    return istft(magnitude * phase, len(signal))


def lpc_vocoder(signal: Signal, *, order: int, rng: np.random.Generator) -> Signal:
    """Speaks again through an all-pole filter driven by pulses at the pitch, or by noise where there is none."""
    power = np.abs(stft(signal)) ** 2
    correlation = np.fft.irfft(power)
    coefficients, error = levinson(correlation[:, : order + 1])
    gain = np.sqrt(np.maximum(error, 0) / np.sum(_hann() ** 2))
    filters = gain[:, None] / np.maximum(np.abs(np.fft.rfft(coefficients, _FFT)), _TINY)
    return istft(stft(_excitation(correlation, len(signal), rng=rng)) * filters, len(signal))


def levinson(correlation: Signal) -> tuple[Signal, Signal]:
    """Solves for linear prediction, every row by itself (Levinson and Durbin's recursion).

    Args:
        correlation: `[frames, order + 1]`, lags 0 to order.

    Returns:
        The coefficients `[frames, order + 1]`, the first of them 1, and the energy `[frames]` of the error.
    """
    frames, lags = correlation.shape
    coefficients = np.zeros((frames, lags))
    coefficients[:, 0] = 1
    # White noise 50 dB down keeps the recursion stable in frames of silence.
    error = correlation[:, 0] * (1 + 1e-5) + _TINY
    for step in range(1, lags):
        reflection = -np.sum(coefficients[:, :step] * correlation[:, step:0:-1], axis=1) / error
        coefficients[:, 1 : step + 1] += reflection[:, None] * coefficients[:, step - 1 :: -1]
        error = error * (1 - reflection**2)
    return coefficients, error


def _excitation(correlation: Signal, samples: int, *, rng: np.random.Generator) -> Signal:
    """Unit-power pulses at the pitch that the correlation `[frames, lags]` shows, noise where it shows none."""
    shortest, longest = RATE // 400, RATE // 60
    peaks = correlation[:, shortest:longest]
    voiced = peaks.max(axis=1) > 0.4 * correlation[:, 0] + _TINY
    frame = (np.arange(samples) + _FFT // 2 + _HOP // 2) // _HOP  # the frame whose middle is nearest
    period = (peaks.argmax(axis=1) + shortest)[frame]
    cycles = np.cumsum(1 / period)
    pulses = np.diff(np.floor(cycles), prepend=0) * np.sqrt(period)
    return np.where(voiced[frame], pulses, rng.standard_normal(samples))


def smear(signal: Signal, *, bins: int) -> Signal:
    """Averages the magnitudes of the spectrum over `bins` neighbouring bins of 21.5 Hz, and keeps the phases."""
    spectrum = stft(signal)
    magnitude = np.abs(spectrum)
    return istft(spectrum * moving_average(magnitude, bins) / np.maximum(magnitude, _TINY), len(signal))


def slur(signal: Signal, *, frames: int, strength: float) -> Signal:
    """Smooths the spectral envelope over `frames` of 11.6 ms, as slow articulators would.

    Args:
        signal: `[samples]`.
        frames: odd.
        strength: 0 leaves the speech as it is, 1 puts the smooth envelope in place of its own.
    """
    spectrum = stft(signal)
    floor = 1e-3 * np.abs(spectrum).max() + _TINY
    envelope = moving_average(np.log(np.abs(spectrum) + floor), 15)
    smooth = moving_average(envelope.T, frames).T
    return istft(spectrum * np.exp(strength * (smooth - envelope)), len(signal))


def moving_average(rows: Signal, width: int) -> Signal:
    """Averages `[n, columns]` over `width` (odd) neighbouring columns; the edges are repeated."""
    padded = np.pad(rows, ((0, 0), (width // 2 + 1, width // 2)), mode="edge")
    total = np.cumsum(padded, axis=1)
    return (total[:, width:] - total[:, :-width]) / width


def tilt(signal: Signal, *, slope: float) -> Signal:
    """Tilts the spectrum by `slope` dB an octave around 1 kHz; it is level below 100 Hz."""
    size = len(signal) + _FFT + -len(signal) % _FFT  # room for the filter to ring, and a fast length
    frequency = np.maximum(np.fft.rfftfreq(size, 1 / RATE), 100)
    decibels = slope * np.log2(frequency / 1_000)
    return np.fft.irfft(np.fft.rfft(signal, size) * 10 ** (decibels / 20), size)[: len(signal)]


def with_noise(signal: Signal, *, snr: float, slope: float, rng: np.random.Generator) -> Signal:
    """Adds noise tilted by `slope` dB an octave, `snr` dB below the signal in power."""
    noise = tilt(rng.standard_normal(len(signal)), slope=slope)
    return signal + noise * rms(signal) / max(rms(noise), _TINY) * 10 ** (-snr / 20)


def rms(signal: Signal) -> float:
    """Returns the root of the mean square."""
    return float(np.sqrt(np.mean(signal**2)))


def _hann() -> Signal:
    return np.hanning(_FFT + 1)[:-1]
