import numpy as np
import pytest

from trillsson.config import Framing, LogMelBaseline, LogMelSpec
from trillsson.errors import InputError
from trillsson.logmel import log_mel
from trillsson.teachers.logmel import LogMelEmbedder


def test_mean_and_deviation_over_time(framing: Framing, windows: np.ndarray) -> None:
    embedder = LogMelEmbedder(LogMelBaseline(), framing)
    levels = log_mel(windows, LogMelSpec(bands=64))
    embeddings = embedder.embed(windows)
    assert (embedder.dim, embedder.window, embedder.size_bytes) == (128, 4_000, 0)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings[:, :64], levels.mean(axis=1), atol=1e-5)
    np.testing.assert_allclose(embeddings[:, 64:], levels.std(axis=1), atol=1e-5)


def test_silence_has_a_level_and_no_deviation(framing: Framing) -> None:
    embedding = LogMelEmbedder(LogMelBaseline(), framing).embed(np.zeros((1, 4_000), np.float32))[0]
    np.testing.assert_allclose(embedding[:64], np.log(1e-3), atol=1e-5)
    np.testing.assert_allclose(embedding[64:], 0, atol=1e-5)


def test_batching_changes_nothing(framing: Framing, windows: np.ndarray) -> None:
    embedder = LogMelEmbedder(LogMelBaseline(), framing)
    one_by_one = np.concatenate([embedder.embed(window[None]) for window in windows])
    np.testing.assert_allclose(embedder.embed(windows), one_by_one, atol=1e-5)


@pytest.mark.parametrize(
    "given", [np.zeros(4_000, np.float32), np.zeros((2, 3_999), np.float32), np.zeros((2, 4_000), np.float64)]
)
def test_other_arrays_are_refused(framing: Framing, given: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"give float32 of shape \[n, 4000\]"):
        LogMelEmbedder(LogMelBaseline(), framing).embed(given)
