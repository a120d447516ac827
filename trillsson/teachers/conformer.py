"""The built-in teacher: a Conformer encoder (arXiv 2005.08100) of the shape of CAP12, seeded and untrained.

CAP12 (arXiv 2110.04621), which taught TRILLsson, was never released: the mean over time of layer 12 of a
600M-parameter Conformer. This one has that shape at any scale. With random weights it is a fixed, non-linear feature
of the log-mels: something real to distil where nothing can be downloaded, not a good teacher.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from trillsson.config import ConformerTeacher, Framing
from trillsson.embedder import Embeddings, Windows
from trillsson.errors import InputError
from trillsson.frontend import LogMel, standardised
from trillsson.seeding import seeded
from trillsson.teachers.blocks import embed_in_blocks


class ConformerEmbedder:
    """Windows `[n, window]` to the mean over time of a Conformer's chosen layer, `[n, dim]`."""

    def __init__(self, spec: ConformerTeacher, framing: Framing) -> None:
        """Builds the encoder up to the chosen layer.

        Raises:
            InputError: the window is shorter than a frame, or a head would have an odd number of dimensions.
        """
        import tensorflow as tf

        self.dim = spec.dim
        self.window = framing.window
        self._model = build_encoder(spec, window=framing.window)
        self.size_bytes = 4 * self._model.count_params()
        # One trace for every batch size, and no XLA, which is 2 to 4 times slower on a CPU for such networks.
        self._call = tf.function(
            lambda windows: self._model(windows, training=False),
            input_signature=[tf.TensorSpec([None, framing.window], tf.float32)],
        )

    def embed(self, windows: Windows) -> Embeddings:
        return embed_in_blocks(windows, self._embed_block, window=self.window, dim=self.dim)

    def _embed_block(self, windows: Windows) -> Embeddings:
        return np.asarray(self._call(windows).numpy(), np.float32)


def build_encoder(spec: ConformerTeacher, *, window: int) -> keras.Model:
    """Builds log-mel, subsampling, `spec.layer` Conformer blocks and the mean over time, as one Keras model.

    Returns:
        A model from `[batch, window]` float32 to `[batch, dim]` float32; frames are 40 ms.

    Raises:
        InputError: the window is shorter than a frame, or a head would have an odd number of dimensions.
    """
    size = spec.dim // spec.heads
    if size % 2:
        raise InputError(
            f"dim {spec.dim} in {spec.heads} heads makes heads of {size}; rotary positions need an even size"
        )
    with seeded(spec.seed):
        waveform = keras.Input((window,), name="waveform")
        x = _subsampled(standardised(LogMel()(waveform)), dim=spec.dim)
        for _ in range(spec.layer):
            x = _block(x, spec)
        return keras.Model(waveform, keras.layers.GlobalAveragePooling1D()(x), name="conformer")


def _subsampled(levels: Any, *, dim: int) -> Any:
    """Two strided convolutions, four frames to one, then a projection to `dim`."""
    # A quarter of the width: at full width these two layers would cost more than several blocks.
    channels = max(8, dim // 4)
    image = ops.expand_dims(levels, -1)
    for _ in range(2):
        image = keras.layers.Conv2D(channels, 3, strides=2, padding="same", activation="relu")(image)
    _, frames, bands, _ = image.shape
    return keras.layers.Dense(dim)(ops.reshape(image, (-1, frames, bands * channels)))


def _block(x: Any, spec: ConformerTeacher) -> Any:
    """Half a feed-forward, attention, convolution, half a feed-forward, each residual; then a layer norm."""
    x = x + 0.5 * _feed_forward(x, spec.dim)
    x = x + _attention(x, spec.dim, heads=spec.heads)
    x = x + _convolution(x, spec.dim, kernel=spec.kernel)
    x = x + 0.5 * _feed_forward(x, spec.dim)
    return keras.layers.LayerNormalization()(x)


def _feed_forward(x: Any, dim: int) -> Any:
    hidden = keras.layers.Dense(4 * dim, activation="swish")(keras.layers.LayerNormalization()(x))
    return keras.layers.Dense(dim)(hidden)


def _attention(x: Any, dim: int, *, heads: int) -> Any:
    """Multi-head self-attention with rotary positions (arXiv 2104.09864), relative as the paper's and simpler."""
    x = keras.layers.LayerNormalization()(x)
    frames = x.shape[1]
    query, key, value = (ops.reshape(keras.layers.Dense(dim)(x), (-1, frames, heads, dim // heads)) for _ in range(3))
    mixed = ops.dot_product_attention(_rotated(query), _rotated(key), value)
    return keras.layers.Dense(dim)(ops.reshape(mixed, (-1, frames, dim)))


def _rotated(x: Any) -> Any:
    """Turns each pair of dimensions of `[batch, frames, heads, size]` by an angle that grows with the frame."""
    _, frames, _, size = x.shape
    rates = 10_000.0 ** (-np.arange(0, size, 2) / size)
    angles = (np.arange(frames)[:, None] * rates)[:, None, :]
    cosine, sine = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    left, right = ops.split(x, 2, axis=-1)
    return ops.concatenate([left * cosine - right * sine, left * sine + right * cosine], axis=-1)


def _convolution(x: Any, dim: int, *, kernel: int) -> Any:
    """Gated pointwise, depthwise and pointwise convolution over time."""
    gated = ops.glu(keras.layers.Dense(2 * dim)(keras.layers.LayerNormalization()(x)))
    depthwise = keras.layers.DepthwiseConv1D(kernel, padding="same")(gated)
    # The paper's batch normalisation would be the identity in a network that was never trained.
    return keras.layers.Dense(dim)(ops.silu(keras.layers.LayerNormalization()(depthwise)))
