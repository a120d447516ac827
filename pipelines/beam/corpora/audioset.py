"""AudioSet: two million 10 s segments of YouTube videos, of which each site has what it could download."""

import io
import posixpath
import re
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.beam.corpora.ontology import read_class_labels, read_ontology
from pipelines.beam.corpora.reader import About, FileReader, Item, Recording, wrong_layout
from trillsson.audio import EXTENSIONS, is_audio
from trillsson.config import AudioSetCorpus
from trillsson.errors import InputError
from trillsson.storage import FileInfo, join, open_storage

ABOUT = About(
    name="AudioSet",
    get="research.google.com/audioset/download.html, open: the lists *_segments.csv and class_labels_indices.csv; "
    "ontology.json from github.com/audioset/ontology. Google gives no audio: download each video yourself, which "
    "YouTube's terms may not allow; about a third of them is gone",
    licence="lists CC BY 4.0, ontology CC BY-SA 4.0; each video is its owner's",
    size="5,800 h in 2,084,320 segments (balanced 22,160, unbalanced 2,041,789, eval 20,371); 0.7 TB as 16 kHz WAV",
    layout="balanced_train_segments.csv|unbalanced_train_segments.csv|eval_segments.csv\n"
    "**/<YouTube id>.<ext>, **/Y<YouTube id>.<ext> or **/<YouTube id>_<start>[_<end>].<ext>\n"
    "ontology.json or class_labels_indices.csv (optional: to select labels by name)",
)

_SECONDS = r"([0-9]{1,9}(?:\.[0-9]{1,9})?)"
_LINE = re.compile(rf'([\w-]{{11}}), *{_SECONDS}, *{_SECONDS}, *"?(/[^"\s]+)"?\s*', re.ASCII)
_UNITS = r"[0-9]{1,12}(?:\.[0-9]{1,12})?"  # of seconds or milliseconds
_STEM = re.compile(rf"Y?([\w-]{{11}})(?:_({_UNITS})(?:[_-]{_UNITS})?)?", re.ASCII)

_AMBIGUOUS = "several segments of its video are listed: name files <id>_<start>, or set cut: false"


