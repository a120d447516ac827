from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trillsson.config import Framing, LogMelInput, LogMelSpec, TFLiteTeacher, WaveformInput
from trillsson.errors import InputError
from trillsson.logmel import log_mel
from trillsson.teachers.tflite import TFLiteEmbedder

LOGMEL = LogMelSpec(bands=8, frame_step=100)


def teacher(path: Path, tensor: str, *, dim: int = 6, frames: int = 20, hop: int = 8) -> TFLiteTeacher:
    patches = LogMelInput(kind="logmel", frames=frames, hop=hop, logmel=LOGMEL)
    return TFLiteTeacher(kind="tflite", path=str(path), dim=dim, tensor=tensor, input=patches)


def waveform_model(folder: Path, shape: list[int | None]) -> Path:
    """A network whose one output is `(1, 2, ..., 6) * mean(|waveform|)`."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32)])
    def loudness(x: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tf.reduce_mean(tf.abs(x)) * tf.range(1.0, 7.0), [1, 6], name="loudness")

    converter = tf.lite.TFLiteConverter.from_concrete_functions([loudness.get_concrete_function()], loudness)
    (folder / "waveform.tflite").write_bytes(converter.convert())
    return folder / "waveform.tflite"


def output_name(path: Path) -> str:
    from ai_edge_litert.interpreter import Interpreter

    name: str = Interpreter(str(path)).get_output_details()[0]["name"]
    return name


def test_a_tensor_inside_the_network_is_averaged_over_the_patches(
    tiny_tflite: Any, framing: Framing, windows: np.ndarray
) -> None:
    embedder = TFLiteEmbedder(teacher(tiny_tflite.float32, tiny_tflite.hidden), framing)
    # 4,000 samples make 37 frames: patches of 20 start at 0, 8 and 16.
    levels = log_mel(windows, LOGMEL)
    assert levels.shape[1] == 37
    expected = [np.mean([tiny_tflite.embed(level[s : s + 20]) for s in (0, 8, 16)], axis=0) for level in levels]
    embeddings = embedder.embed(windows)
    assert embeddings.dtype == np.float32
    assert embedder.size_bytes == tiny_tflite.float32.stat().st_size
    np.testing.assert_allclose(embeddings, expected, rtol=1e-4, atol=1e-4)


def test_int8_input_and_tensor_are_converted(tiny_tflite: Any, framing: Framing, windows: np.ndarray) -> None:
    inexact = TFLiteEmbedder(teacher(tiny_tflite.int8, tiny_tflite.hidden), framing).embed(windows)
    exact = TFLiteEmbedder(teacher(tiny_tflite.float32, tiny_tflite.hidden), framing).embed(windows)
    # The int8 tensor has 255 steps over the range that was seen.
    np.testing.assert_allclose(inexact, exact, atol=4 * exact.max() / 255)
    assert np.corrcoef(inexact.ravel(), exact.ravel())[0, 1] > 0.999


def test_batching_changes_nothing(tiny_tflite: Any, framing: Framing, windows: np.ndarray) -> None:
    embedder = TFLiteEmbedder(teacher(tiny_tflite.float32, tiny_tflite.hidden), framing)
    one_by_one = np.concatenate([embedder.embed(window[None]) for window in windows])
    np.testing.assert_array_equal(embedder.embed(windows), one_by_one)


@pytest.mark.parametrize("shape", [[1, 4_000], [1, None], [None]])
def test_waveforms_of_fixed_or_free_length(
    shape: list[int | None], framing: Framing, windows: np.ndarray, tmp_path: Path
) -> None:
    path = waveform_model(tmp_path, shape)
    spec = TFLiteTeacher(kind="tflite", path=str(path), dim=6, tensor=output_name(path), input=WaveformInput())
    expected = np.abs(windows).mean(axis=1, keepdims=True) * np.arange(1, 7)
    np.testing.assert_allclose(TFLiteEmbedder(spec, framing).embed(windows), expected, rtol=1e-4)


def test_the_end_of_a_name_is_enough(tiny_tflite: Any, framing: Framing, windows: np.ndarray) -> None:
    ending = tiny_tflite.hidden.split("/", 1)[1]
    embedder = TFLiteEmbedder(teacher(tiny_tflite.float32, ending), framing)
    whole = TFLiteEmbedder(teacher(tiny_tflite.float32, tiny_tflite.hidden), framing)
    np.testing.assert_array_equal(embedder.embed(windows[:2]), whole.embed(windows[:2]))


def refusal(spec: TFLiteTeacher, framing: Framing) -> str:
    with pytest.raises(InputError) as caught:
        TFLiteEmbedder(spec, framing)
    return str(caught.value)


def test_a_missing_tensor_is_refused_with_close_names(tiny_tflite: Any, framing: Framing) -> None:
    message = refusal(teacher(tiny_tflite.float32, tiny_tflite.hidden + "x"), framing)
    start = f"{tiny_tflite.float32} has no tensor {tiny_tflite.hidden + 'x'!r}; close to it are: {tiny_tflite.hidden}, "
    assert message.startswith(start)


def test_an_ending_of_several_names_is_refused(tiny_tflite: Any, framing: Framing) -> None:
    message = refusal(teacher(tiny_tflite.float32, "BiasAdd"), framing)
    assert "has 2 tensors 'BiasAdd'" in message
    assert tiny_tflite.hidden in message
    assert tiny_tflite.bias in message


def test_a_constant_is_refused(tiny_tflite: Any, framing: Framing) -> None:
    assert refusal(teacher(tiny_tflite.float32, tiny_tflite.bias), framing) == (
        f"{tiny_tflite.float32}, tensor {tiny_tflite.bias!r}, is the same for every input; "
        "name a tensor that the network computes"
    )


def test_another_dim_is_refused(tiny_tflite: Any, framing: Framing) -> None:
    message = refusal(teacher(tiny_tflite.float32, tiny_tflite.hidden, dim=7), framing)
    assert message.endswith("holds 6 numbers, not dim 7; mend dim or the name")


def test_another_input_is_refused(tiny_tflite: Any, framing: Framing) -> None:
    message = refusal(teacher(tiny_tflite.float32, tiny_tflite.hidden, frames=21), framing)
    assert message.endswith("[1, 20, 8]; the declared input makes [1, 21, 8]")


def test_a_window_shorter_than_a_patch_is_refused(tiny_tflite: Any) -> None:
    message = refusal(teacher(tiny_tflite.float32, tiny_tflite.hidden), Framing(window=2_200))
    assert message == (
        "a window of 2200 samples has 19 frames, the teacher's patch needs 20; make framing.window longer"
    )


def test_a_file_that_is_no_model_is_refused(framing: Framing, tmp_path: Path) -> None:
    (tmp_path / "no.tflite").write_bytes(b"not a model, whatever its name says")
    message = refusal(teacher(tmp_path / "no.tflite", "x"), framing)
    assert message.startswith(f"{tmp_path / 'no.tflite'} cannot be run by LiteRT: ")
    assert refusal(teacher(tmp_path, "x"), framing).startswith(f"{tmp_path} cannot be run by LiteRT: ")
