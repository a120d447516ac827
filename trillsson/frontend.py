"""The log-mel front end as one Keras layer: part of every model, on every backend and in every export."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from trillsson.config import LogMelSpec
from trillsson.logmel import MEL_FLOOR, TYPICAL_MEAN, TYPICAL_STD, frame_count, hann, mel_weights


@keras.saving.register_keras_serializable(package="trillsson")
class LogMel(keras.layers.Layer):
    """Waveforms `[batch, samples]` float32 in [-1, 1] to log-mels `[batch, frames, bands]` float32.

    The same numbers as `trillsson.logmel.log_mel`, the reference, to 1e-5 on noise and speech: 198 frames for 2 s.
    The Fourier transform is a strided convolution, which every backend, delegate and quantiser has;
    `keras.ops.stft` cuts other frames (197 for 2 s) and is not interchangeable. The layer has no weights: its
    constants follow from its spec.

    Args:
        spec: the front end; TRILLsson's if not given.
        **kwargs: of `keras.layers.Layer`. The dtype is float32 unless said, whatever the global policy: the
            logarithm of quiet bands does not survive half precision.

    Raises:
        InputError: on building, if an input is shorter than one frame.
    """

    def __init__(self, spec: LogMelSpec | None = None, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.spec = spec or LogMelSpec()
        self._fourier = fourier_kernel(self.spec)
        self._mel = mel_weights(self.spec)

    def call(self, waveform: Any) -> Any:
        """Computes the log-mels of a batch of waveforms."""
        ops = keras.ops
        parts = ops.conv(
            ops.expand_dims(waveform, -1),
            ops.convert_to_tensor(self._fourier),
            strides=self.spec.frame_step,
            padding="valid",
            data_format="channels_last",
        )
        real, imaginary = ops.split(parts, 2, axis=-1)
        magnitude = ops.sqrt(ops.square(real) + ops.square(imaginary))
        mel = ops.matmul(magnitude, ops.convert_to_tensor(self._mel))
        return ops.log(ops.maximum(mel, MEL_FLOOR) + self.spec.offset)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns `(batch, frames, bands)`; frames is None where the number of samples is not known."""
        batch, samples = input_shape
        return batch, None if samples is None else frame_count(samples, self.spec), self.spec.bands

    def get_config(self) -> dict[str, Any]:
        """Returns the layer's config; `spec` as plain JSON."""
        return {**super().get_config(), "spec": self.spec.model_dump(mode="json")}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "LogMel":
        """Makes the layer of a config."""
        return cls(**{**config, "spec": LogMelSpec.model_validate(config["spec"])})


def standardised(log_mels: Any) -> Any:
    """Adds to a Keras graph a layer that brings log-mels of speech to a mean of about 0 and a deviation of about 1.

    The constants are the same for every window, so level and spectral tilt stay visible to the network.
    """
    return keras.layers.Rescaling(1 / TYPICAL_STD, -TYPICAL_MEAN / TYPICAL_STD, name="standardised")(log_mels)


def fourier_kernel(spec: LogMelSpec) -> NDArray[np.float32]:
    """Returns the convolution kernel of a windowed Fourier transform.

    Returns:
        `[frame_length, 1, 2 * bins]` float32 with `bins = fft_length // 2 + 1`: for each bin the Hann window times
        the cosine, then for each bin times the sine.
    """
    sample, frequency = np.arange(spec.frame_length)[:, None], np.arange(spec.fft_length // 2 + 1)
    # The phase is reduced in whole numbers, where it is exact.
    angle = 2.0 * np.pi * (sample * frequency % spec.fft_length) / spec.fft_length
    kernel = hann(spec.frame_length)[:, None] * np.concatenate([np.cos(angle), np.sin(angle)], axis=1)
    return np.asarray(kernel[:, None, :], np.float32)
