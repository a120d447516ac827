"""ASVspoof 2019 LA: the protocols against the files."""

import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from pipelines.beam.corpora import open_reader
from pipelines.beam.corpora.reader import Item
from trillsson.config import ASVspoofCorpus
from trillsson.errors import InputError

LayOut = Callable[..., None]

CM = "ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm"
ASV = "ASVspoof2019_LA_asv_protocols/ASVspoof2019.LA.asv"
TEXTS = {
    f"{CM}.train.trn.txt": "LA_0079 LA_T_1138215 - - bonafide\nLA_0079 LA_T_1271820 - A01 spoof\n",
    f"{CM}.dev.trl.txt": "LA_0069 LA_D_1047731 - - bonafide\nLA_0070 LA_D_1265475 - A04 spoof \r\n",
    f"{CM}.eval.trl.txt": "LA_0039 LA_E_2834763 - A11 spoof\n",
    f"{ASV}.dev.female.trn.txt": "LA_0069 LA_D_7622198,LA_D_9999999\n",
    "README.LA.txt": "ASVspoof 2019\n",
}
AUDIO = (
    "ASVspoof2019_LA_dev/flac/LA_D_1047731.flac",
    "ASVspoof2019_LA_dev/flac/LA_D_1265475.flac",
    "ASVspoof2019_LA_eval/flac/LA_E_2834763.flac",
    "ASVspoof2019_LA_train/flac/LA_T_1138215.flac",
    "ASVspoof2019_LA_train/flac/LA_T_1271820.flac",
)
ENROLMENT = ("ASVspoof2019_LA_dev/flac/LA_D_7622198.flac", "ASVspoof2019_LA_dev/flac/LA_D_9999999.flac")


@pytest.fixture
def published(tmp_path: Path, lay_out: LayOut) -> Path:
    """The corpus as LA.zip unpacks, in the folder LA; returns the folder above."""
    lay_out(tmp_path / "LA", *AUDIO, *ENROLMENT, texts=TEXTS)
    return tmp_path


def items(root: object) -> list[Item]:
    return list(open_reader(ASVspoofCorpus(kind="asvspoof", path=str(root))).items())


@pytest.mark.parametrize(("root", "top"), [(".", "LA/"), ("LA", "")], ids=["the folder above LA", "LA itself"])
def test_every_utterance_of_the_protocols(published: Path, root: str, top: str) -> None:
    found = items(published / root)
    assert [(item.key, item.speaker, item.split, item.labels) for item in found] == [
        (AUDIO[0], "LA_0069", "validation", {"spoof": "bonafide"}),
        (AUDIO[1], "LA_0070", "validation", {"spoof": "spoof", "attack": "A04"}),
        (ENROLMENT[0], "LA_0069", "validation", {}),
        (ENROLMENT[1], "LA_0069", "validation", {}),
        (AUDIO[2], "LA_0039", "test", {"spoof": "spoof", "attack": "A11"}),
        (AUDIO[3], "LA_0079", "train", {"spoof": "bonafide"}),
        (AUDIO[4], "LA_0079", "train", {"spoof": "spoof", "attack": "A01"}),
    ]
    assert [item.path for item in found] == [f"{top}{item.key}" for item in found]
    assert all(not item.reject and item.size > 0 and item.stamp for item in found)


def test_what_the_protocols_name_and_is_not_there_is_a_reject(published: Path) -> None:
    (published / "LA" / AUDIO[1]).unlink()
    (published / "LA" / ENROLMENT[0]).unlink()
    rejects = [item for item in items(published) if item.reject]
    assert rejects == [
        Item(
            key=key, path=f"LA/{key}", size=0, stamp="", reject="missing", detail=f"ASVspoof2019.LA.{protocol} names it"
        )
        for key, protocol in [(AUDIO[1], "cm.dev.trl.txt"), (ENROLMENT[0], "asv.dev.female.trn.txt")]
    ]


def test_audio_that_no_protocol_names_is_a_reject(published: Path, lay_out: LayOut) -> None:
    strange = "ASVspoof2019_LA_train/flac/copy.flac"
    lay_out(published / "LA", strange, "ASVspoof2019_LA_train/flac/._LA_T_1138215.flac")
    rejects = [(item.key, item.reject, item.detail) for item in items(published) if item.reject]
    assert rejects == [(strange, "unlisted", "ASVspoof2019.LA.cm.train.trn.txt does not name it")]


