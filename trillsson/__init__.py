"""TRILLsson: small universal speech representations, distilled, evaluated and published by pipeline."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trillsson.model import Format, Model

__all__ = ["__version__", "load"]
__version__ = "0.1.0"


def load(reference: str, registry: str | None = None, *, format: "Format" = "tflite") -> "Model":  # noqa: A002
    """Loads a published model.

        embedding = trillsson.load("nano").embed(audio)

    Args:
        reference: `model`, `model@version` or `model@alias`; a model alone means its alias `latest`.
        registry: a local folder or `gs://bucket/prefix`. If not given, the environment variable TRILLSSON_REGISTRY,
            else the folder `registry` here.
        format: `tflite` needs only the base install; `saved_model` needs TensorFlow.

    A `gs://` version is copied once to `~/.cache/trillsson`, or the folder that TRILLSSON_CACHE names.

    Raises:
        InputError: there is no such model, version or alias; says what there is.
        IntegrityError: a file does not match the version's manifest.
        TransientError: the storage failed.
    """
    from trillsson.cache import cache_folder
    from trillsson.model import Model
    from trillsson.registry import fetch_version, resolve

    where = registry or os.environ.get("TRILLSSON_REGISTRY") or "registry"
    version = resolve(where, reference)
    return Model(fetch_version(where, version, cache=cache_folder()), format=format, version=version.version)
