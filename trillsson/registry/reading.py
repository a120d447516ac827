"""Getting a published version: fetched to a local folder with its digests checked, or verified down to its answers."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

from trillsson.bundles import MANIFEST, RESERVED, read_bundle, read_probe, relative_difference
from trillsson.digests import SHORT, digest_of, file_digest
from trillsson.errors import InputError, IntegrityError
from trillsson.model import Format, Model
from trillsson.registry.manifests import encode, version_folder
from trillsson.registry.references import Version, resolve
from trillsson.storage import GCS_SCHEME, Storage, explain_os_errors, join, open_storage

PROBE_TOLERANCE = 1e-3
"""Largest difference of an embedding from the stored one, as `trillsson.bundles.relative_difference` measures it."""


@dataclass(frozen=True)
class VerifyReport:
    """What `verify` found in order: files and bytes re-read, and each format's difference on the probe clip."""

    model: str
    version: int
    files: int
    total_bytes: int
    differences: dict[str, float]


def fetch(registry_uri: str, reference: str, *, cache: Path) -> Path:
    """Returns a local folder with a version's payload and manifest, every file checked.

    Of a local registry it is the version's own folder; of a `gs://` registry a copy below `cache`, made once.

    Raises:
        InputError: there is no such version.
        IntegrityError: a file is missing, was added or has changed, in the registry or in the cache.
    """
    return fetch_version(registry_uri, resolve(registry_uri, reference), cache=cache)


def fetch_version(registry_uri: str, version: Version, *, cache: Path) -> Path:
    """As `fetch`, of a resolved version: an alias that moves in the meantime changes nothing."""
    storage = open_storage(registry_uri)
    if not storage.uri.startswith(GCS_SCHEME):
        local = Path(storage.uri, version_folder(version.model, version.version))
        _check(local, version)
        return local
    name = digest_of([storage.uri, version.model, version.version, version.manifest.content_digest])
    local = cache / f"{version.model}-{version.version}-{name[:SHORT]}"
    if not local.exists():
        _download(storage, version, local)
    try:
        _check(local, version)
    except (InputError, IntegrityError) as error:
        raise IntegrityError(f"the cached copy of {version} is damaged: {error}; delete {local}, run again") from error
    return local


def verify(registry_uri: str, reference: str) -> VerifyReport:
    """Re-reads every byte of a version, loads both formats, embeds the stored clip and compares the answers.

    Raises:
        InputError: there is no such version.
        IntegrityError: a file is missing, was added or has changed; a format does not load, or its answer differs
            from the stored one by more than `PROBE_TOLERANCE`.
    """
    version = resolve(registry_uri, reference)
    _check_listing(open_storage(registry_uri), version)
    with TemporaryDirectory() as scratch:
        folder = fetch_version(registry_uri, version, cache=Path(scratch))
        differences = {each: _difference(folder, each, version) for each in get_args(Format)}
    entries = version.manifest.files.values()
    size = sum(entry.size for entry in entries)
    return VerifyReport(version.model, version.version, len(entries), size, differences)


def _check(folder: Path, version: Version) -> None:
    bundle = read_bundle(folder)
    for what, found, expected in (
        ("digest", bundle.digest, version.manifest.content_digest),
        ("spec", bundle.spec, version.manifest.spec),
    ):
        if found != expected:
            raise IntegrityError(f"{folder}: the {what} is {found}, the manifest of {version} says {expected}")


def _check_listing(storage: Storage, version: Version) -> None:
    folder = version_folder(version.model, version.version)
    found = {path.removeprefix(f"{folder}/") for path in storage.list(folder)} - RESERVED
    expected = version.manifest.files.keys()
    for paths, reason in (
        (expected - found, "is missing; restore it"),
        (found - expected, "is not in the manifest; remove it"),
    ):
        if paths:
            raise IntegrityError(f"{join(storage.uri, folder, min(paths))} {reason}")


def _download(storage: Storage, version: Version, target: Path) -> None:
    """Fills a folder beside `target` and renames it: `target` is complete, or not there."""
    _check_listing(storage, version)
    folder = version_folder(version.model, version.version)
    with explain_os_errors("write", target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=target.parent, prefix=".download-", ignore_cleanup_errors=True) as scratch:
            draft = Path(scratch, "version")
            for path, entry in version.manifest.files.items():
                copy = storage.local(f"{folder}/{path}", Path(scratch, "files"))
                digest = file_digest(copy)
                if digest != entry.sha256:
                    where = join(storage.uri, folder, path)
                    raise IntegrityError(f"{where} has sha256 {digest}, the manifest says {entry.sha256}; restore it")
                (draft / path).parent.mkdir(parents=True, exist_ok=True)
                copy.rename(draft / path)
            (draft / MANIFEST).write_bytes(encode(version.manifest))
            try:
                draft.rename(target)
            except OSError:
                if not target.exists():  # Else somebody else has just put the same version there.
                    raise


def _difference(folder: Path, form: Format, version: Version) -> float:
    probe = read_probe(folder)
    answer = Model(folder, format=form).embed(probe.audio)
    if answer.shape != probe.embedding.shape:
        raise IntegrityError(f"{version} as {form} gives {answer.shape}, the probe has {probe.embedding.shape}")
    difference = relative_difference(answer, probe.embedding)
    if difference > PROBE_TOLERANCE:
        change = f"differs from the stored embedding by {difference:.2g} of its size"
        raise IntegrityError(f"{version} as {form} {change}, more than {PROBE_TOLERANCE:g}; publish a sound export")
    return difference
