"""A data set that TensorFlow Datasets has prepared on disk: its TFRecord files, read row by row.

Only files that `dataset_info.json` announces are read; others below the version's folder are out of scope. Nothing is
ever downloaded.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.beam.corpora.containers import LocalFile, Recent, check_splits, wanted_split
from pipelines.beam.corpora.lists import read_text
from pipelines.beam.corpora.reader import About, Item, Recording, wrong_layout
from pipelines.beam.corpora.tfds_features import (
    Columns,
    choose_columns,
    class_features,
    library,
    name_classes,
    parse_record,
)
from pipelines.beam.corpora.tfds_info import Info, parse_info, split_files
from trillsson.audio import RejectError
from trillsson.config import TfdsCorpus
from trillsson.digests import SHORT, digest_of
from trillsson.errors import InputError
from trillsson.storage import FileInfo, join, open_storage
from trillsson.tfrecords import read_record, record_starts

ABOUT = About(
    name="any audio data set of TensorFlow Datasets: crema_d, savee, speech_commands, voxceleb, voxforge, ...",
    get="`tfds build <name>` (tensorflow.org/datasets/catalog); some want a manual download",
    licence="that of the data set; its catalogue page says which",
    size="savee 480 clips, crema_d 7,438, voxceleb 148,642; the catalogue page says for each",
    layout="<name>/[<config>/]<version>/dataset_info.json\n"
    "<name>/[<config>/]<version>/features.json\n"
    "<name>/[<config>/]<version>/<name>-<split>.tfrecord-00000-of-00004",
)

INFO = "dataset_info.json"

_VERSION = re.compile(r"\d+\.\d+\.\d+")


@dataclass(frozen=True)
class _Indexed:
    """A TFRecord file on this machine and the offset of each of its records."""

    file: LocalFile
    starts: NDArray[np.int64]


@dataclass(frozen=True)
class _Version:
    """What the small files of a version say: its features, and the rows that are announced in each wanted file."""

    columns: Columns
    rows: Mapping[str, int]


class TfdsReader:
    """Reads a `TfdsCorpus`: each row of each TFRecord file is an item.

    Speaker and labels lie in the record beside the audio, so the launcher, which reads no record, does not know
    them: `items` leaves them empty and `open` fills them in. On a worker a remote file is copied once, whole, and the
    last two are kept; a local one is read in place. What features.json and the names of classes say decides the
    labels, so an item's stamp is its file's, a `+`, and a digest of those.
    """

    def __init__(self, spec: TfdsCorpus) -> None:
        self._spec = spec
        self._root = open_storage(spec.path).uri
        self._files: Recent[tuple[str, str], _Indexed] = Recent(2)
        self._versions: Recent[tuple[str, str], _Version] = Recent(1)

    def items(self) -> Iterator[Item]:
        library()
        folder, files = self._find()
        shards = sorted(self._shards(folder))
        self._load_columns(folder)  # What does not fit ends the run here, not on a worker.
        if not sum(rows for _, rows, _ in shards):
            raise InputError(f"{join(self._root, folder)} has no rows in the splits that are wanted; correct `splits`")
        meaning = self._meaning(folder, files)
        for path, rows, split in shards:
            file = files.get(path)
            if file and file.size and not rows:
                raise _more_rows(join(self._root, path), announced=0)
            yield from _rows(folder, path, rows, split, file and file._replace(stamp=f"{file.stamp}+{meaning}"))

    @property
    def opening(self) -> Mapping[str, Any]:
        return self._spec.model_dump(include={"audio", "speaker", "labels", "sample_rate"}, mode="json")

    def open(self, item: Item, cache: Path) -> Recording:
        del cache  # It is emptied after each item, and the file serves many.
        folder = item.path.removesuffix("/" + item.key.rpartition("/")[0])
        meaning = item.stamp.rpartition("+")[2]
        version = self._versions.get((folder, meaning), lambda: self._load(folder))
        return parse_record(self._record(item, version.rows.get(item.path)), version.columns, split=item.split)

    def _record(self, item: Item, announced: int | None) -> bytes:
        indexed = self._files.get((item.path, item.stamp), lambda: self._index(item.path))
        if announced is not None and len(indexed.starts) > announced:
            raise _more_rows(join(self._root, item.path), announced=announced, found=len(indexed.starts))
        if item.row >= len(indexed.starts):
            raise RejectError("truncated", f"{len(indexed.starts)} records of {item.path} can be read")
        data = read_record(indexed.file.path, start := int(indexed.starts[item.row]))
        if data is None:
            raise RejectError("undecodable", f"the record at byte {start} does not match its checksum")
        return data

    def _index(self, path: str) -> _Indexed:
        try:
            file = LocalFile(self._root, path)
        except InputError as error:
            raise RejectError("missing", str(error)) from error
        return _Indexed(file, record_starts(file.path))

    def _find(self) -> tuple[str, Mapping[str, FileInfo]]:
        """Returns the folder of the version that is wanted, and the files of all versions and configs."""
        named, _, version = self._spec.dataset.partition(":")
        name, _, config = named.partition("/")
        files = {file.path: file for file in open_storage(self._root).scan(name)}
        found: dict[str, list[str]] = {}
        for path in files:
            parts = path.split("/")
            if parts[-1] == INFO and len(parts) in (3, 4) and _VERSION.fullmatch(parts[-2]):
                found.setdefault("/".join(parts[1:-2]), []).append(parts[-2])
        if not config and "" not in found and len(found) > 1:
            names = ", ".join(sorted(found))
            raise InputError(f"{join(self._root, name)} has configs {names}; give dataset: {name}/<config>")
        chosen = config or ("" if "" in found else next(iter(found), ""))
        versions = [each for each in found.get(chosen, []) if version in ("", each)]
        if not versions:
            expected = "/".join(filter(None, [name, config, version or "<version>", INFO]))
            there = [path for path in files if path.endswith(f"/{INFO}")] or list(files)
            raise wrong_layout(self._root, expected=expected, found=there or open_storage(self._root).list())
        newest = max(versions, key=lambda text: tuple(map(int, text.split("."))))
        return "/".join(filter(None, [name, chosen, newest])), files

    def _shards(self, folder: str) -> Iterator[tuple[str, int, str]]:
        """Yields path, rows and split of every file that is wanted."""
        where, info = join(self._root, folder), self._info(folder)
        if info.format != "tfrecord":
            raise InputError(
                f"{where} holds {info.format} files; prepare it with file_format tfrecord, which is read here"
            )
        splits = sorted(info.splits, key=lambda split: split.name)
        check_splits(self._spec.splits, (split.name for split in splits), where=where)
        for split in splits:
            word = wanted_split(split.name, self._spec.splits, where=where)
            if word is not None:
                for name, rows in split_files(info, split, where=f"{where}/{INFO}"):
                    yield f"{folder}/{name}", rows, word

    def _info(self, folder: str) -> Info:
        return parse_info(self._json(f"{folder}/{INFO}"), where=join(self._root, f"{folder}/{INFO}"))

    def _load(self, folder: str) -> _Version:
        return _Version(self._load_columns(folder), {path: rows for path, rows, _ in self._shards(folder)})

    def _load_columns(self, folder: str) -> Columns:
        where = join(self._root, folder)
        columns = choose_columns(self._spec, self._json(f"{folder}/features.json"), where=where)
        texts = {name: read_text(self._root, f"{folder}/{name}.labels.txt") for name in class_features(columns)}
        name_classes(columns, {name: text for name, text in texts.items() if text is not None}, where=where)
        return columns

    def _meaning(self, folder: str, files: Mapping[str, FileInfo]) -> str:
        """Returns a digest of the small files that decide what a record's values mean."""
        names = re.compile(rf"{re.escape(folder)}/(features\.json|[^/]+\.labels\.txt)")
        wanted = [path for path in files if names.fullmatch(path)]
        known = [(data or b"").decode("utf-8", "replace") for data in open_storage(self._root).read_many(wanted)]
        return digest_of([path.rpartition("/")[2] for path in wanted] + known)[:SHORT]

    def _json(self, path: str) -> Any:
        data = open_storage(self._root).read(path)
        if data is None:
            raise InputError(f"{join(self._root, path)} does not exist; prepare the data set anew")
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{join(self._root, path)} is not JSON: {error}; prepare the data set anew") from error


def _rows(folder: str, path: str, rows: int, split: str, file: FileInfo | None) -> Iterator[Item]:
    name = path.removeprefix(f"{folder}/")
    for row in range(rows):
        key = f"{name}/{row:06d}"
        if file is None:
            detail = f"{INFO} announces {rows} rows in it"
            yield Item(key=key, path=path, size=0, stamp="", split=split, row=row, reject="missing", detail=detail)
        else:
            yield Item(key=key, path=path, size=file.size // rows, stamp=file.stamp, split=split, row=row)


def _more_rows(where: str, *, announced: int, found: int | None = None) -> InputError:
    """Returns the error of a file of which rows would be left out: a version whose files are not of one making."""
    held = "more" if found is None else str(found)
    return InputError(f"{where} holds {held} rows, and {INFO} announces {announced}; prepare the data set anew")
