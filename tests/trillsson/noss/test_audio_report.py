"""The report's rows on the audio: manifest and screening side by side."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trillsson.config import Task, Training
from trillsson.datasets import Dataset, open_dataset
from trillsson.errors import InputError
from trillsson.noss.audio_report import audio_lines, read_audio
from trillsson.records import AudioRecord
from trillsson.training import screen
from trillsson.training.exclusions import Screened, read_screened
from trillsson.training.screen import ScreenSpec


def clip(key: str, samples: int, split: str = "train", mood: str = "sad") -> AudioRecord:
    return AudioRecord(key=key, audio=np.zeros(samples, np.float32), split=split, labels={"mood": mood})


@pytest.fixture
def screened(store_pair: Callable[..., tuple[str, str]], tmp_path: Path) -> tuple[list[Dataset], Screened]:
    """A corpus with two sounds, 7 times the one, which a test of the other corpus has too, and 8 times the other."""
    speech = [clip(f"speech/{number:02d}#0", 8_000 + number % 2) for number in range(15)]
    two = [("test", "sad"), ("train", "sad"), ("train", "glad"), ("train", "glad")]
    other = [clip(f"speech-two/{number}#0", 8_001 + number, *each) for number, each in enumerate(two)]
    corpora = {"speech": speech, "speech-two": other}
    uris = [store_pair(tmp_path / name, clips, [], content={}, corpus=name)[0] for name, clips in corpora.items()]
    tasks = {"mood": Task(corpus="speech-two", label="mood")}
    training = Training(corpora=("speech",), steps=1)
    folder = screen.run(ScreenSpec(audio=tuple(uris), training=training, tasks=tasks, workdir=str(tmp_path / "work")))
    return [open_dataset(uri, "audio") for uri in uris], read_screened(folder)


def test_a_row_a_corpus_with_the_first_exclusions_of_each_kind(screened: tuple[list[Dataset], Screened]) -> None:
    speech, two = read_audio(*screened)
    assert (speech.name, speech.sources, speech.lost, speech.clips, speech.test, speech.pool) == (
        "speech",
        1,
        0,
        15,
        0,
        1,
    )
    assert (speech.leaks, speech.duplicates, speech.rejects) == (7, 7, {})
    assert speech.hours == pytest.approx(15 * 0.5 / 3600, rel=1e-3)
    assert speech.pool_hours == pytest.approx(0.5 / 3600, rel=1e-3)
    assert [(each.key, each.of) for each in speech.named] == [
        *((f"speech/{number:02d}#0", "speech-two/0#0") for number in (1, 3, 5, 7, 9)),
        *((f"speech/{number:02d}#0", "speech/00#0") for number in (2, 4, 6, 8, 10)),
    ]
    assert (two.clips, two.test, two.pool, two.named) == (4, 1, 0, ())


def test_a_line_a_corpus(screened: tuple[list[Dataset], Screened]) -> None:
    datasets, folder = screened
    speech = datasets[0]
    rejects = {"too_short": 2, "silent": 1}
    manifest = speech.manifest.model_copy(update={"rejects": rejects})
    row = read_audio([Dataset(speech.uri, speech.root, manifest), datasets[1]], folder)
    assert audio_lines(row) == [
        "audio speech: 15 clips, 0.00 h; 3 rejects (too_short 2, silent 1), 7 leaks, 7 duplicates",
        "audio speech-two: 4 clips, 0.00 h; 0 rejects, 0 leaks, 0 duplicates",
    ]


def test_other_audio_than_was_screened(
    screened: tuple[list[Dataset], Screened], store_pair: Callable[..., tuple[str, str]], tmp_path: Path
) -> None:
    other, _ = store_pair(tmp_path / "other", [clip("speech/0#0", 800)], [], content={})
    with pytest.raises(InputError, match=r" did not screen .*/other/.*; run screen on the same audio$"):
        read_audio([open_dataset(other, "audio")], screened[1])
