"""VoxCeleb1: the list of splits against the files, in every layout that mirrors have."""

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.beam.corpora import open_reader
from pipelines.beam.corpora.reader import Item
from trillsson.config import VoxCelebCorpus
from trillsson.errors import InputError
from trillsson.storage import open_storage

LayOut = Callable[..., None]

IDEN_SPLIT = """\
3 id10003/na8-QEFmj44/00003.wav
1 id10003/tCq2LcKO6xY/00002.wav
1 id10270/5r0dWxy17C8/00001.wav
2 id10003/_JpgSiMEMBo/00001.wav
"""
META = """\
VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet
id10001\tA.J._Buckley\tm\tIreland\tdev
id10003\tAaron_Tveit\tm\tUSA\tdev
id10270\tEartha_Kitt\tf\tUSA\ttest
"""
TVEIT = {"speaker": "id10003", "gender": "m", "nationality": "USA"}
DEV = ("id10003/_JpgSiMEMBo/00001.wav", "id10003/na8-QEFmj44/00003.wav", "id10003/tCq2LcKO6xY/00002.wav")
TEST = ("id10270/5r0dWxy17C8/00001.wav",)
LISTED = (*DEV, *TEST)


def items(root: object, **options: Any) -> list[Item]:
    return list(open_reader(VoxCelebCorpus(kind="voxceleb", path=str(root), **options)).items())


@pytest.mark.parametrize(
    ("dev", "test"),
    [("wav", "wav"), ("dev/wav", "test/wav"), ("vox1_dev_wav/wav", "vox1_test_wav/wav"), (".", ".")],
    ids=["one folder", "dev and test", "named as the archives", "no folder above"],
)
def test_every_listed_utterance_with_its_speaker_split_and_labels(
    tmp_path: Path, lay_out: LayOut, dev: str, test: str
) -> None:
    audio = [*(f"{dev}/{name}" for name in DEV), *(f"{test}/{name}" for name in TEST)]
    lay_out(tmp_path, *audio, texts={"iden_split.txt": IDEN_SPLIT, "vox1_meta.csv": META})
    found = items(tmp_path)
    assert [item.key for item in found] == list(LISTED)
    assert [(tmp_path / item.path).resolve() for item in found] == [(tmp_path / path).resolve() for path in audio]
    assert [item.split for item in found] == ["validation", "test", "train", "train"]
    assert [item.speaker for item in found] == ["id10003", "id10003", "id10003", "id10270"]
    assert [item.labels for item in found] == [
        TVEIT, TVEIT, TVEIT, {"speaker": "id10270", "gender": "f", "nationality": "USA"}
    ]  # fmt: skip
    assert {(item.size, item.reject) for item in found} == {((tmp_path / audio[0]).stat().st_size, "")}


def test_what_is_listed_and_not_there_is_a_reject(tmp_path: Path, lay_out: LayOut) -> None:
    """As with the dev archive alone: the 40 speakers of the test archive must not vanish."""
    lay_out(tmp_path, *(f"dev/wav/{name}" for name in DEV), texts={"iden_split.txt": IDEN_SPLIT})
    *_, last = items(tmp_path)
    assert last == Item(
        key="id10270/5r0dWxy17C8/00001.wav",
        path="wav/id10270/5r0dWxy17C8/00001.wav",
        size=0,
        stamp="",
        reject="missing",
        detail="iden_split.txt names it",
    )


def test_audio_that_is_not_listed_is_a_reject(tmp_path: Path, lay_out: LayOut) -> None:
    strange = "vox2/wav/id00012/21Uxsk56VDQ/00001.wav"
    leftover = "wav/id10003/na8-QEFmj44/._00003.wav"
    more = [f"wav/{name}" for name in LISTED]
    lay_out(
        tmp_path, *more, "wav/id10003/na8-QEFmj44/00009.wav", strange, leftover, texts={"iden_split.txt": IDEN_SPLIT}
    )
    rejects = {item.key: (item.reject, item.detail) for item in items(tmp_path) if item.reject}
    assert rejects == {
        "id10003/na8-QEFmj44/00009.wav": ("unlisted", "iden_split.txt does not name it"),
        strange: ("unlisted", "it is not wav/<idXXXXX>/<video>/<00001>.wav of VoxCeleb1"),
    }


