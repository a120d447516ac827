import random
from pathlib import Path

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from trillsson.config import LogMelSpec
from trillsson.errors import InputError
from trillsson.logmel import log_mel
from trillsson.students import build_student
from trillsson.training.export import write_tflite


@pytest.fixture(scope="module")
def trillsson1() -> keras.Model:
    return build_student("trillsson1", dim=1024, window=32_000, seed=1)


@pytest.fixture(scope="module")
def windows() -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=(3, 32_000)) * [[0.3], [0.05], [0.01]]
    return np.clip(noise, -1, 1).astype(np.float32)


def tiny_nano(*, seed: int = 1, window: int = 32_000) -> keras.Model:
    return build_student("nano", dim=16, window=window, seed=seed)


def test_trillsson1_has_the_size_of_the_papers_smallest_student(trillsson1: keras.Model) -> None:
    assert trillsson1.count_params() == 5_360_735
    assert 21e6 < 4 * trillsson1.count_params() < 23e6


def test_nano_is_small_beside_its_last_layer() -> None:
    nano = build_student("nano", dim=1024, window=32_000, seed=1)
    assert nano.count_params() == 646_144
    assert nano.count_params() - nano.get_layer("embedding").count_params() == 382_976


def test_students_take_waveforms_and_return_embeddings(trillsson1: keras.Model, windows: np.ndarray) -> None:
    for student, dim in ((trillsson1, 1024), (tiny_nano(), 16)):
        assert [(each.name, each.shape, each.dtype) for each in student.inputs] == [
            ("waveform", (None, 32_000), "float32")
        ]
        assert student.output_shape == (None, dim)
        assert student.layers[-1].name == "embedding"
        assert np.isfinite(student.predict_on_batch(windows)).all()


def test_the_seed_alone_decides_the_weights() -> None:
    keras.utils.set_random_seed(3)
    first = tiny_nano().get_weights()
    keras.utils.set_random_seed(4)
    before = random.getstate()
    again, other = tiny_nano().get_weights(), tiny_nano(seed=2).get_weights()
    assert random.getstate() == before
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_trillsson1_is_seeded_to_its_last_layer(trillsson1: keras.Model) -> None:
    # Weights, not answers: those of an untrained network are so small that the order of sums decides them.
    again = build_student("trillsson1", dim=1024, window=32_000, seed=1)
    for one, other in zip(again.get_weights(), trillsson1.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_efficientnet_sees_log_mels_not_pixels(trillsson1: keras.Model, windows: np.ndarray) -> None:
    net = trillsson1.get_layer("efficientnetb0")
    to_image = keras.Model(trillsson1.inputs, trillsson1.get_layer("undo_pixel_scale").output)
    to_stem = keras.Model(net.inputs, net.get_layer("stem_conv_pad").output)
    seen = to_stem.predict_on_batch(to_image.predict_on_batch(windows))[:, 1:196, :80, 0]
    np.testing.assert_allclose(seen, (log_mel(windows, LogMelSpec())[:, :195] + 2.5) / 2, atol=1e-4)
    assert 0.5 < seen.std() < 2


def test_batch_norms_settle_within_a_short_training(trillsson1: keras.Model) -> None:
    for layers in (trillsson1.get_layer("efficientnetb0").layers, tiny_nano().layers):
        momenta = {layer.momentum for layer in layers if isinstance(layer, keras.layers.BatchNormalization)}
        assert momenta == {0.9}


def test_nano_learns(windows: np.ndarray) -> None:
    nano = tiny_nano()
    nano.compile(keras.optimizers.Adam(3e-3), "mse")
    targets = np.random.default_rng(1).normal(size=(3, 16)).astype(np.float32)
    losses = [nano.train_on_batch(windows, targets) for _ in range(15)]
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.parametrize(("window", "frames"), [(400, 1), (16_000, 98), (32_000, 195), (48_000, 195)])
def test_a_patch_has_as_many_frames_as_fit_up_to_195(window: int, frames: int) -> None:
    assert tiny_nano(window=window).get_layer("stem").input.shape == (None, frames, 80)


def test_student_survives_saving(tmp_path: Path, windows: np.ndarray) -> None:
    nano = tiny_nano()
    nano.save(tmp_path / "nano.keras")
    again = keras.saving.load_model(tmp_path / "nano.keras")
    np.testing.assert_array_equal(again.predict_on_batch(windows), nano.predict_on_batch(windows))


def test_embedding_is_float32_under_half_precision(windows: np.ndarray) -> None:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        embeddings = tiny_nano().predict_on_batch(windows)
    finally:
        keras.config.set_dtype_policy(policy)
    assert embeddings.dtype == np.float32


@pytest.mark.parametrize("architecture", ["nano", pytest.param("trillsson1", marks=pytest.mark.slow)])
def test_tflite_of_builtin_ops_equals_keras(
    architecture: str, trillsson1: keras.Model, windows: np.ndarray, tmp_path: Path
) -> None:
    student = tiny_nano() if architecture == "nano" else trillsson1
    write_tflite(student, tmp_path / "model.tflite", window=32_000)
    interpreter = Interpreter(str(tmp_path / "model.tflite"), num_threads=1)
    interpreter.allocate_tensors()
    rows = []
    for window in windows:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], window[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    expected = student.predict_on_batch(windows)
    np.testing.assert_allclose(rows, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("architecture", "window", "message"),
    [
        ("resnet", 32_000, "student architecture 'resnet' does not exist; choose nano or trillsson1"),
        ("nano", 399, "399 samples hold no frame of 400; give a longer window"),
        ("trillsson1", 5_359, "a window of 31 frames is too short for trillsson1; give at least 32: 5,360 samples"),
    ],
)
def test_what_cannot_be_built_is_refused(architecture: str, window: int, message: str) -> None:
    with pytest.raises(InputError) as caught:
        build_student(architecture, dim=8, window=window, seed=0)
    assert str(caught.value) == message


def test_the_shortest_window_of_trillsson1_works() -> None:
    student = build_student("trillsson1", dim=8, window=5_360, seed=0)
    assert student.predict_on_batch(np.zeros((1, 5_360), np.float32)).shape == (1, 8)
