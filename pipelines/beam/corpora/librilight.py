"""Libri-light: 60,000 hours of read English in recordings of minutes to hours, with voice activity."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from pipelines.beam.corpora.reader import About, Item, Recording, missing
from pipelines.beam.corpora.subsets import SubsetReader, misplaced
from trillsson.audio import CLIP_SAMPLES, RejectError, is_audio
from trillsson.config import SAMPLE_RATE, LibriLightCorpus
from trillsson.segments import merge_segments
from trillsson.storage import FileInfo, open_storage

ABOUT = About(
    name="Libri-light",
    get="github.com/facebookresearch/libri-light, data_preparation, open: small.tar, medium.tar, large.tar, as they "
    "unpack (not cut by its own script: that loses the voice activity)",
    licence="public domain, as all of LibriVox",
    size="57,700 h, 219,000 FLAC files, 3.4 TB; small 577 h, 35 GB; medium 5,193 h, 321 GB",
    layout="<subset>/<speaker>/<book>/<name>.flac\n<subset>/<speaker>/<book>/<name>.json",
)

LAYOUT = "<subset>/<speaker>/<book>/<name>.flac"
LONGEST = CLIP_SAMPLES / SAMPLE_RATE
_NEVER_SO_LONG = 1e6
_FLAC = re.compile(r"[^/]+/([^/]+)/([^/]+)/[^/]+\.flac")


class LibriLightReader(SubsetReader):
    """Reads a `LibriLightCorpus`: speech only, as the JSON beside each recording tells where it is.

    Its clips begin and end where speech does, each as many segments of speech as 30 s hold. Labels: `speaker` and
    `book` from the path; `genre` (joined by `;`) and `meta_genre` from the JSON. The corpus is for training, so all
    of it has split `train`.

    Rejects: `missing` for a JSON without its FLAC; `missing_vad` for a FLAC without its JSON, or a JSON that says
    nothing of voice activity; `bad_vad` for segments that cannot be; `no_speech` where there are none; `unlisted` for
    audio that lies elsewhere.
    """

    def __init__(self, spec: LibriLightCorpus) -> None:
        super().__init__(spec.path, spec.subsets, layout=LAYOUT)

    def open(self, item: Item, cache: Path) -> Recording:
        """Opens a recording: its clips are of speech only. Reads the JSON first, so that a reject copies no FLAC."""
        beside = _beside(item.path)
        data = open_storage(self._root).read(beside)
        if data is None:
            raise RejectError("missing_vad", f"{beside} does not exist")
        try:
            known = json.loads(data)
        except (ValueError, RecursionError) as error:  # RecursionError: it is nested too deeply.
            raise RejectError("bad_vad", f"{beside} is not JSON: {error}") from error
        if not isinstance(known, dict) or "voice_activity" not in known:
            raise RejectError("missing_vad", f"{beside} has no voice_activity")
        segments = merge_segments(_speech(known["voice_activity"], beside), LONGEST)
        labels = {**item.labels, **_genres(known.get("book_meta"))}
        return replace(super().open(item, cache), labels=labels, segments=segments)

    def _items(self, files: Iterator[FileInfo]) -> Iterator[Item]:
        # Sorted paths hold each book's in one run, but not a FLAC beside its JSON: `a.flac`, `a.g/x`, `a.json`.
        for _, book in groupby(files, key=lambda file: file.path.split("/")[:3]):
            listed = {file.path: file for file in book}
            for path, file in listed.items():
                if path.endswith(".json"):
                    if (audio := _audio_of(path)) not in listed and _FLAC.fullmatch(audio):
                        yield missing(audio, audio, f"{path} is there without it")
                elif _FLAC.fullmatch(path):
                    yield _item(file, listed.get(_beside(path)))
                elif is_audio(path):
                    yield misplaced(file, LAYOUT)


def _item(audio: FileInfo, beside: FileInfo | None) -> Item:
    _, speaker, book, _ = audio.path.split("/")
    return Item(
        key=audio.path,
        path=audio.path,
        size=audio.size,
        stamp=f"{audio.stamp}+{beside.stamp}" if beside else audio.stamp,
        speaker=speaker,
        split="train",
        labels={"speaker": speaker, "book": book},
        beside=beside.path if beside else "",
        reject="" if beside else "missing_vad",
        detail="" if beside else f"{_beside(audio.path)} does not exist",
    )


def _beside(audio: str) -> str:
    return f"{audio.removesuffix('.flac')}.json"


def _audio_of(beside: str) -> str:
    return f"{beside.removesuffix('.json')}.flac"


def _speech(value: object, where: str) -> Sequence[tuple[float, float]]:
    """Checks `voice_activity`: starts and ends in seconds, in order, not overlapping. Leaves out empty segments."""
    if not isinstance(value, list):
        raise RejectError("bad_vad", f"{where} has voice_activity {_short(value)}, not a list")
    before = 0.0
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2 or not all(map(_is_second, pair)):
            raise RejectError("bad_vad", f"{where} has segment {_short(pair)}, not [start, end] in seconds")
        start, end = pair
        if start < before or end < start:
            raise RejectError("bad_vad", f"{where} has segment [{start}, {end}] after {before}, not in order")
        before = end
    segments = [(float(start), float(end)) for start, end in value if start < end]
    if not segments:
        raise RejectError("no_speech", f"{where} has no segment of voice activity")
    return segments


def _is_second(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _NEVER_SO_LONG


def _genres(book: object) -> Mapping[str, str]:
    if not isinstance(book, dict):
        return {}
    genres = book.get("genre")
    known = {
        "genre": ";".join(name for name in genres if isinstance(name, str)) if isinstance(genres, list) else genres,
        "meta_genre": book.get("meta_genre"),
    }
    return {name: value for name, value in known.items() if isinstance(value, str) and value}


def _short(value: object) -> str:
    return json.dumps(value)[:40]
