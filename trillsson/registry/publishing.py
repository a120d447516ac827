"""Publishing a bundle as a version: claim a number, send the payload, commit the manifest, move the aliases.

Every step is a create-if-absent or a compare-and-swap, and looks first for what an earlier or another publisher did.
So a publish that was killed goes on where it stopped, publishers in a race share or part as their contents do, and
the same content is always the same version.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import JsonValue

from trillsson.bundles import Bundle, read_bundle
from trillsson.digests import file_digest
from trillsson.errors import InputError, IntegrityError, TransientError
from trillsson.registry.aliases import advance_latest
from trillsson.registry.manifests import (
    Claim,
    Manifest,
    claim_path,
    encode,
    manifest_path,
    read_json,
    read_manifest,
    version_folder,
)
from trillsson.registry.references import check_model_name
from trillsson.storage import Storage, join, open_storage


@dataclass(frozen=True)
class Published:
    """Where a bundle was published. `created` is False if this content was published before."""

    model: str
    version: int
    created: bool


def publish(
    registry_uri: str,
    bundle_folder: Path,
    *,
    model: str,
    metrics: JsonValue,
    provenance: Mapping[str, JsonValue],
) -> Published:
    """Publishes a bundle and moves `latest` to it. Run it again after any failure: it goes on where it stopped.

    Versions are numbered in the order in which they were begun. One that is finished after a later one does not take
    `latest` from it; nor does publishing an old content again, whatever `latest` was rolled back to.

    Args:
        registry_uri: a local folder or `gs://bucket/prefix`.
        bundle_folder: a finished bundle.
        model: the name to publish under.
        metrics: what the model scored, any JSON.
        provenance: what it was made from and by. Neither is part of the content's identity: the first publish's stay.

    Raises:
        InputError: the folder is no bundle, the name is not valid, or the metrics or the provenance are not JSON.
        IntegrityError: the bundle, or what lies in the registry already, does not match its manifest.
        TransientError: the storage failed.
    """
    check_model_name(model)
    _check_json(metrics, "metrics")
    _check_json(dict(provenance), "provenance")
    bundle = read_bundle(bundle_folder)
    storage = open_storage(registry_uri)
    version = _claim(storage, model, bundle.digest)
    created = False
    if not _is_committed(storage, model, version, digest=bundle.digest):
        _send_payload(storage, version_folder(model, version), bundle)
        manifest = Manifest(
            model=model,
            version=version,
            content_digest=bundle.digest,
            files=bundle.files,
            spec=bundle.spec,
            metrics=metrics,
            provenance=dict(provenance),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        created = storage.create(manifest_path(model, version), encode(manifest))
        if not created:
            _is_committed(storage, model, version, digest=bundle.digest)
    advance_latest(storage, model, version)
    return Published(model, version, created)


def _check_json(value: JsonValue, name: str) -> None:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} cannot be stored as JSON: {error}; give plain finite values") from error


def _claim(storage: Storage, model: str, digest: str) -> int:
    """Returns the version of this content: the one that claims it, or the first free number, claimed now.

    Claims have no gaps, because a number is taken only after its predecessor was seen taken. So walking up from 1
    meets every claim, and two publishers of one content meet at the same number.
    """
    wanted = Claim(content_digest=digest)
    version = 1
    while True:
        path = claim_path(model, version)
        claim = read_json(Claim, storage, path)
        if claim is None:
            storage.create(path, encode(wanted))  # Whoever wins, the next read tells whose it is.
            claim = read_json(Claim, storage, path)
        if claim is None:
            raise TransientError(f"{join(storage.uri, path)} was written and is gone; run again")
        if claim == wanted:
            return version
        version += 1


def _is_committed(storage: Storage, model: str, version: int, *, digest: str) -> bool:
    manifest = read_manifest(storage, model, version)
    if manifest and manifest.content_digest != digest:
        where = join(storage.uri, version_folder(model, version))
        raise IntegrityError(
            f"{where}: the manifest has digest {manifest.content_digest}, the claim {digest}; restore it"
        )
    return manifest is not None


def _send_payload(storage: Storage, folder: str, bundle: Bundle) -> None:
    for path, entry in bundle.files.items():
        target = f"{folder}/{path}"
        if storage.create_from(target, bundle.folder / path):
            continue
        with TemporaryDirectory() as scratch:
            stored = file_digest(storage.local(target, Path(scratch)))
        if stored != entry.sha256:
            where = join(storage.uri, target)
            raise IntegrityError(f"{where} has sha256 {stored}, the bundle's is {entry.sha256}; remove it, run again")
