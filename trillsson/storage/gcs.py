"""A prefix of a Google Cloud Storage bucket as a storage."""

import base64
import contextlib
import hashlib
import os
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from trillsson.ahead import ahead
from trillsson.errors import InputError, TransientError
from trillsson.storage.explained import explain_gcs_errors, explain_os_errors, one_line
from trillsson.storage.interface import GCS_SCHEME, HIDDEN, FileInfo, inside, join, missing

if TYPE_CHECKING:
    from google.api_core.retry import Retry
    from google.cloud.storage import Blob, Bucket

Result = TypeVar("Result")

_AHEAD = 10  # reads at once: as many connections as the client keeps
_CHUNK = 8 << 20  # bytes a request of a large upload: what a lost one costs, and what is held in memory
_FIRST_DELAY = 0.1  # seconds
_LONGEST_DELAY = 10.0  # seconds
_MARK = "trillsson-write"
_PAGE = 1_000  # objects a request of a listing: the most that the service gives
_TRIES = 5  # of what is started again from its beginning


class GcsStorage:
    """A prefix of a Google Cloud Storage bucket; preconditions on object generations make its writes atomic.

    A request that fails in passing (408, 429, 5xx, a lost connection, a wrong checksum) is sent again, after growing
    random delays, until `deadline`. So a method ends in `TransientError` at the latest `deadline` and one request's
    time (a minute) after the service fell silent, not after a fixed time: each page of a listing and each piece of a
    large upload has a deadline of its own.

    An answer may be lost after the write was done, and the repeated request then finds the precondition broken by our
    own write. Therefore each write leaves a mark of its own in the object's metadata, and a broken precondition is
    believed only if the object in place bears another's mark. Contents could not tell: two processes that create the
    same bytes would both win. For `create` this is exact. For `swap` one case remains: our write was done, its answer
    lost, and another swapped on top before we asked again; `swap` then returns False although its bytes were in place
    for a moment. What is swapped should therefore be made anew from what is read, as after any lost swap.

    Args:
        uri: `gs://bucket/prefix`.
        deadline: seconds for which a request is repeated.
    """

    def __init__(self, uri: str, *, deadline: float = 120.0) -> None:
        bucket, _, prefix = uri.removeprefix(GCS_SCHEME).partition("/")
        if not bucket:
            raise InputError(f"storage {uri!r} names no bucket; give gs://bucket/prefix")
        self._bucket_name = bucket
        self._prefix = prefix.strip("/")
        self._deadline = deadline
        self._opened: Bucket | None = None

    @property
    def uri(self) -> str:
        return join(f"{GCS_SCHEME}{self._bucket_name}", *filter(None, [self._prefix]))

    def read(self, path: str) -> bytes | None:
        versioned = self.read_versioned(path)
        return None if versioned is None else versioned[0]

    def read_many(self, paths: Iterable[str]) -> Iterator[bytes | None]:
        return ahead(self.read, paths, threads=_AHEAD, most=_AHEAD)

    def read_versioned(self, path: str) -> tuple[bytes, str] | None:
        from google.cloud.exceptions import NotFound

        blob = self._blob(path)
        with self._explained("read", path):
            try:
                data: bytes = self._whole(lambda: blob.download_as_bytes(retry=None))
            except NotFound:
                return None
        # The generation comes with the answer that brought the bytes, so the two belong together.
        return data, str(blob.generation)

    def list(self, prefix: str = "") -> list[str]:
        return [file.path for file in self.scan(prefix)]

    def scan(self, prefix: str = "") -> Iterator[FileInfo]:
        for path, blob in self._listed(prefix, "size,crc32c"):
            yield _info(path, blob)

    def stat_many(self, paths: Iterable[str]) -> Iterator[FileInfo | None]:
        return ahead(self._stat, paths, threads=_AHEAD, most=_AHEAD)

    def written(self, prefix: str = "") -> dict[str, datetime]:
        return {path: blob.updated for path, blob in self._listed(prefix, "updated")}

    def create(self, path: str, data: bytes) -> bool:
        return self._write(path, data, generation=0)

    @contextmanager
    def draft(self, path: str) -> Iterator[Path]:
        inside(path, self.uri)
        with contextlib.ExitStack() as stack:
            with explain_os_errors("write below", tempfile.gettempdir()):
                folder = stack.enter_context(
                    tempfile.TemporaryDirectory(prefix="trillsson-", ignore_cleanup_errors=True)
                )
            yield Path(folder) / Path(path).name

    def create_from(self, path: str, source: Path) -> bool:
        from google.cloud.exceptions import PreconditionFailed

        blob, mark = self._marked(path)
        blob.chunk_size = _CHUNK
        with explain_os_errors("read", source), source.open("rb") as reader, self._explained("write", path):
            size = os.fstat(reader.fileno()).st_size
            for _ in range(_TRIES):
                # Saves sending a large file that is there already, and tells whether a lost upload came through.
                there = self._mark(path)
                if there is not None:
                    return there == mark
                try:
                    blob.upload_from_file(reader, rewind=True, size=size, if_generation_match=0, retry=self._retry)
                except Exception as error:
                    if not isinstance(error, PreconditionFailed) and not _is_lost_upload(error):
                        raise
                else:
                    return True
        raise TransientError(f"cannot write {join(self.uri, path)}: the upload was lost {_TRIES} times; run again")

    def swap(self, path: str, data: bytes, *, expected: str | None) -> bool:
        return self._write(path, data, generation=int(expected or 0))

    def delete(self, path: str) -> None:
        from google.cloud.exceptions import NotFound

        with self._explained("delete", path), contextlib.suppress(NotFound):
            self._bucket.blob(self._key(path)).delete(retry=self._retry)

    def local(self, path: str, cache: Path) -> Path:
        name = hashlib.sha256(f"{self.uri}/{path}".encode()).hexdigest()[:16]
        for _ in range(_TRIES):
            with self._explained("read", path):
                blob = self._bucket.get_blob(self._key(path), retry=self._retry)
            if blob is None:
                raise missing(join(self.uri, path))
            target = cache / f"{name}-{blob.generation}" / Path(path).name
            if target.exists() or self._download(path, blob, target):
                return target
        raise TransientError(f"cannot read {join(self.uri, path)}: it changed {_TRIES} times meanwhile; run again")

    @property
    def _bucket(self) -> "Bucket":
        if self._opened is None:
            from google.cloud import storage

            # Objects need no project, and looking for one fails where there are only credentials.
            self._opened = storage.Client(project=None).bucket(self._bucket_name)
        return self._opened

    @property
    def _retry(self) -> "Retry":
        from google.cloud.storage.retry import DEFAULT_RETRY

        return DEFAULT_RETRY.with_delay(_FIRST_DELAY, _LONGEST_DELAY).with_timeout(self._deadline)

    def _key(self, path: str) -> str:
        return "/".join(filter(None, [self._prefix, inside(path, self.uri)]))

    def _blob(self, path: str) -> "Blob":
        key = self._key(path)
        with self._explained("open", path):
            return self._bucket.blob(key)

    def _listed(self, prefix: str, fields: str) -> Iterator[tuple[str, "Blob"]]:
        """Yields each object's path and what the service tells of it: `fields`, which cost time the more there are."""
        folder = self._key(prefix).strip("/")
        cut = len(self._prefix) + 1 if self._prefix else 0
        with self._explained("list", prefix):
            # The service lists by name, as UTF-8, which is the order of `sorted`.
            for blob in self._bucket.list_blobs(
                prefix=f"{folder}/" if folder else None,
                fields=f"items(name,{fields}),nextPageToken",
                page_size=_PAGE,
                retry=self._retry,
            ):
                name = blob.name.rpartition("/")[2]
                if name and not name.startswith(HIDDEN):  # No name: what consoles make to show a folder.
                    yield blob.name[cut:], blob

    def _stat(self, path: str) -> FileInfo | None:
        with self._explained("read", path):
            blob = self._bucket.get_blob(self._key(path), retry=self._retry)
        return None if blob is None else _info(path, blob)

    def _marked(self, path: str) -> tuple["Blob", str]:
        blob, mark = self._blob(path), uuid.uuid4().hex
        blob.metadata = {_MARK: mark}
        return blob, mark

    def _mark(self, path: str) -> str | None:
        """Returns the mark of what is in place ("": it has none), or None if nothing is."""
        blob = self._bucket.get_blob(self._key(path), retry=self._retry)
        return None if blob is None else (blob.metadata or {}).get(_MARK, "")

    def _write(self, path: str, data: bytes, *, generation: int) -> bool:
        from google.cloud.exceptions import PreconditionFailed

        blob, mark = self._marked(path)
        with self._explained("write", path):
            try:
                blob.upload_from_string(data, if_generation_match=generation, retry=self._retry)
            except PreconditionFailed:
                return self._mark(path) == mark
            return True

    def _download(self, path: str, blob: "Blob", target: Path) -> bool:
        """Downloads what `blob` tells of to `target`. Returns False if it is no longer in place."""
        from google.cloud.exceptions import NotFound, PreconditionFailed

        generation = blob.generation
        hidden = target.with_name(f"{HIDDEN}{uuid.uuid4().hex}")
        with self._explained("read", path, disk=target):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._whole(lambda: blob.download_to_filename(str(hidden), if_generation_match=generation, retry=None))
                if blob.generation != generation:  # Where the precondition was ignored, as emulators do.
                    return False
                hidden.replace(target)
            except (NotFound, PreconditionFailed):
                return False
            finally:
                hidden.unlink(missing_ok=True)
        return True

    def _whole(self, download: Callable[[], Result]) -> Result:
        """Downloads, each time from the beginning: the client would resume a cut download, and not check the bytes."""
        from google.cloud.storage.exceptions import DataCorruption

        def attempt() -> Result:
            try:
                return download()
            except DataCorruption as error:
                raise ConnectionError(one_line(error)) from error  # which is repeated

        result: Result = self._retry(attempt)()
        return result

    def _explained(self, doing: str, path: str, *, disk: Path | None = None) -> AbstractContextManager[None]:
        where = join(self.uri, path)
        return explain_gcs_errors(doing, where, disk=disk or where)


def _info(path: str, blob: "Blob") -> FileInfo:
    return FileInfo(path, blob.size, base64.b64decode(blob.crc32c).hex())


def _is_lost_upload(error: Exception) -> bool:
    """Tells whether a large upload cannot go on, but a new one may pass.

    Its session has expired (404, 410), or the service kept less of a piece than was sent (308, and the client's
    ValueError), or something else than was sent.
    """
    from google.api_core.exceptions import GoogleAPICallError
    from google.cloud.storage.exceptions import DataCorruption

    if isinstance(error, GoogleAPICallError):
        request = getattr(error.response, "request", None)
        return error.code in (308, 404, 410) and request is not None and request.method == "PUT"
    return isinstance(error, DataCorruption | ValueError)
