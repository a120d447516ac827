"""The reader of Libri-light, on a tree as its archives unpack."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile

from pipelines.beam.corpora import open_reader
from pipelines.beam.corpora.reader import Item, Recording
from pipelines.beam.plan import plan_shards
from pipelines.beam.prepare import PrepareSpec, run
from pipelines.beam.prepare_shard import PrepareMaker
from trillsson.audio import RejectError
from trillsson.config import LibriLightCorpus
from trillsson.config.corpora import CorpusSpec
from trillsson.datasets import open_dataset
from trillsson.errors import InputError, TransientError
from trillsson.storage import open_storage

FIRST = "medium/960/history_holland_librivox_64kb_mp3/history_of_holland_01_edmundson_64kb"
SECOND = "small/100/sea_fairies_0812_librivox_64kb_mp3/01_baum_sea_fairies_64kb"
META: dict[str, Any] = {
    "speaker": "960",
    "book_meta": {
        "id": "319",
        "title": "History of Holland",
        "genre": ["*Non-fiction", "History"],
        "Dramatic Readings": False,
        "meta_genre": "Science, Craft & Essay",
    },
    "snr": 5.391,
    "voice_activity": [[0.4, 12.32], [12.8, 30.4], [31, 35.0639991760254]],
}

WriteMeta = Callable[[object], None]


@pytest.fixture
def corpus(tmp_path: Path, write_speech: Callable[[Path, float], None]) -> LibriLightCorpus:
    """Two subsets of a book each."""
    root = tmp_path / "unlab_data"
    for name, seconds in ((FIRST, 36.0), (SECOND, 1.0)):
        write_speech(root / f"{name}.flac", seconds)
        (root / f"{name}.json").write_text(json.dumps(META))
    return LibriLightCorpus(kind="librilight", path=str(root))


@pytest.fixture
def write_meta(corpus: LibriLightCorpus) -> WriteMeta:
    """Returns a function that replaces the first recording's JSON by another value."""
    return lambda value: (Path(corpus.path) / f"{FIRST}.json").write_text(json.dumps(value)) and None


def read(corpus: LibriLightCorpus) -> list[Item]:
    return list(open_reader(corpus).items())


def open_first(corpus: LibriLightCorpus) -> Recording:
    reader = open_reader(corpus)
    return reader.open(next(reader.items()), Path(corpus.path) / "cache")


def test_items(corpus: LibriLightCorpus) -> None:
    first, second = read(corpus)
    state = [(Path(corpus.path) / f"{FIRST}.{extension}").stat() for extension in ("flac", "json")]
    assert first == Item(
        key=f"{FIRST}.flac",
        path=f"{FIRST}.flac",
        size=state[0].st_size,
        stamp=f"{state[0].st_mtime_ns}+{state[1].st_mtime_ns}",
        speaker="960",
        split="train",
        labels={"speaker": "960", "book": "history_holland_librivox_64kb_mp3"},
        beside=f"{FIRST}.json",
    )
    assert first.files == (f"{FIRST}.flac", f"{FIRST}.json")
    assert (second.key, second.speaker) == (f"{SECOND}.flac", "100")


def test_the_stamp_changes_with_the_json_alone(corpus: LibriLightCorpus, write_meta: WriteMeta) -> None:
    before = read(corpus)
    write_meta({**META, "voice_activity": [[0.0, 1.0]]})
    after = read(corpus)
    assert before[0].stamp != after[0].stamp
    assert before[1] == after[1]


def clips_of(uri: str) -> list[str]:
    return [clip.key for shard in open_dataset(uri, "audio").shards for clip in shard.clips()]


def test_rehash_sees_a_json_that_changed_silently(corpus: LibriLightCorpus, write_meta: WriteMeta) -> None:
    spec = PrepareSpec(name="speech", corpus=corpus, workdir=str(Path(corpus.path).parent / "work"))
    rehashing = spec.model_copy(update={"rehash": True})
    old = run(spec)
    assert run(rehashing) == old
    path = Path(corpus.path) / f"{FIRST}.json"
    state = path.stat()
    write_meta({**META, "voice_activity": [[0.5, 12.32], *META["voice_activity"][1:]]})
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path.stat().st_size == state.st_size
    assert run(spec) == old  # nobody could tell
    new = run(rehashing)
    assert clips_of(old) == [f"speech/{FIRST}.flac#6400", f"speech/{FIRST}.flac#496000", f"speech/{SECOND}.flac#6400"]
    assert clips_of(new) == [f"speech/{FIRST}.flac#8000", f"speech/{FIRST}.flac#496000", f"speech/{SECOND}.flac#6400"]
    assert run(spec) == run(rehashing) == new


def test_rehash_bears_files_that_were_only_touched(corpus: LibriLightCorpus) -> None:
    spec = PrepareSpec(name="speech", corpus=corpus, workdir=str(Path(corpus.path).parent / "work"), rehash=True)
    old = run(spec)
    shards = Path(spec.workdir) / "audio/speech/shards"
    before = sorted(shards.iterdir())
    for path in Path(corpus.path).rglob("*.*"):
        os.utime(path, ns=(1, 1))
    assert run(spec) == old
    assert sorted(shards.iterdir()) == before


