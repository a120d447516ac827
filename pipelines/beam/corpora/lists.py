"""Small text files of published corpora, and their lines."""

from collections.abc import Iterator

from trillsson.errors import InputError
from trillsson.storage import join, open_storage


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
