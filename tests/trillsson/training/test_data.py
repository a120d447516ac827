"""The input pipeline: the right windows, their own targets, the same order after a resume."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trillsson.config import Framing, Task, Training
from trillsson.datasets import StoredShard
from trillsson.errors import InputError, IntegrityError
from trillsson.pairs import open_pair
from trillsson.records import AudioRecord, EmbeddingRecord
from trillsson.training import data
from trillsson.training.data import Batch, Windows, open_windows
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


def rows_of(batches: list[Batch]) -> list[tuple[np.ndarray, np.ndarray]]:
    return [row for waveforms, targets in batches for row in zip(waveforms, targets, strict=True)]


def as_list(batches: Iterable[Batch]) -> list[bytes]:
    return [waveform.tobytes() for waveforms, _ in batches for waveform in waveforms]


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
    found = rows_of(batches)
    assert len(found) == 8 * steps
    assert as_set(found) <= standardised(wanted)
    assert len(as_set(found)) == len(found)


def test_validation_is_every_held_out_window(
    windows: Windows, speech: Any, training: Training, expected: Expected
) -> None:
    batches = list(windows.validation())
    wanted = expected(speech, "validation", training)
    assert [len(targets) for _, targets in batches] == [8] * (len(wanted) // 8) + [len(wanted) % 8]
    for (waveform, target), (found, answer) in zip(wanted, rows_of(batches), strict=True):
        np.testing.assert_array_equal(found, waveform)
        np.testing.assert_array_equal(answer, STANDARDISER.apply(target))


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
    found = list(islice(whole.batches(len(wanted), start=0), len(wanted)))
    assert as_set(rows_of(found)) == standardised(wanted)
    assert as_set(rows_of(list(whole.validation()))) == standardised(expected(less, "validation", training))
    counted = len(wanted) + 1
    message = rf"^the statistics count {counted} windows, the shards hold {len(wanted)}; run statistics again$"
    with pytest.raises(IntegrityError, match=message):
        next(whole.batches(counted, start=0))


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
    found += [w for waveforms, _ in windows.validation() for w in waveforms[:, 0]]
    assert sorted(found) == [512 * number for number in range(0, 30, 3)]


@pytest.fixture
def counted(speech: Any, training: Training, expected: Expected) -> int:
    return len(expected(speech, "train", training))


@pytest.mark.parametrize("start", [1, 5, 11, 23])
def test_a_resumed_stream_goes_on_as_if_never_stopped(
    windows: Windows, counted: int, start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "_CHAPTER_WINDOWS", 20)  # 24, as chapters are whole batches
    whole = list(islice(windows.batches(counted, start=0), start + 3))
    resumed = list(islice(windows.batches(counted, start=start), 3))
    for (waveforms, targets), (again, targets_again) in zip(whole[start:], resumed, strict=True):
        np.testing.assert_array_equal(waveforms, again)
        np.testing.assert_array_equal(targets, targets_again)


@pytest.mark.parametrize("chapter", [1, 24, 32, 10_000])
@pytest.mark.parametrize("at_once", [1, 2, 16])
def test_an_epoch_is_whole_however_it_is_cut(
    windows: Windows,
    speech: Any,
    training: Training,
    expected: Expected,
    monkeypatch: pytest.MonkeyPatch,
    chapter: int,
    at_once: int,
) -> None:
    monkeypatch.setattr(data, "_CHAPTER_WINDOWS", chapter)
    monkeypatch.setattr(data, "_SHARDS_AT_ONCE", at_once)
    wanted = expected(speech, "train", training)
    found = rows_of(list(islice(windows.batches(len(wanted), start=0), len(wanted) // 8)))
    assert len(as_set(found)) == len(wanted) // 8 * 8
    assert as_set(found) <= standardised(wanted)


@pytest.fixture
def one_by_one(windows: Windows, monkeypatch: pytest.MonkeyPatch) -> Windows:
    """The same windows in batches of one; shards are read one after the other, in chapters of four windows."""
    monkeypatch.setattr(data, "_CHAPTER_WINDOWS", 4)
    monkeypatch.setattr(data, "_SHARDS_AT_ONCE", 1)
    return replace(windows, training=windows.training.model_copy(update={"batch_size": 1}))


def places(windows: Windows, counted: int, *, epoch: int = 0) -> list[int]:
    """Where the windows of an epoch are stored: shard after shard, clip after clip."""
    stored = as_list(replace(windows, held_out=windows.learnt).validation())
    return [stored.index(each) for each in as_list(islice(windows.batches(counted, start=epoch * counted), counted))]


def test_windows_are_shuffled_within_a_chapter_and_each_otherwise(one_by_one: Windows, counted: int) -> None:
    only = replace(one_by_one, learnt=one_by_one.learnt[:1])
    of_shard = len(as_list(replace(only, held_out=only.learnt).validation()))
    order = places(only, of_shard)
    chapters = [[place - at for place in order[at : at + 4]] for at in range(0, of_shard // 4 * 4, 4)]
    assert all(sorted(chapter) == [0, 1, 2, 3] for chapter in chapters)
    assert len(set(map(tuple, chapters))) > 2


def test_shards_are_shuffled_and_read_in_turns(
    one_by_one: Windows, counted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [int(shard.windows.sum()) for shard in one_by_one.learnt]
    ends = np.cumsum(sizes)
    firsts = {int(np.searchsorted(ends, places(one_by_one, counted, epoch=n)[0], side="right")) for n in range(12)}
    assert firsts == {0, 1, 2}
    monkeypatch.setattr(data, "_SHARDS_AT_ONCE", 3)
    early = places(one_by_one, counted)[:12]
    assert min(early) < sizes[0]
    assert max(early) >= sizes[0] + sizes[1]


def test_epochs_and_seeds_have_their_own_order(one_by_one: Windows, counted: int) -> None:
    other = replace(one_by_one, training=one_by_one.training.model_copy(update={"seed": 7}))
    orders = [places(one_by_one, counted), places(one_by_one, counted, epoch=1), places(other, counted)]
    assert [sorted(order) for order in orders] == [list(range(counted))] * 3
    assert len(set(map(tuple, orders))) == 3


def test_no_file_stays_open(one_by_one: Windows, counted: int) -> None:
    def opened() -> list[str]:
        return [str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]

    batches = one_by_one.batches(counted, start=0)
    for _ in range(counted + 1):
        next(batches)
    batches.close()
    list(one_by_one.validation())
    assert not [path for path in opened() if path.endswith(".tfrecord")]


def test_each_shard_is_checked_once(
    speech: Any, training: Training, tasks: dict[str, Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    monkeypatch.setattr(
        StoredShard, "fetch", lambda shard, cache: fetched.append(shard.summary.sha256) or cache / shard.summary.id
    )
    pair = open_pair(speech.audio, speech.targets)
    how: dict[str, Any] = {"standardiser": STANDARDISER, "framing": pair.framing, "cache": tmp_path}
    open_windows([pair], training, tasks=tasks, excluded=(), **how)
    assert len(fetched) == len(set(fetched)) == 6
    everything = {record.key for record in speech.records[:20]}
    open_windows([pair], training, tasks=tasks, excluded=everything, **how)
    assert len(fetched) == 6 + 4  # of a shard without a clip that is wanted nothing is fetched
    elsewhere = training.model_copy(update={"corpora": ("other",)})
    assert not open_windows([pair], elsewhere, tasks=tasks, excluded=(), **how).learnt


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
