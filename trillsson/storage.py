"""Local folders and `gs://` prefixes behind one small interface.

Two writes exist, and both are atomic for every reader: create-if-absent, and compare-and-swap of a small file. A
reader sees nothing, or the whole file. All `gs://` traffic of the project passes here: TensorFlow gets local paths,
because `tf.io.gfile` cannot be pointed at a storage emulator.
"""

import errno
import fcntl
import hashlib
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from trillsson.digests import file_digest
from trillsson.errors import InputError, TransientError

if TYPE_CHECKING:
    from google.cloud.storage import Blob, Bucket

GCS_SCHEME = "gs://"
_HIDDEN = ".trillsson-"


class Storage(Protocol):
    """A folder of files addressed by POSIX paths relative to `uri`. Every method may raise `TransientError`."""

    @property
    def uri(self) -> str:
        """Where this storage is: an absolute folder, or `gs://bucket/prefix`."""

    def read(self, path: str) -> bytes | None:
        """Returns a file's bytes, or None if it does not exist."""

    def read_versioned(self, path: str) -> tuple[bytes, str] | None:
        """Returns a file's bytes and the token that `swap` wants, or None if it does not exist."""

    def list(self, prefix: str = "") -> list[str]:
        """Returns the paths of all files below the folder `prefix`, sorted."""

    def etag(self, path: str) -> str:
        """Returns a string that changes when the file's bytes change.

        Raises:
            InputError: the file does not exist.
        """

    def create(self, path: str, data: bytes) -> bool:
        """Creates a file if there is none. Returns False, and changes nothing, if there is one."""

    def create_from(self, path: str, source: Path) -> bool:
        """Like `create`, from a closed local file of any size."""

    def swap(self, path: str, data: bytes, *, expected: str | None) -> bool:
        """Replaces a small file if its token is still `expected` (None: if it does not exist), else returns False."""

    def local(self, path: str, cache: Path) -> Path:
        """Returns a local path with the file's bytes: the file itself, or a copy below `cache`.

        Raises:
            InputError: the file does not exist.
        """


def open_storage(uri: str) -> Storage:
    """Opens a local folder (made on the first write) or a `gs://bucket/prefix`.

    Raises:
        InputError: the URI is empty or has another scheme.
    """
    if uri.startswith(GCS_SCHEME):
        return GcsStorage(uri)
    if not uri or "://" in uri:
        raise InputError(f"storage {uri!r} is not supported; give a local folder or gs://bucket/prefix")
    return LocalStorage(Path(uri))


def open_file(uri: str) -> tuple[Storage, str]:
    """Splits a file's URI into the storage of its folder and its name there."""
    folder, _, name = uri.rpartition("/")
    return open_storage(folder or ("/" if uri.startswith("/") else ".")), name


def join(uri: str, *parts: str) -> str:
    """Joins a storage URI and relative parts."""
    return "/".join((uri.rstrip("/"), *parts))


