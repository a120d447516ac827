"""The report's rows on the audio: manifests, screening and embeddings side by side."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trillsson.config import Task, Training
from trillsson.errors import InputError
from trillsson.noss.audio_report import ModelRejects, audio_lines, embedding_rejects, read_audio, reject_lines
from trillsson.noss.results import ModelResult
from trillsson.pairs import DatasetPair, open_pair
from trillsson.records import AudioRecord, EmbeddingRecord
from trillsson.training import screen
from trillsson.training.exclusions import Screened, read_screened
from trillsson.training.screen import ScreenSpec

StorePair = Callable[..., tuple[str, str]]
USES = {"corpora": ("speech",), "tasks": {"mood": Task(corpus="speech-two", label="mood")}}


def clip(key: str, samples: int, split: str = "train", mood: str = "sad") -> AudioRecord:
    return AudioRecord(key=key, audio=np.zeros(samples, np.float32), split=split, labels={"mood": mood})


@pytest.fixture
def make_pair(store_pair: StorePair, tmp_path: Path) -> Callable[..., DatasetPair]:
    """Returns a function that stores a corpus and embeddings of all its clips but some, given by their numbers."""

    def make(name: str, clips: list[AudioRecord], *rejected: int) -> DatasetPair:
        kept = [each for number, each in enumerate(clips) if number not in rejected]
        rows = [EmbeddingRecord(key=each.key, embeddings=np.zeros((1, 2), np.float32)) for each in kept]
        return open_pair(*store_pair(tmp_path / name, clips, rows, content={"of": name}, corpus=name, per_shard=4))

    return make


@pytest.fixture
def pairs(make_pair: Callable[..., DatasetPair]) -> list[DatasetPair]:
    """A corpus with a sound 7 times, which a test of the other corpus has too, another sound 8 times, and two more.

    There is no target for one of those two, nor for a leak, a duplicate, a test clip, and a clip of the other corpus.
    """
    speech = [clip(f"speech/{number:02d}#0", 8_000 + number % 2) for number in range(15)]
    speech += [clip("speech/15#0", 16_000), clip("speech/16#0", 7_000, "test")]
    two = [("test", "sad"), ("train", "sad"), ("train", "glad"), ("train", "glad")]
    other = [clip(f"speech-two/{number}#0", 8_001 + number, *each) for number, each in enumerate(two)]
    return [make_pair("speech", speech, 1, 2, 15, 16), make_pair("speech-two", other, 3)]


@pytest.fixture
def screened(pairs: list[DatasetPair], tmp_path: Path) -> Screened:
    training = Training(corpora=USES["corpora"], steps=1)
    audio = tuple(pair.audio.uri for pair in pairs)
    spec = ScreenSpec(audio=audio, training=training, tasks=USES["tasks"], workdir=str(tmp_path / "work"))
    return read_screened(screen.run(spec))


def test_a_row_a_corpus_with_the_first_exclusions_of_each_kind(pairs: list[DatasetPair], screened: Screened) -> None:
    speech, two = read_audio(pairs, screened, **USES)
    assert (speech.name, speech.sources, speech.lost, speech.clips, speech.test) == ("speech", 5, 0, 17, 1)
    assert (speech.leaks, speech.duplicates, speech.rejects) == (7, 7, {})
    assert (speech.no_target, speech.pool) == (1, 1)
    assert speech.hours == pytest.approx((15 * 8_000 + 7 + 16_000 + 7_000) / 16_000 / 3600, rel=1e-4)
    assert speech.pool_hours == pytest.approx(0.5 / 3600)
    assert [(each.key, each.of) for each in speech.named] == [
        *((f"speech/{number:02d}#0", "speech-two/0#0") for number in (1, 3, 5, 7, 9)),
        *((f"speech/{number:02d}#0", "speech/00#0") for number in (2, 4, 6, 8, 10)),
    ]
    assert (two.clips, two.test, two.pool, two.no_target, two.named) == (4, 1, 0, 0, ())


def test_a_line_a_corpus(pairs: list[DatasetPair], screened: Screened) -> None:
    speech, two = pairs
    manifest = speech.audio.manifest.model_copy(update={"rejects": {"too_short": 2, "silent": 1}})
    spoilt = replace(speech, audio=replace(speech.audio, manifest=manifest))
    assert audio_lines(read_audio([spoilt, two], screened, **USES)) == [
        "audio speech: 17 clips, 0.00 h; 3 rejects (too_short 2, silent 1), 7 leaks, 7 duplicates, 1 without a target; "
        "1 learnt from or validated on",
        "audio speech-two: 4 clips, 0.00 h; 0 rejects, 0 leaks, 0 duplicates, 0 without a target; "
        "0 learnt from or validated on",
    ]


def test_other_audio_or_uses_than_were_screened(
    pairs: list[DatasetPair], screened: Screened, make_pair: Callable[..., DatasetPair]
) -> None:
    with pytest.raises(InputError, match=r" was screened for other tasks, task age differs; run screen again$"):
        read_audio(
            pairs, screened, corpora=USES["corpora"], tasks={**USES["tasks"], "age": Task(corpus="c", label="x")}
        )
    with pytest.raises(
        InputError, match=r" was screened for training\.corpora speech, not speech-two; run screen again$"
    ):
        read_audio(pairs, screened, corpora=("speech-two",), tasks=USES["tasks"])
    other = make_pair("other", [clip("speech/0#0", 800)])
    with pytest.raises(InputError, match=r" did not screen .*/other/.*; run screen on the same audio$"):
        read_audio([other], screened, **USES)


@pytest.fixture
def results(pairs: list[DatasetPair], make_result: Callable[..., ModelResult]) -> list[ModelResult]:
    """A student, the teacher, which was evaluated on the second corpus alone, and a baseline that answers always."""
    provenance = {"embeddings of speech-two": pairs[1].embeddings.id}
    teacher = make_result("big", "teacher", provenance=provenance, rejects={"speech-two": {"non_finite_embedding": 1}})
    return [make_result(rejects={"speech-two": {"out_of_memory": 2}}), teacher, make_result("log-mel", "baseline")]


def test_who_gave_no_embedding_of_what(pairs: list[DatasetPair], results: list[ModelResult]) -> None:
    rejected = embedding_rejects(results, pairs)
    assert rejected == (
        ModelRejects("big", "speech", {"non_finite_embedding": 4}),
        ModelRejects("big", "speech-two", {"non_finite_embedding": 1}),
        ModelRejects("nano", "speech-two", {"out_of_memory": 2}),
    )
    assert reject_lines(rejected) == [
        "embeddings of speech by big: 4 rejects (non_finite_embedding 4)",
        "embeddings of speech-two by big: 1 rejects (non_finite_embedding 1)",
        "embeddings of speech-two by nano: 2 rejects (out_of_memory 2)",
    ]
    assert reject_lines(()) == ["embeddings: 0 rejects"]


def test_embeddings_of_another_model(
    pairs: list[DatasetPair], results: list[ModelResult], make_pair: Callable[..., DatasetPair]
) -> None:
    other = make_pair("speech-two", [clip("speech-two/0#0", 8_001)])
    message = rf"^{other.embeddings.uri} is not what big was evaluated on; give its own embeddings as targets$"
    with pytest.raises(InputError, match=message):
        embedding_rejects(results, [pairs[0], other])
    with pytest.raises(
        InputError, match=r"^a report needs the result of one teacher, got 0; evaluate the teacher once$"
    ):
        embedding_rejects(results[:1], pairs)