def test_without_a_split_file_nothing_has_a_split(tmp_path: Path, lay_out: LayOut) -> None:
    lay_out(tmp_path, *(f"wav/{name}" for name in LISTED))
    found = items(tmp_path, split_file=None)
    assert [(item.key, item.split, item.labels["speaker"]) for item in found] == [
        (name, "", name[:7]) for name in LISTED
    ]


def test_a_speaker_without_a_row_has_its_name_alone(tmp_path: Path, lay_out: LayOut) -> None:
    header = META.splitlines()[0]
    lay_out(tmp_path, f"wav/{DEV[0]}", texts={"vox1_meta.csv": f"{header}\r\nid10001\tA.J._Buckley\tm\t\tdev\r\n"})
    lay_out(tmp_path, "wav/id10001/Y8hIVOBuels/00001.wav")
    found = items(tmp_path, split_file=None)
    assert [item.labels for item in found] == [{"speaker": "id10001", "gender": "m"}, {"speaker": "id10003"}]


def test_open_hands_out_the_file(tmp_path: Path, lay_out: LayOut) -> None:
    lay_out(tmp_path, *(f"wav/{name}" for name in LISTED), texts={"iden_split.txt": IDEN_SPLIT, "vox1_meta.csv": META})
    reader = pickle.loads(pickle.dumps(open_reader(VoxCelebCorpus(kind="voxceleb", path=str(tmp_path)))))
    recording = reader.open(next(reader.items()), tmp_path / "cache")
    assert recording.audio == tmp_path / "wav" / DEV[0]
    assert (recording.speaker, recording.split, recording.labels) == ("id10003", "validation", TVEIT)
    assert soundfile.info(recording.audio).frames == 1_600


def test_an_object_store(gcs_prefix: str, tmp_path: Path, lay_out: LayOut) -> None:
    lay_out(gcs_prefix, f"dev/wav/{DEV[0]}", texts={"iden_split.txt": f"2 {DEV[0]}\n"})
    reader = open_reader(VoxCelebCorpus(kind="voxceleb", path=gcs_prefix))
    [item] = reader.items()
    assert (item.key, item.path, item.split) == (DEV[0], f"dev/wav/{DEV[0]}", "validation")
    assert item.stamp
    audio = reader.open(item, tmp_path).audio
    assert isinstance(audio, Path)
    assert audio.is_relative_to(tmp_path)
    assert audio.read_bytes() == open_storage(gcs_prefix).read(item.path)


@settings(max_examples=30)
@given(listed=st.sets(st.integers(1, 9)), there=st.sets(st.integers(1, 9), min_size=1))
def test_nothing_is_lost(listed: set[int], there: set[int]) -> None:
    with TemporaryDirectory() as root:
        storage = open_storage(root)
        for number in there:
            storage.create(f"wav/id10001/v/{number:05d}.wav", b"")
        lines = "".join(f"1 id10001/v/{number:05d}.wav\n" for number in listed)
        storage.create("iden_split.txt", lines.encode())
        found = {int(item.key[-9:-4]): item.reject for item in items(root)}
    expected = dict.fromkeys(listed & there, "")
    expected |= dict.fromkeys(listed - there, "missing") | dict.fromkeys(there - listed, "unlisted")
    assert found == expected


