"""The registry: immutable numbered versions of models, and aliases that point at them. Its layout: `manifests`."""

from trillsson.registry.aliases import promote, roll_back
from trillsson.registry.manifests import LATEST, PREVIOUS, Manifest
from trillsson.registry.publishing import Published, publish
from trillsson.registry.reading import VerifyReport, fetch, fetch_version, verify
from trillsson.registry.references import Version, list_models, list_versions, resolve

__all__ = [
    "LATEST",
    "PREVIOUS",
    "Manifest",
    "Published",
    "VerifyReport",
    "Version",
    "fetch",
    "fetch_version",
    "list_models",
    "list_versions",
    "promote",
    "publish",
    "resolve",
    "roll_back",
    "verify",
]
