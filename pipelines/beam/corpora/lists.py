"""What readers of published corpora share: lines of a small list, which files are audio, and what they become."""

import posixpath
from collections.abc import Iterator, Mapping

from pipelines.beam.corpora.reader import NO_LABELS, Item
from trillsson.audio import EXTENSIONS, UNSUPPORTED
from trillsson.errors import InputError
from trillsson.storage import FileInfo, join, open_storage

_APPLE_DOUBLE = "._"


def is_leftover(path: str) -> bool:
    """Tells whether a file is what macOS leaves in archives beside each file: `._<name>`, which holds no audio."""
    return posixpath.basename(path).startswith(_APPLE_DOUBLE)


def is_audio(path: str) -> bool:
    """Tells by its name whether a file is audio, of a kind that can be read or not."""
    return posixpath.splitext(path)[1].lower() in EXTENSIONS | UNSUPPORTED and not is_leftover(path)


def read_text(root: str, path: str) -> str | None:
    """Returns a small text file of a corpus, or None if it does not exist.

    Raises:
        InputError: it is not UTF-8.
    """
    data = open_storage(root).read(path)
    try:
        return None if data is None else data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{join(root, path)} is not UTF-8 text: {error}; restore it") from error


def numbered(text: str) -> Iterator[tuple[int, str]]:
    """Yields the lines of a text that are not blank, without the space around them, and their numbers from 1."""
    for number, line in enumerate(text.splitlines(), start=1):
        if stripped := line.strip():
            yield number, stripped


def item_of(
    key: str, file: FileInfo, *, speaker: str = "", split: str = "", labels: Mapping[str, str] = NO_LABELS
) -> Item:
    """Returns the item of a file that is there and wanted."""
    return Item(key=key, path=file.path, size=file.size, stamp=file.stamp, speaker=speaker, split=split, labels=labels)


def unlisted(key: str, file: FileInfo, detail: str) -> Item:
    """Returns the reject of a file that is there and that the corpus's lists do not name."""
    return Item(key=key, path=file.path, size=file.size, stamp=file.stamp, reject="unlisted", detail=detail)


def missing(key: str, path: str, detail: str) -> Item:
    """Returns the reject of a file that the corpus's lists name and that is not there."""
    return Item(key=key, path=path, size=0, stamp="", reject="missing", detail=detail)
