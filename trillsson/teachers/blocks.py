"""Embedding any number of windows in blocks of a size that suits the model, not the caller."""

from collections.abc import Callable

import numpy as np

from trillsson.bundles import BATCH, check_windows
from trillsson.embedder import Embeddings, Windows


def embed_in_blocks(
    windows: Windows, embed_block: Callable[[Windows], Embeddings], *, window: int, dim: int
) -> Embeddings:
    """Embeds `[n, window]` float32 into `[n, dim]` float32, at most 32 windows at a time.

    Args:
        windows: any number of windows, none included.
        embed_block: embeds `[m, window]`, m from 1 to 32, into `[m, dim]`.
        window: samples in one window.
        dim: length of one embedding.

    Raises:
        InputError: the windows have another shape or dtype.
    """
    check_windows(windows, window)
    blocks = (embed_block(windows[start : start + BATCH]) for start in range(0, len(windows), BATCH))
    return np.concatenate([np.zeros((0, dim), np.float32), *blocks])
