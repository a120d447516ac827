"""Any TensorFlow SavedModel as a teacher, through a signature that the config declares and that is checked at open."""

import numpy as np

from trillsson.config import Framing, SavedModelTeacher
from trillsson.embedder import Embeddings, Windows
from trillsson.errors import InputError
from trillsson.teachers.blocks import embed_in_blocks
from trillsson.teachers.hub import local_path


class SavedModelEmbedder:
    """Windows `[n, window]` float32 through a signature to `{output: [n, dim]}`."""

    def __init__(self, spec: SavedModelTeacher, framing: Framing) -> None:
        """Imports TensorFlow, loads the SavedModel, and embeds one window of silence to see that it does as declared.

        Raises:
            InputError: the folder is no SavedModel, or it has another signature, input, output or dim.
        """
        import tensorflow as tf

        self.dim = spec.dim
        self.window = framing.window
        self._input, self._output = spec.input, spec.output
        path = local_path(spec.path)
        try:
            self._loaded = tf.saved_model.load(str(path))  # Kept: its variables go when it goes.
        except (OSError, ValueError, tf.errors.OpError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{path} cannot be loaded as a SavedModel: {reason}; give an exported folder") from error
        if spec.signature not in self._loaded.signatures:
            has = ", ".join(sorted(self._loaded.signatures)) or "none"
            raise InputError(f"{path} has no signature {spec.signature!r}; it has: {has}")
        self._call = self._loaded.signatures[spec.signature]
        self.size_bytes = sum(variable.numpy().nbytes for variable in self._call.variables)
        where = f"{path}, signature {spec.signature!r},"
        self._check_input(where)
        self._check_output(where)

    def embed(self, windows: Windows) -> Embeddings:
        return embed_in_blocks(windows, self._embed_block, window=self.window, dim=self.dim)

    def _embed_block(self, windows: Windows) -> Embeddings:
        import tensorflow as tf

        answer = self._call(**{self._input: tf.constant(windows)})[self._output]
        return np.asarray(answer.numpy(), np.float32)

    def _check_input(self, where: str) -> None:
        inputs = self._call.structured_input_signature[1]
        if sorted(inputs) != [self._input]:
            raise InputError(f"{where} takes {', '.join(sorted(inputs)) or 'nothing'}, not {self._input!r} alone")
        taken = inputs[self._input]
        free = taken.shape.rank is None or taken.shape[:1].as_list() == [None]
        if not (free and taken.shape.is_compatible_with([None, self.window])) or taken.dtype.name != "float32":
            what = f"{taken.dtype.name} of shape {taken.shape}"
            raise InputError(f"{where} takes {what}; export it for float32 of shape (None, {self.window})")

    def _check_output(self, where: str) -> None:
        import tensorflow as tf

        has = sorted(self._call.structured_outputs)
        if self._output not in has:
            raise InputError(f"{where} has no output {self._output!r}; it has: {', '.join(has)}")
        try:
            shape = self._embed_block(np.zeros((1, self.window), np.float32)).shape
        except tf.errors.OpError as error:
            reason = " ".join(error.message.split())
            raise InputError(f"{where} fails on one window of {self.window} samples: {reason}") from error
        if shape != (1, self.dim):
            raise InputError(f"{where} returns {self._output!r} of shape {shape} for one window, not (1, {self.dim})")
