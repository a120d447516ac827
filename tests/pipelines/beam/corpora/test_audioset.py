"""The reader of AudioSet, on its published tables and the layouts that downloaders make."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile

from pipelines.beam.corpora import open_reader
from pipelines.beam.corpora.reader import Item
from trillsson.config import AudioSetCorpus
from trillsson.config.corpora import CorpusSpec
from trillsson.errors import InputError

BALANCED = """\
# Segments csv created Sun Mar  5 10:54:31 2017
# num_ytids=22160, num_segs=22160, num_unique_labels=527, num_positive_labels=52882
# YTID, start_seconds, end_seconds, positive_labels
--4gqARaEJE, 0.000, 10.000, "/m/068hy,/m/07q6cd_,/m/0bt9lr,/m/0jbk"
--PJHxphWEs, 30.000, 40.000, "/m/09x0r,/t/dd00088"
--ZhevVpy1s, 50.000, 60.000, "/m/012xff"
"""
EVAL = """\
# Segments csv created Sun Mar  5 10:54:25 2017
# num_ytids=20371, num_segs=20371, num_unique_labels=527, num_positive_labels=51804
# YTID, start_seconds, end_seconds, positive_labels
YZZxiSHvaVU, 420.000, 428.500, "/m/01h8n0"
"""
ONTOLOGY = [
    {"id": "/m/09l8g", "name": "Human voice", "child_ids": ["/m/09x0r"], "restrictions": ["abstract"]},
    {"id": "/m/09x0r", "name": "Speech", "child_ids": ["/m/01h8n0"], "restrictions": []},
    {"id": "/m/01h8n0", "name": "Conversation", "child_ids": [], "restrictions": []},
    {"id": "/m/0jbk", "name": "Animal", "child_ids": ["/m/068hy"], "restrictions": []},
    {"id": "/m/068hy", "name": "Domestic animals, pets", "child_ids": [], "restrictions": []},
]
CLASS_LABELS = """\
index,mid,display_name
0,/m/09x0r,"Speech"
4,/m/01h8n0,"Conversation"
73,/m/068hy,"Domestic animals, pets"
"""

Files = tuple[str, ...]


@pytest.fixture
def corpus(tmp_path: Path) -> AudioSetCorpus:
    """Two lists and both tables of classes; the audio of the first segment only."""
    (tmp_path / "balanced_train_segments.csv").write_text(BALANCED)
    (tmp_path / "eval_segments.csv").write_text(EVAL)
    (tmp_path / "ontology.json").write_text(json.dumps(ONTOLOGY))
    (tmp_path / "class_labels_indices.csv").write_text(CLASS_LABELS)
    return with_audio(tmp_path, "audio/--4gqARaEJE.wav")


def with_audio(root: Path, *paths: str, **options: Any) -> AudioSetCorpus:
    """Puts files of four bytes below the corpus and returns its spec."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"1234")
    lists = ("balanced_train_segments.csv", "eval_segments.csv")
    return AudioSetCorpus.model_validate({"kind": "audioset", "path": str(root), "segments": lists, **options})


def read(corpus: AudioSetCorpus) -> list[Item]:
    return list(open_reader(corpus).items())


def test_items(corpus: AudioSetCorpus) -> None:
    items = read(corpus)
    audio = Path(corpus.path) / "audio/--4gqARaEJE.wav"
    assert items[0] == Item(
        key="--4gqARaEJE_0_10000",
        path="audio/--4gqARaEJE.wav",
        size=4,
        stamp=str(audio.stat().st_mtime_ns),
        split="train",
        labels={"labels": "/m/068hy,/m/07q6cd_,/m/0bt9lr,/m/0jbk"},
    )
    assert items[3] == Item(
        key="YZZxiSHvaVU_420000_428500",
        path="YZZxiSHvaVU",
        size=0,
        stamp="",
        split="test",
        labels={"labels": "/m/01h8n0"},
        reject="missing",
        detail="eval_segments.csv lists it; there is no such audio",
    )
    assert [item.key for item in items[1:3]] == ["--PJHxphWEs_30000_40000", "--ZhevVpy1s_50000_60000"]
    assert {item.detail for item in items[1:3]} == {"balanced_train_segments.csv lists it; there is no such audio"}


