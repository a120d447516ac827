"""Walks a local folder in the order of an object store's listing."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from trillsson.errors import InputError
from trillsson.storage.explained import explain_os_errors
from trillsson.storage.interface import HIDDEN


def walk(root: Path, prefix: str) -> Iterator[str]:
    """Yields the regular files below `root/prefix`, as paths relative to `root`, sorted by path.

    Links are followed. Hidden drafts are left out. What vanishes meanwhile is left out; what cannot be read never is.
    At any moment only the names along one branch are in memory, and no file was asked for more than its kind.

    Raises:
        InputError: a link leads nowhere, or to a folder that it lies in; a folder may not be read.
        TransientError: it cannot be read now.
    """
    folder = "/".join(PurePosixPath(prefix).parts)
    waiting = [f"{folder}/" if folder else ""]
    while waiting:
        path = waiting.pop()
        if path and not path.endswith("/"):
            yield path
            continue
        # The slash at a folder's end sorts it among files as its files' paths do: "a-b" before "a/c" before "ab".
        waiting += sorted(_entries(root, path), reverse=True)


def _entries(root: Path, folder: str) -> Iterator[str]:
    with explain_os_errors("list", root / folder):
        try:
            opened = os.scandir(root / folder)
        except (FileNotFoundError, NotADirectoryError):
            return
    with opened as entries:
        for entry in entries:
            try:
                name = _name(entry)
            except OSError:
                with explain_os_errors("read", entry.path):
                    raise
            if name:
                yield f"{folder}{name}"


def _name(entry: os.DirEntry[str]) -> str:
    """Returns the name of a file, that of a folder with a slash, or nothing for what is neither."""
    if entry.is_dir():
        if entry.is_symlink():
            _refuse_circle(Path(entry.path))
        return f"{entry.name}/"
    if entry.is_symlink() and not Path(entry.path).exists() and Path(entry.path).is_symlink():
        what = f"cannot read {entry.path}: No such file or directory"
        raise InputError(f"{what}; restore what it links to, or remove the link")
    return entry.name if entry.is_file() and not entry.name.startswith(HIDDEN) else ""


def _refuse_circle(link: Path) -> None:
    target = link.resolve()
    if any(above.resolve().is_relative_to(target) for above in link.parents):
        raise InputError(f"{link} links to a folder that it lies in; remove the link")
