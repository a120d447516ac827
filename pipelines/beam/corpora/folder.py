"""Reads a folder of audio files, with an optional CSV of labels, as the items of an audio dataset."""

import csv
import io
import posixpath
from collections.abc import Mapping

from pydantic import Field

from trillsson.audio import EXTENSIONS
from trillsson.config import FolderCorpus, Spec
from trillsson.errors import InputError
from trillsson.storage import Storage, open_storage


class AudioFile(Spec):
    """One file of a corpus: its path below the folder, and what the CSV says of it."""

    path: str
    speaker: str = ""
    split: str = ""
    labels: dict[str, str] = Field({}, description="column -> value; empty cells are left out")


def list_files(corpus: FolderCorpus) -> tuple[AudioFile, ...]:
    """Lists the audio files of a corpus in path order, joined with their rows of the CSV.

    Raises:
        InputError: the folder is missing or empty, a row has no file or a file no row, or the CSV lacks a column.
    """
    storage = open_storage(corpus.path)
    paths = [path for path in storage.list() if posixpath.splitext(path)[1].lower() in EXTENSIONS]
    if not paths:
        kinds = ", ".join(sorted(EXTENSIONS))
        raise InputError(
            f"corpus folder {storage.uri} does not exist, or holds no audio; give a folder with {kinds} files"
        )
    for path in paths:
        if not path.isprintable():
            raise InputError(f"{storage.uri} has a file {path!r}, whose name is not printable UTF-8; rename it")
    if corpus.csv is None:
        return tuple(AudioFile(path=path) for path in paths)
    rows = _read_rows(storage, corpus)
    where = f"{storage.uri}/{corpus.csv}"
    _refuse(sorted(rows.keys() - set(paths)), f"{where} has rows without a file", "add the files or remove the rows")
    _refuse(sorted(set(paths) - rows.keys()), f"{where} has no row for some files", "add rows or remove the files")
    return tuple(_labelled(path, rows[path], corpus) for path in paths)


def _read_rows(storage: Storage, corpus: FolderCorpus) -> Mapping[str, Mapping[str, str]]:
    """Maps each path of the CSV's first column to its row."""
    where = f"{storage.uri}/{corpus.csv}"
    data = storage.read(corpus.csv or "")
    if data is None:
        raise InputError(f"{where} does not exist; correct `csv` or leave it out")
    try:
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig")), strict=True, restkey="", restval="")
        rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{where} is not a UTF-8 CSV file: {error}; mend it") from error
    columns = list(reader.fieldnames or ())
    wanted = [corpus.speaker, corpus.split, *(corpus.labels or ())]
    for column in filter(None, wanted):
        if column not in columns:
            raise InputError(f"{where} has no column {column!r}; it has {', '.join(columns) or 'none'}")
    by_path: dict[str, Mapping[str, str]] = {}
    for number, row in enumerate(rows, start=2):
        path = posixpath.normpath(row[columns[0]])
        if "" in row:
            raise InputError(f"{where} line {number} has more cells than the header; mend it")
        if path in by_path:
            raise InputError(f"{where} line {number} names {path!r} a second time; keep one row a file")
        by_path[path] = row
    return by_path


def _labelled(path: str, row: Mapping[str, str], corpus: FolderCorpus) -> AudioFile:
    columns = corpus.labels if corpus.labels is not None else tuple(row)[1:]
    return AudioFile(
        path=path,
        speaker=row[corpus.speaker].strip() if corpus.speaker else "",
        split=row[corpus.split].strip() if corpus.split else "",
        labels={column: row[column].strip() for column in columns if row[column].strip()},
    )


def _refuse(paths: list[str], what: str, fix: str) -> None:
    if paths:
        raise InputError(f"{what}: {len(paths)}, first {paths[0]!r}; {fix}")