def test_a_file_that_two_segments_could_be(corpus: AudioSetCorpus) -> None:
    with (Path(corpus.path) / "balanced_train_segments.csv").open("a") as file:
        file.write('--4gqARaEJE, 20.000, 30.000, "/m/09x0r"\n')
    detail = "several segments of its video are listed: name files <id>_<start>, or set cut: false"
    found = [(item.reject, item.detail) for item in read(corpus) if item.reject != "missing"]
    assert found == [("ambiguous", detail)] * 2
    whole = read(corpus.model_copy(update={"cut": False}))
    assert [item.key for item in whole if not item.reject] == ["--4gqARaEJE_0_10000", "--4gqARaEJE_20000_30000"]
    named = with_audio(Path(corpus.path), "audio/--4gqARaEJE_0.wav", "audio/--4gqARaEJE_20.wav")
    (Path(corpus.path) / "audio/--4gqARaEJE.wav").unlink()
    assert len([item for item in read(named) if not item.reject]) == 2


def test_audio_that_appears_later_keeps_its_key(corpus: AudioSetCorpus) -> None:
    before = read(corpus)
    after = read(with_audio(Path(corpus.path), "audio/YZZxiSHvaVU.wav"))
    assert [item.key for item in before] == [item.key for item in after]
    assert [item.reject for item in after] == ["", "missing", "missing", ""]
    assert [item.identity for item in before][:3] == [item.identity for item in after][:3]
    assert before[3].identity != after[3].identity


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("--PJHxphWEs.flac", 1),
        ("balanced_train_segments/Y--PJHxphWEs.wav", 1),
        ("unbalanced_train_segments/unbalanced_train_segments_part00/Y--PJHxphWEs.wav", 1),
        ("--PJHxphWEs_30000.flac", 1),
        ("--PJHxphWEs_30000_40000.flac", 1),
        ("--PJHxphWEs_30.wav", 1),
        ("Speech/--PJHxphWEs_30_40.wav", 1),
        ("Speech/--PJHxphWEs_30.0-40.0.wav", 1),
        ("Y--PJHxphWEs_30.000_40.000.WAV", 1),
        ("--PJHxphWEs.m4a", 1),
        ("YZZxiSHvaVU.wav", 3),
        ("YYZZxiSHvaVU.wav", 3),
        ("YZZxiSHvaVU_420.wav", 3),
        ("YZZxiSHvaVU_420000_428500.wav", 3),
        ("--PJHxphWEs_20000_30000.flac", None),
        ("--PJHxphWEs_3.wav", None),
        ("--PJHxphWEs.wav.part", None),
        ("--PJHxphWEs.csv", None),
        ("x--PJHxphWEs.wav", None),
        ("--PJHxphWEs-30.wav", None),
        ("--PJHxphWEs_0000000000030.wav", None),  # beyond 12 digits; 309, as on gs://, are beyond a float
    ],
)
def test_names_that_downloaders_give(corpus: AudioSetCorpus, path: str, found: int | None) -> None:
    items = read(with_audio(Path(corpus.path), f"audio/{path}", audio="audio"))
    expected = {"--4gqARaEJE_0_10000": "audio/--4gqARaEJE.wav"}
    if found is not None:
        expected[items[found].key] = f"audio/{path}"
    assert {item.key: item.path for item in items if not item.reject} == expected


