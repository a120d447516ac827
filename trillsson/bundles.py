"""Bundles: the folder of one exported model, its manifest, and the embedder that runs its SavedModel.

A bundle holds `saved_model/` (signature `serving_default`: argument `waveform` `[batch, time]` float32, result
`{"embedding": [batch, dim]}`), `model.tflite` (`[1, window]` to `[1, dim]`), `weights.weights.h5`, `spec.json`,
`probe.npz` and, written last, `manifest.json`. A published version is the same folder with the registry's manifest.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from trillsson.audio import Audio
from trillsson.config import Framing, Spec
from trillsson.digests import canonical_json, digest_of, file_digest
from trillsson.embedder import Embeddings, Windows
from trillsson.errors import InputError, IntegrityError
from trillsson.storage import LocalStorage, explain_os_errors

MANIFEST = "manifest.json"
SAVED_MODEL = "saved_model"
TFLITE = "model.tflite"
WEIGHTS = "weights.weights.h5"
SPEC = "spec.json"
PROBE = "probe.npz"
REQUIRED = (f"{SAVED_MODEL}/saved_model.pb", TFLITE, WEIGHTS, SPEC, PROBE)
"""Files without which a folder is no bundle."""

RESERVED = frozenset({MANIFEST, "claim.json"})
"""Names of the bookkeeping, of a bundle and of a registry's version: never part of a bundle's content."""

BATCH = 32
"""Windows in one call of a SavedModel: with more, a CPU gains nothing (EfficientNetV2-B0, one thread: 8.5 ms of CPU
time a window for 1 window, 5.35 for 32, 5.35 for 64)."""

AnyModel = TypeVar("AnyModel", bound=BaseModel)


class ModelSpec(Spec):
    """What a model is and how it was made: `spec.json`."""

    schema_version: Literal[1] = 1
    name: str = Field(min_length=1)
    architecture: str = Field(min_length=1)
    dim: int = Field(ge=1, description="length of one embedding")
    sample_rate: int = Field(ge=1, description="Hz")
    framing: Framing
    parameters: int = Field(ge=0, description="numbers in the weights")
    parity: dict[str, float] = Field(description="relative difference between each exported format and Keras")
    size_bytes: dict[str, int] = Field(description="bytes of `saved_model` and of `tflite`")
    provenance: dict[str, str] = Field(description="digests and versions of what the model was made from")


class FileEntry(Spec):
    """One file of a bundle."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0, description="bytes")


FilePath = Annotated[str, StringConstraints(pattern=r"^[^/]+(/[^/]+)*$")]
"""A relative POSIX path. (Storage refuses `..`.)"""


class BundleManifest(BaseModel):
    """The table of files, which the manifest of a bundle and the manifest of a published version share."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: Literal[1] = 1
    files: dict[FilePath, FileEntry]


@dataclass(frozen=True)
class Bundle:
    """A bundle whose every file matched its manifest."""

    folder: Path
    spec: ModelSpec
    files: dict[str, FileEntry]

    @property
    def digest(self) -> str:
        """SHA-256 of the table of paths and digests: the identity of the content, wherever it lies."""
        return digest_of({path: entry.sha256 for path, entry in self.files.items()})


@dataclass(frozen=True)
class Probe:
    """A clip and the Keras model's answer: `audio` `[samples]` float32, `embedding` `[dim]` float32."""

    audio: Audio
    embedding: NDArray[np.float32]


def write_bundle_manifest(folder: Path) -> Bundle:
    """Finishes a bundle: writes `manifest.json` over the files that are there. Call it last.

    Raises:
        InputError: a file is missing, or the folder is a finished bundle of other content.
        IntegrityError: `spec.json` is not valid.
    """
    files = _files(folder)
    for path in REQUIRED:
        if path not in files:
            raise InputError(f"bundle {folder} lacks {path}; export the model again into an empty folder")
    bundle = Bundle(folder, read_spec(folder), files)
    table = BundleManifest(files=files).model_dump(mode="json")
    if not LocalStorage(folder).create(MANIFEST, canonical_json(table)) and read_table(folder) != files:
        raise InputError(f"bundle {folder} is finished and holds another model; export into an empty folder")
    return bundle


def read_bundle(folder: Path) -> Bundle:
    """Reads a bundle, or the folder of a published version, and checks every file against the manifest.

    Raises:
        InputError: the folder holds no manifest.
        IntegrityError: a file is missing, was added or has changed, or the manifest or the spec is not valid.
    """
    expected = read_table(folder)
    found = _files(folder)
    for path in sorted(expected.keys() | found.keys()):
        if path not in found:
            raise IntegrityError(f"{folder}: {path} is missing; restore it or export again")
        if path not in expected:
            raise IntegrityError(f"{folder}: {path} is not in the manifest; remove it")
        if found[path] != expected[path]:
            was, now = expected[path], found[path]
            change = f"{now.size} bytes, sha256 {now.sha256}; the manifest says {was.size} bytes, sha256 {was.sha256}"
            raise IntegrityError(f"{folder}: {path} has changed: {change}; restore it or export again")
    return Bundle(folder, read_spec(folder), found)


def read_table(folder: Path) -> dict[str, FileEntry]:
    """Reads the table of files from a folder's manifest, without looking at the files."""
    data = LocalStorage(folder).read(MANIFEST)
    if data is None:
        raise InputError(f"{folder} holds no {MANIFEST}; give the folder of a finished bundle")
    return parse_json(BundleManifest, data, source=str(folder / MANIFEST)).files


