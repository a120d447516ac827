"""Local folders and `gs://` prefixes behind one small interface.

Two writes exist, and both are atomic for every reader: create-if-absent, and compare-and-swap of a small file. A
reader sees nothing, or the whole file. A killed write leaves at most a hidden file that no method shows. When an
answer is lost and the write retried, a write may report False although the file is this caller's own: read it to tell.

All `gs://` traffic of the project passes here: TensorFlow gets local paths, because `tf.io.gfile` cannot be pointed
at a storage emulator.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
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
HIDDEN = ".trillsson-"
_BLOCK = 1 << 20
_USERS_ERRORS = (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
_USERS_ERRNOS = frozenset({errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTSUP, errno.EROFS})


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

    def read_versioned(self, path: str) -> tuple[bytes, str] | None:
        """Returns a file's bytes and the token that `swap` wants, or None if it does not exist."""

    def list(self, prefix: str = "") -> list[str]:
        """Returns the paths of all files below the folder `prefix`, sorted. No such folder: no files."""

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
    """Splits a file's URI into the storage of its folder and its name there.

    Raises:
        InputError: the URI names no file.
    """
    folder, _, name = uri.rpartition("/")
    if not name or uri.removeprefix(GCS_SCHEME) == name != uri:
        raise InputError(f"{uri!r} names no file; give folder/file or gs://bucket/file")
    return open_storage(folder or ("/" if uri.startswith("/") else ".")), name


def join(uri: str, *parts: str) -> str:
    """Joins a storage URI and relative parts."""
    return "/".join((uri.rstrip("/"), *parts))


