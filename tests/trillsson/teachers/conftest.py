import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from trillsson.config import Framing

DIM = 6
PATCH = (20, 8)


@pytest.fixture(scope="session")
def framing() -> Framing:
    return Framing(window=4_000, hop=4_000)


@pytest.fixture(scope="session")
def windows(framing: Framing) -> np.ndarray:
    """More windows than one block holds, from nearly silent to loud."""
    noise = np.random.default_rng(0).normal(size=(70, framing.window)) * np.geomspace(1e-3, 0.3, 70)[:, None]
    return np.clip(noise, -1, 1).astype(np.float32)


@pytest.fixture(scope="session")
def published() -> Path:
    """The folder with a real pretrained network, which is no part of the project."""
    folder = Path(os.environ.get("TRILLSSON_TEACHERS", Path(__file__).parents[4] / "shared" / "teachers"))
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}; name one with yamnet_spectra_in.tflite in TRILLSSON_TEACHERS")
    return folder


Exporter = Callable[..., Path]


@pytest.fixture
def export(tmp_path: Path) -> Exporter:
    """Exports `call(waveform) -> {name: tensor}` as a SavedModel with one signature."""
    import tensorflow as tf

    def run(
        call: Callable[..., dict[str, tf.Tensor]],
        shape: tuple[int | None, ...] = (None, None),
        *,
        dtype: tf.DType = tf.float32,
        argument: str = "waveform",
        signature: str = "serving_default",
    ) -> Path:
        module = tf.Module()
        module.scale = tf.Variable(tf.range(1.0, DIM + 1.0))
        serve = tf.function(
            lambda x: call(tf.cast(x, tf.float32), module.scale),
            input_signature=[tf.TensorSpec(shape, dtype, name=argument)],
        )
        tf.saved_model.save(module, str(tmp_path / "saved"), signatures={signature: serve})
        return tmp_path / "saved"

    return run


@dataclass(frozen=True)
class TinyTFLite:
    """A dense layer with a ReLU on the mean of a patch `[1, 20, 8]`, then three scores, in float32 and in int8."""

    float32: Path
    int8: Path
    kernel: np.ndarray
    hidden: str
    """The tensor after the ReLU, `[1, 6]`: no output of the network."""
    bias: str
    """A constant tensor, also of six numbers: all ones."""

    def embed(self, patch: np.ndarray) -> np.ndarray:
        return np.maximum(patch.mean(axis=0) @ self.kernel + 1, 0)


@pytest.fixture(scope="session")
def tiny_tflite(tmp_path_factory: pytest.TempPathFactory) -> TinyTFLite:
    import keras
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    folder = tmp_path_factory.mktemp("tflite")
    patch = keras.Input(PATCH, name="patch")
    hidden = keras.layers.Dense(DIM, activation="relu", name="hidden")
    scores = keras.layers.Dense(3, name="scores")(hidden(keras.layers.GlobalAveragePooling1D()(patch)))
    model = keras.Model(patch, scores)
    kernel = np.random.default_rng(3).normal(size=(PATCH[1], DIM)).astype(np.float32)
    hidden.set_weights([kernel, np.ones(DIM, np.float32)])
    archive = keras.export.ExportArchive()
    archive.track(model)
    signature = [tf.TensorSpec([1, *PATCH], tf.float32)]
    archive.add_endpoint("serve", lambda x: model(x, training=False), input_signature=signature)
    archive.write_out(str(folder / "saved"), verbose=False)

    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved"))
    (folder / "float32.tflite").write_bytes(converter.convert())
    levels = np.random.default_rng(0).uniform(-8, 7, (200, 1, 1, PATCH[1])).astype(np.float32)
    converter.representative_dataset = lambda: ([np.tile(level, (1, PATCH[0], 1))] for level in levels)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    (folder / "int8.tflite").write_bytes(converter.convert())

    tensors = Interpreter(str(folder / "float32.tflite")).get_tensor_details()
    (name,) = (tensor["name"] for tensor in tensors if tensor["shape"].tolist() == [1, DIM])
    (bias,) = (tensor["name"] for tensor in tensors if tensor["shape"].tolist() == [DIM])
    return TinyTFLite(folder / "float32.tflite", folder / "int8.tflite", kernel, name, bias)
