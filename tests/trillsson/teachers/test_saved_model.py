from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from trillsson.config import Framing, SavedModelTeacher
from trillsson.errors import InputError
from trillsson.teachers.saved_model import SavedModelEmbedder

Exporter = Callable[..., Path]


def loudness(waveform: tf.Tensor, scale: tf.Variable) -> dict[str, tf.Tensor]:
    return {"embedding": tf.reduce_mean(tf.abs(waveform), axis=1, keepdims=True) * scale}


def teacher(path: Path, **declared: Any) -> SavedModelTeacher:
    return SavedModelTeacher(**{"kind": "saved_model", "path": str(path), "dim": 6, **declared})


@pytest.mark.parametrize("shape", [(None, None), (None, 4_000)])
def test_windows_go_through_the_declared_signature(
    export: Exporter, shape: tuple[int | None, ...], framing: Framing, windows: np.ndarray
) -> None:
    folder = export(loudness, shape, argument="audio", signature="embed")
    embedder = SavedModelEmbedder(teacher(folder, input="audio", signature="embed"), framing)
    embeddings = embedder.embed(windows)
    assert (embeddings.shape, embeddings.dtype) == ((70, 6), np.float32)
    np.testing.assert_allclose(embeddings, np.abs(windows).mean(1, keepdims=True) * np.arange(1, 7), rtol=1e-5)
    one_by_one = np.concatenate([embedder.embed(window[None]) for window in windows])
    np.testing.assert_allclose(one_by_one, embeddings, atol=1e-5)
    assert embedder.size_bytes == 24
    assert embedder.embed(windows[:0]).shape == (0, 6)


def refusal(spec: SavedModelTeacher, framing: Framing) -> str:
    with pytest.raises(InputError) as caught:
        SavedModelEmbedder(spec, framing)
    return str(caught.value)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"signature": "serve"}, "{} has no signature 'serve'; it has: serving_default"),
        ({"input": "audio"}, "{}, signature 'serving_default', takes waveform, not 'audio' alone"),
        ({"output": "vector"}, "{}, signature 'serving_default', has no output 'vector'; it has: embedding"),
        (
            {"dim": 7},
            "{}, signature 'serving_default', returns 'embedding' of shape (1, 6) for one window, not (1, 7)",
        ),
    ],
)
def test_what_the_model_has_not_is_refused_and_what_it_has_is_told(
    export: Exporter, framing: Framing, declared: dict[str, Any], message: str
) -> None:
    folder = export(loudness)
    assert refusal(teacher(folder, **declared), framing) == message.format(folder)


@pytest.mark.parametrize(
    ("shape", "dtype", "taken"),
    [
        ((1, 4_000), tf.float32, "float32 of shape (1, 4000)"),
        ((None, 8_000), tf.float32, "float32 of shape (None, 8000)"),
        ((None, None), tf.int16, "int16 of shape (None, None)"),
    ],
)
def test_another_input_is_refused(
    export: Exporter, framing: Framing, shape: tuple[int | None, ...], dtype: tf.DType, taken: str
) -> None:
    folder = export(loudness, shape, dtype=dtype)
    assert refusal(teacher(folder), framing) == (
        f"{folder}, signature 'serving_default', takes {taken}; export it for float32 of shape (None, 4000)"
    )


def test_a_model_that_fails_on_a_window_is_refused(export: Exporter, framing: Framing) -> None:
    folder = export(lambda waveform, scale: {"embedding": tf.reshape(waveform, [-1, 7]) * scale[0]})
    start = f"{folder}, signature 'serving_default', fails on one window of 4000 samples: "
    message = refusal(teacher(folder), framing)
    assert message.startswith(start)
    assert "\n" not in message


def test_a_folder_without_a_model_is_refused(framing: Framing, tmp_path: Path) -> None:
    message = refusal(teacher(tmp_path), framing)
    assert message.startswith(f"{tmp_path} cannot be loaded as a SavedModel: ")
    assert "\n" not in message