def test_a_json_on_an_object_store_that_is_replaced_meanwhile(corpus: LibriLightCorpus, gcs_prefix: str) -> None:
    for file in filter(Path.is_file, Path(corpus.path).rglob("*")):
        open_storage(gcs_prefix).create(file.relative_to(corpus.path).as_posix(), file.read_bytes())
    reader = open_reader(corpus.model_copy(update={"path": gcs_prefix}))
    (planned,) = plan_shards(reader.items(), [], identity="1")
    open_storage(gcs_prefix).delete(f"{FIRST}.json")
    open_storage(gcs_prefix).create(f"{FIRST}.json", json.dumps({**META, "voice_activity": [[0.0, 1.0]]}).encode())
    maker = PrepareMaker(f"{gcs_prefix}/work", corpus="c", path=gcs_prefix, reader=reader, identity="1")
    message = rf"^{gcs_prefix}/{FIRST}\.json changed while the corpus was prepared; run again$"
    with pytest.raises(TransientError, match=message):
        maker.make_shard(planned)


def test_a_json_that_is_not_the_one_that_was_listed(corpus: LibriLightCorpus, tmp_path: Path) -> None:
    reader = open_reader(corpus)
    (planned,) = plan_shards(reader.items(), [], identity="1")
    os.utime(Path(corpus.path) / f"{FIRST}.json", ns=(1, 1))
    maker = PrepareMaker(str(tmp_path / "work"), corpus="c", path=corpus.path, reader=reader, identity="1")
    message = rf"^{corpus.path}/{FIRST}\.json changed while the corpus was prepared; run again$"
    with pytest.raises(TransientError, match=message):
        maker.make_shard(planned)


def test_a_chosen_subset(corpus: LibriLightCorpus) -> None:
    assert [item.key for item in read(corpus.model_copy(update={"subsets": ("small",)}))] == [f"{SECOND}.flac"]


def test_clips_are_of_speech(corpus: LibriLightCorpus) -> None:
    recording = open_first(corpus)
    assert recording.audio == Path(corpus.path) / f"{FIRST}.flac"
    assert recording.segments == [(0.4, 30.4), (31.0, 35.0639991760254)]
    assert (recording.speaker, recording.split) == ("960", "train")
    assert recording.labels == {
        "speaker": "960",
        "book": "history_holland_librivox_64kb_mp3",
        "genre": "*Non-fiction;History",
        "meta_genre": "Science, Craft & Essay",
    }


def test_opens_from_a_bucket_in_another_process(
    corpus: LibriLightCorpus, upload: Callable[[Path], str], tmp_path: Path
) -> None:
    remote = corpus.model_copy(update={"path": upload(Path(corpus.path)), "subsets": ("medium",)})
    reader = pickle.loads(pickle.dumps(open_reader(remote)))
    [item] = reader.items()
    recording = reader.open(item, tmp_path / "cache")
    assert soundfile.info(recording.audio).frames == 576_000
    assert recording.segments == [(0.4, 30.4), (31.0, 35.0639991760254)]


@pytest.mark.parametrize(
    ("book", "labels"),
    [
        (None, {}),
        ({"genre": "Poetry", "meta_genre": None}, {"genre": "Poetry"}),
        ({"genre": [], "meta_genre": 7}, {}),
        ({"genre": [None, "Poetry"]}, {"genre": "Poetry"}),
    ],
)
def test_genres_that_are_not_told(
    corpus: LibriLightCorpus, write_meta: WriteMeta, book: object, labels: dict[str, str]
) -> None:
    write_meta({**META, "book_meta": book})
    known = {"speaker": "960", "book": "history_holland_librivox_64kb_mp3"}
    assert open_first(corpus).labels == {**known, **labels}


def test_empty_segments_are_left_out(corpus: LibriLightCorpus, write_meta: WriteMeta) -> None:
    write_meta({"voice_activity": [[0, 0], [1, 2], [40, 40]]})
    assert open_first(corpus).segments == [(1.0, 2.0)]


