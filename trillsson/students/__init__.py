"""The students: one file an architecture, one shell around them all."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from trillsson.config import LogMelSpec
from trillsson.errors import InputError
from trillsson.logmel import frame_count
from trillsson.seeding import seeded

if TYPE_CHECKING:
    import keras

Backbone = Callable[[Any], Any]
"""Adds an architecture to a Keras graph: `[batch, frames, bands]`, about standard normal, to `[batch, channels]`."""

PATCH_FRAMES = 195
"""The original's context patch (`export_model/tf_frontend.py`): the first 195 of the 198 frames of 2 s."""

NORM_MOMENTUM = 0.9
"""Of batch normalisation. With Keras' 0.99 the averages used after training hold 30 % of their start at step 120."""


def build_student(architecture: str, *, dim: int, window: int, seed: int) -> "keras.Model":
    """Builds an untrained student.

    Args:
        architecture: `nano` or `trillsson1`.
        dim: length of the embedding.
        window: samples in one window at 16 kHz.
        seed: of the initial weights and of dropout: the same seed gives the same model.

    Returns:
        A functional model from `waveform`, `[batch, window]` float32 in [-1, 1], to `embedding`, `[batch, dim]`
        float32. Log-mels and scaling are inside; every operation is a TFLite builtin. It sees the first 195 frames of
        a window, 1.97 s: what comes later in a longer window is not used.

    Raises:
        InputError: no such architecture, or a window too short for it.
    """
    import keras

    from trillsson.frontend import LogMel, standardised

    backbone = _backbone(architecture)
    spec = LogMelSpec()
    frames = frame_count(window, spec)
    with seeded(seed):
        waveform = keras.Input((window,), name="waveform")
        patch = LogMel(spec, name="log_mel")(waveform)
        if frames > PATCH_FRAMES:
            patch = keras.layers.Cropping1D((0, frames - PATCH_FRAMES), name="patch")(patch)
        features = backbone(standardised(patch))
        # float32 under every policy: targets are compared, and embeddings used, at full precision.
        embedding = keras.layers.Dense(dim, dtype="float32", name="embedding")(features)
        return keras.Model(waveform, embedding, name=architecture)


def _backbone(architecture: str) -> Backbone:
    if architecture == "nano":
        from trillsson.students import nano

        return nano.backbone
    if architecture == "trillsson1":
        from trillsson.students import trillsson1

        return trillsson1.backbone
    raise InputError(f"student architecture {architecture!r} does not exist; choose nano or trillsson1")
