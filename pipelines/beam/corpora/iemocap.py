"""IEMOCAP as its authors publish it: five sessions, each with the turns cut out and their ratings by dialogue."""

import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping

from pipelines.beam.corpora.lists import numbered
from pipelines.beam.corpora.reader import About, FileReader, Item, item_of, missing, unlisted, wrong_layout
from trillsson.audio import is_audio, is_leftover
from trillsson.config import IEMOCAPCorpus
from trillsson.errors import InputError
from trillsson.storage import join, open_storage

ABOUT = About(
    name="IEMOCAP",
    get="IEMOCAP_full_release, by a request form at SAIL, USC; motion capture and video are not needed",
    licence="research only, as agreed in the request form",
    size="12 h, 10,039 turns of 10 speakers (5,531 with one of the usual four emotions), 1.4 GB of turns",
    layout=(
        "Session<1-5>/sentences/wav/<dialogue>/<turn>.wav, such as Ses01F_impro01/Ses01F_impro01_F000.wav\n"
        "Session<1-5>/dialog/EmoEvaluation/<dialogue>.txt"
    ),
)

Ratings = Mapping[str, str]

_EVALUATION = re.compile(r"Session[1-5]/dialog/EmoEvaluation/[^/]+\.txt")
_WAV = re.compile(r"Session[1-5]/sentences/wav/.+")
_TURN_NAME = r"Ses0(?P<session>[1-5])[FM]_\w+_(?P<sex>[FM])\w+"
_NUMBER = r"-?\d+(?:\.\d+)?"
_TURN = re.compile(
    rf"\[{_NUMBER} - {_NUMBER}\]\s+(?P<name>{_TURN_NAME})\s+(?P<emotion>[a-z]{{3}})\s+"
    rf"\[(?P<valence>{_NUMBER}), (?P<activation>{_NUMBER}), (?P<dominance>{_NUMBER})\]"
)
_EXPECTED = "Session<1-5>/sentences/wav/<dialogue>/<turn>.wav and Session<1-5>/dialog/EmoEvaluation/<dialogue>.txt"


class IEMOCAPReader(FileReader):
    """Reads an `IEMOCAPCorpus`: each rated turn is an item, whose key is its path.

    A turn whose emotion is not wanted, or on which the annotators did not agree, is an item without that label: it is
    good speech to distil with. A rated turn that is not there is a reject `missing`, a turn without a rating a reject
    `unlisted`. Whole dialogues (dialog/wav), which hold the same speech again, video and motion are out of scope, and
    so is what macOS left in the archive, `._<name>`.
    """

    def __init__(self, spec: IEMOCAPCorpus) -> None:
        super().__init__(spec.path)
        self._spec = spec

    def items(self) -> Iterator[Item]:
        files = self._files()
        evaluations = [path for path in files if _EVALUATION.fullmatch(path) and not is_leftover(path)]
        turns = {path: file for path, file in files.items() if _WAV.fullmatch(path) and is_audio(path)}
        if not evaluations or not turns:
            raise wrong_layout(self._root, expected=_EXPECTED, found=list(files))
        self._check_sessions({int(path.removeprefix("Session")[0]) for path in turns})
        rated: dict[str, re.Match[str]] = {}
        for path in evaluations:
            self._rate(path, rated)
        for key in sorted(turns.keys() | rated.keys()):
            match = rated.get(key)
            if match is None:
                yield unlisted(key, turns[key], "EmoEvaluation does not rate it")
            elif key not in turns:
                yield missing(key, key, "EmoEvaluation rates it")
            else:
                session = match["session"]
                speaker = f"Ses0{session}{match['sex']}"
                yield item_of(
                    key, turns[key], speaker=speaker, split=self._split(int(session)), labels=self._labels(match)
                )

    def _check_sessions(self, there: set[int]) -> None:
        for key, sessions in (
            ("validation_sessions", self._spec.validation_sessions),
            ("test_sessions", self._spec.test_sessions),
        ):
            for session in sessions:
                if session not in there:
                    found = ", ".join(str(number) for number in sorted(there))
                    raise InputError(f"{key} names {session}; {self._root} has sessions {found}; name one of them")

    def _rate(self, path: str, rated: dict[str, re.Match[str]]) -> None:
        """Adds to `rated` the path of each turn that a dialogue's ratings name, with what they say of it."""
        where = join(self._root, path)
        # Annotators' remarks are in whatever encoding they typed; what is read here is ASCII.
        text = (open_storage(self._root).read(path) or b"").removeprefix(BOM_UTF8).decode("latin-1")
        for number, line in numbered(text):
            if not line.startswith("["):  # the header, and lines of single annotators
                continue
            match = _TURN.fullmatch(line)
            if match is None:
                expected = "expected as in '[6.2901 - 8.2357] Ses01F_impro01_F000 neu [2.5000, 2.5000, 2.5000]'"
                raise InputError(f"{where} line {number} is {line[:80]!r}, {expected}; restore the file")
            name = match["name"]
            turn = f"Session{match['session']}/sentences/wav/{name.rpartition('_')[0]}/{name}.wav"
            if turn in rated:
                raise InputError(f"{where} line {number} rates {name} a second time; restore the file")
            rated[turn] = match

    def _split(self, session: int) -> str:
        if session in self._spec.test_sessions:
            return "test"
        return "validation" if session in self._spec.validation_sessions else "train"

    def _labels(self, match: re.Match[str]) -> Mapping[str, str]:
        emotion = match["emotion"]
        if emotion == "exc" and self._spec.merge_excited:
            emotion = "hap"
        labels = {name: match[name] for name in ("session", "valence", "activation", "dominance")}
        return {"emotion": emotion, **labels} if emotion in self._spec.emotions else labels