def test_open_hands_out_the_file(published: Path) -> None:
    reader = pickle.loads(pickle.dumps(open_reader(ASVspoofCorpus(kind="asvspoof", path=str(published)))))
    recording = reader.open(next(reader.items()), published / "cache")
    assert recording.audio == published / "LA" / AUDIO[0]
    assert (recording.speaker, recording.split) == ("LA_0069", "validation")
    assert recording.labels == {"spoof": "bonafide"}
    assert soundfile.info(recording.audio).frames == 1_600


def test_an_object_store(gcs_prefix: str, tmp_path: Path, lay_out: LayOut) -> None:
    lay_out(f"{gcs_prefix}/LA", *AUDIO, *ENROLMENT, texts=TEXTS)
    reader = open_reader(ASVspoofCorpus(kind="asvspoof", path=gcs_prefix))
    found = list(reader.items())
    assert [item.key for item in found] == sorted((*AUDIO, *ENROLMENT))
    audio = reader.open(found[0], tmp_path).audio
    assert isinstance(audio, Path)
    assert soundfile.info(audio).frames == 1_600


def test_another_layout(tmp_path: Path, lay_out: LayOut) -> None:
    lay_out(tmp_path, *(f"PA/{path}" for path in AUDIO))
    message = (
        f"{tmp_path} is not laid out as expected: expected LA/{CM}.train.trn.txt; "
        f"found PA/{AUDIO[0]}, PA/{AUDIO[1]}, PA/{AUDIO[2]} and 2 more"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        items(tmp_path)


def test_a_part_without_audio(tmp_path: Path, lay_out: LayOut) -> None:
    lay_out(tmp_path, *AUDIO[:2], *ENROLMENT, texts={**TEXTS, "ASVspoof2019_LA_eval/LICENSE.txt": "ODC-BY\n"})
    message = (
        f"{tmp_path}/ASVspoof2019_LA_eval is not laid out as expected: expected flac/LA_<number>.flac; "
        "found LICENSE.txt"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        items(tmp_path)


def test_a_part_without_protocol(published: Path) -> None:
    protocol = published / "LA" / f"{CM}.eval.trl.txt"
    protocol.unlink()
    with pytest.raises(InputError, match=f"^{re.escape(str(protocol))} does not exist; unpack LA.zip whole$"):
        items(published)


@pytest.mark.parametrize("line", [",", "LA_0070", "LA_0070 LA_D_7622198"])
def test_enrolments_that_cannot_be_used(published: Path, line: str) -> None:
    protocol = published / "LA" / f"{ASV}.dev.female.trn.txt"
    protocol.write_text(f"LA_0069 LA_D_7622198,LA_D_9999999\n{line}\n")
    message = f"{protocol} line 2 is '{line}', not a speaker and utterances that are no other's; restore the file"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        items(published)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("LA_0079 LA_T_1 - spoof", "is 'LA_0079 LA_T_1 - spoof', expected as in 'LA_0079 LA_T_1271820 - A01 spoof'"),
        ("LA_0079 LA_T_1 - A01 bonafide", "is 'LA_0079 LA_T_1 - A01 bonafide', expected as in 'LA_0079 LA_T_1271820"),
        ("LA_0079 LA_T_1 - - spoof", "is 'LA_0079 LA_T_1 - - spoof', expected as in 'LA_0079 LA_T_1271820"),
        ("LA_0079 LA_T_1138215 - - bonafide", "names 'LA_T_1138215' a second time"),
    ],
    ids=["four fields", "an attack by a human", "no attack", "twice"],
)
def test_protocols_that_cannot_be_used(published: Path, line: str, what: str) -> None:
    protocol = published / "LA" / f"{CM}.train.trn.txt"
    protocol.write_text(f"{TEXTS[f'{CM}.train.trn.txt']}{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=rf"^{re.escape(f'{protocol} line 3 {what}')}.*; restore the file$"):
        items(published)
