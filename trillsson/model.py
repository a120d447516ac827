"""A published model, ready to use: audio of any length in, embeddings out. The default format needs no TensorFlow."""

import threading
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from trillsson.audio import Audio, frame, from_pcm16
from trillsson.bundles import TFLITE, BundleEmbedder, ModelSpec, check_windows, read_spec
from trillsson.embedder import Embedder, Embeddings, Windows
from trillsson.errors import InputError, IntegrityError

Format = Literal["tflite", "saved_model"]

LOUDEST = 10.0
"""Samples beyond this (20 dB over full scale) are taken for integers that nobody scaled."""


class Model:
    """An embedding model. One object may be used from several threads.

    Attributes:
        spec: what the model is and how it was made.
        dim: length of one embedding.
        sample_rate: of the audio it takes, in Hz.
        version: number of the published version, or None for a bundle that is not published.
    """

    def __init__(self, folder: Path, *, format: Format = "tflite", version: int | None = None) -> None:  # noqa: A002
        """Loads a bundle, or the folder of a fetched version.

        Args:
            folder: a folder as `trillsson.bundles` describes it.
            format: `tflite` (LiteRT, one thread) or `saved_model` (TensorFlow).
            version: the number of the published version.

        Raises:
            InputError: no such format.
            IntegrityError: a file of the model is missing, damaged or not as the spec says.
        """
        if format not in get_args(Format):
            raise InputError(f"format {format!r} does not exist; give one of {', '.join(get_args(Format))}")
        self.spec: ModelSpec = read_spec(folder)
        self.dim: int = self.spec.dim
        self.sample_rate: int = self.spec.sample_rate
        self.version = version
        self._embedder: Embedder = (
            BundleEmbedder(folder) if format == "saved_model" else LiteRTEmbedder(folder / TFLITE, self.spec)
        )

    def __repr__(self) -> str:
        return f"Model({self.spec.name!r}, version={self.version}, dim={self.dim})"

    def embed(self, audio: NDArray[Any]) -> NDArray[np.float32]:
        """Embeds whole clips: the mean over the embeddings of their windows.

        Args:
            audio: `[samples]` or `[batch, samples]` at 16 kHz, of any length; float in [-1, 1] or int16. Floats
                slightly beyond full scale are clipped, as `trillsson.audio.decode` does.

        Returns:
            `[dim]` or `[batch, dim]` float32.

        Raises:
            InputError: the array is empty, has another shape or dtype, holds NaN, or is not scaled to [-1, 1].
        """
        clips = _checked(audio, (1, 2))
        means = [self._embedder.embed(frame(clip, self.spec.framing)).mean(axis=0) for clip in np.atleast_2d(clips)]
        return np.stack(means) if clips.ndim == 2 else means[0]

    def embed_windows(self, audio: NDArray[Any]) -> Embeddings:
        """Embeds each window of one clip `[samples]`, cut with the model's framing, into `[n, dim]` float32.

        Raises:
            InputError: as `embed`.
        """
        return self._embedder.embed(frame(_checked(audio, (1,)), self.spec.framing))


class LiteRTEmbedder:
    """A TFLite file `[1, window]` to `[1, dim]` as an embedder, on one thread and one window at a time.

    LiteRT gains nothing from batches, and two threads contend with the other processes of the machine.
    """

    def __init__(self, path: Path, spec: ModelSpec) -> None:
        """Loads the file.

        Raises:
            IntegrityError: it is missing, is not TFLite, or does not take and give what the spec says.
        """
        from ai_edge_litert.interpreter import Interpreter

        try:
            # From memory: a mapped file that somebody changes would take the process down.
            content = path.read_bytes()
            self._interpreter = Interpreter(model_content=content, num_threads=1)
            self._interpreter.allocate_tensors()
        except (OSError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise IntegrityError(f"{path} cannot be loaded: {reason}; restore it or export again") from error
        self.size_bytes = len(content)
        self._lock = threading.Lock()
        self._spec = spec
        (self._input,), (self._output,) = self._ends(path)

    def _ends(self, path: Path) -> tuple[list[int], list[int]]:
        ends = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        found = [[(tuple(end["shape"].tolist()), np.dtype(end["dtype"]).name) for end in side] for side in ends]
        wanted = [[((1, size), "float32")] for size in (self.window, self.dim)]
        if found != wanted:
            raise IntegrityError(f"{path} maps {found[0]} to {found[1]}, its spec {wanted[0]} to {wanted[1]}")
        return [end["index"] for end in ends[0]], [end["index"] for end in ends[1]]

    @property
    def dim(self) -> int:
        """Length of one embedding."""
        return self._spec.dim

    @property
    def window(self) -> int:
        """Samples in one window at 16 kHz."""
        return self._spec.framing.window

    def embed(self, windows: Windows) -> Embeddings:
        """Embeds `[n, window]` float32 samples in [-1, 1] into `[n, dim]` float32.

        Raises:
            InputError: the array has another shape or dtype.
        """
        check_windows(windows, self.window)
        embeddings = np.empty((len(windows), self.dim), np.float32)
        with self._lock:
            for row, window in enumerate(windows):
                self._interpreter.set_tensor(self._input, window[None])
                self._interpreter.invoke()
                embeddings[row] = self._interpreter.get_tensor(self._output)[0]
        return embeddings


def _checked(samples: NDArray[Any], allowed_ndim: tuple[int, ...]) -> Audio:
    if not isinstance(samples, np.ndarray):
        raise InputError(f"audio is a {type(samples).__name__}; give a numpy array")
    if samples.ndim not in allowed_ndim or not samples.size:
        shapes = " or ".join({1: "[samples]", 2: "[batch, samples]"}[ndim] for ndim in allowed_ndim)
        raise InputError(f"audio has shape {samples.shape}; give non-empty {shapes}")
    if samples.dtype == np.int16:
        return from_pcm16(samples.astype("<i2").tobytes()).reshape(samples.shape)
    if samples.dtype.kind != "f":
        raise InputError(f"audio is {samples.dtype}; give float32 in [-1, 1] or int16")
    if not np.isfinite(samples).all():
        raise InputError("audio holds NaN or infinity; remove those samples")
    peak = float(np.abs(samples).max())
    if peak > LOUDEST:
        raise InputError(f"audio reaches {peak:g}; scale it to [-1, 1], for 16-bit samples divide by 32768")
    clipped: Audio = np.clip(samples, -1.0, 1.0).astype(np.float32)
    return clipped
