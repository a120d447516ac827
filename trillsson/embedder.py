"""The one protocol for whatever turns windows of audio into embeddings: a teacher, a student, a baseline."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Windows = NDArray[np.float32]
"""Audio windows: shape `[n, samples]`, float32 in [-1, 1], mono, 16 kHz."""

Embeddings = NDArray[np.float32]
"""One embedding a window: shape `[n, dim]`, float32."""


class Embedder(Protocol):
    """Maps windows to embeddings, each window by itself: the result does not depend on how windows are batched."""

    @property
    def dim(self) -> int:
        """Length of one embedding."""

    @property
    def window(self) -> int:
        """Samples in one window at 16 kHz."""

    @property
    def size_bytes(self) -> int:
        """Bytes of the weights, as files or as float32 in memory; 0 where there are none."""

    def embed(self, windows: Windows) -> Embeddings:
        """Embeds `[n, window]` float32 samples in [-1, 1] into `[n, dim]` float32.

        Raises:
            InputError: the array has another shape or dtype.
        """
