"""Local folders and `gs://` prefixes behind one small interface.

Two writes exist, and both are atomic for every reader: create-if-absent, and compare-and-swap of a small file. A
reader sees nothing, or the whole file. A killed write leaves at most a hidden file that no method shows.

All `gs://` traffic of the project passes here: TensorFlow gets local paths, because `tf.io.gfile` cannot be pointed
at a storage emulator.
"""

from pathlib import Path

from trillsson.errors import InputError
from trillsson.storage.explained import explain_os_errors
from trillsson.storage.gcs import GcsStorage
from trillsson.storage.interface import GCS_SCHEME, HIDDEN, FileInfo, Storage, join
from trillsson.storage.local import LocalStorage

__all__ = [
    "GCS_SCHEME",
    "HIDDEN",
    "FileInfo",
    "GcsStorage",
    "LocalStorage",
    "Storage",
    "explain_os_errors",
    "join",
    "open_file",
    "open_storage",
]


def open_storage(uri: str) -> Storage:
    """Opens a local folder (made on the first write) or a `gs://bucket/prefix`.

    Raises:
        InputError: the URI is empty, has another scheme, or holds a NUL character.
    """
    if "\0" in uri:
        raise InputError(f"storage {uri!r} holds a NUL character, which no file's name can; give another path")
    if uri.startswith(GCS_SCHEME):
        return GcsStorage(uri)
    if not uri or "://" in uri:
        raise InputError(f"storage {uri!r} is not supported; give a local folder or gs://bucket/prefix")
    return LocalStorage(Path(uri))


def open_file(uri: str) -> tuple[Storage, str]:
    """Splits a file's URI into the storage of its folder and its name there.

    Raises:
        InputError: the URI names no file.
    """
    folder, _, name = uri.rpartition("/")
    if not name or uri.removeprefix(GCS_SCHEME) == name != uri:
        raise InputError(f"{uri!r} names no file; give folder/file or gs://bucket/file")
    return open_storage(folder or ("/" if uri.startswith("/") else ".")), name
