"""Batches: filled across clips, halved once when memory is short, and checked not to change embeddings."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.beam.batches import Batcher, assemble, batches
from trillsson.audio import frame
from trillsson.config import Framing
from trillsson.datasets import Reject
from trillsson.embedder import Embeddings, Windows
from trillsson.errors import InputError
from trillsson.records import AudioRecord, EmbeddingRecord

FRAMING = Framing(window=400, hop=300)


class Mean:
    """Answers with mean and first sample of each window; memory is short beyond `most` windows, or for value -1.

    `leak` is how much of a batch's mean gets into every row: what an embedder exported for training does.
    """

    dim, window, size_bytes = 2, 400, 0

    def __init__(self, most: int = 1_000, leak: float = 0.0) -> None:
        self.most, self.leak = most, leak
        self.sizes: list[int] = []

    def embed(self, windows: Windows) -> Embeddings:
        self.sizes.append(len(windows))
        if len(windows) > self.most or (windows == -1).any():
            raise MemoryError(f"{len(windows)} windows")
        rows = np.stack([windows.mean(axis=1), windows[:, 0]], axis=1)
        return rows + np.float32(self.leak) * rows.mean() if self.leak else rows


def clip(key: str, value: float, *, samples: int = 400) -> AudioRecord:
    return AudioRecord(key=key, audio=np.full(samples, value, np.float32))


def embedded(clips: Sequence[AudioRecord], embedder: Mean, *, windows: int) -> list[EmbeddingRecord | Reject]:
    batcher = Batcher(embedder, tolerance=1e-3)
    return list(assemble(map(batcher.embed, batches(clips, FRAMING, windows=windows))))


@given(st.lists(st.integers(1, 3_000), max_size=12), st.integers(1, 9))
def test_whatever_the_batches_each_clip_gets_its_rows(lengths: list[int], windows: int) -> None:
    rng = np.random.default_rng(len(lengths))
    clips = [AudioRecord(key=str(n), audio=rng.uniform(0.1, 0.9, s).astype(np.float32)) for n, s in enumerate(lengths)]
    embedder = Mean()
    found = embedded(clips, embedder, windows=windows)
    assert [record.key for record in found] == [each.key for each in clips]
    for record, each in zip(found, clips, strict=True):
        assert isinstance(record, EmbeddingRecord)
        np.testing.assert_allclose(record.embeddings, Mean().embed(frame(each.audio, FRAMING)), rtol=1e-6)


@given(st.lists(st.integers(1, 3_000), min_size=1, max_size=12), st.integers(1, 9))
def test_every_batch_but_the_last_is_full(lengths: list[int], windows: int) -> None:
    clips = [clip(str(number), 0.5, samples=samples) for number, samples in enumerate(lengths)]
    *full, last = [len(batch.windows) for batch in batches(clips, FRAMING, windows=windows)]
    assert set(full) <= {windows}
    assert 0 < last <= windows


def test_a_batch_that_is_too_large_is_halved_once() -> None:
    embedder = Mean(most=4)
    found = embedded([clip(str(number), number / 9) for number in range(8)], embedder, windows=8)
    assert all(isinstance(record, EmbeddingRecord) for record in found)
    assert embedder.sizes == [8, 4, 4]


def test_what_does_not_fit_in_half_a_batch_is_rejected_by_its_keys() -> None:
    clips = [clip(key, -1.0 if key == "f" else 0.5) for key in "abcdefgh"]
    embedder = Mean()
    found = embedded(clips, embedder, windows=8)
    assert [record.key for record in found if isinstance(record, EmbeddingRecord)] == list("abcd")
    detail = "half a batch did not fit either"
    assert found[4:] == [Reject(key=key, stage="embed", reason="out_of_memory", detail=detail) for key in "efgh"]
    assert embedder.sizes == [8, 4, 4]


def test_a_clip_is_rejected_whole_where_one_of_its_batches_was() -> None:
    found = embedded([clip("a", 0.5), clip("long", 0.5, samples=1_300), clip("c", -1.0)], Mean(), windows=6)
    assert [(type(each).__name__, each.key) for each in found] == [
        ("EmbeddingRecord", "a"),
        ("Reject", "long"),
        ("Reject", "c"),
    ]


def test_tensorflows_error_is_one_of_memory() -> None:
    import tensorflow as tf

    class Exhausted(Mean):
        def embed(self, windows: Windows) -> Embeddings:
            if len(windows) > 2:
                raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
            return super().embed(windows)

    found = embedded([clip(key, 0.5) for key in "abcd"], Exhausted(), windows=4)
    assert [type(each) for each in found] == [EmbeddingRecord] * 4


def test_another_error_is_not_taken_for_one_of_memory() -> None:
    class Broken(Mean):
        def embed(self, windows: Windows) -> Embeddings:
            raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        embedded([clip("a", 0.5)], Broken(), windows=4)


def test_an_embedder_that_batches_change_is_refused() -> None:
    message = (
        r"^the embedder gives another embedding for a window alone than in a batch: they differ by 0\.0\d+ of its "
        r"largest value, at most 0\.001 is borne; export it for inference$"
    )
    with pytest.raises(InputError, match=message):
        embedded([clip("a", 0.25), clip("b", 0.5)], Mean(leak=0.1), windows=2)


def test_an_embedder_is_compared_once_its_rows_are_finite() -> None:
    message = "^the embedder gives another embedding for a window alone"
    with pytest.raises(InputError, match=message):
        embedded([clip("a", 0.5), clip("b", np.inf), clip("c", 0.25), clip("d", 0.5)], Mean(leak=0.1), windows=2)


@pytest.mark.parametrize(
    ("message", "short"), [("RESOURCE_EXHAUSTED: out of memory", True), ("INTERNAL: a bug", False)]
)
def test_an_error_of_xlas_is_one_of_memory_if_it_says_so(message: str, short: bool) -> None:
    class XlaRuntimeError(RuntimeError):
        pass

    class Raises(Mean):
        def embed(self, windows: Windows) -> Embeddings:
            raise XlaRuntimeError(message)

    if short:
        (reject,) = embedded([clip("a", 0.5)], Raises(), windows=2)
        assert reject == Reject(
            key="a", stage="embed", reason="out_of_memory", detail="half a batch did not fit either"
        )
    else:
        with pytest.raises(XlaRuntimeError):
            embedded([clip("a", 0.5)], Raises(), windows=2)


def test_rows_that_are_not_finite_are_a_reject() -> None:
    found = embedded([clip("a", np.inf), clip("b", 0.5)], Mean(), windows=2)
    assert found[0] == Reject(key="a", stage="embed", reason="non_finite_embedding")
    assert found[1].key == "b"


def test_several_threads_call_the_embedder_one_at_a_time() -> None:
    """TFLite's interpreter gives wrong rows, or none, if two threads use it at once."""

    class Single(Mean):
        busy = False

        def embed(self, windows: Windows) -> Embeddings:
            assert not self.busy
            self.busy = True
            time.sleep(0.005)
            self.busy = False
            return super().embed(windows)

    batcher = Batcher(Single(), tolerance=1e-3)
    each = [next(batches([clip(str(number), number)], FRAMING, windows=1)) for number in range(12)]
    with ThreadPoolExecutor(4) as threads:
        rows = [found.rows[0, 0] for found in threads.map(batcher.embed, each)]
    assert rows == list(range(12))
