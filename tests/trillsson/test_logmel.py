import numpy as np
import pytest

from trillsson.config import LogMelSpec
from trillsson.errors import InputError
from trillsson.logmel import frame_count, hann, log_mel, mel_weights


@pytest.fixture(scope="module")
def audio() -> np.ndarray:
    """Three windows of noise, from loud to nearly silent."""
    noise = np.random.default_rng(0).normal(size=(3, 32_000)) * [[0.3], [0.03], [0.0003]]
    return np.clip(noise, -1, 1).astype(np.float32)


@pytest.mark.parametrize(("samples", "frames"), [(400, 1), (559, 1), (560, 2), (15_600, 96), (32_000, 198)])
def test_frames_are_whole_and_not_centred(samples: int, frames: int) -> None:
    assert frame_count(samples, LogMelSpec()) == frames


def test_audio_shorter_than_a_frame_is_refused() -> None:
    with pytest.raises(InputError, match=r"^399 samples hold no frame of 400; give a longer window$"):
        log_mel(np.zeros((1, 399), np.float32), LogMelSpec())


def test_hann_window_is_periodic() -> None:
    np.testing.assert_allclose(hann(4), [0.0, 0.5, 1.0, 0.5], atol=1e-15)


@pytest.mark.parametrize(
    "spec", [LogMelSpec(), LogMelSpec(bands=64), LogMelSpec(bands=40, lowest_hz=0, highest_hz=8000, fft_length=1024)]
)
def test_mel_weights_are_those_of_tensorflow(spec: LogMelSpec) -> None:
    import tensorflow as tf

    bins = spec.fft_length // 2 + 1
    theirs = tf.signal.linear_to_mel_weight_matrix(
        spec.bands, bins, 16_000, spec.lowest_hz, spec.highest_hz, tf.float64
    )
    ours = mel_weights(spec)
    assert ours.shape == (bins, spec.bands)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-7)


def test_log_mel_is_that_of_tensorflow_in_float64(audio: np.ndarray) -> None:
    import tensorflow as tf

    spectrum = tf.abs(tf.signal.stft(tf.cast(audio, tf.float64), 400, 160, 512))
    weights = tf.signal.linear_to_mel_weight_matrix(80, 257, 16_000, 125.0, 7_500.0, tf.float64)
    expected = tf.math.log(tf.maximum(spectrum @ weights, 1e-12) + 1e-3).numpy()
    ours = log_mel(audio, LogMelSpec())
    assert ours.shape == (len(audio), 198, 80)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_silence_is_the_log_of_the_offset() -> None:
    np.testing.assert_allclose(log_mel(np.zeros((1, 400), np.float32), LogMelSpec()), np.log(1e-3), atol=1e-6)


def test_a_tone_peaks_in_the_band_that_holds_it() -> None:
    tone = np.sin(2 * np.pi * 1_000 * np.arange(16_000) / 16_000).astype(np.float32)
    # Centres lie evenly in mel from 185.2 (125 Hz) to 2774.0 (7,500 Hz): band 25 of 80 is the one nearest 1,000 Hz.
    assert (log_mel(tone[None], LogMelSpec())[0].argmax(axis=-1) == 25).all()