@pytest.mark.parametrize(
    ("paths", "taken"),
    [
        (("a/--PJHxphWEs.m4a", "b/--PJHxphWEs.wav"), "b/--PJHxphWEs.wav"),
        (("a/--PJHxphWEs.flac", "b/--PJHxphWEs.webm", "c/--PJHxphWEs.wav"), "a/--PJHxphWEs.flac"),
        (("a/--PJHxphWEs_30.wav", "b/--PJHxphWEs_30000.wav"), "b/--PJHxphWEs_30000.wav"),
        (("a/--PJHxphWEs_30000.wav", "b/Y--PJHxphWEs.wav"), "b/Y--PJHxphWEs.wav"),
    ],
)
def test_several_files_for_one_segment(corpus: AudioSetCorpus, paths: Files, taken: str) -> None:
    assert read(with_audio(Path(corpus.path), *paths))[1].path == taken


def test_audio_outside_the_folder_and_the_lists_is_no_part_of_it(corpus: AudioSetCorpus) -> None:
    spec = with_audio(Path(corpus.path), "other/--PJHxphWEs.wav", "audio/0123456789a.wav", audio="audio")
    assert [item.path for item in read(spec) if not item.reject] == ["audio/--4gqARaEJE.wav"]


def test_a_segment_of_a_whole_video(corpus: AudioSetCorpus, tmp_path: Path) -> None:
    paths = ("audio/YZZxiSHvaVU.wav", "audio/--PJHxphWEs_30.wav")
    reader = open_reader(with_audio(Path(corpus.path), *paths, cut=False))
    items = [item for item in reader.items() if not item.reject]
    assert [item.path for item in items] == ["audio/--4gqARaEJE.wav", "audio/YZZxiSHvaVU.wav"]
    recording = reader.open(items[1], tmp_path)
    assert recording.segments == ((420.0, 428.5),)
    assert (recording.split, recording.labels) == ("test", {"labels": "/m/01h8n0"})


def test_opens_from_a_bucket_in_another_process(
    corpus: AudioSetCorpus,
    upload: Callable[[Path], str],
    write_speech: Callable[[Path], None],
    tmp_path: Path,
) -> None:
    write_speech(Path(corpus.path) / "audio/--4gqARaEJE.wav")
    remote = corpus.model_copy(update={"path": upload(Path(corpus.path)), "audio": "audio"})
    reader = pickle.loads(pickle.dumps(open_reader(remote)))
    items = list(reader.items())
    assert [item.reject for item in items] == ["", "missing", "missing", "missing"]
    recording = reader.open(items[0], tmp_path / "cache")
    assert soundfile.info(recording.audio).frames == 16_000
    assert recording.segments is None


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"labels": ("/m/09x0r",)}, ["--PJHxphWEs"]),
        ({"labels": ("/m/09x0r",), "ontology": "ontology.json"}, ["--PJHxphWEs", "YZZxiSHvaVU"]),
        ({"labels": ("Human voice",), "ontology": "ontology.json"}, ["--PJHxphWEs", "YZZxiSHvaVU"]),
        ({"labels": ("Speech",), "class_labels": "class_labels_indices.csv"}, ["--PJHxphWEs"]),
        (
            {"labels": ("Domestic animals, pets", "Conversation"), "class_labels": "class_labels_indices.csv"},
            ["--4gqARaEJE", "YZZxiSHvaVU"],
        ),
    ],
)
def test_selected_labels(corpus: AudioSetCorpus, options: dict[str, Any], kept: list[str]) -> None:
    spec = with_audio(Path(corpus.path), "audio/--PJHxphWEs.wav", "audio/YZZxiSHvaVU.wav", **options)
    assert [item.key[:11] for item in read(spec)] == kept


