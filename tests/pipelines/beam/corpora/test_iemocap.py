"""IEMOCAP: the ratings of the dialogues against the turns."""

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile

from pipelines.beam.corpora import open_reader
from pipelines.beam.corpora.reader import Item
from trillsson.config import IEMOCAPCorpus, parse_release
from trillsson.errors import InputError

LayOut = Callable[..., None]

# Emotion of each turn, as rated.
TURNS = {
    "Ses01F_impro01_F000": "neu",
    "Ses01F_impro01_F001": "xxx",
    "Ses01F_impro01_M003": "exc",
    "Ses02M_script01_1_M012": "fru",
    "Ses05F_impro04_MXX0": "hap",
}


def wav(turn: str) -> str:
    return f"Session{turn[4]}/sentences/wav/{turn.rpartition('_')[0]}/{turn}.wav"


def evaluation(dialogue: str) -> str:
    return f"Session{dialogue[4]}/dialog/EmoEvaluation/{dialogue}.txt"


def ratings() -> dict[str, str]:
    texts: dict[str, str] = {}
    for turn, emotion in TURNS.items():
        path = evaluation(turn.rpartition("_")[0])
        texts.setdefault(path, "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n")
        texts[path] += (
            f"[6.2901 - 8.2357]\t{turn}\t{emotion}\t[2.5000, 2.3333, 3.0000]\n"
            "C-E2:\tNeutral;\t()\n"
            "C-F1:\tNeutral; Surprise;\t(a bit \xe9nerv\xe9)\n"
            "A-E3:\tval 3; act 2; dom  2;\t()\n"
            "A-F1:\tval 3; act 2; dom  ;\t()\n\n"
        )
    return texts


@pytest.fixture
def published(tmp_path: Path, lay_out: LayOut) -> Path:
    """The corpus as its archive unpacks, with what macOS left in it."""
    lay_out(tmp_path, *map(wav, TURNS), "Session1/dialog/wav/Ses01F_impro01.wav", texts={"README.txt": "IEMOCAP\n"})
    for path, text in ratings().items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(text.encode("latin-1"))
    lay_out(
        tmp_path,
        "Session1/sentences/wav/Ses01F_impro01/._Ses01F_impro01_F000.wav",
        texts={
            "Session1/dialog/EmoEvaluation/._Ses01F_impro01.txt": "[\0Mac OS X",
            "Session1/dialog/EmoEvaluation/Categorical/Ses01F_impro01_e1_cat.txt": "[no turns here\n",
        },
    )
    return tmp_path


def items(root: object, **options: Any) -> list[Item]:
    return list(open_reader(IEMOCAPCorpus(kind="iemocap", path=str(root), **options)).items())


def emotions(root: object, **options: Any) -> list[str | None]:
    return [item.labels.get("emotion") for item in items(root, **options)]


def test_every_rated_turn_with_its_speaker_split_and_labels(published: Path) -> None:
    found = items(published)
    assert [(item.key, item.path) for item in found] == [(wav(turn), wav(turn)) for turn in TURNS]
    assert [item.speaker for item in found] == ["Ses01F", "Ses01F", "Ses01M", "Ses02M", "Ses05M"]
    assert [item.split for item in found] == ["train", "train", "train", "train", "test"]
    rated = {"valence": "2.5000", "activation": "2.3333", "dominance": "3.0000"}
    assert [item.labels for item in found] == [
        {"emotion": "neu", "session": "1", **rated},
        {"session": "1", **rated},
        {"emotion": "hap", "session": "1", **rated},
        {"session": "2", **rated},
        {"emotion": "hap", "session": "5", **rated},
    ]
    assert all(not item.reject and item.size > 0 and item.stamp for item in found)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"merge_excited": False}, ["neu", None, None, None, "hap"]),
        ({"merge_excited": False, "emotions": ("exc", "fru")}, [None, None, "exc", "fru", None]),
        ({"emotions": ("hap",)}, [None, None, "hap", None, "hap"]),
    ],
)
def test_only_the_wanted_emotions_are_labels(
    published: Path, options: dict[str, Any], expected: list[str | None]
) -> None:
    assert emotions(published, **options) == expected


def test_splits_are_sessions(published: Path) -> None:
    found = items(published, validation_sessions=(5,), test_sessions=(1, 2))
    assert [item.split for item in found] == ["test", "test", "test", "test", "validation"]


def test_a_rated_turn_that_is_not_there_is_a_reject(published: Path) -> None:
    gone = wav("Ses01F_impro01_M003")
    (published / gone).unlink()
    assert [item for item in items(published) if item.reject] == [
        Item(key=gone, path=gone, size=0, stamp="", reject="missing", detail="EmoEvaluation rates it")
    ]


