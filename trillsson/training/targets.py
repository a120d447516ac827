"""The saved transform: statistics of the teacher's targets and the vocabularies of the tasks' labels.

The statistics job leaves a folder with `targets/transform_fn` (a SavedModel of tensorflow-transform that standardises
embeddings and tells the constants it does it with) and `labels/transform_fn`, whose assets are one vocabulary a task.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trillsson.embedder import Embeddings
from trillsson.errors import IntegrityError

TARGETS = "targets"
LABELS = "labels"
EMBEDDING = "embedding"
_ASSETS = "transform_fn/assets"
_NO_WORDS = "49d0cd50-04bb-48c0-bc6f-5b575dce351a"
"""What tensorflow-transform (1.21, `analyzers.py`) writes for a vocabulary without words."""


@dataclass(frozen=True)
class Standardiser:
    """Standardises embeddings: `(x - mean) / scale`. A dimension that never varies has scale 1."""

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]

    @property
    def dim(self) -> int:
        """Length of one embedding."""
        return len(self.mean)

    def apply(self, embeddings: Embeddings) -> Embeddings:
        """Standardises `[n, dim]` float32."""
        return (embeddings - self.mean) / self.scale


@dataclass(frozen=True)
class Statistics:
    """What the saved transform tells."""

    standardiser: Standardiser
    windows: int
    vocabularies: dict[str, tuple[str, ...]]


def read_statistics(folder: Path) -> Statistics:
    """Reads the constants of a saved transform and its vocabularies.

    Raises:
        IntegrityError: the folder holds no such transform.
    """
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(folder / TARGETS / "transform_fn"))
        (feature,) = loaded.transform_fn.structured_input_signature[0][0].values()
        told = loaded.transform_fn({EMBEDDING: tf.zeros([1, feature.shape[-1]])})
        mean, scale, windows = (told[name].numpy()[0] for name in ("mean", "scale", "windows"))
    except (OSError, KeyError, ValueError, AttributeError) as error:
        raise IntegrityError(f"{folder} holds no statistics ({error}); run the statistics step again") from error
    assets = (folder / LABELS / _ASSETS).glob(vocabulary_name("*"))
    tasks = sorted(asset.name.removesuffix(vocabulary_name("")) for asset in assets)
    vocabularies = {task: read_vocabulary(folder / LABELS, task) for task in tasks}
    return Statistics(Standardiser(mean, scale), int(windows[0]), vocabularies)


def vocabulary_name(task: str) -> str:
    """Returns the name of the asset with a task's labels in train."""
    return f"{task}_train"


def read_vocabulary(folder: Path, task: str) -> tuple[str, ...]:
    """Reads one vocabulary of the labels' transform in `folder`, sorted."""
    asset = folder / _ASSETS / vocabulary_name(task)
    words = asset.read_text(encoding="utf-8").split("\n")[:-1]
    return tuple(sorted(word for word in words if word != _NO_WORDS))
