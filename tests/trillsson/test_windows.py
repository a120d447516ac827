from typing import Literal

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from trillsson.audio import frame
from trillsson.config import Framing
from trillsson.windows import frame_batch

framings = st.builds(
    Framing,
    window=st.sampled_from([400, 401]),
    hop=st.sampled_from([1, 7, 160, 400, 900]),
    padding=st.sampled_from(["symmetric", "constant"]),
    tail=st.sampled_from(["pad", "drop"]),
)
lengths = st.one_of(st.integers(1, 5), st.integers(1, 1_700), st.sampled_from([399, 400, 401, 800, 801]))


@settings(max_examples=150)
@given(framing=framings, length=lengths, rows=st.integers(1, 3))
def test_graph_framing_is_exactly_that_of_numpy(framing: Framing, length: int, rows: int) -> None:
    audio = np.random.default_rng(length).uniform(-1, 1, (rows, length)).astype(np.float32)
    expected = np.stack([frame(row, framing) for row in audio])
    np.testing.assert_array_equal(frame_batch(tf.constant(audio), framing), expected)


@pytest.mark.parametrize("padding", ["symmetric", "constant"])
def test_one_graph_serves_every_length(padding: Literal["symmetric", "constant"]) -> None:
    framing = Framing(window=400, hop=300, padding=padding)
    signature = [tf.TensorSpec([None, None], tf.float32)]
    graph = tf.function(lambda audio: frame_batch(audio, framing), input_signature=signature)
    for length in (1, 400, 701, 5_000):
        audio = np.random.default_rng(length).uniform(-1, 1, (2, length)).astype(np.float32)
        np.testing.assert_array_equal(graph(audio), np.stack([frame(row, framing) for row in audio]))
    assert graph.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("padding", ["symmetric", "constant"])
def test_empty_audio_is_refused(padding: Literal["symmetric", "constant"]) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="audio is empty; give at least one sample at 16 kHz"):
        frame_batch(tf.zeros([1, 0]), Framing(padding=padding))
