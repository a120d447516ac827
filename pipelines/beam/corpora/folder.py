"""A folder of audio files, with an optional table of labels: the layout for data of one's own."""

import csv
import io
import json
import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any
from unicodedata import normalize

from pipelines.beam.corpora.reader import About, FileReader, Item, item_of, missing, unlisted
from trillsson.audio import EXTENSIONS, is_audio
from trillsson.config import FolderCorpus
from trillsson.errors import InputError
from trillsson.splits import normalise_split
from trillsson.storage import FileInfo, open_storage

ABOUT = About(
    name="your own recordings",
    get="nothing: any folder or gs:// prefix with audio in it, at any depth",
    licence="yours",
    size="any",
    layout="**/<any name>.wav|.flac|.ogg|.opus|.mp3|.aiff|...\nlabels.csv or labels.jsonl (optional)",
)

Row = Mapping[str, str]


class FolderReader(FileReader):
    """Reads a `FolderCorpus`: each file of it is an item, joined with its row of the table.

    A row without a file is a reject `missing`, one whose file is not audio by its name a reject `unsupported`, a file
    without a row a reject `unlisted`. A word in the column of the
    split that means none of the three splits is refused here, before anything is decoded.
    """

    def __init__(self, spec: FolderCorpus) -> None:
        super().__init__(spec.path)
        self._spec = spec

    def items(self) -> Iterator[Item]:
        there = self._files()
        files = {path: file for path, file in there.items() if is_audio(path) and self._wanted(path)}
        if not files:
            kinds = ", ".join(sorted(EXTENSIONS))
            hint = "" if self._spec.include == ("*",) else f" that matches include {', '.join(self._spec.include)}"
            raise InputError(f"{self._root} holds no audio{hint}; give a folder with {kinds} files")
        table = self._spec.csv or self._spec.jsonl
        rows = None if table is None else self._rows(table, there)
        if rows and files.keys().isdisjoint(rows):
            names = f"{next(iter(rows))!r}; give paths below {self._root}, such as {next(iter(files))!r}"
            raise InputError(f"{self._root}/{table} names none of the files that are there, but such as {names}")
        for path in sorted(files.keys() | (rows or {}).keys()):
            yield self._item(path, there.get(path), rows)

    def _wanted(self, path: str) -> bool:
        return _matches(path, self._spec.include) and not _matches(path, self._spec.exclude)

    def _item(self, path: str, file: FileInfo | None, rows: Mapping[str, Row] | None) -> Item:
        table = self._spec.csv or self._spec.jsonl
        if file is None:
            return missing(path, path, f"{table} has a row for it")
        if not is_audio(path):
            detail = f"{table} has a row for it, and it is there, but its name is none of audio that is read"
            return replace(item_of(path, file), reject="unsupported", detail=detail)
        if rows is None:
            return item_of(path, file)
        if path not in rows:
            return unlisted(path, file, f"{table} has no row for it")
        return item_of(path, file, **_labels(rows[path], self._spec))

    def _rows(self, table: str, files: Collection[str]) -> Mapping[str, Row]:
        """Maps each path that a table names, and that is wanted, to its row; spelt as the file is."""
        where = f"{self._root}/{table}"
        data = open_storage(self._root).read(table)
        key = "csv" if self._spec.csv else "jsonl"
        if data is None:
            raise InputError(f"{where} does not exist; correct `{key}` or leave it out")
        try:
            text = data.decode("utf-8-sig")
            numbered = list(_csv_rows(text, where) if self._spec.csv else _jsonl_rows(text, where))
        except (UnicodeDecodeError, csv.Error) as error:  # The latter also for a cell of over 131,072 characters.
            raise InputError(f"{where} is not a UTF-8 {key.upper()} file: {error}; mend it") from error
        columns = list(dict.fromkeys(column for _, row in numbered for column in row))
        for column in filter(None, [self._spec.speaker, self._spec.split, *(self._spec.labels or ())]):
            if numbered and column not in columns:
                raise InputError(f"{where} has no column {column!r}; it has {', '.join(columns) or 'none'}")
        # Of an accented letter there are two spellings, and who wrote the table may not have that of the file system.
        spelt = {normalize("NFC", path): path for path in files if not path.isascii()}
        by_path: dict[str, Row] = {}
        for number, row in numbered:
            named = row[columns[0] if self._spec.csv else "path"].strip()
            if not named:
                raise InputError(f"{where} line {number} names no file; give its path or remove the row")
            path = posixpath.normpath(named)
            if path not in files:
                path = spelt.get(normalize("NFC", path), path)
            if path in by_path:
                raise InputError(f"{where} line {number} names {path!r} a second time; keep one row a file")
            by_path[path] = row
            if self._wanted(path) and (word := _cell(row, self._spec.split)):
                normalise_split(word, where=f"column {self._spec.split!r} of {where} line {number}")
        return {path: row for path, row in by_path.items() if self._wanted(path)}


