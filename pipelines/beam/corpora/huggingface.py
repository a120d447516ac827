"""Hugging Face data sets on disk, without Hugging Face's libraries: Parquet files, and folders of `save_to_disk`.

A `.parquet` file anywhere is read; an `.arrow` file is where the `state.json` beside it names it (others are caches,
and out of scope).
"""

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.beam.corpora.containers import LocalFile, Recent, check_splits, wanted_split
from pipelines.beam.corpora.huggingface_columns import Columns, choose_columns, read_rows
from pipelines.beam.corpora.reader import About, Item, Recording, wrong_layout
from pipelines.beam.corpora.tables import Table, open_table
from trillsson.audio import RejectError
from trillsson.config import HuggingFaceCorpus
from trillsson.errors import InputError
from trillsson.splits import is_split
from trillsson.storage import FileInfo, Storage, join, open_storage

ABOUT = About(
    name="any audio data set of the Hugging Face Hub, or one that `datasets` wrote",
    get="`hf download --repo-type dataset <owner>/<name> --local-dir <path>` (https://huggingface.co/datasets), or\n"
    "Dataset.to_parquet / save_to_disk with the audio in the files; some ask to accept terms first",
    licence="that of the data set; its page says which",
    size="any",
    layout="[<folder>/]<split>-00000-of-00002.parquet, or <config>/<split>/0000.parquet\n"
    "or: dataset_dict.json, <split>/state.json, <split>/data-00000-of-00001.arrow",
)

_PART = re.compile(r"(?P<split>.+)-(?P<part>\d{5})-of-(?P<parts>\d{5})(-[0-9a-f]+)?")
_NUMBERED = re.compile(r"\d{4,}")


class _Container(NamedTuple):
    """A file of many recordings: where it is, the data set's word for its split, and if that must be a split's."""

    path: str
    word: str
    sure: bool