class LocalStorage:
    """A folder of a POSIX file system. Files are written under a hidden name, flushed, then linked or renamed."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    @property
    def uri(self) -> str:
        return str(self._root)

    def read(self, path: str) -> bytes | None:
        with _explained("read", self._at(path)):
            try:
                return self._at(path).read_bytes()
            except FileNotFoundError:
                return None

    def read_versioned(self, path: str) -> tuple[bytes, str] | None:
        data = self.read(path)
        return None if data is None else (data, hashlib.sha256(data).hexdigest())

    def list(self, prefix: str = "") -> list[str]:
        top = self._at(prefix)
        with _explained("list", top):
            found = (Path(folder, name) for folder, _, names in os.walk(top) for name in names)
            return sorted(p.relative_to(self._root).as_posix() for p in found if not p.name.startswith(_HIDDEN))

    def etag(self, path: str) -> str:
        with _explained("read", self._at(path)):
            try:
                return file_digest(self._at(path))
            except FileNotFoundError as error:
                raise InputError(f"{self._at(path)} does not exist; restore it or run again") from error

    def create(self, path: str, data: bytes) -> bool:
        return self._place(path, lambda file: file.write(data), replace=False)

    def create_from(self, path: str, source: Path) -> bool:
        def copy(file: IO[bytes]) -> None:
            with source.open("rb") as reader:
                while block := reader.read(1 << 20):
                    file.write(block)

        return self._place(path, copy, replace=False)

    def swap(self, path: str, data: bytes, *, expected: str | None) -> bool:
        target = self._at(path)
        with _explained("write", target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.with_name(f"{_HIDDEN}lock-{target.name}").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                current = self.read_versioned(path)
                if (current and current[1]) != expected:
                    return False
                return self._place(path, lambda file: file.write(data), replace=True)

    def local(self, path: str, cache: Path) -> Path:
        del cache
        if not self._at(path).exists():
            raise InputError(f"{self._at(path)} does not exist; restore it or run again")
        return self._at(path)

    def _at(self, path: str) -> Path:
        target = self._root / path
        if ".." in Path(path).parts:
            raise InputError(f"path {path!r} leaves {self._root}; give a path below it")
        return target

    def _place(self, path: str, write: Callable[[IO[bytes]], object], *, replace: bool) -> bool:
        target = self._at(path)
        hidden = target.with_name(f"{_HIDDEN}{uuid.uuid4().hex}")
        with _explained("write", target):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with hidden.open("xb") as file:
                    write(file)
                    file.flush()
                    os.fsync(file.fileno())
                if replace:
                    hidden.replace(target)
                    return True
                os.link(hidden, target)
            except FileExistsError:
                return False
            finally:
                hidden.unlink(missing_ok=True)
            return True


class GcsStorage:
    """A prefix of a Google Cloud Storage bucket; preconditions on object generations make its writes atomic."""

    def __init__(self, uri: str) -> None:
        bucket, _, prefix = uri.removeprefix(GCS_SCHEME).partition("/")
        if not bucket:
            raise InputError(f"storage {uri!r} names no bucket; give gs://bucket/prefix")
        self._bucket_name = bucket
        self._prefix = prefix.strip("/")
        self._opened: Bucket | None = None

    @property
    def uri(self) -> str:
        return join(f"{GCS_SCHEME}{self._bucket_name}", *filter(None, [self._prefix]))

    def read(self, path: str) -> bytes | None:
        versioned = self.read_versioned(path)
        return None if versioned is None else versioned[0]

    def read_versioned(self, path: str) -> tuple[bytes, str] | None:
        from google.cloud.exceptions import NotFound

        with self._explained("read", path):
            blob = self._bucket.get_blob(self._key(path))
            if blob is None:
                return None
            try:  # The generation is pinned, so bytes and token belong together.
                data: bytes = blob.download_as_bytes(if_generation_match=blob.generation)
            except NotFound:
                return None
            return data, str(blob.generation)

    def list(self, prefix: str = "") -> list[str]:
        folder = self._key(prefix).strip("/")
        with self._explained("list", prefix):
            blobs = self._bucket.list_blobs(prefix=f"{folder}/" if folder else None)
            cut = len(self._prefix) + 1 if self._prefix else 0
            return sorted(blob.name[cut:] for blob in blobs if not blob.name.endswith("/"))

    def etag(self, path: str) -> str:
        return str(self._existing(path).crc32c)

    def create(self, path: str, data: bytes) -> bool:
        return self._upload(path, lambda blob: blob.upload_from_string(data, if_generation_match=0))

    def create_from(self, path: str, source: Path) -> bool:
        return self._upload(path, lambda blob: blob.upload_from_filename(str(source), if_generation_match=0))

    def swap(self, path: str, data: bytes, *, expected: str | None) -> bool:
        generation = int(expected or 0)
        return self._upload(path, lambda blob: blob.upload_from_string(data, if_generation_match=generation))

    def local(self, path: str, cache: Path) -> Path:
        blob = self._existing(path)
        name = hashlib.sha256(f"{self.uri}/{path}".encode()).hexdigest()[:16]
        target = cache / f"{name}-{blob.generation}" / Path(path).name
        if not target.exists():
            with self._explained("read", path):
                target.parent.mkdir(parents=True, exist_ok=True)
                hidden = target.with_name(f"{_HIDDEN}{uuid.uuid4().hex}")
                try:
                    blob.download_to_filename(str(hidden), if_generation_match=blob.generation)
                    hidden.replace(target)
                finally:
                    hidden.unlink(missing_ok=True)
        return target

    @property
    def _bucket(self) -> "Bucket":
        if self._opened is None:
            from google.cloud import storage

            self._opened = storage.Client().bucket(self._bucket_name)
        return self._opened

    def _key(self, path: str) -> str:
        return "/".join(filter(None, [self._prefix, path]))

    def _existing(self, path: str) -> "Blob":
        with self._explained("read", path):
            blob = self._bucket.get_blob(self._key(path))
        if blob is None:
            raise InputError(f"{join(self.uri, path)} does not exist; restore it or run again")
        return blob

    def _upload(self, path: str, upload: Callable[["Blob"], object]) -> bool:
        from google.cloud.exceptions import PreconditionFailed

        with self._explained("write", path):
            try:
                upload(self._bucket.blob(self._key(path)))
            except PreconditionFailed:
                return False
            return True

    @contextmanager
    def _explained(self, doing: str, path: str) -> Iterator[None]:
        from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound
        from google.auth.exceptions import GoogleAuthError

        where = join(self.uri, path)
        try:
            yield
        except (Forbidden, NotFound, GoogleAuthError) as error:
            raise InputError(f"cannot {doing} {where}: {error}; check the bucket's name and your access") from error
        except (GoogleAPIError, OSError) as error:
            raise TransientError(f"cannot {doing} {where}: {error}; run again") from error


@contextmanager
def _explained(doing: str, path: Path) -> Iterator[None]:
    """Turns the operating system's errors into ours: what, where, and the fix."""
    try:
        yield
    except (PermissionError, NotADirectoryError, IsADirectoryError) as error:
        raise InputError(f"cannot {doing} {path}: {error.strerror}; give another path or mend its rights") from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        fix = "free some space and run again: what is done is kept" if full else "run again"
        raise TransientError(f"cannot {doing} {path}: {error.strerror}; {fix}") from error