def test_the_split_is_told_by_the_name_of_the_list(corpus: AudioSetCorpus) -> None:
    lists = ("lists/unbalanced_train_segments.csv", "lists/mine.csv")
    (Path(corpus.path) / "lists").mkdir()
    (Path(corpus.path) / lists[0]).write_text(BALANCED)
    (Path(corpus.path) / lists[1]).write_text(EVAL)
    items = read(corpus.model_copy(update={"segments": lists}))
    assert [item.split for item in items] == ["train", "train", "train", ""]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("YTID, start_seconds, end_seconds, positive_labels", "'YTID, start_seconds, end_seconds, positive_labels'"),
        ('--PJHxphWEs, 30.000, "/m/09x0r"', "'--PJHxphWEs, 30.000, \"/m/09x0r\"'"),
        ('--PJHxphWEs, 40.000, 40.000, "/m/09x0r"', "'--PJHxphWEs, 40.000, 40.000, \"/m/09x0r\"'"),
        ('--PJHxphWEs, nan, 40.000, "/m/09x0r"', "'--PJHxphWEs, nan, 40.000, \"/m/09x0r\"'"),
        (f'--PJHxphWEs, 0, {"9" * 400}, "/m/09x0r"', f"'--PJHxphWEs, 0, {'9' * 64}'"),
        ('../x, 30.000, 40.000, "/m/09x0r"', "'../x, 30.000, 40.000, \"/m/09x0r\"'"),
    ],
)
def test_a_line_that_is_no_segment(corpus: AudioSetCorpus, line: str, shown: str) -> None:
    (Path(corpus.path) / "eval_segments.csv").write_text(f"# a comment\n\n{line}\n")
    with pytest.raises(InputError) as raised:
        read(corpus)
    shape = 'YTID, start_seconds, end_seconds, "label,label"'
    assert str(raised.value) == f"{corpus.path}/eval_segments.csv line 3 is {shown}, not {shape}; mend it"


@pytest.mark.parametrize(
    "line",
    [
        '--PJHxphWEs,30,40,"/m/09x0r"',
        '\ufeff--PJHxphWEs,30,40,"/m/09x0r"',
        '--PJHxphWEs, 30.000, 40.000, "/m/09x0r" \r',
    ],
)
def test_lines_written_a_little_differently(corpus: AudioSetCorpus, line: str) -> None:
    (Path(corpus.path) / "eval_segments.csv").write_text(f"{line}\n")
    (Path(corpus.path) / "balanced_train_segments.csv").write_text("--4gqARaEJE,0.0,10.0,/m/0jbk\n")
    assert [item.key for item in read(corpus)] == ["--4gqARaEJE_0_10000", "--PJHxphWEs_30000_40000"]


def test_a_segment_listed_twice(corpus: AudioSetCorpus) -> None:
    message = rf"^{corpus.path}/eval_segments.csv has YZZxiSHvaVU_420000_428500 for a second time; keep one$"
    with pytest.raises(InputError, match=message):
        read(corpus.model_copy(update={"segments": ("eval_segments.csv", "eval_segments.csv")}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"segments": ("train.csv",)},
            r"/train.csv does not exist; correct `segments`$",
        ),
        (
            {"labels": ("/m/04rlf",), "segments": ("eval_segments.csv",)},
            r" has no segment with any of labels /m/04rlf in eval_segments.csv; correct `labels` or `segments`$",
        ),
        (
            {"labels": ("Speach",), "ontology": "ontology.json"},
            r"/ontology.json has no class 'Speach'; did you mean 'Speech'\?$",
        ),
        (
            {"labels": ("zzzz",), "class_labels": "class_labels_indices.csv"},
            r"/class_labels_indices.csv has no class 'zzzz'; use one of its names or ids$",
        ),
        (
            {"labels": ("Speech",), "ontology": "none.json"},
            r"/none.json does not exist; correct `ontology` or leave it out$",
        ),
        (
            {"labels": ("Speech",), "ontology": "eval_segments.csv"},
            r"/eval_segments.csv is no list of objects with id, name and child_ids: JSONDecodeError.*; get it again$",
        ),
        (
            {"labels": ("Speech",), "class_labels": "eval_segments.csv"},
            r"/eval_segments.csv has columns # Segments csv .*, not index, mid, display_name; get it again$",
        ),
        (
            {"audio": "wav"},
            r"/wav does not exist; expected audio of the listed segments as "
            r"<YouTube id>.<ext> or Y<YouTube id>.<ext>, or <YouTube id>_<start>.<ext>$",
        ),
        (
            {"segments": ("eval_segments.csv",), "audio": "audio", "cut": False},
            r"/audio is not laid out as expected: expected audio of the listed segments as "
            r"<YouTube id>.<ext> or Y<YouTube id>.<ext>; found audio/--4gqARaEJE.wav$",
        ),
    ],
)
def test_options_that_do_not_fit(corpus: AudioSetCorpus, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=rf"^{corpus.path}{message}"):
        read(corpus.model_copy(update=options))


