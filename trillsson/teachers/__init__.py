"""Teachers, and every other embedder a config can name: one file a kind."""

from importlib.metadata import version
from pathlib import Path

from trillsson import config
from trillsson.bundles import RESERVED, BundleEmbedder
from trillsson.config import EmbedderSpec, Framing
from trillsson.digests import digest_of, file_digest, folder_digests
from trillsson.embedder import Embedder
from trillsson.errors import InputError
from trillsson.teachers.hub import local_path

BUILT_IN_VERSION = 1
"""Raise it when the built-in teacher comes to compute something else for the same spec."""


def open_embedder(spec: EmbedderSpec, framing: Framing) -> Embedder:
    """Opens the embedder that a spec describes, for windows of one framing. Imports only what its kind needs.

    Raises:
        InputError: the embedder does not exist, is not as its spec says, or takes windows of another size.
        IntegrityError: a bundle does not match its manifest.
        TransientError: a download failed.
    """
    embedder = _open(spec, framing)
    if embedder.window != framing.window:
        given = f"the {spec.kind} embedder takes windows of {embedder.window} samples"
        raise InputError(f"{given}, framing.window is {framing.window}; make the two equal")
    return embedder


def fingerprint(spec: EmbedderSpec) -> str:
    """Returns the identity of what a spec describes, wherever its files lie: SHA-256, 64 hex digits.

    It covers the spec without its path, and every byte of the file or folder that the path names, but for the
    bookkeeping of bundles and versions: a bundle keeps its identity when it is published. TensorFlow is not imported.

    Raises:
        InputError: the path does not exist.
        TransientError: a download failed.
    """
    content: dict[str, object] = {"spec": spec.model_dump(mode="json", exclude={"path"})}
    if isinstance(spec, config.ConformerTeacher):
        content["code"] = [BUILT_IN_VERSION, version("keras")]  # its weights are drawn by Keras
    path = getattr(spec, "path", None)
    return digest_of(content if path is None else {**content, "files": _digests(local_path(path))})


def _digests(path: Path) -> str | dict[str, str]:
    return folder_digests(path, leave_out=RESERVED) if path.is_dir() else file_digest(path)


def _open(spec: EmbedderSpec, framing: Framing) -> Embedder:
    if isinstance(spec, config.ConformerTeacher):
        from trillsson.teachers.conformer import ConformerEmbedder

        return ConformerEmbedder(spec, framing)
    if isinstance(spec, config.SavedModelTeacher):
        from trillsson.teachers.saved_model import SavedModelEmbedder

        return SavedModelEmbedder(spec, framing)
    if isinstance(spec, config.TFLiteTeacher):
        from trillsson.teachers.tflite import TFLiteEmbedder

        return TFLiteEmbedder(spec, framing)
    if isinstance(spec, config.LogMelBaseline):
        from trillsson.teachers.logmel import LogMelEmbedder

        return LogMelEmbedder(spec, framing)
    return BundleEmbedder(local_path(spec.path))
