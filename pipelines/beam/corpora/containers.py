"""What readers of files that hold many recordings share: local copies of the files, splits, and cells as text."""

import shutil
import tempfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from trillsson.errors import InputError
from trillsson.splits import normalise_split
from trillsson.storage import open_storage

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The last few values that were made, for several threads at once. Pickled, it is empty.

    Args:
        keep: how many values are kept.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._lock = threading.Lock()
        self._made: OrderedDict[K, Future[V]] = OrderedDict()

    def __reduce__(self) -> tuple[type["Recent[K, V]"], tuple[int]]:
        return type(self), (self._keep,)

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Returns the value of `key`, made by `make` if it is not kept; threads that ask meanwhile wait for it.

        What `make` raises is raised for all of them, and forgotten.
        """
        with self._lock:
            known = self._made.get(key)
            future: Future[V] = Future() if known is None else known
            self._made[key] = future
            self._made.move_to_end(key)
            while len(self._made) > self._keep:
                self._made.popitem(last=False)
        if known is None:
            try:
                future.set_result(make())
            except BaseException as error:
                with self._lock:
                    if self._made.get(key) is future:
                        del self._made[key]
                future.set_exception(error)
        return future.result()


class LocalFile:
    """A file of a corpus on this machine: the file itself, or a copy that is deleted with this object.

    Whoever reads `path` keeps the object meanwhile. Copies go to the system's temporary folder (`TMPDIR`).

    Args:
        root: URI of the corpus.
        path: the file, below it.

    Raises:
        InputError: there is no such file.
    """

    def __init__(self, root: str, path: str) -> None:
        folder = Path(tempfile.mkdtemp(prefix="trillsson-container-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)  # Runs at the interpreter's end, too.
        self.path = open_storage(root).local(path, folder)


def wanted_split(word: str, splits: Mapping[str, str] | None, *, where: str) -> str | None:
    """Translates a corpus's word for a split: by `splits` if given, which leaves out (None) what it does not name.

    Raises:
        InputError: there is no `splits`, and the word is not known.
    """
    if splits is not None:
        return splits.get(word)
    try:
        return normalise_split(word, where=where)
    except InputError as error:
        raise InputError(f"{error}, or name it in `splits`") from error


def check_splits(splits: Mapping[str, str] | None, found: Iterable[str], *, where: str) -> None:
    """Refuses a mapping of splits that names one that the corpus does not have.

    Raises:
        InputError: it does; says which there are.
    """
    there = sorted(set(found))
    for word in splits or ():
        if word not in there:
            raise InputError(f"splits names {word!r}; {where} has {', '.join(there) or 'none'}")


def as_text(value: object) -> str:
    """Writes a cell as a label: a CSV's spelling, without white space around it; empty where it is null.

    Raises:
        ValueError: it is no bool, number, UTF-8 or text.
    """
    if value is None:
        return ""
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    if isinstance(value, bytes):
        return value.decode().strip()
    if isinstance(value, str | int | float | np.integer | np.floating):
        return str(value).strip()
    raise ValueError(f"{value!r} is no text, number or bool")
