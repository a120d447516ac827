"""A screening that is read back: whole, and of the same data and uses, or refused."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from trillsson.config import Task
from trillsson.datasets import open_dataset
from trillsson.errors import InputError, IntegrityError
from trillsson.folders import commit_folder
from trillsson.training.exclusions import EXCLUDED, SCREENING, read_screened


def test_what_was_written(screened_uri: str, exclude: Callable[[Path, Sequence[str]], str], tmp_path: Path) -> None:
    screened = read_screened(exclude(tmp_path, ["speech/003#0", "speech/001#0"]))
    assert screened.keys == {"speech/001#0", "speech/003#0"}
    assert [(each.reason, each.of) for each in screened.exclusions] == [("duplicate", "speech/000#0")] * 2
    assert screened.screening == read_screened(screened_uri).screening
    assert screened.digest != read_screened(screened_uri).digest


def test_it_is_of_the_same_audio_and_uses(screened_uri: str, speech: Any, tasks: dict[str, Task]) -> None:
    screened = read_screened(screened_uri)
    audio = open_dataset(speech.audio, "audio")
    screened.check([audio], corpora=("speech",), tasks=tasks)
    screened.check([])
    with pytest.raises(InputError, match=r" was screened for training\.corpora speech, not speech, more; run screen"):
        screened.check([audio], corpora=("speech", "more"))
    changed = {**tasks, "digit": Task(corpus="speech", label="number")}
    with pytest.raises(InputError, match=r" was screened for other tasks, task digit differs; run screen again$"):
        screened.check([audio], tasks=changed)
    scored = {**tasks, "digit": tasks["digit"].model_copy(update={"metric": "balanced_accuracy"})}
    screened.check([audio], tasks=scored)


def test_other_audio(
    screened_uri: str, store_pair: Callable[..., tuple[str, str]], speech: Any, tmp_path: Path
) -> None:
    less, _ = store_pair(tmp_path, speech.records[:5], [], content={})
    with pytest.raises(InputError, match=rf"^{screened_uri} did not screen {less}; run screen on the same audio$"):
        read_screened(screened_uri).check([open_dataset(less, "audio")])


def test_folders_that_are_no_screening(tmp_path: Path, statistics_uri: str) -> None:
    with pytest.raises(
        InputError, match=r"^folder .*/none/x does not exist; name one that a step printed, or run that"
    ):
        read_screened(str(tmp_path / "none/x"))
    with pytest.raises(InputError, match=r" holds no screen\.json; give the folder that `trillsson screen` printed$"):
        read_screened(statistics_uri)


def test_another_schema_version(tmp_path: Path, screened_uri: str) -> None:
    made = tmp_path / "made"
    made.mkdir()
    text = (Path(screened_uri) / SCREENING).read_text()
    (made / SCREENING).write_text(text.replace('"schema_version": 1', '"schema_version": 2'))
    (made / EXCLUDED).write_text("")
    with pytest.raises(IntegrityError, match=r" is no screening of schema version 1; run screen again$"):
        read_screened(commit_folder(str(tmp_path / "stored"), made))
