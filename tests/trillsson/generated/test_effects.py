import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trillsson.generated import effects
from trillsson.generated.espeak import RATE

BIN = RATE / 1024


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture
def vowel(rng):
    """A second of a 120 Hz pulse train through one resonance at 700 Hz."""
    time = np.arange(RATE) / RATE
    ring = np.exp(-300 * time[:600]) * np.sin(2 * np.pi * 700 * time[:600])
    pulses = np.diff(np.floor(120 * time), prepend=0)
    return np.convolve(pulses, ring)[:RATE] + 1e-3 * rng.standard_normal(RATE)


def spectrum_db(signal):
    return 20 * np.log10(np.abs(effects.stft(signal))[10:-10].mean(axis=0) + 1e-9)


@given(st.integers(1, 5_000), st.integers(0, 2**31))
def test_istft_inverts_stft(samples, seed):
    signal = np.random.default_rng(seed).standard_normal(samples)
    np.testing.assert_allclose(effects.istft(effects.stft(signal), samples), signal, atol=1e-12)


def test_levinson_agrees_with_a_general_solver(vowel, rng):
    toeplitz = pytest.importorskip("scipy.linalg", reason="scipy is the independent reference")
    signals = np.stack([vowel[:2048], rng.standard_normal(2048)])
    correlation = np.stack([np.correlate(row, row, "full")[2047 : 2047 + 13] for row in signals])
    coefficients, error = effects.levinson(correlation)
    for row, solved, left in zip(correlation, coefficients, error, strict=True):
        first = row[:-1] + np.r_[row[0] * 1e-5 + 1e-10, np.zeros(11)]
        expected = toeplitz.solve_toeplitz(first, -row[1:])
        np.testing.assert_allclose(solved, [1, *expected], rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(left, first[0] + expected @ row[1:], rtol=1e-6)


def test_levinson_survives_silence():
    coefficients, error = effects.levinson(np.zeros((1, 5)))
    assert coefficients.tolist() == [[1, 0, 0, 0, 0]]
    assert error.tolist() == [1e-10]


def test_griffin_lim_keeps_magnitudes_and_not_phases(vowel, rng):
    spoofed = effects.griffin_lim(vowel, iterations=30, rng=rng)
    wanted = effects.moving_average(np.abs(effects.stft(vowel)), 9)
    got = np.abs(effects.stft(spoofed))
    assert np.linalg.norm(got - wanted) / np.linalg.norm(wanted) < 0.4
    assert abs(np.corrcoef(vowel, spoofed)[0, 1]) < 0.5
    worse = effects.griffin_lim(vowel, iterations=1, rng=np.random.default_rng(3))
    assert np.linalg.norm(np.abs(effects.stft(worse)) - wanted) > np.linalg.norm(got - wanted)


def test_lpc_vocoder_keeps_the_envelope_the_power_and_the_pitch(vowel, rng):
    spoofed = effects.lpc_vocoder(vowel, order=16, rng=rng)
    assert effects.rms(spoofed[2048:-2048]) == pytest.approx(effects.rms(vowel[2048:-2048]), rel=0.25)
    assert abs(spectrum_db(spoofed).argmax() - 700 / BIN) < 6
    correlation = np.correlate(spoofed, spoofed, "full")[RATE - 1 :]
    assert abs(100 + correlation[100:300].argmax() - RATE / 120) <= 2


def test_lpc_vocoder_whispers_where_there_is_no_pitch(rng):
    spoofed = effects.lpc_vocoder(rng.standard_normal(RATE), order=16, rng=rng)
    assert np.mean(spoofed**4) / np.mean(spoofed**2) ** 2 == pytest.approx(3, abs=0.4)  # the kurtosis of a Gaussian


def test_smear_fills_the_gaps_between_harmonics(vowel):
    def ripple(signal):
        return np.std(np.diff(spectrum_db(signal)[10:60]))

    assert ripple(effects.smear(vowel, bins=11)) < 0.6 * ripple(vowel)
    np.testing.assert_allclose(effects.smear(vowel, bins=1), vowel, atol=1e-9)


def test_slur_softens_onsets_by_its_strength(vowel):
    gated = vowel * (np.arange(RATE) % 4_000 < 2_000)

    def movement(signal):
        return np.abs(np.diff(np.log(np.abs(effects.stft(signal))[4:-8, 10:60] + 1e-2), axis=0)).mean()

    half, full = (movement(effects.slur(gated, frames=15, strength=strength)) for strength in (0.5, 1.0))
    assert full < half < movement(gated)
    np.testing.assert_allclose(effects.slur(gated, frames=15, strength=0.0), gated, atol=1e-9)


@given(st.sampled_from([1, 3, 5, 9]), st.integers(0, 2**31))
def test_moving_average_is_a_convolution(width, seed):
    row = np.random.default_rng(seed).standard_normal(40)
    expected = np.convolve(np.pad(row, width // 2, mode="edge"), np.full(width, 1 / width), "valid")
    np.testing.assert_allclose(effects.moving_average(row[None], width)[0], expected, atol=1e-12)


@pytest.mark.parametrize(("hertz", "decibels"), [(500, -3), (1_000, 0), (2_000, 3), (4_000, 6)])
def test_tilt_is_in_decibels_an_octave(hertz, decibels):
    tone = np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE) * np.hanning(RATE)
    gain = effects.rms(effects.tilt(tone, slope=3.0)) / effects.rms(tone)
    assert 20 * np.log10(gain) == pytest.approx(decibels, abs=0.01)


@given(st.floats(-5, 30), st.floats(-6, 6))
def test_noise_is_as_loud_as_asked(snr, slope):
    tone = 0.1 * np.sin(np.arange(8_000) / 5)
    noise = effects.with_noise(tone, snr=snr, slope=slope, rng=np.random.default_rng(1)) - tone
    assert 20 * np.log10(effects.rms(tone) / effects.rms(noise)) == pytest.approx(snr, abs=1e-6)
