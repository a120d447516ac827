"""Framing inside a TensorFlow graph: the same windows as `trillsson.audio.frame`, for exported models."""

from typing import TYPE_CHECKING

from trillsson.config import Framing

if TYPE_CHECKING:
    import tensorflow as tf


def frame_batch(audio: "tf.Tensor", framing: Framing) -> "tf.Tensor":
    """Cuts a `[batch, time]` tensor, both of any size at run time, into `[batch, n, window]`.

    Each row is cut as `trillsson.audio.frame` cuts it. The dtype is kept.

    Raises:
        tf.errors.InvalidArgumentError: when the graph runs, if the audio is empty.
    """
    import tensorflow as tf

    size = tf.shape(audio)[1]
    nonempty = tf.debugging.assert_positive(size, "audio is empty; give at least one sample at 16 kHz")
    with tf.control_dependencies([nonempty]):
        beyond = tf.maximum(0, size - framing.window)
    whole = beyond // framing.hop if framing.tail == "drop" else -(-beyond // framing.hop)
    length = whole * framing.hop + framing.window
    # Only what is filled is gathered sample by sample: a gather of all would take ten times as long.
    beyond_end = tf.range(size, tf.maximum(size, length))
    if framing.padding == "constant":
        filling = tf.zeros([tf.shape(audio)[0], tf.size(beyond_end)], audio.dtype)
    else:
        phase = beyond_end % (2 * size)
        filling = tf.gather(audio, tf.where(phase < size, phase, 2 * size - 1 - phase), axis=1)
    filled = tf.concat([audio[:, :length], filling], axis=1)
    if framing.hop == framing.window:
        return tf.reshape(filled, [-1, 1 + whole, framing.window])
    starts = tf.range(1 + whole) * framing.hop
    return tf.gather(filled, starts[:, None] + tf.range(framing.window), axis=1)
