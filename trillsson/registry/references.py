"""Finding versions: references such as `nano@latest`, `nano@3` or `nano`, and what a registry holds."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from trillsson.config import Name
from trillsson.errors import InputError, IntegrityError
from trillsson.registry.manifests import LATEST, Alias, Latest, Manifest, alias_path, read_json, read_manifest
from trillsson.storage import Storage, open_storage

_ALIAS = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_COMMITTED = re.compile(r"(?P<model>[^/]+)/versions/(?P<version>[1-9][0-9]*)/manifest\.json")
_ALIAS_FILE = re.compile(r"[^/]+/aliases/(?P<alias>[^/]+)\.json")


@dataclass(frozen=True)
class Version:
    """A published version."""

    model: str
    version: int
    manifest: Manifest

    def __str__(self) -> str:
        return f"{self.model}@{self.version}"


def resolve(registry_uri: str, reference: str) -> Version:
    """Finds the version that `model@alias`, `model@number` or `model` (its latest) stands for.

    Raises:
        InputError: it is no reference, or there is no such model, alias or version; says what there is.
        IntegrityError: an alias points at nothing, or a stored file is not valid.
    """
    model, wanted = split_reference(reference)
    storage = open_storage(registry_uri)
    if wanted.isdecimal():
        manifest = read_manifest(storage, model, int(wanted))
        if manifest is None:
            raise missing(storage, model, f"version {wanted}")
        return Version(model, int(wanted), manifest)
    alias = read_json(Latest if wanted == LATEST else Alias, storage, alias_path(model, wanted))
    if alias is None:
        raise missing(storage, model, f"alias {wanted!r}")
    manifest = read_manifest(storage, model, alias.version)
    if manifest is None:
        raise IntegrityError(f"{model}@{wanted} points at version {alias.version}, which is gone; promote another")
    return Version(model, alias.version, manifest)


def list_models(registry_uri: str) -> tuple[str, ...]:
    """Returns the names of all models with a published version, sorted."""
    return tuple(sorted({model for model, _ in _committed(open_storage(registry_uri), "")}))


def list_versions(registry_uri: str, model: str) -> tuple[Version, ...]:
    """Returns the published versions of a model, oldest number first.

    Raises:
        InputError: there is no such model; says which there are.
    """
    storage = open_storage(registry_uri)
    check_model_name(model)
    found = []
    for version in _versions(storage, model):
        manifest = read_manifest(storage, model, version)
        if manifest:
            found.append(Version(model, version, manifest))
    if not found:
        raise missing(storage, model, "version")
    return tuple(found)


def split_reference(reference: str) -> tuple[str, str]:
    """Splits `model@alias-or-number` in two; a model alone means its latest version.

    Raises:
        InputError: it is no reference.
    """
    model, at, wanted = reference.partition("@")
    check_model_name(model)
    if at and not re.fullmatch(r"[1-9][0-9]{0,17}", wanted):
        check_alias_name(wanted)
    return model, wanted or LATEST


def check_model_name(model: str) -> None:
    """Raises InputError if `model` cannot name a model."""
    try:
        TypeAdapter(Name).validate_python(model)
    except ValidationError as error:
        rule = "use lower-case letters, digits, - and _"
        raise InputError(f"model name {model!r} is not valid; {rule}, as in nano or nano@3") from error


def check_alias_name(alias: str) -> None:
    """Raises InputError if `alias` cannot name an alias."""
    if not _ALIAS.fullmatch(alias):
        raise InputError(f"{alias!r} is neither a version nor an alias; give a number from 1, or a name as in latest")


def missing(storage: Storage, model: str, what: str) -> InputError:
    """Returns the error for something that a registry does not hold, saying what it does hold."""
    versions = _versions(storage, model)
    if versions:
        paths = [_ALIAS_FILE.fullmatch(path) for path in storage.list(f"{model}/aliases")]
        aliases = [found["alias"] for found in paths if found]
        return InputError(f"{model} has no {what} in {storage.uri}; it has {_listed([*versions, *aliases])}")
    models = sorted({model for model, _ in _committed(storage, "")})
    if models:
        return InputError(f"registry {storage.uri} has no model {model!r}; it has {_listed(models)}")
    return InputError(f"registry {storage.uri} holds no models; publish one, or set TRILLSSON_REGISTRY to another")


def _versions(storage: Storage, model: str) -> list[int]:
    return sorted(version for _, version in _committed(storage, f"{model}/versions"))


def _committed(storage: Storage, prefix: str) -> list[tuple[str, int]]:
    found = (_COMMITTED.fullmatch(path) for path in storage.list(prefix))
    return [(each["model"], int(each["version"])) for each in found if each]


def _listed(names: Iterable[object]) -> str:
    return ", ".join(str(name) for name in names)
