"""What a storage is: the interface of both kinds, and the names they share."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from trillsson.errors import InputError

GCS_SCHEME = "gs://"
HIDDEN = ".trillsson-"


class FileInfo(NamedTuple):
    """A file as a listing shows it.

    Attributes:
        path: relative to the storage.
        size: bytes.
        stamp: changes when the file does: its time of change in nanoseconds, or, on an object store, its CRC32C in hex.
    """

    path: str
    size: int
    stamp: str


class Storage(Protocol):
    """A folder of files addressed by POSIX paths relative to `uri`.

    Every method may raise `TransientError` (a full disk, a lost connection) and `InputError` (no such bucket, no
    rights, a path that leaves the folder).
    """

    @property
    def uri(self) -> str:
        """Where this storage is: an absolute folder, or `gs://bucket/prefix`."""

    def read(self, path: str) -> bytes | None:
        """Returns a file's bytes, or None if it does not exist."""

    def read_many(self, paths: Iterable[str]) -> Iterator[bytes | None]:
        """Yields what `read` returns for each path, in their order; several are read at once where that is faster."""

    def read_versioned(self, path: str) -> tuple[bytes, str] | None:
        """Returns a file's bytes and the token that `swap` wants, or None if it does not exist."""

    def list(self, prefix: str = "") -> list[str]:
        """Returns the paths of all files below the folder `prefix`, sorted. No such folder: no files.

        Hidden drafts, and what is no regular file (a pipe, a socket, a device), are left out.
        """

    def scan(self, prefix: str = "") -> Iterator[FileInfo]:
        """Yields what `list` lists, in the same order, with size and stamp; opens no file.

        A file that vanishes meanwhile may be left out.
        """

    def stat_many(self, paths: Iterable[str]) -> Iterator[FileInfo | None]:
        """Yields what `scan` tells of each path, in their order, or None where there is no such file."""

    def written(self, prefix: str = "") -> Mapping[str, datetime]:
        """Maps what `list` returns to when each file was put in place, in UTC. For people: a copy has another time."""

    def create(self, path: str, data: bytes) -> bool:
        """Creates a file if there is none. Returns False, and changes nothing, if there is one."""

    def create_from(self, path: str, source: Path) -> bool:
        """Like `create`, from a closed local file of any size."""

    def draft(self, path: str) -> AbstractContextManager[Path]:
        """Gives a local path to write what `create_from` will then put at `path`, without a copy where possible.

        The draft is no file of the storage, and is removed at the end. What a killed process leaves is removed, after
        a day, by a later draft in the same folder. What writing it raises is the writer's to explain.
        """

    def swap(self, path: str, data: bytes, *, expected: str | None) -> bool:
        """Replaces a small file if its token is still `expected` (None: if it does not exist), else returns False.

        Only `swap` itself may write a path that is swapped.
        """

    def delete(self, path: str) -> None:
        """Removes a file, if there is one. Only for scratch of one's own: what was committed is never removed."""

    def local(self, path: str, cache: Path) -> Path:
        """Returns a local path with the file's bytes: the file itself, or a copy below `cache`.

        Raises:
            InputError: the file does not exist.
        """


def join(uri: str, *parts: str) -> str:
    """Joins a storage URI and relative parts."""
    return "/".join((uri.rstrip("/"), *parts))


def inside(path: str, root: Path | str) -> str:
    """Returns `path` if it stays below `root`.

    Raises:
        InputError: it does not, or no file can be called so.
    """
    if "\0" in path:
        raise InputError(f"path {path!r} holds a NUL character, which no file's name can; give another path")
    if path.startswith("/") or ".." in path.split("/"):
        raise InputError(f"path {path!r} leaves {root}; give a path below it")
    return path


def missing(where: Path | str) -> InputError:
    """Returns the error of a file that should be there."""
    return InputError(f"{where} does not exist; restore it or run again")
