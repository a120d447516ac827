"""A local folder as a storage."""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from trillsson.storage.explained import explain_os_errors
from trillsson.storage.interface import HIDDEN, FileInfo, inside, missing
from trillsson.storage.walk import walk

_BLOCK = 1 << 20
_DAY = 86_400.0
_DRAFT = re.compile(rf"{re.escape(HIDDEN)}[0-9a-f]{{32}}")
_SWEPT = f"{HIDDEN}swept"


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

    def read_many(self, paths: Iterable[str]) -> Iterator[bytes | None]:
        return map(self.read, paths)

    def list(self, prefix: str = "") -> list[str]:
        with explain_os_errors("list", self._at(prefix)):
            return [*walk(self._root, prefix)]

    def scan(self, prefix: str = "") -> Iterator[FileInfo]:
        with explain_os_errors("list", self._at(prefix)):
            for path in walk(self._root, prefix):
                try:
                    state = os.stat(f"{self._root}/{path}")  # noqa: PTH116 - half the time of Path.stat
                except FileNotFoundError:
                    continue
                yield FileInfo(path, state.st_size, str(state.st_mtime_ns))

    def stat_many(self, paths: Iterable[str]) -> Iterator[FileInfo | None]:
        for path in paths:
            with explain_os_errors("read", self._at(path)):
                try:
                    state = self._at(path).stat()
                except (FileNotFoundError, NotADirectoryError):
                    yield None
                    continue
            yield FileInfo(path, state.st_size, str(state.st_mtime_ns))

    def written(self, prefix: str = "") -> dict[str, datetime]:
        return {file.path: datetime.fromtimestamp(int(file.stamp) / 1e9, UTC) for file in self.scan(prefix)}

    def create(self, path: str, data: bytes) -> bool:
        return self._place(path, lambda file: file.write(data), replace=False)

    @contextmanager
    def draft(self, path: str) -> Iterator[Path]:
        target = self._at(path)
        hidden = _hidden_beside(target)
        with explain_os_errors("write", target):
            target.parent.mkdir(parents=True, exist_ok=True)
            hidden.touch()  # What writes the draft may not tell missing rights as clearly as this does.
            hidden.unlink()
        with contextlib.suppress(OSError):  # Tidying up never fails a write.
            _sweep(target.parent)
        try:
            yield hidden
        finally:
            # An error here would hide the writer's own; what stays is swept later.
            with contextlib.suppress(OSError):
                hidden.unlink()

    def create_from(self, path: str, source: Path) -> bool:
        if source.parent == self._at(path).parent and source.name.startswith(HIDDEN):
            return self._link(source, self._at(path))
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
                raise missing(self._at(path))
        return self._at(path)

    def _at(self, path: str) -> Path:
        return self._root / inside(path, self._root)

    def _link(self, draft: Path, target: Path) -> bool:
        with explain_os_errors("read", draft):
            opened = draft.open("rb")
        with opened, explain_os_errors("write", target):
            os.fsync(opened.fileno())
            try:
                os.link(draft, target)
            except FileExistsError:
                return False
            _flush_folder(target.parent)
            return True

    def _place(self, path: str, write: Callable[[IO[bytes]], object], *, replace: bool) -> bool:
        target = self._at(path)
        hidden = _hidden_beside(target)
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


def _hidden_beside(target: Path) -> Path:
    return target.with_name(f"{HIDDEN}{uuid.uuid4().hex}")


def _sweep(folder: Path) -> None:
    """Removes drafts that killed processes left in a folder: those that nobody has touched for a day.

    A folder may hold very many files, so it is looked through once a day, by the time of a hidden marker. The age of a
    draft is told against that marker too: the file system's clock may not be this machine's.
    """
    marker = folder / _SWEPT
    with contextlib.suppress(FileNotFoundError):
        if time.time() - marker.stat().st_mtime < _DAY:
            return
    marker.touch()
    now = marker.stat().st_mtime
    with os.scandir(folder) as entries:
        for entry in entries:
            # Another process may be sweeping too, and files of other users may not be ours to remove.
            with contextlib.suppress(OSError):
                if _DRAFT.fullmatch(entry.name) and now - entry.stat(follow_symlinks=False).st_mtime > _DAY:
                    Path(entry.path).unlink()


def _flush_folder(folder: Path) -> None:
    """Makes a name put into `folder` outlive a power cut: the file's own flush does not cover its name."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