def test_another_layout(tmp_path: Path, lay_out: LayOut) -> None:
    lay_out(tmp_path, "aac/id00012/21Uxsk56VDQ/00001.wav", texts={"iden_split.txt": IDEN_SPLIT})
    message = (
        f"{tmp_path} is not laid out as expected: expected wav/<idXXXXX>/<video>/<00001>.wav; "
        "found aac/id00012/21Uxsk56VDQ/00001.wav, iden_split.txt"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        items(tmp_path)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({}, "iden_split.txt does not exist; put VoxCeleb1's iden_split.txt there or set split_file: null"),
        (
            {"iden_split.txt": "1 id10003/na8-QEFmj44/00003.wav\n4 id10003/tCq2LcKO6xY/00002.wav\n"},
            "iden_split.txt line 2 is '4 id10003/tCq2LcKO6xY/00002.wav', "
            "expected as in '3 id10003/na8-QEFmj44/00003.wav'; restore the file",
        ),
        (
            {"iden_split.txt": f"1 {DEV[0]}\n2 {DEV[0]}\n"},
            f"iden_split.txt line 2 names '{DEV[0]}' a second time; restore the file",
        ),
        (
            {"iden_split.txt": IDEN_SPLIT, "vox1_meta.csv": "VoxCeleb2 ID \tGender\n"},
            "vox1_meta.csv has no column 'VoxCeleb1 ID'; it has VoxCeleb2 ID, Gender; restore it",
        ),
        (
            {"iden_split.txt": IDEN_SPLIT, "vox1_meta.csv": META + "id10004\tx\n"},
            "vox1_meta.csv line 5 has 2 cells, not 5; restore it",
        ),
        (
            {"iden_split.txt": IDEN_SPLIT, "vox1_meta.csv": f"\n{META}id10001\tA\tf\tUSA\tdev\n"},
            "vox1_meta.csv line 6 names 'id10001' a second time; restore it",
        ),
        (
            {"iden_split.txt": f"1 {'x' * 99}\n"},
            f"iden_split.txt line 1 is '1 {'x' * 78}', "
            "expected as in '3 id10003/na8-QEFmj44/00003.wav'; restore the file",
        ),
    ],
    ids=["no split file", "no split", "twice", "another table", "a short row", "a speaker twice", "a long line"],
)
def test_lists_that_cannot_be_used(tmp_path: Path, lay_out: LayOut, texts: dict[str, str], message: str) -> None:
    lay_out(tmp_path, f"wav/{DEV[0]}", texts=texts)
    with pytest.raises(InputError, match=f"^{re.escape(f'{tmp_path}/{message}')}$"):
        items(tmp_path)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lists_with_any_ends_of_lines(tmp_path: Path, lay_out: LayOut, end: str) -> None:
    lay_out(tmp_path, *(f"wav/{name}" for name in LISTED))
    header, *speakers = META.splitlines()
    meta = end.join([header, *speakers, f"id10999\t{'x' * 200_000}\tf\tUSA\tdev", ""])
    for name, text in (("iden_split.txt", IDEN_SPLIT.replace("\n", end)), ("vox1_meta.csv", meta)):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
    found = items(tmp_path)
    assert [(item.key, item.reject) for item in found] == [(name, "") for name in LISTED]
    assert found[0].labels == TVEIT


def test_a_list_that_is_no_text(tmp_path: Path, lay_out: LayOut) -> None:
    lay_out(tmp_path, f"wav/{DEV[0]}")
    (tmp_path / "iden_split.txt").write_bytes(b"1 \xff\n")
    with pytest.raises(InputError, match=r"iden_split.txt is not UTF-8 text: 'utf-8' codec .*; restore it$"):
        items(tmp_path)


def test_an_utterance_in_two_places(tmp_path: Path, lay_out: LayOut) -> None:
    lay_out(tmp_path, f"dev/wav/{DEV[0]}", f"wav/{DEV[0]}", texts={"iden_split.txt": IDEN_SPLIT})
    message = f"{tmp_path} holds {DEV[0]} twice: dev/wav/{DEV[0]} and wav/{DEV[0]}; remove one"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        items(tmp_path)