def test_a_turn_without_rating_is_a_reject(published: Path, lay_out: LayOut) -> None:
    lay_out(published, wav("Ses01F_impro01_F007"))
    rejects = [(item.key, item.reject, item.detail) for item in items(published) if item.reject]
    assert rejects == [(wav("Ses01F_impro01_F007"), "unlisted", "EmoEvaluation does not rate it")]


def test_open_hands_out_the_file(published: Path) -> None:
    reader = pickle.loads(pickle.dumps(open_reader(IEMOCAPCorpus(kind="iemocap", path=str(published)))))
    recording = reader.open(next(reader.items()), published / "cache")
    assert recording.audio == published / wav("Ses01F_impro01_F000")
    assert (recording.speaker, recording.split, recording.labels["emotion"]) == ("Ses01F", "train", "neu")
    assert soundfile.info(recording.audio).frames == 1_600


def test_an_object_store(gcs_prefix: str, tmp_path: Path, lay_out: LayOut) -> None:
    lay_out(gcs_prefix, *map(wav, TURNS), texts=ratings())
    reader = open_reader(IEMOCAPCorpus(kind="iemocap", path=gcs_prefix))
    found = list(reader.items())
    assert [item.key for item in found] == [wav(turn) for turn in TURNS]
    audio = reader.open(found[-1], tmp_path).audio
    assert isinstance(audio, Path)
    assert soundfile.info(audio).frames == 1_600


def test_another_layout(tmp_path: Path, lay_out: LayOut) -> None:
    lay_out(tmp_path, *(f"IEMOCAP_full_release/{wav(turn)}" for turn in TURNS))
    turns = [f"IEMOCAP_full_release/{wav(turn)}" for turn in TURNS]
    message = (
        f"{tmp_path} is not laid out as expected: expected Session<1-5>/sentences/wav/<dialogue>/<turn>.wav and "
        f"Session<1-5>/dialog/EmoEvaluation/<dialogue>.txt; found {', '.join(turns[:3])} and 2 more"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        items(tmp_path)


@pytest.mark.parametrize(
    ("options", "key"),
    [({"test_sessions": (4,)}, "test_sessions"), ({"validation_sessions": (1, 4)}, "validation_sessions")],
)
def test_a_session_that_is_not_there(published: Path, options: dict[str, Any], key: str) -> None:
    message = f"{key} names 4; {published} has sessions 1, 2, 5; name one of them"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        items(published, **options)


def test_ratings_with_a_byte_order_mark_before_the_first_turn(published: Path) -> None:
    path = published / evaluation("Ses05F_impro04")
    header, _, turns = path.read_bytes().split(b"\n", 2)
    assert header.startswith(b"%")
    path.write_bytes(b"\xef\xbb\xbf" + turns.replace(b"\n", b"\r\n"))
    assert not [item for item in items(published) if item.reject]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (
            "[6.2901 - 8.2357]\tSes01F_impro01_F000\tneutral\t[2.5000, 2.5000, 2.5000]",
            r"is '[6.2901 - 8.2357]\tSes01F_impro01_F000\tneutral\t[2.5000, 2.5000, 2.5000]', "
            "expected as in '[6.2901 - 8.2357] Ses01F_impro01_F000 neu [2.5000, 2.5000, 2.5000]'",
        ),
        (
            "[6.2901 - 8.2357]\tSes01F_impro01_M003\tneu\t[2.5000, 2.5000, 2.5000]",
            "rates Ses01F_impro01_M003 a second time",
        ),
    ],
    ids=["no code", "twice"],
)
def test_ratings_that_cannot_be_used(published: Path, line: str, what: str) -> None:
    path = published / evaluation("Ses01F_impro01")
    count = len(path.read_bytes().splitlines())
    with path.open("a", encoding="latin-1") as file:
        file.write(f"{line}\n")
    message = f"{path} line {count + 1} {what}; restore the file"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        items(published)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"emotions": ["hap", "exc"]},
            "emotions names 'exc', which merge_excited counts as hap; set merge_excited: false",
        ),
        (
            {"validation_sessions": [4, 5]},
            "session 5 is in validation_sessions and in test_sessions; keep one",
        ),
        ({"emotions": ["joy"]}, r"emotions.0: .*'joy'"),
        ({"test_sessions": [6]}, r"test_sessions.0: give at most 5, not 6$"),
    ],
)
def test_options_that_contradict(options: dict[str, Any], message: str) -> None:
    release = {
        "name": "small",
        "workdir": "work",
        "registry": "registry",
        "corpora": {"speech": {"kind": "iemocap", "path": "iemocap", **options}},
        "teacher": {"kind": "conformer"},
        "students": {"nano": {"architecture": "nano"}},
        "training": {"corpora": ["speech"], "steps": 10},
        "tasks": {"emotion": {"corpus": "speech", "label": "emotion"}},
    }
    with pytest.raises(InputError, match=message):
        parse_release(release, source="here")