class AudioSetReader(FileReader):
    """Reads an `AudioSetCorpus`: each line of its lists is an item, found by its video's id among the audio.

    What downloaders call a segment of video `ID` from 30 to 40 s, all of which are found, in this order:

    - `ID.wav`, and `YID.wav` as the archives for PANNs have it;
    - `ID_30000.flac` and `ID_30000_40000.flac`, in milliseconds, as of audiosetdl;
    - `ID_30.wav`, `ID_30_40.wav`, `ID_30.0-40.0.wav` (audioset-download), `YID_30.000_40.000.wav` (DCASE), in seconds.

    With `cut: false` only the first are looked for, and the clip is cut from the whole video. Folders below `audio` are
    all looked into; of several files for one segment, one that can be decoded is taken, the first by path.

    An item's key is `<id>_<start>_<end>` in milliseconds, whether its audio is there (else it is a reject `missing`) or
    not. Its label `labels` is all ids of its classes in order, joined by `,`. Its speaker is not known. Audio of
    segments that are in none of the lists, or have none of the labels, is no part of the corpus.
    """

    def __init__(self, spec: AudioSetCorpus) -> None:
        super().__init__(spec.path)
        self._spec = spec

    def items(self) -> Iterator[Item]:
        wanted = self._wanted()
        audio = self._audio()
        listed: dict[str, Item] = {}
        for table in self._spec.segments if audio else ():
            for item in self._listed(table, audio, wanted):
                if item.key in listed:
                    raise InputError(f"{join(self._root, table)} has {item.key} for a second time; keep one")
                listed[item.key] = item
        times = Counter(item.path for item in listed.values() if self._spec.cut and not item.reject)
        for item in listed.values():
            # A file that is one segment cannot be two, and nothing tells which it is.
            yield replace(item, reject="ambiguous", detail=_AMBIGUOUS) if times[item.path] > 1 else item
        if audio and not listed:
            labels = f" with any of labels {', '.join(self._spec.labels)}" if self._spec.labels else ""
            tables = ", ".join(self._spec.segments)
            raise InputError(f"{self._root} has no segment{labels} in {tables}; correct `labels` or `segments`")
        if all(item.reject for item in listed.values()):
            where = join(self._root, self._spec.audio) if self._spec.audio else self._root
            names = "<YouTube id>.<ext> or Y<YouTube id>.<ext>"
            names += ", or <YouTube id>_<start>.<ext>" if self._spec.cut else ""
            found = open_storage(self._root).list(self._spec.audio)
            raise wrong_layout(where, expected=f"audio of the listed segments as {names}", found=found)

    @property
    def opening(self) -> Mapping[str, Any]:
        return {"cut": self._spec.cut}

    def open(self, item: Item, cache: Path) -> Recording:
        """Opens the item's file; of a whole video only its segment counts."""
        recording = super().open(item, cache)
        if self._spec.cut:
            return recording
        _, start, end = item.key.rsplit("_", 2)
        return replace(recording, segments=((int(start) / 1000, int(end) / 1000),))

    def _wanted(self) -> frozenset[str] | None:
        """Returns the ids of the classes that are wanted; None: all."""
        if self._spec.labels is None:
            return None
        if self._spec.ontology:
            return read_ontology(self._root, self._spec.ontology).select(self._spec.labels)
        if self._spec.class_labels:
            return read_class_labels(self._root, self._spec.class_labels).select(self._spec.labels)
        return frozenset(self._spec.labels)

    def _audio(self) -> Mapping[str, FileInfo]:
        """Maps `<id>`, or `<id>_<start in thousandths of whatever unit>`, to the file that is named so."""
        files: dict[str, FileInfo] = {}
        for file in open_storage(self._root).scan(self._spec.audio):
            stem, _ = posixpath.splitext(posixpath.basename(file.path))
            named = _STEM.fullmatch(stem)
            if not named or not is_audio(file.path):
                continue
            video, start = named.groups()
            if start is not None and not self._spec.cut:
                continue
            name = video if start is None else f"{video}_{_thousandths(start)}"
            if name not in files or (not _decodable(files[name].path) and _decodable(file.path)):
                files[name] = file
        return files

    def _listed(self, table: str, audio: Mapping[str, FileInfo], wanted: frozenset[str] | None) -> Iterator[Item]:
        split = _split(table)
        where = join(self._root, table)
        data = open_storage(self._root).read(table)
        if data is None:
            raise InputError(f"{where} does not exist; correct `segments`")
        missing = f"{table} lists it; there is no such audio"
        for video, start, end, classes in _segments(data, where):
            if wanted is not None and wanted.isdisjoint(classes):
                continue
            file = audio.get(video) or audio.get(f"{video}_{start * 1000}") or audio.get(f"{video}_{start}")
            yield Item(
                key=f"{video}_{start}_{end}",
                path=file.path if file else posixpath.join(self._spec.audio, video),
                size=file.size if file else 0,
                stamp=file.stamp if file else "",
                split=split,
                labels={"labels": ",".join(sorted(classes))},
                reject="" if file else "missing",
                detail="" if file else missing,
            )


def _segments(data: bytes, where: str) -> Iterator[tuple[str, int, int, list[str]]]:
    """Yields id, start and end in milliseconds, and classes of each line of a list, and never holds all of them."""
    for number, raw in enumerate(io.BytesIO(data.removeprefix(BOM_UTF8)), start=1):
        line = raw.decode("utf-8", "replace").strip()
        if not line or line.startswith("#"):
            continue
        fields = _LINE.fullmatch(line)
        if not fields or float(fields[2]) >= float(fields[3]):
            shape = 'YTID, start_seconds, end_seconds, "label,label"'
            raise InputError(f"{where} line {number} is {line[:80]!r}, not {shape}; mend it")
        yield fields[1], _thousandths(fields[2]), _thousandths(fields[3]), fields[4].split(",")


def _thousandths(number: str) -> int:
    return round(float(number) * 1000)


def _split(table: str) -> str:
    name = posixpath.basename(table)
    if "eval" in name:
        return "test"
    return "train" if "train" in name else ""


def _decodable(path: str) -> bool:
    return posixpath.splitext(path)[1].lower() in EXTENSIONS
