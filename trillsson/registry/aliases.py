"""Moving aliases: after publishing, promoting and rolling back. Every move is one compare-and-swap.

`latest.json` decides: it holds the version, the one before it and the highest ever published. `previous.json` is
written from it afterwards, and any later move finishes what a killed one left.
"""

from collections.abc import Callable
from typing import TypeVar

from trillsson.bundles import parse_json
from trillsson.errors import InputError, TransientError
from trillsson.registry.manifests import LATEST, PREVIOUS, Alias, Latest, alias_path, encode, read_json
from trillsson.registry.references import Version, check_alias_name, check_model_name, missing, resolve
from trillsson.storage import Storage, join, open_storage

AnyAlias = TypeVar("AnyAlias", bound=Alias)

_ATTEMPTS = 100
"""A swap fails only because another one succeeded; this many in a row means that something else is wrong."""


def promote(registry_uri: str, reference: str, *, alias: str = LATEST) -> Version:
    """Moves an alias to the version that `reference` stands for; moving `latest` also sets `previous`.

    Raises:
        InputError: there is no such version, or the alias cannot be moved by hand.
        TransientError: others keep moving the alias.
    """
    check_alias_name(alias)
    if alias == PREVIOUS:
        raise InputError(f"alias {PREVIOUS!r} follows {LATEST!r} by itself; promote {LATEST!r} or another alias")
    target = resolve(registry_uri, reference)
    storage = open_storage(registry_uri)
    if alias == LATEST:
        _move_latest(storage, target.model, lambda latest: _moved(latest, target.version))
    else:
        _swap(storage, alias_path(target.model, alias), Alias, lambda _: Alias(version=target.version))
    return target


def roll_back(registry_uri: str, model: str) -> Version:
    """Moves `latest` to where `previous` points, and `previous` to where `latest` was. Returns the new latest.

    A roll back that was cut short is finished by the next one, not repeated.

    Raises:
        InputError: there is no such model, or nothing to go back to.
        TransientError: somebody moved `latest` in the meantime.
    """
    check_model_name(model)
    storage = open_storage(registry_uri)
    before = read_json(Latest, storage, alias_path(model, LATEST))
    if before is None:
        raise missing(storage, model, f"alias {LATEST!r}")
    if before.previous is None:
        raise InputError(f"{model}@{before.version} is the only version that was ever latest; promote another")
    shown = read_json(Alias, storage, alias_path(model, PREVIOUS))
    cut_short = shown is not None and shown.version == before.version
    target = before.version if cut_short else before.previous
    version = resolve(registry_uri, f"{model}@{target}")

    def change(latest: Latest | None) -> Latest:
        if latest is None or latest not in (before, _moved(before, target)):
            raise TransientError(f"{model}@{LATEST} was moved by somebody else; look at the versions and run again")
        return _moved(latest, target)

    _move_latest(storage, model, change)
    return version


def advance_latest(storage: Storage, model: str, version: int) -> None:
    """Moves `latest` to a version just published, unless publishing has been there or beyond before."""

    def change(latest: Latest | None) -> Latest:
        return latest if latest and latest.published >= version else _moved(latest, version)

    _move_latest(storage, model, change)


def _moved(latest: Latest | None, version: int) -> Latest:
    if latest is None:
        return Latest(version=version, previous=None, published=version)
    if latest.version == version:
        return latest
    return Latest(version=version, previous=latest.version, published=max(latest.published, version))


def _move_latest(storage: Storage, model: str, change: Callable[[Latest | None], Latest]) -> None:
    _swap(storage, alias_path(model, LATEST), Latest, change)

    def follow(shown: Alias | None) -> Alias | None:
        latest = read_json(Latest, storage, alias_path(model, LATEST))
        return Alias(version=latest.previous) if latest and latest.previous else shown

    # Whoever writes previous.json looks again at latest.json afterwards, so a slow move cannot undo a newer one.
    while _swap(storage, alias_path(model, PREVIOUS), Alias, follow):
        pass


def _swap(
    storage: Storage, path: str, kind: type[AnyAlias], change: Callable[[AnyAlias | None], AnyAlias | None]
) -> bool:
    """Reads an alias, changes it, and writes it if nobody else has meanwhile; else again. Returns whether it wrote."""
    for _ in range(_ATTEMPTS):
        found = storage.read_versioned(path)
        current = parse_json(kind, found[0], source=join(storage.uri, path)) if found else None
        wanted = change(current)
        if wanted is None or wanted == current:
            return False
        if storage.swap(path, encode(wanted), expected=found[1] if found else None):
            return True
    raise TransientError(f"cannot move {join(storage.uri, path)}: others moved it {_ATTEMPTS} times; run again")