class LocalStorage:
    """A folder of a POSIX file system with hard links. Files are written under a hidden name, flushed, then linked.

    Links to folders are followed.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    @property
    def uri(self) -> str:
        return str(self._root)

    def read(self, path: str) -> bytes | None:
        with explain_os_errors("read", self._at(path)):
            try:
                return self._at(path).read_bytes()
            except FileNotFoundError:
                return None

    def read_versioned(self, path: str) -> tuple[bytes, str] | None:
        data = self.read(path)
        return None if data is None else (data, hashlib.sha256(data).hexdigest())

    def list(self, prefix: str = "") -> list[str]:
        top = self._at(prefix)
        with explain_os_errors("list", top):
            found = [path for path in _files_below(top) if not path.name.startswith(HIDDEN)]
        return sorted(path.relative_to(self._root).as_posix() for path in found)

    def etag(self, path: str) -> str:
        with explain_os_errors("read", self._at(path)):
            try:
                return file_digest(self._at(path))
            except FileNotFoundError as error:
                raise _missing(self._at(path)) from error

    def create(self, path: str, data: bytes) -> bool:
        return self._place(path, lambda file: file.write(data), replace=False)

    def create_from(self, path: str, source: Path) -> bool:
        with explain_os_errors("read", source), source.open("rb") as reader:
            return self._place(path, lambda file: shutil.copyfileobj(reader, file, _BLOCK), replace=False)

    def swap(self, path: str, data: bytes, *, expected: str | None) -> bool:
        target = self._at(path)
        with explain_os_errors("write", target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.with_name(f"{HIDDEN}lock-{target.name}").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                current = self.read_versioned(path)
                if (current and current[1]) != expected:
                    return False
                return self._place(path, lambda file: file.write(data), replace=current is not None)

    def delete(self, path: str) -> None:
        with explain_os_errors("delete", self._at(path)):
            self._at(path).unlink(missing_ok=True)

    def local(self, path: str, cache: Path) -> Path:
        del cache
        with explain_os_errors("read", self._at(path)):
            if not self._at(path).exists():
                raise _missing(self._at(path))
        return self._at(path)

    def _at(self, path: str) -> Path:
        return self._root / _inside(path, self._root)

    def _place(self, path: str, write: Callable[[IO[bytes]], object], *, replace: bool) -> bool:
        target = self._at(path)
        hidden = target.with_name(f"{HIDDEN}{uuid.uuid4().hex}")
        with explain_os_errors("write", target):
            if not replace and target.exists():
                return False
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with hidden.open("xb") as file:
                    write(file)
                    file.flush()
                    os.fsync(file.fileno())
                if replace:
                    hidden.replace(target)
                else:
                    os.link(hidden, target)
            except FileExistsError:
                return False
            finally:
                hidden.unlink(missing_ok=True)
            _flush_folder(target.parent)
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

        blob = self._blob(path)
        with self._explained("read", path):
            try:
                data: bytes = blob.download_as_bytes()
            except NotFound:
                return None
        # The generation comes with the answer that brought the bytes, so the two belong together.
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
        with explain_os_errors("read", source), source.open("rb") as reader:
            size = os.fstat(reader.fileno()).st_size
            with self._explained("write", path):
                if self._blob(path).exists():  # Saves sending a large file that is there already.
                    return False
            return self._upload(path, lambda blob: blob.upload_from_file(reader, size=size, if_generation_match=0))

    def swap(self, path: str, data: bytes, *, expected: str | None) -> bool:
        generation = int(expected or 0)
        return self._upload(path, lambda blob: blob.upload_from_string(data, if_generation_match=generation))

    def delete(self, path: str) -> None:
        from google.cloud.exceptions import NotFound

        with self._explained("delete", path), contextlib.suppress(NotFound):
            self._bucket.blob(self._key(path)).delete()

    def local(self, path: str, cache: Path) -> Path:
        blob = self._existing(path)
        name = hashlib.sha256(f"{self.uri}/{path}".encode()).hexdigest()[:16]
        target = cache / f"{name}-{blob.generation}" / Path(path).name
        if not target.exists():
            with self._explained("read", path):
                target.parent.mkdir(parents=True, exist_ok=True)
                hidden = target.with_name(f"{HIDDEN}{uuid.uuid4().hex}")
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

            # Objects need no project, and looking for one fails where there are only credentials.
            self._opened = storage.Client(project=None).bucket(self._bucket_name)
        return self._opened

    def _key(self, path: str) -> str:
        return "/".join(filter(None, [self._prefix, _inside(path, self.uri)]))

    def _blob(self, path: str) -> "Blob":
        key = self._key(path)
        with self._explained("open", path):
            return self._bucket.blob(key)

    def _existing(self, path: str) -> "Blob":
        with self._explained("read", path):
            blob = self._bucket.get_blob(self._key(path))
        if blob is None:
            raise _missing(join(self.uri, path))
        return blob

    def _upload(self, path: str, upload: Callable[["Blob"], object]) -> bool:
        from google.cloud.exceptions import PreconditionFailed

        blob = self._blob(path)
        with self._explained("write", path):
            try:
                upload(blob)
            except PreconditionFailed:
                return False
            return True

    @contextmanager
    def _explained(self, doing: str, path: str) -> Iterator[None]:
        from google.api_core.exceptions import BadRequest, Forbidden, GoogleAPIError, NotFound, Unauthorized
        from google.auth.exceptions import GoogleAuthError, TransportError
        from google.cloud.storage.exceptions import DataCorruption

        where = join(self.uri, path)
        try:
            yield
        except (TransportError, DataCorruption, OSError) as error:
            raise TransientError(f"cannot {doing} {where}: {_one_line(error)}; run again") from error
        except (BadRequest, Forbidden, NotFound, Unauthorized, GoogleAuthError) as error:
            fix = "check the bucket's name and your access"
            raise InputError(f"cannot {doing} {where}: {_one_line(error)}; {fix}") from error
        except GoogleAPIError as error:
            raise TransientError(f"cannot {doing} {where}: {_one_line(error)}; run again") from error


@contextmanager
def explain_os_errors(doing: str, path: Path) -> Iterator[None]:
    """Turns the operating system's errors into ours: what, where, and the fix."""
    try:
        yield
    except OSError as error:
        what = f"cannot {doing} {path}: {error.strerror or _one_line(error)}"
        if isinstance(error, _USERS_ERRORS) or error.errno in _USERS_ERRNOS:
            raise InputError(f"{what}; give another path or mend its rights") from error
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        fix = "free some space and run again: what is done is kept" if full else "run again"
        raise TransientError(f"{what}; {fix}") from error


def _files_below(top: Path) -> Iterator[Path]:
    """Walks a folder and the folders linked in it. What cannot be read is an error, never left out."""

    def failed(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise error

    for folder, folders, names in os.walk(top, onerror=failed, followlinks=True):
        here = Path(folder)
        for link in (here / name for name in folders if (here / name).is_symlink()):
            if any(above.resolve().is_relative_to(link.resolve()) for above in (here, *here.parents)):
                raise InputError(f"{link} links to a folder that it lies in; remove the link")
        yield from (here / name for name in names)


def _flush_folder(folder: Path) -> None:
    """Makes a name put into `folder` outlive a power cut: the file's own flush does not cover its name."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _inside(path: str, root: Path | str) -> str:
    if path.startswith("/") or ".." in path.split("/"):
        raise InputError(f"path {path!r} leaves {root}; give a path below it")
    return path


def _missing(where: Path | str) -> InputError:
    return InputError(f"{where} does not exist; restore it or run again")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
