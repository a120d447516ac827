"""Any TFLite file as a teacher: its input and the tensor that holds the embedding are declared in the config."""

import difflib
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trillsson.config import Framing, TFLiteTeacher, WaveformInput
from trillsson.embedder import Embeddings, Windows
from trillsson.errors import InputError
from trillsson.logmel import log_mel
from trillsson.teachers.blocks import embed_in_blocks
from trillsson.teachers.hub import local_path


class TFLiteEmbedder:
    """A TFLite model run patch by patch on one thread; the patches of a window are averaged. Not for several threads.

    The embedding may be any tensor inside the network, not only an output. Quantised tensors are converted.
    """

    def __init__(self, spec: TFLiteTeacher, framing: Framing) -> None:
        """Loads the model and runs it twice, to see that the tensor depends on the input and has `dim` numbers.

        Raises:
            InputError: the file is no TFLite model that LiteRT can run, or its input or tensor is not as declared.
        """
        self.dim = spec.dim
        self.window = framing.window
        self._input = spec.input
        path = local_path(spec.path)
        patch = self._patches(np.zeros((1, framing.window), np.float32)).shape[2:]
        where = f"{path}, tensor {spec.tensor!r},"
        try:
            self.size_bytes = path.stat().st_size
            self._interpreter = _open(str(path))
            self._taken = _taken(self._interpreter, patch, path=str(path))
            self._interpreter.allocate_tensors()
            self._embedding = _named(self._interpreter.get_tensor_details(), spec.tensor, path=str(path))
            noise, silence = np.random.default_rng(0).normal(size=patch).astype(np.float32), np.zeros(patch, np.float32)
            loud, quiet = self._run(noise), self._run(silence)
        except (OSError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{path} cannot be run by LiteRT: {reason}; give a TFLite file of built-in ops") from error
        if loud.size != self.dim:
            raise InputError(f"{where} holds {loud.size} numbers, not dim {self.dim}; mend dim or the name")
        if np.array_equal(loud, quiet):
            raise InputError(f"{where} is the same for every input; name a tensor that the network computes")

    def embed(self, windows: Windows) -> Embeddings:
        return embed_in_blocks(windows, self._embed_block, window=self.window, dim=self.dim)

    def _embed_block(self, windows: Windows) -> Embeddings:
        return np.stack(
            [np.mean([self._run(patch) for patch in patches], axis=0) for patches in self._patches(windows)]
        )

    def _patches(self, windows: Windows) -> NDArray[np.float32]:
        """Cuts windows into what the model takes: `[n, patches, samples]` or `[n, patches, frames, bands]`."""
        if isinstance(self._input, WaveformInput):
            return windows[:, None]
        levels = log_mel(windows, self._input.logmel)
        if levels.shape[1] < self._input.frames:
            has = f"a window of {self.window} samples has {levels.shape[1]} frames"
            raise InputError(f"{has}, the teacher's patch needs {self._input.frames}; make framing.window longer")
        starts = np.arange(0, levels.shape[1] - self._input.frames + 1, self._input.hop)
        return levels[:, starts[:, None] + np.arange(self._input.frames)]

    def _run(self, patch: NDArray[np.float32]) -> NDArray[np.float32]:
        given = _quantised(patch.reshape(self._taken["shape"]), self._taken)
        self._interpreter.set_tensor(self._taken["index"], given)
        self._interpreter.invoke()
        return _dequantised(self._interpreter.get_tensor(self._embedding["index"]), self._embedding).ravel()


def _open(path: str) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    with warnings.catch_warnings():
        # LiteRT warns that this is for debugging; it is the one way to read a tensor that is not an output.
        warnings.filterwarnings("ignore", message=".*experimental_preserve_all_tensors.*")
        return Interpreter(path, num_threads=1, experimental_preserve_all_tensors=True)


def _taken(interpreter: Any, patch: tuple[int, ...], *, path: str) -> dict[str, Any]:
    """Finds the model's one input, and gives free dimensions the size of a patch."""
    inputs = interpreter.get_input_details()
    wanted = [(1, *patch), patch, (1, *patch, 1)]
    for shape in wanted if len(inputs) == 1 else []:
        signature = inputs[0]["shape_signature"]
        if len(signature) == len(shape) and all(has in (-1, size) for has, size in zip(signature, shape, strict=True)):
            interpreter.resize_tensor_input(inputs[0]["index"], shape)
            return {**inputs[0], "shape": shape}
    has = ", ".join(f"{each['name']} {each['shape_signature'].tolist()}" for each in inputs)
    raise InputError(f"{path} takes {has}; the declared input makes {list(wanted[0])}")


def _named(tensors: Sequence[dict[str, Any]], wanted: str, *, path: str) -> dict[str, Any]:
    """Finds a tensor by its name, or by the end of its name from a `/` on, where only one name ends so."""
    ending = [tensor for tensor in tensors if f"/{tensor['name']}".endswith(f"/{wanted}")]
    found = [tensor for tensor in ending if tensor["name"] == wanted] or ending
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(tensor["name"] for tensor in found)
        raise InputError(f"{path} has {len(found)} tensors {wanted!r}: {several}; give a name that only one has")
    near = difflib.get_close_matches(wanted, [tensor["name"] for tensor in tensors], n=5, cutoff=0.4)
    raise InputError(f"{path} has no tensor {wanted!r}; close to it are: {', '.join(near) or 'none'}")


def _quantised(values: NDArray[np.float32], tensor: dict[str, Any]) -> NDArray[Any]:
    scale, zero = tensor["quantization"]
    if not scale:
        return values.astype(tensor["dtype"])
    limits = np.iinfo(tensor["dtype"])
    steps = np.clip(np.rint(values / scale) + zero, limits.min, limits.max)
    return np.asarray(steps, tensor["dtype"])


def _dequantised(values: NDArray[Any], tensor: dict[str, Any]) -> NDArray[np.float32]:
    scale, zero = tensor["quantization"]
    return (values.astype(np.float32) - zero) * scale if scale else values.astype(np.float32)