def read_spec(folder: Path) -> ModelSpec:
    """Reads `spec.json`."""
    data = LocalStorage(folder).read(SPEC)
    if data is None:
        raise IntegrityError(f"{folder}: {SPEC} is missing; restore it or export again")
    return parse_json(ModelSpec, data, source=str(folder / SPEC))


def read_probe(folder: Path) -> Probe:
    """Reads `probe.npz`.

    Raises:
        IntegrityError: the file is missing or does not hold two rows of finite float32 numbers.
    """
    path = folder / PROBE
    data = LocalStorage(folder).read(PROBE)
    try:
        with np.load(io.BytesIO(data or b""), allow_pickle=False) as arrays:
            probe = Probe(arrays["audio"], arrays["embedding"])
    except (ValueError, KeyError, OSError, EOFError, BadZipFile) as error:
        raise IntegrityError(f"{path} is not a probe: {error}; export the model again") from error
    for name, values in (("audio", probe.audio), ("embedding", probe.embedding)):
        if values.ndim != 1 or not values.size or values.dtype != np.float32 or not np.isfinite(values).all():
            raise IntegrityError(f"{path}: {name} is not one row of finite float32 numbers; export the model again")
    return probe


def parse_json(kind: type[AnyModel], data: bytes, *, source: str) -> AnyModel:
    """Validates stored JSON; `source` names it in errors.

    Raises:
        IntegrityError: the bytes are not JSON, or do not fit the model.
    """
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        if key == "schema_version":
            raise IntegrityError(f"{source} has schema {first['input']!r}; upgrade trillsson to read it") from error
        reason = f"{key}: {first['msg']}" if key else first["msg"]
        raise IntegrityError(f"{source} is not valid: {reason}; restore it") from error


def relative_difference(answer: NDArray[Any], reference: NDArray[Any]) -> float:
    """Returns the largest absolute difference as a share of the reference's largest absolute value.

    Infinite where a number is not finite, or differs from a reference of zeros.

    Raises:
        InputError: the shapes differ.
    """
    if answer.shape != reference.shape:
        raise InputError(f"shapes {answer.shape} and {reference.shape} differ; compare embeddings of one model")
    if not (np.isfinite(answer).all() and np.isfinite(reference).all()):
        return float("inf")
    difference = float(np.abs(np.subtract(answer, reference, dtype=np.float64)).max(initial=0.0))
    scale = float(np.abs(reference).max(initial=0.0))
    return difference / scale if scale else (float("inf") if difference else 0.0)


def check_windows(windows: Windows, window: int) -> None:
    """Refuses whatever is not `[n, window]` float32.

    Raises:
        InputError: the array has another shape or dtype.
    """
    if windows.ndim != 2 or windows.shape[1] != window or windows.dtype != np.float32:
        what = f"windows are {windows.dtype} of shape {windows.shape}"
        raise InputError(f"{what}; give float32 of shape [n, {window}], see trillsson.audio.frame")


class BundleEmbedder:
    """A bundle's SavedModel as an embedder. Answers depend on the batch size by no more than float rounding."""

    def __init__(self, folder: Path) -> None:
        """Checks the bundle, imports TensorFlow and loads the SavedModel.

        Raises:
            InputError: the folder is no bundle.
            IntegrityError: a file does not match the manifest, or the SavedModel is not as the contract says.
        """
        self.spec = read_bundle(folder).spec
        import tensorflow as tf

        path = folder / SAVED_MODEL
        try:
            self._loaded = tf.saved_model.load(str(path))  # Kept: its variables go when it goes.
        except (OSError, ValueError, tf.errors.OpError) as error:
            reason = " ".join(str(error).split())
            raise IntegrityError(f"{path} cannot be loaded: {reason}; export the model again") from error
        self._call = self._loaded.signatures.get("serving_default")
        if self._call is None:
            raise IntegrityError(f"{path} has no signature serving_default; export the model again")
        given, got = sorted(self._call.structured_input_signature[1]), sorted(self._call.structured_outputs)
        if given != ["waveform"] or "embedding" not in got:
            raise IntegrityError(f"{path} maps {given} to {got}, not waveform to embedding; export the model again")

    @property
    def dim(self) -> int:
        """Length of one embedding."""
        return self.spec.dim

    @property
    def window(self) -> int:
        """Samples in one window at 16 kHz."""
        return self.spec.framing.window

    @property
    def size_bytes(self) -> int:
        """Bytes of the SavedModel's files."""
        return self.spec.size_bytes["saved_model"]

    def embed(self, windows: Windows) -> Embeddings:
        """Embeds `[n, window]` float32 samples in [-1, 1] into `[n, dim]` float32, 32 windows at a time.

        Raises:
            InputError: the array has another shape or dtype.
        """
        check_windows(windows, self.window)
        import tensorflow as tf

        parts = [np.zeros((0, self.dim), np.float32)]
        for start in range(0, len(windows), BATCH):
            answer = self._call(waveform=tf.constant(windows[start : start + BATCH]))
            parts.append(answer["embedding"].numpy())
        return np.concatenate(parts)


def _files(folder: Path) -> dict[str, FileEntry]:
    files = {}
    for path in LocalStorage(folder).list():
        if path not in RESERVED:
            with explain_os_errors("read", folder / path):
                size = (folder / path).stat().st_size
                files[path] = FileEntry(sha256=file_digest(folder / path), size=size)
    return files
