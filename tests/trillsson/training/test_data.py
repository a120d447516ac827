"""The input pipeline: the right windows, their own targets, the same order after a resume."""

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trillsson.config import Framing, Task, Training
from trillsson.errors import InputError, IntegrityError
from trillsson.pairs import open_pair
from trillsson.records import AudioRecord, EmbeddingRecord
from trillsson.training.data import Windows, open_windows
from trillsson.training.pool import part_of
from trillsson.training.targets import Standardiser

Expected = Callable[[Any, str, Training], list[tuple[np.ndarray, np.ndarray]]]
PARTS = ("train", "validation")
STANDARDISER = Standardiser(np.full(4, 100, np.float32), np.full(4, 10, np.float32))


@pytest.fixture
def windows(speech: Any, training: Training, tasks: dict[str, Task], tmp_path: Path) -> Windows:
    pair = open_pair(speech.audio, speech.targets)
    return open_windows(
        [pair],
        training,
        tasks=tasks,
        excluded=(),
        standardiser=STANDARDISER,
        framing=pair.framing,
        cache=tmp_path,
    )


def as_set(rows: list[tuple[np.ndarray, np.ndarray]]) -> set[tuple[bytes, bytes]]:
    return {(waveform.tobytes(), np.round(target, 3).tobytes()) for waveform, target in rows}


def standardised(rows: list[tuple[np.ndarray, np.ndarray]]) -> set[tuple[bytes, bytes]]:
    return as_set([(waveform, STANDARDISER.apply(target)) for waveform, target in rows])


def test_one_epoch_is_every_training_window_with_its_target(
    windows: Windows, speech: Any, training: Training, expected: Expected
) -> None:
    wanted = expected(speech, "train", training)
    steps = len(wanted) // 8
    batches = list(islice(windows.batches(len(wanted), start=0), steps))
    found = [(w, t) for waveforms, targets in batches for w, t in zip(waveforms, targets, strict=True)]
    assert len(found) == 8 * steps
    assert as_set(found) <= standardised(wanted)
    assert len(as_set(found)) == len(found)


def test_validation_is_every_held_out_window(
    windows: Windows, speech: Any, training: Training, expected: Expected
) -> None:
    found = [
        (w, t)
        for waveforms, targets in windows.validation()
        for w, t in zip(waveforms.numpy(), targets.numpy(), strict=True)
    ]
    assert as_set(found) == standardised(expected(speech, "validation", training))


def test_an_excluded_clip_is_in_no_part(
    speech: Any, training: Training, tasks: dict[str, Task], expected: Expected, tmp_path: Path
) -> None:
    parts = {part: [r for r in speech.records if part_of(r, ("other_split",), training) == part] for part in PARTS}
    excluded = [records[0].key for records in parts.values()]
    less = replace(speech, records=[record for record in speech.records if record.key not in excluded])
    pair = open_pair(speech.audio, speech.targets)
    windows = open_windows(
        [pair],
        training,
        tasks=tasks,
        excluded=(*excluded, *(f"speech/absent-{number}#0" for number in range(5_000))),
        standardiser=STANDARDISER,
        framing=pair.framing,
        cache=tmp_path,
    )
    wanted = expected(less, "train", training)
    assert 0 < len(wanted) < len(expected(speech, "train", training))
    whole = replace(windows, training=training.model_copy(update={"batch_size": 1}))
    found = [(w[0], t[0]) for w, t in islice(whole.batches(len(wanted), start=0), len(wanted))]
    assert as_set(found) == standardised(wanted)
    held_out = [(w[0], t[0]) for w, t in whole.validation().as_numpy_iterator()]
    assert as_set(held_out) == standardised(expected(less, "validation", training))
    with pytest.raises(IntegrityError, match=r"^the statistics count .* windows, the shards hold .*; run statistics"):
        list(islice(whole.batches(len(wanted) + 1, start=0), len(wanted) + 1))


def test_a_column_called_split_is_asked_beside_the_corpus_own(
    store_pair: Callable[..., tuple[str, str]], training: Training, tmp_path: Path
) -> None:
    said = [("train", "train"), ("train", "test"), ("eval", "train")] * 10
    clips = [
        AudioRecord(key=f"c/{number}#0", split=own, labels={"split": column}, audio=np.full(8_000, number / 64, "f4"))
        for number, (own, column) in enumerate(said)
    ]
    rows = [EmbeddingRecord(clip.key, np.zeros((1, 4), np.float32)) for clip in clips]
    framing = Framing(window=8_000, hop=8_000)
    content = {"framing": framing.model_dump(mode="json"), "embedder": {"kind": "test", "dim": 4}}
    pair = open_pair(*store_pair(tmp_path, clips, rows, content=content))
    windows = open_windows(
        [pair],
        training.model_copy(update={"batch_size": 1}),
        tasks={"by_column": Task(corpus="speech", label="x", split="split")},
        excluded=(),
        standardiser=STANDARDISER,
        framing=framing,
        cache=tmp_path,
    )
    learnt = sum(part_of(clip, ("split",), training) == "train" for clip in clips)
    found = [waveform[0, 0] for waveform, _ in islice(windows.batches(learnt, start=0), learnt)]
    found += [waveform[0, 0] for waveform, _ in windows.validation().as_numpy_iterator()]
    assert sorted(found) == [number / 64 for number in range(0, 30, 3)]


@pytest.mark.parametrize("start", [1, 5, 11])
def test_a_resumed_stream_goes_on_as_if_never_stopped(windows: Windows, start: int) -> None:
    whole = list(islice(windows.batches(40, start=0), start + 3))
    resumed = list(islice(windows.batches(40, start=start), 3))
    for (waveforms, targets), (again, targets_again) in zip(whole[start:], resumed, strict=True):
        np.testing.assert_array_equal(waveforms, again)
        np.testing.assert_array_equal(targets, targets_again)


def test_epochs_differ(windows: Windows) -> None:
    first, second = (next(windows.batches(40, start=start))[0] for start in (0, 5))
    assert not np.array_equal(first, second)


def test_too_little_audio(windows: Windows) -> None:
    message = "training has 7 windows, fewer than batch_size 8; lower training.batch_size or add audio"
    with pytest.raises(InputError, match=message):
        next(windows.batches(7, start=0))


def test_targets_framed_another_way_are_refused(
    speech: Any, training: Training, tasks: dict[str, Task], tmp_path: Path
) -> None:
    pair = open_pair(speech.audio, speech.targets)
    with pytest.raises(
        InputError, match=r"targets .* are framed .*window=8000.*, the model .*window=32000.*; embed anew"
    ):
        open_windows(
            [pair],
            training,
            tasks=tasks,
            excluded=(),
            standardiser=STANDARDISER,
            framing=Framing(),
            cache=tmp_path,
        )
