"""The folder reader: files, rows, and what happens where they do not match."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.beam.corpora.folder import AudioFile, list_files
from trillsson.config import FolderCorpus
from trillsson.errors import InputError

EditCsv = Callable[[Callable[[list[dict[str, str]]], None]], None]


def test_files_come_in_path_order_with_their_rows(tones: FolderCorpus) -> None:
    files = list_files(tones)
    assert [file.path for file in files] == sorted(file.path for file in files)
    assert files[0] == AudioFile(
        path="ann/00.wav",
        speaker="ann",
        split="train",
        labels={"speaker": "ann", "split": "train", "pitch": "low"},
    )


def test_only_the_wanted_labels(tones: FolderCorpus) -> None:
    files = list_files(tones.model_copy(update={"labels": ("pitch",)}))
    assert files[0].labels == {"pitch": "low"}


def test_empty_cells_are_no_labels(tones: FolderCorpus, edit_csv: EditCsv) -> None:
    edit_csv(lambda rows: rows[0].update(pitch=" ", speaker=""))
    assert list_files(tones)[0].labels == {"split": "train"}


def test_a_folder_without_csv(tones: FolderCorpus) -> None:
    files = list_files(FolderCorpus(kind="folder", path=tones.path))
    assert len(files) == 24
    assert files[0] == AudioFile(path="ann/00.wav")


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_folder_without_audio(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/readme.txt").touch()
    what = rf"corpus folder .*/{name} does not exist, or holds no audio"
    message = what + r"; give a folder with \.flac, \.mp3, \.ogg, \.wav files"
    with pytest.raises(InputError, match=message):
        list_files(FolderCorpus(kind="folder", path=str(tmp_path / name)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda rows: rows.append({**rows[0], "path": "ann/99.wav"}),
            "has rows without a file: 1, first 'ann/99.wav'; add",
        ),
        (lambda rows: rows.pop(0), "has no row for some files: 1, first 'ann/00.wav'; add rows or remove the files"),
        (lambda rows: rows.append(rows[0]), "line 26 names 'ann/00.wav' a second time; keep one row a file"),
    ],
)
def test_rows_and_files_that_do_not_match(
    tones: FolderCorpus, edit_csv: EditCsv, change: Callable[[list[dict[str, str]]], None], message: str
) -> None:
    edit_csv(change)
    with pytest.raises(InputError, match=message):
        list_files(tones)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"csv": "none.csv"}, "none.csv does not exist; correct `csv` or leave it out"),
        ({"speaker": "voice"}, "has no column 'voice'; it has path, speaker, split, pitch"),
        ({"labels": ("tone",)}, "has no column 'tone'"),
    ],
)
def test_csv_options_that_do_not_fit(tones: FolderCorpus, changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        list_files(tones.model_copy(update=changes))


def test_a_csv_that_is_no_text(tones: FolderCorpus) -> None:
    (Path(tones.path) / "labels.csv").write_bytes(b"path,\xff\n")
    with pytest.raises(InputError, match="is not a UTF-8 CSV file"):
        list_files(tones)


def test_a_row_with_too_many_cells(tones: FolderCorpus) -> None:
    with (Path(tones.path) / "labels.csv").open("a") as file:
        file.write("ann/98.wav,a,b,c,d,e\n")
    with pytest.raises(InputError, match="line 26 has more cells than the header"):
        list_files(tones)
