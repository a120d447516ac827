"""ASVspoof 2019, logical access, as its authors publish it: three folders of FLAC and a protocol for each."""

import posixpath
from collections.abc import Iterator, Mapping

from pipelines.beam.corpora.lists import numbered, read_text
from pipelines.beam.corpora.reader import NO_LABELS, About, FileReader, Item, item_of, missing, unlisted, wrong_layout
from trillsson.audio import is_audio
from trillsson.config import ASVspoofCorpus
from trillsson.errors import InputError
from trillsson.storage import join

ABOUT = About(
    name="ASVspoof 2019, logical access",
    get="LA.zip, openly, from the University of Edinburgh's DataShare; unpack it whole",
    licence="ODC-BY 1.0",
    size="108 h, 121,461 utterances (25,380 train, 24,844 validation, 71,237 test), 7.6 GB",
    layout=(
        "LA/ASVspoof2019_LA_{train,dev,eval}/flac/LA_<T|D|E>_<number>.flac (path may also be LA itself)\n"
        "LA/ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.{train.trn,dev.trl,eval.trl}.txt\n"
        "LA/ASVspoof2019_LA_asv_protocols/ASVspoof2019.LA.asv.{dev,eval}.{female,male}.trn.txt (optional: names the "
        "enrolment utterances in flac/, which have no spoof label)"
    ),
)

PROTOCOLS = {"train": "train.trn", "dev": "dev.trl", "eval": "eval.trl"}
SPLITS = {"train": "train", "dev": "validation", "eval": "test"}
_CM = "ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.{}.txt"
_ENROLMENT = "ASVspoof2019_LA_asv_protocols/ASVspoof2019.LA.asv.{}.{}.trn.txt"

Named = tuple[str, Mapping[str, str], str]
"""What a protocol says of an utterance: its speaker, its labels, and the protocol."""


class ASVspoofReader(FileReader):
    """Reads an `ASVspoofCorpus`: each utterance of the protocols is an item, whose key is its path below LA.

    The flac folders also hold what the speaker verifier was enrolled with. Where the verifier's protocols name it, it
    is an item with a speaker and without labels: human speech, and no part of the spoofing task. What the protocols
    name and is not there is a reject `missing`; audio below the three folders that they do not name is a reject
    `unlisted`. Other files below LA are out of scope.
    """

    def __init__(self, spec: ASVspoofCorpus) -> None:
        super().__init__(spec.path)

    def items(self) -> Iterator[Item]:
        top = self._top()
        for part in sorted(PROTOCOLS):
            named = self._named(top, part)
            folder = f"ASVspoof2019_LA_{part}"
            files = {path.removeprefix(top): file for path, file in self._files(f"{top}{folder}").items()}
            audio = {path: file for path, file in files.items() if is_audio(path)}
            if not audio:
                where = join(self._root, f"{top}{folder}")
                found = [path.removeprefix(f"{folder}/") for path in files]
                raise wrong_layout(where, expected="flac/LA_<number>.flac", found=found)
            wanted = {f"{folder}/flac/{name}.flac": name for name in named}
            for key in sorted(audio.keys() | wanted.keys()):
                if key not in wanted:
                    yield unlisted(key, audio[key], f"{posixpath.basename(_cm(part))} does not name it")
                    continue
                speaker, labels, protocol = named[wanted[key]]
                if key not in audio:
                    yield missing(key, f"{top}{key}", f"{posixpath.basename(protocol)} names it")
                else:
                    yield item_of(key, audio[key], speaker=speaker, split=SPLITS[part], labels=labels)

    def _top(self) -> str:
        """Returns the folder that holds the three parts: `LA/`, or nothing if that is the root."""
        for top in ("LA/", ""):
            if read_text(self._root, f"{top}{_cm('train')}") is not None:
                return top
        raise wrong_layout(self._root, expected=f"LA/{_cm('train')}", found=list(self._files()))

    def _named(self, top: str, part: str) -> Mapping[str, Named]:
        """Maps each utterance that the protocols of one part name to what they say of it."""
        where = join(self._root, f"{top}{_cm(part)}")
        text = read_text(self._root, f"{top}{_cm(part)}")
        if text is None:
            raise InputError(f"{where} does not exist; unpack LA.zip whole")
        named = self._enrolled(top, part)
        judged: dict[str, Named] = {}
        for number, line in numbered(text):
            match line.split():
                # The third field is the environment of the other half of the corpus, physical access.
                case [speaker, name, "-", "-", "bonafide"]:
                    labels = {"spoof": "bonafide"}
                case [speaker, name, "-", attack, "spoof"] if attack != "-":
                    labels = {"spoof": "spoof", "attack": attack}
                case _:
                    expected = "expected as in 'LA_0079 LA_T_1271820 - A01 spoof'"
                    raise InputError(f"{where} line {number} is {line[:80]!r}, {expected}; restore the file")
            if name in judged:
                raise InputError(f"{where} line {number} names {name!r} a second time; restore the file")
            judged[name] = (speaker, labels, _cm(part))
        return {**named, **judged}

    def _enrolled(self, top: str, part: str) -> Mapping[str, Named]:
        """Maps each enrolment utterance to its speaker. A line of these protocols is a speaker and the utterances."""
        named: dict[str, Named] = {}
        for sex in ("female", "male"):
            protocol = _ENROLMENT.format(part, sex)
            # The speakers of the train part are enrolled nowhere.
            text = None if part == "train" else read_text(self._root, f"{top}{protocol}")
            for number, line in numbered(text or ""):
                speaker, *names = line.replace(",", " ").split() or ("",)
                if not names or any(named.get(name, (speaker,))[0] != speaker for name in names):
                    where = join(self._root, f"{top}{protocol}")
                    what = f"is {line[:80]!r}, not a speaker and utterances that are no other's"
                    raise InputError(f"{where} line {number} {what}; restore the file")
                named.update((name, (speaker, NO_LABELS, protocol)) for name in names)
        return named


def _cm(part: str) -> str:
    return _CM.format(PROTOCOLS[part])