class HuggingFaceReader:
    """Reads a `HuggingFaceCorpus`: each row of each file is an item.

    The launcher reads every column that is wanted but the audio; the file is local, or copied whole for as long as
    it is read (a `gs://` corpus passes through the launcher's disk once). On a worker a remote file is copied once,
    and the last two are kept, as are the last two row groups of each: a row group's audio must fit in memory.
    """

    def __init__(self, spec: HuggingFaceCorpus) -> None:
        self._spec = spec
        self._root = open_storage(spec.path).uri
        self._tables: Recent[tuple[str, str], tuple[Table, Columns]] = Recent(2)

    def items(self) -> Iterator[Item]:
        files = {file.path: file for file in open_storage(self._root).scan()}
        containers = sorted(each for each in self._containers(files) if self._wanted(each.path))
        if not containers:
            expected = "<split>-00000-of-00001.parquet files, or folders with a state.json and data-*.arrow files"
            if self._spec.files != ("*",):
                expected += f" that match files {', '.join(self._spec.files)}"
            raise wrong_layout(self._root, expected=expected, found=list(files))
        check_splits(self._spec.splits, (each.word for each in containers), where=self._root)
        for container in containers:
            split = self._split(container)
            if split is not None:
                yield from self._items(container.path, files, split)

    @property
    def opening(self) -> Mapping[str, Any]:
        return {"audio": self._spec.audio}

    def open(self, item: Item, cache: Path) -> Recording:
        from pyarrow import ArrowException

        try:
            table, columns = self._tables.get((item.path, item.stamp.partition("+")[0]), lambda: self._open(item.path))
            cell = table.cell(columns.audio, item.row)
        except InputError as error:
            raise RejectError("missing", str(error)) from error
        except IndexError as error:
            raise RejectError("truncated", f"{item.path} has no row {item.row}") from error
        except (ArrowException, OSError, UnicodeDecodeError) as error:
            raise RejectError("undecodable", " ".join(str(error).split())) from error
        data, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell, None)
        audio = self._beside(item.path, path or "", cache) if data is None else data
        return Recording(audio=audio, speaker=item.speaker, split=item.split, labels=item.labels)

    def _wanted(self, path: str) -> bool:
        return any(fnmatchcase(path, pattern) for pattern in self._spec.files)

    def _containers(self, files: Mapping[str, FileInfo]) -> Iterator[_Container]:
        """Yields the files that are there, and those that others announce."""
        parquet = [path for path in files if _is_parquet(path)]
        yield from map(_parquet, parquet)
        yield from map(_parquet, _absent_parts(parquet))
        for path in files:
            if posixpath.basename(path) == "state.json":
                yield from _saved(path, files, open_storage(self._root))
            if posixpath.basename(path) == "dataset_dict.json":
                self._check_saved(path, files)

    def _check_saved(self, path: str, files: Mapping[str, FileInfo]) -> None:
        """Refuses a `dataset_dict.json` with a split that is wanted and has no folder, or whose name is none."""
        told = _json(open_storage(self._root), path)
        where = join(self._root, path)
        names = told.get("splits") if isinstance(told, dict) else None
        for name in names if isinstance(names, list) else ():
            if not isinstance(name, str):
                raise InputError(f"{where} has {name!r} for a name; get it again")
            folder = posixpath.join(posixpath.dirname(path), name)
            wanted = self._spec.splits is None or name in self._spec.splits
            if wanted and self._wanted(f"{folder}/data-00000-of-00001.arrow") and f"{folder}/state.json" not in files:
                raise InputError(f"{where} names split {name!r}, and {folder}/state.json does not exist; get it again")

    def _split(self, container: _Container) -> str | None:
        if self._spec.splits is None and not (container.sure or is_split(container.word)):
            return ""
        return wanted_split(container.word, self._spec.splits, where=join(self._root, container.path))

    def _items(self, path: str, files: Mapping[str, FileInfo], split: str) -> Iterator[Item]:
        from pyarrow import ArrowException

        file = files.get(path)
        if file is None:
            detail = "the files beside it announce it"
            yield Item(key=path, path=path, size=0, stamp="", split=split, reject="missing", detail=detail)
            return
        try:
            table, columns = self._open(path)
            for number, row in enumerate(read_rows(table, columns)):
                # What a row names may stand in for its bytes; a row that has both is read anew once too often.
                beside = next((files[place] for place in _places(path, row.path) if place in files), None)
                yield Item(
                    key=f"{path}/{number:06d}",
                    path=path,
                    size=file.size // table.rows,
                    stamp=f"{file.stamp}+{beside.stamp}" if beside else file.stamp,
                    speaker=row.speaker,
                    split=split,
                    labels=row.labels,
                    beside=beside.path if beside else "",
                    row=number,
                    reject=row.reject,
                    detail=row.detail,
                )
        except (ArrowException, OSError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{join(self._root, path)} cannot be read: {reason}; get it again") from error

    def _open(self, path: str) -> tuple[Table, Columns]:
        table = open_table(LocalFile(self._root, path))
        return table, choose_columns(self._spec, table.schema, where=join(self._root, path))

    def _beside(self, container: str, path: str, cache: Path) -> Path:
        """Finds the file that a row names in place of bytes: relative to the container's folder, or to the root."""
        if not path:
            raise RejectError("missing", "the row has no audio")
        storage = open_storage(self._root)
        for place in _places(container, path):
            try:
                found = storage.local(place, cache)
            except InputError:
                continue
            if found.is_file():
                return found
        raise RejectError("missing", f"the row has no bytes, and its path {path!r} is not below the corpus")


def _places(container: str, path: str) -> Iterator[str]:
    """Yields where the file may be that a row of a container names: nowhere if it names none."""
    if path:
        yield posixpath.normpath(posixpath.join(posixpath.dirname(container), path))
        yield posixpath.normpath(path)


def _json(storage: Storage, path: str) -> Any:
    try:
        return json.loads(storage.read(path) or b"")
    except (ValueError, RecursionError) as error:
        raise InputError(f"{join(storage.uri, path)} is not JSON: {error}; get it again") from error


def _is_parquet(path: str) -> bool:
    return path.lower().endswith(".parquet")


def _parquet(path: str) -> _Container:
    folder, stem = posixpath.split(posixpath.splitext(path)[0])
    if part := _PART.fullmatch(stem):
        return _Container(path, part["split"], sure=True)
    if _NUMBERED.fullmatch(stem):  # As the Hub's own conversion has it: <config>/<split>/0000.parquet
        return _Container(path, posixpath.basename(folder), sure=bool(folder))
    return _Container(path, stem.partition("-")[0], sure=False)


def _absent_parts(paths: list[str]) -> Iterator[str]:
    """Yields the path of every part that the `-of-` of another announces and that is not there."""
    there: dict[tuple[str, str], set[int]] = {}
    for path in paths:
        if part := _PART.fullmatch(posixpath.splitext(path)[0]):
            there.setdefault((part["split"], part["parts"]), set()).add(int(part["part"]))
    for (start, parts), numbers in there.items():
        absent = (number for number in range(int(parts)) if number not in numbers)
        yield from (f"{start}-{number:05d}-of-{parts}.parquet" for number in absent)


def _saved(state_path: str, files: Mapping[str, FileInfo], storage: Storage) -> Iterator[_Container]:
    """Yields the Arrow files of a folder that `save_to_disk` made; nothing if the `state.json` is of another kind.

    Raises:
        InputError: it is not JSON, or names what no file or split is called.
    """
    folder = posixpath.dirname(state_path)
    state = _json(storage, state_path)
    try:
        names = [file["filename"] for file in state["_data_files"]]
    except (KeyError, TypeError):
        return
    if posixpath.join(posixpath.dirname(folder), "dataset_dict.json") in files and folder:
        word = posixpath.basename(folder)
    else:
        word = state.get("_split") or ""
    if strange := [each for each in (*names, word) if not isinstance(each, str)]:
        raise InputError(f"{join(storage.uri, state_path)} has {strange[0]!r} for a name; get it again")
    for name in names:
        yield _Container(posixpath.join(folder, name), word, sure=bool(word))
