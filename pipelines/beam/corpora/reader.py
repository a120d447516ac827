"""What every corpus reader is: it lists items, which are pointers to audio, and opens one of them on a worker."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from trillsson.decoding import Samples
from trillsson.digests import SHORT, digest_of
from trillsson.errors import InputError
from trillsson.storage import GCS_SCHEME, FileInfo, explain_os_errors, open_storage

_NEVER_IN_A_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")
"""Control characters, what a name that is not UTF-8 is read as (PEP 383), separators of lines and paragraphs."""

NO_LABELS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One recording of a corpus: where its audio is and what is known of it. A pointer, never audio.

    Attributes:
        key: what never changes of it: its path below the corpus, with the row where one file holds many.
        path: the file that holds the audio, below the corpus.
        size: bytes of that file, or its share of them where the file holds many; 0 where there is none.
        stamp: changes when the file does: its time of change, or its checksum on an object store. The stamps of what
            else decides the item, such as a file beside it, follow after a plus.
        beside: another file that decides the item, where there is one; its stamp is the second of `stamp`.
        row: which recording of the file it is, where one file holds many.
        reject: why it cannot be read, where that is known already, such as `missing`; `detail` says more.
    """

    key: str
    path: str
    size: int
    stamp: str = ""
    speaker: str = ""
    split: str = ""
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    beside: str = ""
    row: int = 0
    reject: str = ""
    detail: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """Paths of the files that decide the item, in the order of their stamps."""
        return (self.path, self.beside) if self.beside else (self.path,)

    @property
    def identity(self) -> str:
        """Digest of all that is known of the item, but not of what its files hold.

        Raises:
            InputError: its key, path or labels are no text, as the name of a file that is not UTF-8.
        """
        known = [self.path, self.size, self.speaker, self.split, dict(self.labels), self.row, self.reject]
        try:
            self.key.encode()
            return digest_of(known)[:SHORT]
        except UnicodeEncodeError as error:
            raise InputError(f"{self.key!r} has a name or labels that are not UTF-8; mend them") from error


def item_of(
    key: str, file: FileInfo, *, speaker: str = "", split: str = "", labels: Mapping[str, str] = NO_LABELS
) -> Item:
    """Returns the item of a file that is there and wanted."""
    return Item(key=key, path=file.path, size=file.size, stamp=file.stamp, speaker=speaker, split=split, labels=labels)


def unlisted(key: str, file: FileInfo, detail: str) -> Item:
    """Returns the reject of a file that is there, and that the corpus's lists or its layout have no place for."""
    return Item(key=key, path=file.path, size=file.size, stamp=file.stamp, reject="unlisted", detail=detail)


def missing(key: str, path: str, detail: str) -> Item:
    """Returns the reject of a file that the corpus's lists name and that is not there."""
    return Item(key=key, path=path, size=0, stamp="", reject="missing", detail=detail)


def with_usable_name(item: Item) -> Item:
    """Returns the item, or the reject of one whose name no record, log or table can hold as it is."""
    names = item.key + item.path + item.beside
    if names.isprintable() or not _NEVER_IN_A_NAME.search(names):
        return item
    told = "its name holds control characters or is not UTF-8; rename it"
    key, path = (_NEVER_IN_A_NAME.sub(lambda found: repr(found[0])[1:-1], name) for name in (item.key, item.path))
    return Item(key=key, path=path, size=item.size, stamp=item.stamp, reject="bad_name", detail=told)


Segments = Sequence[tuple[float, float]]
"""Starts and ends in seconds, in order, not overlapping."""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """An opened item: its audio, and what is known of it now that the worker has looked.

    Attributes:
        audio: a local file, the bytes of one, or samples.
        segments: which parts become clips, each cut further where it is over 30 s; None: all of it, every 30 s.
    """

    audio: Path | bytes | Samples
    speaker: str = ""
    split: str = ""
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    segments: Segments | None = None


class Reader(Protocol):
    """The reader of one corpus layout. It is sent to workers pickled, so it holds its spec and nothing else."""

    @property
    def opening(self) -> Mapping[str, Any]:
        """What of the spec decides how an item is opened, as JSON values: another one makes all shards anew."""

    def items(self) -> Iterator[Item]:
        """Yields the items of the corpus, in the order of their keys' files, on the launcher.

        What is announced and not there (a row without its file) is an item with `reject`, not left out.

        Raises:
            InputError: the corpus is not laid out as expected; says what was expected and what was found.
        """

    def open(self, item: Item, cache: Path) -> Recording:
        """Opens one item on a worker; several threads may call it at once.

        Args:
            item: one that `items` yielded.
            cache: an empty folder for what this call has to copy from a remote store; removed after the item.

        Raises:
            RejectError: the item cannot be used; it becomes a reject.
        """


@dataclass(frozen=True)
class About:
    """What `trillsson corpora` tells of one kind of corpus.

    Attributes:
        name: the corpus's own name.
        get: what to download, and where it is described; no form of access is left unsaid.
        licence: under which terms.
        size: hours, files and bytes, roughly.
        layout: the tree that the reader expects, one path a line.
    """

    name: str
    get: str
    licence: str
    size: str
    layout: str


class FileReader:
    """Base of readers whose items are files of their own: `open` hands out the item's file.

    Args:
        path: root of the corpus, a folder or `gs://` prefix.
    """

    def __init__(self, path: str) -> None:
        self._root = open_storage(path).uri

    @property
    def opening(self) -> Mapping[str, Any]:
        """Nothing: a file is opened in one way."""
        return {}

    def open(self, item: Item, cache: Path) -> Recording:
        """Opens the item's file, copied to `cache` where it is remote."""
        return Recording(
            audio=open_storage(self._root).local(item.path, cache),
            speaker=item.speaker,
            split=item.split,
            labels=item.labels,
        )

    def _files(self, folder: str = "") -> dict[str, FileInfo]:
        """Maps the path of every file below a folder of the corpus to its size and stamp, in order."""
        return {file.path: file for file in open_storage(self._root).scan(folder)}


def wrong_layout(where: str, *, expected: str, found: Sequence[str]) -> InputError:
    """Returns the error of a corpus that is not laid out as its reader expects.

    Args:
        where: URI of the corpus, or of the part of it that is meant.
        expected: what should have been there, such as `<speaker>/<book>/<name>.flac`.
        found: paths of all that is there; a few are shown.
    """
    if not found:
        return InputError(f"{where} {fault_of(where) or 'holds no files'}; expected {expected}")
    shown = ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
    return InputError(f"{where} is not laid out as expected: expected {expected}; found {shown}")


def fault_of(where: str) -> str:
    """Says why nothing lies below a local folder: it does not exist, or is no folder. Else, and of gs://, nothing."""
    if where.startswith(GCS_SCHEME):
        return ""
    with explain_os_errors("read", where):
        if not Path(where).exists():
            return "does not exist"
        return "" if Path(where).is_dir() else "is a file, not a folder"
