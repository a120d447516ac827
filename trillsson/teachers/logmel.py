"""The log-mel baseline: the floor that any model has to beat."""

import numpy as np

from trillsson.config import Framing, LogMelBaseline
from trillsson.embedder import Embeddings, Windows
from trillsson.logmel import frame_count, log_mel
from trillsson.teachers.blocks import embed_in_blocks


class LogMelEmbedder:
    """The mean over time of each log-mel band, then the standard deviation of each: `2 * bands` numbers a window."""

    size_bytes = 0

    def __init__(self, spec: LogMelBaseline, framing: Framing) -> None:
        """Checks that a window holds a frame.

        Raises:
            InputError: it does not.
        """
        frame_count(framing.window, spec.logmel)
        self.dim = 2 * spec.logmel.bands
        self.window = framing.window
        self._logmel = spec.logmel

    def embed(self, windows: Windows) -> Embeddings:
        return embed_in_blocks(windows, self._embed_block, window=self.window, dim=self.dim)

    def _embed_block(self, windows: Windows) -> Embeddings:
        levels = log_mel(windows, self._logmel)
        return np.concatenate([levels.mean(axis=1), levels.std(axis=1)], axis=1)
