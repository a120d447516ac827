"""What a registry stores: where each file lies, and the JSON of claims, manifests and aliases.

<registry>/<model>/versions/<N>/claim.json      this number is for this content; decided before anything else
<registry>/<model>/versions/<N>/<payload>       the files of the bundle
<registry>/<model>/versions/<N>/manifest.json   the commit: the version exists from here on, for ever
<registry>/<model>/aliases/<name>.json          a version's number, moved by compare-and-swap
"""

from typing import Literal

from pydantic import Field, JsonValue

from trillsson.bundles import MANIFEST, AnyModel, FileEntry, FilePath, ModelSpec, parse_json
from trillsson.config import Name, Spec
from trillsson.digests import canonical_json
from trillsson.errors import IntegrityError
from trillsson.storage import Storage, join

LATEST = "latest"
PREVIOUS = "previous"


class Claim(Spec):
    """Gives a number to a content, so that everyone who publishes this content works on the same version."""

    schema_version: Literal[1] = 1
    content_digest: str


class Manifest(Spec):
    """One published version: `manifest.json`."""

    schema_version: Literal[1] = 1
    model: Name
    version: int = Field(ge=1)
    content_digest: str = Field(description="SHA-256 of the table of paths and digests of the payload")
    files: dict[FilePath, FileEntry]
    spec: ModelSpec
    metrics: JsonValue = Field(description="what the model scored; the publisher's own form")
    provenance: dict[str, JsonValue] = Field(description="what the model was made from and by")
    created: str = Field(description="when it was published, UTC, ISO 8601")


class Alias(Spec):
    """A name for a version: `aliases/<name>.json`."""

    schema_version: Literal[1] = 1
    version: int = Field(ge=1)


class Latest(Alias):
    """The alias `latest`, in which one write decides all about a move; `previous.json` follows it.

    `published` is the highest version that publishing has ever moved it to: publishing that version again, after a
    roll back, does not move it.
    """

    previous: int | None = Field(None, ge=1, description="the version that `latest` stood at before")
    published: int = Field(ge=1)


def version_folder(model: str, version: int) -> str:
    """Returns the folder of a version, relative to the registry."""
    return f"{model}/versions/{version}"


def claim_path(model: str, version: int) -> str:
    """Returns the path of a version's claim."""
    return f"{version_folder(model, version)}/claim.json"


def manifest_path(model: str, version: int) -> str:
    """Returns the path of a version's manifest."""
    return f"{version_folder(model, version)}/{MANIFEST}"


def alias_path(model: str, alias: str) -> str:
    """Returns the path of an alias."""
    return f"{model}/aliases/{alias}.json"


def encode(value: Spec) -> bytes:
    """Encodes what is stored, in one canonical form."""
    return canonical_json(value.model_dump(mode="json"))


def read_json(kind: type[AnyModel], storage: Storage, path: str) -> AnyModel | None:
    """Reads a stored value, or returns None if there is none.

    Raises:
        IntegrityError: it is not valid.
    """
    data = storage.read(path)
    return None if data is None else parse_json(kind, data, source=join(storage.uri, path))


def read_manifest(storage: Storage, model: str, version: int) -> Manifest | None:
    """Reads the manifest of a version, or returns None if there is no such version.

    Raises:
        IntegrityError: it is not valid, or belongs to another version.
    """
    manifest = read_json(Manifest, storage, manifest_path(model, version))
    if manifest and (manifest.model, manifest.version) != (model, version):
        where = join(storage.uri, manifest_path(model, version))
        raise IntegrityError(f"{where} is of {manifest.model}@{manifest.version}; restore the right one")
    return manifest
