import keras
import numpy as np
import pytest

from trillsson.config import LogMelSpec
from trillsson.errors import InputError
from trillsson.frontend import LogMel, fourier_kernel
from trillsson.logmel import log_mel


@pytest.fixture(scope="module")
def audio() -> np.ndarray:
    """Bursts of noise between silences, as speech has them."""
    time = np.arange(32_000) / 16_000
    noise = np.random.default_rng(0).normal(size=(2, 32_000)) * 0.2 * np.maximum(0, np.sin(2 * np.pi * 3 * time))
    return np.clip(noise, -1, 1).astype(np.float32)


@pytest.mark.parametrize("spec", [LogMelSpec(), LogMelSpec(bands=64, frame_length=320, frame_step=80, offset=1e-2)])
def test_layer_equals_the_reference(audio: np.ndarray, spec: LogMelSpec) -> None:
    ours = keras.ops.convert_to_numpy(LogMel(spec)(audio))
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, log_mel(audio, spec), atol=1e-5)


def test_a_full_scale_tone_differs_from_the_reference_by_what_float32_cannot_hold() -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(32_000) / 16_000).astype(np.float32)[None]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(LogMel()(tone)), log_mel(tone, LogMelSpec()), atol=5e-3)


def test_kernel_is_the_windowed_fourier_transform() -> None:
    frame = np.random.default_rng(1).normal(size=400)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    real, imaginary = np.split(frame @ fourier_kernel(LogMelSpec())[:, 0].astype(np.float64), 2)
    np.testing.assert_allclose(real - 1j * imaginary, np.fft.rfft(frame * window, 512), atol=1e-5)


def test_shapes_are_known_before_running() -> None:
    assert LogMel()(keras.Input((32_000,))).shape == (None, 198, 80)
    assert LogMel(LogMelSpec(bands=64))(keras.Input((None,))).shape == (None, None, 64)


def test_a_window_shorter_than_a_frame_is_refused_when_the_model_is_built() -> None:
    with pytest.raises(InputError, match="399 samples hold no frame of 400"):
        LogMel()(keras.Input((399,)))


def test_layer_has_no_weights_and_survives_its_config() -> None:
    layer = LogMel(LogMelSpec(bands=64, offset=0.01), name="front")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert layer.weights == []
    assert isinstance(again, LogMel)
    assert (again.spec, again.name) == (layer.spec, "front")


def test_layer_stays_in_float32_under_half_precision(audio: np.ndarray) -> None:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        ours = LogMel()(audio)
    finally:
        keras.config.set_dtype_policy(policy)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(ours), log_mel(audio, LogMelSpec()), atol=1e-5)