@pytest.mark.parametrize(
    ("value", "reason", "detail"),
    [
        ([], "missing_vad", "has no voice_activity"),
        ({"speaker": "960"}, "missing_vad", "has no voice_activity"),
        ({"voice_activity": None}, "bad_vad", "has voice_activity null, not a list"),
        ({"voice_activity": [[1, 2, 3]]}, "bad_vad", "has segment [1, 2, 3], not [start, end] in seconds"),
        ({"voice_activity": [4.5]}, "bad_vad", "has segment 4.5, not [start, end] in seconds"),
        ({"voice_activity": [[True, 2]]}, "bad_vad", "has segment [true, 2], not [start, end] in seconds"),
        ({"voice_activity": [["0", 2]]}, "bad_vad", 'has segment ["0", 2], not [start, end] in seconds'),
        ({"voice_activity": [[-0.1, 2]]}, "bad_vad", "has segment [-0.1, 2], not [start, end] in seconds"),
        ({"voice_activity": [[0, float("nan")]]}, "bad_vad", "has segment [0, NaN], not [start, end] in seconds"),
        ({"voice_activity": [[0, float("inf")]]}, "bad_vad", "has segment [0, Infinity], not [start, end] in seconds"),
        ({"voice_activity": [[3, 4], [1, 2]]}, "bad_vad", "has segment [1, 2] after 4, not in order"),
        ({"voice_activity": [[1, 3], [2.5, 4]]}, "bad_vad", "has segment [2.5, 4] after 3, not in order"),
        ({"voice_activity": [[4, 3]]}, "bad_vad", "has segment [4, 3] after 0.0, not in order"),
        ({"voice_activity": []}, "no_speech", "has no segment of voice activity"),
        ({"voice_activity": [[2, 2]]}, "no_speech", "has no segment of voice activity"),
    ],
)
def test_voice_activity_that_cannot_be(
    corpus: LibriLightCorpus, write_meta: WriteMeta, value: object, reason: str, detail: str
) -> None:
    write_meta(value)
    with pytest.raises(RejectError) as raised:
        open_first(corpus)
    assert (raised.value.reason, raised.value.detail) == (reason, f"{FIRST}.json {detail}")


@pytest.mark.parametrize("data", [b"{", b"\xff", b'{"voice_activity": [[0, ' + b"9" * 5_000 + b"]]}", b"[" * 100_000])
def test_a_json_that_is_none(corpus: LibriLightCorpus, data: bytes) -> None:
    (Path(corpus.path) / f"{FIRST}.json").write_bytes(data)
    with pytest.raises(RejectError, match=rf"^bad_vad: {FIRST}.json is not JSON: "):
        open_first(corpus)


def test_a_recording_without_its_json(corpus: LibriLightCorpus) -> None:
    reader = open_reader(corpus)
    item = next(reader.items())
    (Path(corpus.path) / f"{FIRST}.json").unlink()
    with pytest.raises(RejectError, match=rf"^missing_vad: {FIRST}.json does not exist$"):
        reader.open(item, Path(corpus.path))
    known = next(reader.items())
    assert (known.key, known.reject, known.detail) == (item.key, "missing_vad", f"{FIRST}.json does not exist")
    assert (known.size, known.speaker) == (item.size, "960")


def test_a_json_without_its_recording(corpus: LibriLightCorpus) -> None:
    (Path(corpus.path) / f"{FIRST}.flac").unlink()
    detail = f"{FIRST}.json is there without it"
    path = f"{FIRST}.flac"
    assert read(corpus)[0] == Item(key=path, path=path, size=0, stamp="", reject="missing", detail=detail)


def test_a_folder_named_between_a_recording_and_its_json(
    corpus: LibriLightCorpus, write_speech: Callable[[Path], None]
) -> None:
    write_speech(Path(corpus.path) / f"{FIRST}.g/x.ogg")
    items = read(corpus)
    assert [(item.path, item.reject) for item in items] == [
        (f"{FIRST}.flac", ""),
        (f"{FIRST}.g/x.ogg", "unlisted"),
        (f"{SECOND}.flac", ""),
    ]
    assert items[1].detail == "it is not <subset>/<speaker>/<book>/<name>.flac"


def test_other_files_are_no_part_of_it(corpus: LibriLightCorpus) -> None:
    for name in ("stats.json", "small/100/book.json", "small/100/readme.txt"):
        (Path(corpus.path) / name).write_text("{}")
    assert len(read(corpus)) == 2


def test_the_root_of_a_subset(corpus: LibriLightCorpus) -> None:
    root = f"{corpus.path}/medium"
    name = FIRST.removeprefix("medium/")
    message = (
        f"{root} is not laid out as expected: "
        f"expected <subset>/<speaker>/<book>/<name>.flac; found {name}.flac, {name}.json"
    )
    with pytest.raises(InputError) as raised:
        read(corpus.model_copy(update={"path": root}))
    assert str(raised.value) == message


def test_a_subset_that_is_not_there(corpus: LibriLightCorpus) -> None:
    message = rf"^{corpus.path}/large does not exist; expected <speaker>/<book>/<name>\.flac$"
    with pytest.raises(InputError, match=message):
        read(corpus.model_copy(update={"subsets": ("large",)}))


def test_in_a_config(parse_corpus: Callable[..., CorpusSpec]) -> None:
    corpus = parse_corpus(kind="librilight", path="gs://b/unlab", subsets=["small", "medium"])
    assert corpus == LibriLightCorpus(kind="librilight", path="gs://b/unlab", subsets=("small", "medium"))


@pytest.mark.parametrize("subset", ["small/100", "..", ""])
def test_a_subset_that_cannot_be(parse_corpus: Callable[..., CorpusSpec], subset: str) -> None:
    with pytest.raises(
        InputError, match=rf"corpora.speech.subsets.0: give the name of a folder, without /, not '{subset}'$"
    ):
        parse_corpus(kind="librilight", path="x", subsets=[subset])