def _csv_rows(text: str, where: str) -> Iterator[tuple[int, Row]]:
    reader = csv.reader(io.StringIO(text, newline=None), strict=True)
    rows = filter(None, reader)  # A blank line is an empty row.
    header = [column.strip() for column in next(rows, [])]
    if not header:
        raise InputError(f"{where} has no header; name the columns in its first line, such as path,speaker")
    if not header[0]:
        raise InputError(f"{where} has no name for its first column; a file's path comes first, such as path,speaker")
    if len(header) == 1 and any(other in header[0] for other in ";\t|"):
        raise InputError(f"{where} has one column, {header[0]!r}; separate columns by commas")
    for column in header:
        if not column or header.count(column) > 1:
            many = f"{header.count(column)} columns {column!r}" if column else "a column without a name"
            raise InputError(f"{where} has {many}; give each its own name")
    for row in rows:
        if (absent := len(header) - len(row)) != 0:
            fix = f"add {',' * absent!r} for empty ones" if absent > 0 else "quote one that holds a comma"
            raise InputError(f"{where} line {reader.line_num} has {len(row)} of {len(header)} cells; {fix}")
        yield reader.line_num, dict(zip(header, row, strict=True))


def _jsonl_rows(text: str, where: str) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(text.split("\n"), start=1):  # Others of Unicode's ends of lines may be in a string.
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:  # ValueError: also for a number of over 4,300 digits.
            raise InputError(f"{where} line {number} is not JSON: {error}; mend it") from error
        if not isinstance(row, dict) or not isinstance(row.get("path"), str):
            raise InputError(f"{where} line {number} is no object with a string `path`; mend it")
        if not all(map(_is_utf8, row)):
            raise InputError(f"{where} line {number} has a key that is half a surrogate pair; mend it")
        yield number, {column: _text(value, column, f"{where} line {number}") for column, value in row.items()}


def _text(value: object, column: str, where: str) -> str:
    """Writes a JSON value as a CSV would hold it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and not _is_utf8(value):
        raise InputError(f"{where} has {value!r} in {column!r}, which is half a surrogate pair; mend it")
    if isinstance(value, str | int | float):
        return str(value)
    raise InputError(f"{where} has {value!r} in {column!r}; give a string, a number or a bool")


def _labels(row: Row, spec: FolderCorpus) -> Mapping[str, Any]:
    path_column = next(iter(row)) if spec.csv else "path"
    columns = spec.labels if spec.labels is not None else tuple(column for column in row if column != path_column)
    return {
        "speaker": _cell(row, spec.speaker),
        "split": _cell(row, spec.split),
        "labels": {column: value for column in columns if (value := _cell(row, column))},
    }


def _cell(row: Row, column: str | None) -> str:
    """Returns what a row has in a column, without white space around it; empty where it has none."""
    return row.get(column, "").strip() if column else ""


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)
