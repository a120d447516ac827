"""nano: a depthwise-separable convolution net over time, small enough to train on two CPU cores in minutes.

The bands are its channels, so that a layer is one matrix product a time step and memory traffic stays low, which is
what convolutions over time and frequency spend a CPU's time on.
"""

from typing import Any

import keras

from trillsson.students import NORM_MOMENTUM

CHANNELS = 256
KERNEL = 9
STRIDES = (2, 1, 2, 1)
"""Of the blocks, after the first convolution's 2: the last block sees 25 steps of 80 ms in 2 s."""


def backbone(patch: Any) -> Any:
    """Adds the net to a Keras graph: `[batch, frames, bands]` to `[batch, 256]`, the mean over time."""
    steps = keras.layers.Conv1D(CHANNELS, 5, strides=2, padding="same", use_bias=False, name="stem")(patch)
    steps = keras.layers.ReLU(name="stem_relu")(_normalised(steps, "stem"))
    for number, stride in enumerate(STRIDES, start=1):
        steps = _block(steps, stride, f"block{number}")
    return keras.layers.GlobalAveragePooling1D(name="mean_over_time")(steps)


def _block(steps: Any, stride: int, name: str) -> Any:
    """A depthwise convolution over time, then a pointwise one; with a residual where the shape stays."""
    layers = keras.layers
    depthwise = layers.DepthwiseConv1D(
        KERNEL, strides=stride, padding="same", use_bias=False, name=f"{name}_depthwise"
    )(steps)
    mixed = layers.Conv1D(CHANNELS, 1, use_bias=False, name=f"{name}_pointwise")(
        _normalised(depthwise, f"{name}_depthwise")
    )
    mixed = layers.ReLU(name=f"{name}_relu")(_normalised(mixed, f"{name}_pointwise"))
    return layers.Add(name=f"{name}_add")([steps, mixed]) if stride == 1 else mixed


def _normalised(steps: Any, name: str) -> Any:
    return keras.layers.BatchNormalization(momentum=NORM_MOMENTUM, name=f"{name}_norm")(steps)
