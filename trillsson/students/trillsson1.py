"""trillsson1: EfficientNet-B0 (arXiv 1905.11946) over log-mel patches, the size of the paper's smallest student.

With a 1,024-d embedding it has 5.36M parameters, 21.4 MB in float32: the paper says 22 MB, and no other common
network of its family comes near.
"""

from typing import Any

import keras

from trillsson.errors import InputError
from trillsson.students import NORM_MOMENTUM

SHORTEST = 32
"""Frames. EfficientNet halves its input five times."""


def backbone(patch: Any) -> Any:
    """Adds the net to a Keras graph: `[batch, frames, bands]` to `[batch, 1280]`, the mean over time and frequency.

    Raises:
        InputError: the patch has too few frames.
    """
    _, frames, bands = patch.shape
    if frames < SHORTEST:
        raise InputError(
            f"a window of {frames} frames is too short for trillsson1; give at least {SHORTEST}: 5,360 samples"
        )
    image = keras.layers.Reshape((frames, bands, 1), name="image")(patch)
    # Keras' EfficientNet first divides by 255, for it expects pixels. Log-mels that small have a variance under the
    # 1e-3 that its batch normalisations add, so most of the signal would be lost at the first one. Multiplying by 255
    # takes that back, and the net itself stays as published.
    image = keras.layers.Rescaling(255.0, name="undo_pixel_scale")(image)
    net = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(frames, bands, 1))
    for layer in net.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = NORM_MOMENTUM
    return keras.layers.GlobalAveragePooling2D(name="mean_over_time_and_frequency")(net(image))
