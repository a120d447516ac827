"""Folders that exist whole or not at all: what a step makes when it makes more than one file.

<uri>/<content digest>/...   the files; written first, under a name that only these bytes have
<uri>/commit.json            which folder it is, and the digest of every file; one create-if-absent write, last
"""

from pathlib import Path

from pydantic import ValidationError

from trillsson.config import Spec
from trillsson.digests import SHORT, canonical_json, digest_of, file_digest, folder_digests
from trillsson.errors import InputError, IntegrityError
from trillsson.storage import GCS_SCHEME, join, open_storage

_COMMIT = "commit.json"


class FolderCommit(Spec):
    """The commit of a folder: its name below the URI, and path -> SHA-256 of its files."""

    folder: str
    files: dict[str, str]


def find_folder(uri: str) -> str | None:
    """Returns the URI of the committed folder at `uri`, or None where it still has to be made."""
    commit = _read_commit(uri)
    return None if commit is None else join(open_storage(uri).uri, commit.folder)


def commit_folder(uri: str, source: Path) -> str:
    """Stores the files of a finished local folder and commits them; returns the committed folder's URI.

    Where two writers race, the first to commit wins, and both get the winner's folder.
    """
    storage = open_storage(uri)
    files = folder_digests(source)
    commit = FolderCommit(folder=digest_of(files)[:SHORT], files=files)
    for path in files:
        storage.create_from(join(commit.folder, path), source / path)
    storage.create(_COMMIT, canonical_json(commit.model_dump(mode="json")))
    winner = find_folder(uri)
    return winner or join(storage.uri, commit.folder)


def local_folder(uri: str, cache: Path) -> Path:
    """Returns a local path of a committed folder, every file checked against its digest.

    Args:
        uri: what `commit_folder` or `find_folder` returned.
        cache: where files of a `gs://` folder are copied to.

    Raises:
        InputError: there is no such folder.
        IntegrityError: a file is missing or changed.
    """
    parent, _, name = uri.rstrip("/").rpartition("/")
    commit = _read_commit(parent) if parent else None
    if commit is None or commit.folder != name:
        raise InputError(f"folder {uri} does not exist; name one that a step printed, or run that step")
    storage = open_storage(uri)
    remote = storage.uri.startswith(GCS_SCHEME)
    folder = cache / name if remote else Path(storage.uri)
    for path, digest in commit.files.items():
        target = folder / path
        if remote and not (target.exists() and file_digest(target) == digest):
            target.parent.mkdir(parents=True, exist_ok=True)
            storage.local(path, cache).replace(target)
        if not target.exists() or file_digest(target) != digest:
            raise IntegrityError(f"{join(uri, path)} does not match its digest; delete {parent} and run again")
    return folder


def _read_commit(uri: str) -> FolderCommit | None:
    data = open_storage(uri).read(_COMMIT)
    if data is None:
        return None
    try:
        return FolderCommit.model_validate_json(data)
    except ValidationError as error:
        raise IntegrityError(f"{join(uri, _COMMIT)} is damaged; delete {uri} and run again") from error
