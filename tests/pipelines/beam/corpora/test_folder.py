"""The folder reader: files, rows, and what happens where they do not match."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.beam.corpora.folder import FolderReader
from pipelines.beam.corpora.reader import Item
from trillsson.config import FolderCorpus
from trillsson.errors import InputError

EditCsv = Callable[[Callable[[list[dict[str, str]]], None]], None]
ANN = {"speaker": "ann", "split": "train", "pitch": "low"}


def items_of(corpus: FolderCorpus, **changes: object) -> list[Item]:
    reader = FolderReader(corpus.model_copy(update=changes))
    return list(pickle.loads(pickle.dumps(reader)).items())


def item(corpus: FolderCorpus, path: str, **known: object) -> Item:
    """The item of a file: its size and stamp as the file system tells them."""
    state = (Path(corpus.path) / path).stat()
    stamp = str(state.st_mtime_ns)
    return Item(key=path, path=path, size=state.st_size, stamp=stamp, **known)  # type: ignore[arg-type]


def plain(corpus: FolderCorpus) -> FolderCorpus:
    return FolderCorpus(kind="folder", path=corpus.path)


@pytest.fixture
def table(tones: FolderCorpus) -> Callable[..., FolderCorpus]:
    """Returns a function that writes a JSONL table of one row, and lines as they are, and gives the corpus it is of."""

    def write(*lines: str, **row: object) -> FolderCorpus:
        written = [json.dumps({"path": "ann/00.wav", **row}), *lines]
        (Path(tones.path) / "labels.jsonl").write_text("\n".join(written), encoding="utf-8")
        return FolderCorpus(kind="folder", path=tones.path, jsonl="labels.jsonl", include=("ann/00.wav", "bob/01*"))

    return write


def test_files_come_in_path_order_with_their_rows(tones: FolderCorpus) -> None:
    items = items_of(tones)
    assert [each.path for each in items] == sorted(each.path for each in items)
    assert items[0] == item(tones, "ann/00.wav", speaker="ann", split="train", labels=ANN)


def test_only_the_wanted_labels(tones: FolderCorpus) -> None:
    assert items_of(tones, labels=("pitch",))[0].labels == {"pitch": "low"}


def test_empty_cells_are_no_labels(tones: FolderCorpus, edit_csv: EditCsv) -> None:
    edit_csv(lambda rows: rows[0].update(pitch=" ", speaker=""))
    assert items_of(tones)[0].labels == {"split": "train"}


def test_a_folder_without_a_table(tones: FolderCorpus) -> None:
    items = items_of(plain(tones))
    assert len(items) == 24
    assert items[0] == item(tones, "ann/00.wav")


def test_a_changed_file_has_another_stamp(tones: FolderCorpus) -> None:
    before = items_of(plain(tones))[0]
    os.utime(Path(tones.path) / "ann/00.wav", ns=(1, 1_234_567_890))
    after = items_of(plain(tones))[0]
    assert (after.stamp, after.identity) == ("1234567890", before.identity)


def test_patterns_choose_files_and_rows_alike(tones: FolderCorpus) -> None:
    chosen = items_of(tones, include=("ann/*", "*/01.*"), exclude=("*4.wav",))
    assert [each.key for each in chosen] == [
        "ann/00.wav",
        "ann/08.wav",
        "ann/12.wav",
        "ann/16.wav",
        "ann/20.wav",
        "bob/01.flac",
    ]
    assert not [each for each in chosen if each.reject]


def test_audio_that_cannot_be_read_is_an_item_still(tones: FolderCorpus) -> None:
    (Path(tones.path) / "zed.m4a").write_bytes(b"x")
    assert items_of(plain(tones))[-1].key == "zed.m4a"


def test_rows_may_be_json_lines(tones: FolderCorpus, table: Callable[..., FolderCorpus]) -> None:
    corpus = table("", '{"path": "bob/01.flac"}', who="ann", take=3, loud=True, level=0.5, note=None)
    first, second = items_of(corpus, speaker="who")
    labels = {"who": "ann", "take": "3", "loud": "true", "level": "0.5"}
    assert first == item(tones, "ann/00.wav", speaker="ann", labels=labels)
    assert second == item(tones, "bob/01.flac")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"labels\.jsonl line 2 is not JSON: .*; mend it"),
        ("[]", r"labels\.jsonl line 2 is no object with a string `path`; mend it"),
        ('{"path": 1}', r"labels\.jsonl line 2 is no object with a string `path`; mend it"),
        ('{"path": "a.wav", "x": [1]}', r"labels\.jsonl line 2 has \[1\] in 'x'; give a string, a number or a bool"),
        ('{"path": ""}', r"labels\.jsonl line 2 names no file; give its path or remove the row$"),
        (
            '{"path": "a.wav", "x": "\\ud800"}',
            r"labels\.jsonl line 2 has '\\ud800' in 'x', which is half a surrogate pair; mend it$",
        ),
        (
            '{"path": "\\ud800"}',
            r"labels\.jsonl line 2 has '\\ud800' in 'path', which is half a surrogate pair; mend it$",
        ),
        (
            '{"path": "a.wav", "\\ud800": 1}',
            r"labels\.jsonl line 2 has a key that is half a surrogate pair; mend it$",
        ),
        ("1" * 5_000, r"labels\.jsonl line 2 is not JSON: Exceeds the limit .*; mend it$"),
        ("[" * 100_000, r"labels\.jsonl line 2 is not JSON: maximum recursion depth exceeded.*; mend it$"),
        ('{"path": "./ann/00.wav"}', r"labels\.jsonl line 2 names 'ann/00\.wav' a second time; keep one row a file"),
    ],
)
def test_json_lines_that_cannot_be_used(table: Callable[..., FolderCorpus], line: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        items_of(table(line))


def test_two_tables_are_refused(tones: FolderCorpus) -> None:
    with pytest.raises(ValueError, match=r"csv 'a\.csv' and jsonl 'b\.jsonl' are both given; keep one"):
        FolderCorpus(kind="folder", path=tones.path, csv="a.csv", jsonl="b.jsonl")


def test_a_folder_without_audio(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").touch()
    with pytest.raises(InputError, match=rf"^{tmp_path} holds no audio; give a folder with \.aif, .* files$"):
        items_of(FolderCorpus(kind="folder", path=str(tmp_path)))


def test_patterns_that_nothing_matches(tones: FolderCorpus) -> None:
    with pytest.raises(InputError, match=r"holds no audio that matches include \*\.mp3; give a folder with \.aif, "):
        items_of(tones, include=("*.mp3",))


NFC, NFD = "é.wav", "e\u0301.wav"


@pytest.mark.parametrize(("there", "written"), [(NFC, NFD), (NFD, NFC)])
def test_a_row_may_spell_an_accent_otherwise(tones: FolderCorpus, edit_csv: EditCsv, there: str, written: str) -> None:
    (Path(tones.path) / "ann/00.wav").rename(Path(tones.path) / there)
    edit_csv(lambda rows: rows[0].update(path=written))
    (one,) = items_of(tones, include=(there,))
    assert one == item(tones, there, speaker="ann", split="train", labels=ANN)


def test_files_whose_names_differ_by_the_spelling_of_an_accent(tones: FolderCorpus, edit_csv: EditCsv) -> None:
    for name in (NFC, NFD):
        (Path(tones.path) / name).touch()
    edit_csv(lambda rows: rows.extend([{**rows[0], "path": NFC, "pitch": "c"}, {**rows[0], "path": NFD, "pitch": "d"}]))
    assert {each.key: each.labels["pitch"] for each in items_of(tones, include=(NFC, NFD))} == {NFC: "c", NFD: "d"}
    (Path(tones.path) / NFD).unlink()
    with pytest.raises(InputError, match=f"labels.csv line 27 names '{NFC}' a second time; keep one row a file$"):
        items_of(tones)


def test_a_row_without_a_file_is_a_reject(tones: FolderCorpus, edit_csv: EditCsv) -> None:
    edit_csv(lambda rows: rows.append({**rows[0], "path": "ann/99.wav"}))
    (reject,) = [each for each in items_of(tones) if each.reject]
    assert (reject.key, reject.reject, reject.detail) == ("ann/99.wav", "missing", "labels.csv has a row for it")


@pytest.mark.parametrize(
    ("path", "reason", "more"),
    [
        ("b", "missing", ""),
        ("c.raw", "unsupported", ", and it is there, but its name is none of audio that is read"),
    ],
)
def test_a_row_whose_path_is_no_audio_is_a_reject(
    tones: FolderCorpus, edit_csv: EditCsv, path: str, reason: str, more: str
) -> None:
    (Path(tones.path) / "c.raw").touch()
    edit_csv(lambda rows: rows.append({**rows[0], "path": path}))
    (reject,) = [each for each in items_of(tones) if each.reject]
    assert (reject.key, reject.reject, reject.detail) == (path, reason, f"labels.csv has a row for it{more}")


@pytest.mark.parametrize("path", ["", " "])
def test_a_row_without_a_path(tones: FolderCorpus, edit_csv: EditCsv, path: str) -> None:
    edit_csv(lambda rows: rows.append({**rows[0], "path": path}))
    message = r"labels\.csv line 26 names no file; give its path or remove the row$"
    with pytest.raises(InputError, match=message):
        items_of(tones)


def test_a_file_without_a_row_is_a_reject(tones: FolderCorpus, edit_csv: EditCsv) -> None:
    edit_csv(lambda rows: rows.pop(0))
    reject = item(tones, "ann/00.wav", reject="unlisted", detail="labels.csv has no row for it")
    assert [each for each in items_of(tones) if each.reject] == [reject]


WORDS = "dev, eval, test, testing, train, training, val, valid, validation"


def test_a_word_that_means_no_split(tones: FolderCorpus, edit_csv: EditCsv) -> None:
    edit_csv(lambda rows: rows[3].update(split=" tset"))
    with pytest.raises(InputError) as error:
        items_of(tones)
    where = f"{tones.path}/labels.csv line 5"
    assert str(error.value) == f"column 'split' of {where} has split 'tset'; use one of {WORDS}"


def test_a_word_that_means_no_split_in_json_lines(table: Callable[..., FolderCorpus]) -> None:
    corpus = table("", '{"path": "bob/01.flac", "fold": 3}', fold="Dev")
    with pytest.raises(InputError, match=r"^column 'fold' of .*/labels\.jsonl line 3 has split '3'; use one of dev, "):
        items_of(corpus, split="fold")


def test_words_count_only_where_they_are_used(tones: FolderCorpus, edit_csv: EditCsv) -> None:
    edit_csv(lambda rows: [row.update(split="tset") for row in rows if row["speaker"] == "ann"])
    assert {each.split for each in items_of(tones, exclude=("ann/*",))} == {"train", "validation", "test"}
    first = items_of(tones, split=None)[0]
    assert (first.split, first.labels["split"], first.reject) == ("", "tset", "")


def test_a_file_that_is_named_twice(tones: FolderCorpus, edit_csv: EditCsv) -> None:
    edit_csv(lambda rows: rows.append(rows[0]))
    with pytest.raises(InputError, match=r"line 26 names 'ann/00\.wav' a second time; keep one row a file"):
        items_of(tones)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"csv": "none.csv"}, "none.csv does not exist; correct `csv` or leave it out"),
        ({"speaker": "voice"}, "has no column 'voice'; it has path, speaker, split, pitch"),
        ({"labels": ("tone",)}, "has no column 'tone'"),
    ],
)
def test_table_options_that_do_not_fit(tones: FolderCorpus, changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        items_of(tones, **changes)


def test_a_table_that_is_no_text(tones: FolderCorpus) -> None:
    (Path(tones.path) / "labels.csv").write_bytes(b"path,\xff\n")
    with pytest.raises(InputError, match="is not a UTF-8 CSV file"):
        items_of(tones)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("ann/98.wav", "has 1 of 4 cells; add ',,,' for empty ones"),
        ("ann/98.wav,ann", "has 2 of 4 cells; add ',,' for empty ones"),
        ("ann/98.wav,a,b,c,d,e", "has 6 of 4 cells; quote one that holds a comma"),
    ],
)
def test_a_row_with_too_few_cells_or_too_many(tones: FolderCorpus, row: str, message: str) -> None:
    with (Path(tones.path) / "labels.csv").open("a") as file:
        file.write(f'\n\nann/97.wav,"two\nlines",train,low\n{row}\n')
    with pytest.raises(InputError, match=rf"^{tones.path}/labels\.csv line 30 {message}$"):
        items_of(tones)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_ends_of_lines_and_blanks(tones: FolderCorpus, end: str) -> None:
    lines = ["", "path, speaker ,split", "", ' ann/00.wav,"ann\n1", train', ""]
    (Path(tones.path) / "labels.csv").write_bytes(b"\xef\xbb\xbf" + end.join(lines).encode())
    (one,) = items_of(tones, include=("ann/00.wav",))
    assert (one.speaker, one.split, one.labels) == ("ann\n1", "train", {"speaker": "ann\n1", "split": "train"})


@pytest.mark.parametrize("path", ["tones/ann/00.wav", "/data/ann/00.wav", "ann"])
def test_a_table_that_names_no_file_that_is_there(tones: FolderCorpus, path: str) -> None:
    (Path(tones.path) / "labels.csv").write_text(f"path,speaker,split\n{path},ann,train\n")
    message = (
        f"labels.csv names none of the files that are there, but such as '{path}'; give paths below {tones.path}, "
    )
    with pytest.raises(InputError, match=f"^{tones.path}/{message}such as 'ann/00.wav'$"):
        items_of(tones)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("path;e", r"has one column, 'path;e'; separate columns by commas"),
        ("path\te", r"has one column, 'path\\te'; separate columns by commas"),
        (",path,e", "has no name for its first column; a file's path comes first, such as path,speaker"),
        ("path,,e", "has a column without a name; give each its own name"),
        ("path,e,e", "has 2 columns 'e'; give each its own name"),
    ],
)
def test_columns_that_cannot_be_told_apart(tones: FolderCorpus, header: str, message: str) -> None:
    (Path(tones.path) / "labels.csv").write_text(f"{header}\n0,ann/00.wav,1\n")
    with pytest.raises(InputError, match=rf"labels\.csv {message}$"):
        items_of(tones)


def test_a_cell_that_is_too_long(tones: FolderCorpus) -> None:
    (Path(tones.path) / "labels.csv").write_text(f"path,speaker,split\nann/00.wav,{'x' * 131_073},a\n")
    with pytest.raises(
        InputError, match=r"labels\.csv is not a UTF-8 CSV file: field larger than field limit .*; mend"
    ):
        items_of(tones)


def test_ends_of_lines_of_other_kinds_stay_in_a_string(table: Callable[..., FolderCorpus]) -> None:
    corpus = table('{"path": "bob/01.flac", "text": "one\u2028two\x85three"}\r')
    assert items_of(corpus)[1].labels == {"text": "one\u2028two\x85three"}


def test_a_table_without_a_header(tones: FolderCorpus) -> None:
    (Path(tones.path) / "labels.csv").write_text("\n\n")
    message = r"labels\.csv has no header; name the columns in its first line, such as path,speaker$"
    with pytest.raises(InputError, match=message):
        items_of(tones)


def test_a_table_without_rows(tones: FolderCorpus) -> None:
    (Path(tones.path) / "labels.csv").write_text("path,speaker,split\n")
    rejects = [each.reject for each in items_of(tones)]
    assert rejects == ["unlisted"] * 24
