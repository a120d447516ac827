"""VoxCeleb1 as its authors publish it: a folder a speaker, a folder a video, and a list of the splits."""

import re
from collections.abc import Iterator, Mapping

from pipelines.beam.corpora.lists import numbered, read_text
from pipelines.beam.corpora.reader import About, FileReader, Item, item_of, missing, unlisted, wrong_layout
from trillsson.audio import is_audio
from trillsson.config import VoxCelebCorpus
from trillsson.errors import InputError
from trillsson.storage import FileInfo, join

ABOUT = About(
    name="VoxCeleb1",
    get="the audio, dev and test, by registration with VGG, Oxford; there, openly, iden_split.txt and vox1_meta.csv",
    licence="metadata CC BY 4.0; the speech is of videos whose rights remain with their owners",
    size="352 h, 153,516 utterances of 1,251 speakers, 40 GB",
    layout=(
        "wav/<idXXXXX>/<video>/<00001>.wav (or dev/wav/... and test/wav/...: any folders above <idXXXXX>)\n"
        "iden_split.txt (names both archives: without the test archive's 4,874 files, set max_reject_fraction: 0.04)\n"
        "vox1_meta.csv (optional: gender and nationality)"
    ),
)

META = "vox1_meta.csv"
SPLITS = {"1": "train", "2": "validation", "3": "test"}

# VoxCeleb1 numbers its speakers from id10001, VoxCeleb2 below that.
_UTTERANCE = r"id1\d{4}/[^/]+/\d{5}\.wav"
_FILE = re.compile(rf"(?:.*/)?({_UTTERANCE})")
_LINE = re.compile(rf"([123])\s+({_UTTERANCE})")
_EXPECTED = "wav/<idXXXXX>/<video>/<00001>.wav"


class VoxCelebReader(FileReader):
    """Reads a `VoxCelebCorpus`: each utterance of the split's list is an item, whose key is its path there.

    What the list names and is not there is a reject `missing`; audio that it does not name is a reject `unlisted`.
    """

    def __init__(self, spec: VoxCelebCorpus) -> None:
        super().__init__(spec.path)
        self._spec = spec

    def items(self) -> Iterator[Item]:
        utterances, strays = self._utterances()
        splits = self._splits()
        people = self._people()
        for key in sorted(utterances.keys() | (splits or {}).keys() | strays.keys()):
            if key in strays:
                yield unlisted(key, strays[key], f"it is not {_EXPECTED} of VoxCeleb1")
            elif splits is not None and key not in splits:
                yield unlisted(key, utterances[key], f"{self._spec.split_file} does not name it")
            elif key not in utterances:
                yield missing(key, f"wav/{key}", f"{self._spec.split_file} names it")
            else:
                speaker = key.partition("/")[0]
                labels = people.setdefault(speaker, {"speaker": speaker})
                split = "" if splits is None else splits[key]
                yield item_of(key, utterances[key], speaker=speaker, split=split, labels=labels)

    def _utterances(self) -> tuple[dict[str, FileInfo], dict[str, FileInfo]]:
        """Maps each utterance to its file, and the path of each other audio file to that."""
        files = self._files()
        found: dict[str, FileInfo] = {}
        strays: dict[str, FileInfo] = {}
        for path, file in files.items():
            if not is_audio(path):
                continue
            match = _FILE.fullmatch(path)
            if match is None:
                strays[path] = file
            elif other := found.get(match[1]):
                raise InputError(f"{self._root} holds {match[1]} twice: {other.path} and {path}; remove one")
            else:
                found[match[1]] = file
        if not found:
            raise wrong_layout(self._root, expected=_EXPECTED, found=list(files))
        return found, strays

    def _splits(self) -> Mapping[str, str] | None:
        """Maps each utterance of the split's list to its split; None: there is to be no split."""
        if self._spec.split_file is None:
            return None
        where = join(self._root, self._spec.split_file)
        text = read_text(self._root, self._spec.split_file)
        if text is None:
            raise InputError(f"{where} does not exist; put VoxCeleb1's iden_split.txt there or set split_file: null")
        splits: dict[str, str] = {}
        for number, line in numbered(text):
            match = _LINE.fullmatch(line)
            if match is None:
                expected = "expected as in '3 id10003/na8-QEFmj44/00003.wav'"
                raise InputError(f"{where} line {number} is {line[:80]!r}, {expected}; restore the file")
            if match[2] in splits:
                raise InputError(f"{where} line {number} names {match[2]!r} a second time; restore the file")
            splits[match[2]] = SPLITS[match[1]]
        return splits

    def _people(self) -> dict[str, Mapping[str, str]]:
        """Maps each speaker of the table of speakers to the labels; nobody if there is no table."""
        text = read_text(self._root, META)
        if text is None:
            return {}
        rows = [
            (number, [cell.strip() for cell in line.split("\t")])
            for number, line in enumerate(text.splitlines(), start=1)
            if line.strip()
        ]
        header = rows[0][1] if rows else []
        where = join(self._root, META)
        wanted = {"speaker": "VoxCeleb1 ID", "gender": "Gender", "nationality": "Nationality"}
        for column in wanted.values():
            if column not in header:
                raise InputError(f"{where} has no column {column!r}; it has {', '.join(header) or 'none'}; restore it")
        at = {label: header.index(column) for label, column in wanted.items()}
        people: dict[str, Mapping[str, str]] = {}
        for number, row in rows[1:]:
            if len(row) != len(header):
                raise InputError(f"{where} line {number} has {len(row)} cells, not {len(header)}; restore it")
            labels = {label: value for label, column in at.items() if (value := row[column])}
            if (speaker := row[at["speaker"]]) in people:
                raise InputError(f"{where} line {number} names {speaker!r} a second time; restore it")
            people[speaker] = labels
        return people
