"""The reader of LibriSpeech, on a tree as its archives unpack."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from pipelines.beam.corpora import open_reader
from pipelines.beam.corpora.reader import Item
from trillsson.config import LibriSpeechCorpus
from trillsson.config.corpora import CorpusSpec
from trillsson.errors import InputError

UTTERANCES = (
    "dev-clean/84/121123/84-121123-0000.flac",
    "dev-clean/84/121123/84-121123-0001.flac",
    "test-other/367/130732/367-130732-0000.flac",
    "train-clean-100/60/121082/60-121082-0003.flac",
)
SPEAKERS = """\
; Some pipe(|) separated metadata about all LibriVox readers, whose work was used
; in the corpus.
;
;ID  |SEX| SUBSET           |MINUTES| NAME
60   | M | train-clean-100  | 20.18 | |CBW|Simon
84   | F | dev-clean        |  8.02 | Christie Nowak
367  | F | test-other       |  8.01 | Désirée
"""
CHAPTERS = """\
; Some pipe(|) separated metadata about the audio chapters included in the corpus.
;
;ID    |READER|MINUTES| SUBSET           | PROJ.|BOOK ID| CH. TITLE | PROJECT TITLE
121082 | 60   | 12.81 | train-clean-100  | 1048 | 4276   | A | B | North and South
121123 | 84   | 6.09  | dev-clean        | 1058 | 1184   | Chapter 93 | Count of Monte Cristo
"""

ParseCorpus = Callable[..., CorpusSpec]


@pytest.fixture
def corpus(tmp_path: Path, write_speech: Callable[[Path], None]) -> LibriSpeechCorpus:
    """Three subsets, with the tables and transcripts that are published with them."""
    root = tmp_path / "LibriSpeech"
    for path in UTTERANCES:
        write_speech(root / path)
    (root / "SPEAKERS.TXT").write_text(SPEAKERS, encoding="utf-8")
    (root / "CHAPTERS.TXT").write_text(CHAPTERS, encoding="utf-8")
    (root / "BOOKS.TXT").write_text("1184 | Count of Monte Cristo\n", encoding="utf-8")
    (root / "dev-clean/84/121123/84-121123.trans.txt").write_text("84-121123-0000 GO DO YOU HEAR\n")
    return LibriSpeechCorpus(kind="librispeech", path=str(root))


def read(corpus: LibriSpeechCorpus) -> list[Item]:
    return list(open_reader(corpus).items())


def test_items(corpus: LibriSpeechCorpus) -> None:
    items = read(corpus)
    assert tuple(item.key for item in items) == tuple(item.path for item in items) == UTTERANCES
    assert [(item.speaker, item.split, dict(item.labels)) for item in items[1:]] == [
        ("84", "validation", {"speaker": "84", "gender": "F", "chapter": "121123", "book": "1184"}),
        ("367", "test", {"speaker": "367", "gender": "F", "chapter": "130732"}),
        ("60", "train", {"speaker": "60", "gender": "M", "chapter": "121082", "book": "4276"}),
    ]
    assert {item.size for item in items} == {(Path(corpus.path) / UTTERANCES[0]).stat().st_size}
    assert not any(item.reject for item in items)


def test_chosen_subsets(corpus: LibriSpeechCorpus) -> None:
    chosen = corpus.model_copy(update={"subsets": ("test-other", "dev-clean")})
    assert tuple(item.path for item in read(chosen)) == UTTERANCES[:3]


def test_without_tables_there_is_no_gender_and_no_book(corpus: LibriSpeechCorpus) -> None:
    for table in ("SPEAKERS.TXT", "CHAPTERS.TXT"):
        (Path(corpus.path) / table).unlink()
    assert read(corpus)[0].labels == {"speaker": "84", "chapter": "121123"}


def test_opens_from_a_bucket_in_another_process(
    corpus: LibriSpeechCorpus, upload: Callable[[Path], str], tmp_path: Path
) -> None:
    remote = corpus.model_copy(update={"path": upload(Path(corpus.path))})
    reader = pickle.loads(pickle.dumps(open_reader(remote)))
    items = list(reader.items())
    assert tuple(item.path for item in items) == UTTERANCES
    recording = reader.open(items[0], tmp_path / "cache")
    assert soundfile.info(recording.audio).frames == 16_000
    assert recording.audio.is_relative_to(tmp_path / "cache")
    assert (recording.speaker, recording.split, recording.segments) == ("84", "validation", None)
    assert recording.labels == items[0].labels


def test_opens_a_local_file_in_place(corpus: LibriSpeechCorpus, tmp_path: Path) -> None:
    reader = open_reader(corpus)
    recording = reader.open(next(reader.items()), tmp_path / "cache")
    assert recording.audio == Path(corpus.path) / UTTERANCES[0]


@pytest.mark.parametrize(
    "stray",
    ["dev-clean/84/121123/85-121123-0002.flac", "dev-clean/84/121123/84-121123-0002.wav", "dev-clean/notes.mp3"],
)
def test_audio_that_is_no_utterance_is_unlisted(corpus: LibriSpeechCorpus, stray: str) -> None:
    (Path(corpus.path) / stray).write_bytes(b"1234")
    [item] = [item for item in read(corpus) if item.reject]
    layout = "<subset>/<speaker>/<chapter>/<speaker>-<chapter>-<utterance>.flac"
    assert (item.key, item.path, item.size, item.reject) == (stray, stray, 4, "unlisted")
    assert item.detail == f"it is not {layout}"


def test_other_folders_are_no_part_of_it(corpus: LibriSpeechCorpus) -> None:
    stray = Path(corpus.path) / "original-mp3/84/121123/121123.mp3"
    stray.parent.mkdir(parents=True)
    stray.touch()
    assert len(read(corpus)) == 4


def test_a_subset_that_is_not_there(corpus: LibriSpeechCorpus) -> None:
    expected = r"<speaker>/<chapter>/<speaker>-<chapter>-<utterance>\.flac"
    message = rf"^{corpus.path}/dev-other does not exist; expected {expected}$"
    with pytest.raises(InputError, match=message):
        read(corpus.model_copy(update={"subsets": ("dev-clean", "dev-other")}))


def test_the_folder_above(corpus: LibriSpeechCorpus) -> None:
    above = Path(corpus.path).parent
    message = (
        rf"^{above} is not laid out as expected: "
        r"expected <subset>/<speaker>/<chapter>/<speaker>-<chapter>-<utterance>\.flac; "
        r"found LibriSpeech/BOOKS\.TXT, LibriSpeech/CHAPTERS\.TXT, LibriSpeech/SPEAKERS\.TXT and 5 more$"
    )
    with pytest.raises(InputError, match=message):
        read(corpus.model_copy(update={"path": str(above)}))


def test_a_table_that_is_no_table(corpus: LibriSpeechCorpus) -> None:
    (Path(corpus.path) / "SPEAKERS.TXT").write_bytes(b"; a comment\n\n84\n")
    message = rf"^{corpus.path}/SPEAKERS.TXT line 3 has 1 fields, not 2 or more; get the table again or remove it$"
    with pytest.raises(InputError, match=message):
        read(corpus)


def test_in_a_config(parse_corpus: ParseCorpus) -> None:
    corpus = parse_corpus(kind="librispeech", path="gs://b/LibriSpeech", subsets=["dev-clean"])
    assert corpus == LibriSpeechCorpus(kind="librispeech", path="gs://b/LibriSpeech", subsets=("dev-clean",))


@pytest.mark.parametrize("subset", ["clean", "dev-clean/84"])
def test_a_subset_that_cannot_be(parse_corpus: ParseCorpus, subset: str) -> None:
    with pytest.raises(
        InputError, match=rf"corpora.speech.subsets.0: give .*, such as train-clean-100, not '{subset}'$"
    ):
        parse_corpus(kind="librispeech", path="x", subsets=[subset])