@pytest.mark.parametrize(
    "text",
    ["{}x", "[" * 100_000, '[{"id": "/m/09x0r", "name": "Speech"}]', '["Speech"]', '{"/m/09x0r": "Speech"}', "7"],
)
def test_an_ontology_that_is_none(corpus: AudioSetCorpus, text: str) -> None:
    (Path(corpus.path) / "ontology.json").write_text(text)
    with pytest.raises(InputError, match=r"/ontology.json is no list of objects with id, name and child_ids: "):
        read(corpus.model_copy(update={"labels": ("Speech",), "ontology": "ontology.json"}))


def test_a_table_that_is_no_text(corpus: AudioSetCorpus) -> None:
    (Path(corpus.path) / "class_labels_indices.csv").write_bytes(b"\xff")
    with pytest.raises(InputError, match=r"/class_labels_indices.csv is not UTF-8 text: .*; restore it$"):
        read(corpus.model_copy(update={"labels": ("Speech",), "class_labels": "class_labels_indices.csv"}))


def test_in_a_config(parse_corpus: Callable[..., CorpusSpec]) -> None:
    corpus = parse_corpus(kind="audioset", path="gs://b/audioset", labels=["Speech"], ontology="ontology.json")
    assert corpus == AudioSetCorpus(
        kind="audioset", path="gs://b/audioset", labels=("Speech",), ontology="ontology.json"
    )
    assert corpus.max_reject_fraction == 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": ["Speech"]}, "labels has the name 'Speech'; give ontology or class_labels, or its id, such as"),
        (
            {"ontology": "a.json", "class_labels": "b.csv"},
            "ontology 'a.json' and class_labels 'b.csv' are both given; keep one",
        ),
        ({"labels": []}, r"labels: give 1 or more, not \[\]$"),
        ({"segments": []}, r"segments: give 1 or more, not \[\]$"),
    ],
)
def test_a_config_that_cannot_be(
    parse_corpus: Callable[..., CorpusSpec], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        parse_corpus(kind="audioset", path="x", **options)


@pytest.mark.parametrize("row", ["0,/m/09x0r", "0,,Speech", "0,/m/09x0r,", "0,/m/09x0r,Speech,human"])
def test_a_row_of_class_labels_that_lacks_something(corpus: AudioSetCorpus, row: str) -> None:
    path = Path(corpus.path) / "class_labels_indices.csv"
    path.write_text(f"index,mid,display_name\n{row}\n")
    message = f"^{path} has a row '{row}', not an index, an id and a name; get it again$"
    with pytest.raises(InputError, match=message):
        read(corpus.model_copy(update={"labels": ("Speech",), "class_labels": path.name}))


def test_a_cell_of_class_labels_that_is_too_long(corpus: AudioSetCorpus) -> None:
    path = Path(corpus.path) / "class_labels_indices.csv"
    path.write_text(f'index,mid,display_name\n0,/m/09x0r,"{"x" * 131_073}"\n')
    told = AudioSetCorpus.model_validate({**corpus.model_dump(), "labels": ("Speech",), "class_labels": path.name})
    message = rf"^{path} is not a CSV file: field larger than field limit \(131072\); get it again$"
    with pytest.raises(InputError, match=message):
        read(told)
