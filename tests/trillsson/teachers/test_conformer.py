from typing import Any

import numpy as np
import pytest

from trillsson.config import ConformerTeacher, Framing
from trillsson.errors import InputError
from trillsson.teachers.conformer import ConformerEmbedder, build_encoder


def spec(**changed: Any) -> ConformerTeacher:
    return ConformerTeacher(**{"kind": "conformer", "dim": 32, "layers": 3, "layer": 2, "heads": 4, **changed})


@pytest.fixture(scope="module")
def embedder(framing: Framing) -> ConformerEmbedder:
    return ConformerEmbedder(spec(), framing)


def test_windows_become_finite_embeddings(embedder: ConformerEmbedder, windows: np.ndarray) -> None:
    embeddings = embedder.embed(windows)
    assert (embeddings.shape, embeddings.dtype) == ((70, 32), np.float32)
    assert np.isfinite(embeddings).all()
    assert (embedder.dim, embedder.window) == (32, 4_000)


def test_batching_changes_nothing_beyond_rounding(embedder: ConformerEmbedder, windows: np.ndarray) -> None:
    by_sevens = np.concatenate([embedder.embed(windows[start : start + 7]) for start in range(0, 70, 7)])
    np.testing.assert_allclose(by_sevens, embedder.embed(windows), atol=1e-5)


def test_no_windows_give_no_rows(embedder: ConformerEmbedder, windows: np.ndarray) -> None:
    assert embedder.embed(windows[:0]).shape == (0, 32)


def test_the_seed_alone_decides_the_embeddings(
    embedder: ConformerEmbedder, framing: Framing, windows: np.ndarray
) -> None:
    again = ConformerEmbedder(spec(layers=7), framing).embed(windows[:2])
    other = ConformerEmbedder(spec(seed=1), framing).embed(windows[:2])
    np.testing.assert_array_equal(again, embedder.embed(windows[:2]))
    assert np.abs(other - again).mean() > 0.1


def test_embeddings_tell_sounds_and_their_order_apart(embedder: ConformerEmbedder) -> None:
    time = np.arange(4_000) / 16_000
    sweep = np.sin(2 * np.pi * (200 + 8_000 * time) * time) * 0.3
    tone = np.sin(2 * np.pi * 440 * time) * 0.3
    rows = embedder.embed(np.stack([sweep, sweep[::-1], tone, tone * 0.1]).astype(np.float32))
    distances = [np.abs(rows[one] - rows[two]).mean() for one in range(4) for two in range(one)]
    assert min(distances) > 0.02


def test_only_the_blocks_up_to_the_layer_are_built() -> None:
    one, two, three = (build_encoder(spec(layer=layer), window=4_000).count_params() for layer in (1, 2, 3))
    # A block of width d: two feed-forwards 2 (8 d^2 + 5 d), attention 4 (d^2 + d), convolution
    # 2 d^2 + 2 d + 6 d + d^2 + d, and six layer norms 2 d; with d = 32 and a kernel of 5.
    assert two - one == three - two == 16 * 1024 + 10 * 32 + 4 * 1024 + 4 * 32 + 3 * 1024 + 9 * 32 + 12 * 32
    assert 4 * two == ConformerEmbedder(spec(), Framing(window=4_000)).size_bytes


def test_frames_are_40_ms() -> None:
    model = build_encoder(spec(), window=32_000)
    assert model.layers[-1].input.shape == (None, 50, 32)


def test_heads_of_odd_size_are_refused() -> None:
    with pytest.raises(InputError) as caught:
        build_encoder(spec(dim=36), window=4_000)
    assert str(caught.value) == "dim 36 in 4 heads makes heads of 9; rotary positions need an even size"
