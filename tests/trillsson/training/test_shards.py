"""Pairs of shards as training reads them: the wanted clips only, in turns, and nothing unchecked."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trillsson.errors import IntegrityError
from trillsson.pairs import open_pair
from trillsson.training.shards import TrainingShard, interleaved


@pytest.fixture
def shards(speech: Any, tmp_path: Path) -> list[TrainingShard]:
    """Every clip of the small dataset that has targets, as many shards as it has: three of 20 clips."""
    return [
        TrainingShard(
            audio=pair.audio.fetch(tmp_path),
            targets=pair.embeddings.fetch(tmp_path),
            answered=np.array([clip.key != speech.rejected for clip in pair.audio.clips()]),
            windows=np.array(
                [-(-clip.samples // 8_000) * (clip.key != speech.rejected) for clip in pair.audio.clips()], np.int32
            ),
        )
        for pair in open_pair(speech.audio, speech.targets).shards
    ]


def only(shard: TrainingShard, *positions: int) -> TrainingShard:
    windows = np.zeros_like(shard.windows)
    windows[list(positions)] = shard.windows[list(positions)]
    return replace(shard, windows=windows)


def test_clips_come_with_their_targets(shards: list[TrainingShard], speech: Any) -> None:
    found = [clip.read()[0].copy() for shard in shards for clip in shard.clips()]
    wanted = [record for record in speech.records if record.key != speech.rejected]
    assert len(found) == 59
    for samples, record in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(samples, np.rint(record.audio * 32_768))


@pytest.mark.parametrize("positions", [(0,), (19,), (3, 4, 17)])
def test_what_is_not_wanted_is_passed_over(
    shards: list[TrainingShard], speech: Any, positions: tuple[int, ...]
) -> None:
    clips = only(shards[2], *positions).clips()
    assert [clip.read()[0].size for clip in clips] == [speech.records[40 + each].audio.size for each in positions]


def test_a_clip_that_is_not_read_is_passed_over_too(shards: list[TrainingShard], speech: Any) -> None:
    sizes = [clip.read()[0].size for number, clip in enumerate(shards[1].clips()) if number % 3 == 2]
    assert sizes == [speech.records[20 + number].audio.size for number in range(2, 19, 3)]


def test_shards_take_turns_and_one_that_is_through_gives_way(shards: list[TrainingShard]) -> None:
    few = [only(shards[0], 0, 1, 2), only(shards[1], 0), only(shards[2], 0, 1)]
    names = {shard.audio: number for number, shard in enumerate(few)}
    turns = [names[clip._cursor._shard.audio] for clip in interleaved(few, at_once=2)]
    assert turns == [0, 1, 0, 2, 0, 2]


def test_nothing_is_opened_before_something_is_read(shards: list[TrainingShard], tmp_path: Path) -> None:
    gone = [replace(shard, audio=tmp_path / "gone", targets=tmp_path / "gone") for shard in shards]
    assert len(list(interleaved(gone, at_once=2))) == 59


def test_targets_of_other_clips_are_refused(shards: list[TrainingShard]) -> None:
    mixed = replace(shards[0], targets=shards[2].targets)
    message = (
        r"^/.*\.tfrecord has \d targets of speech/040#0 where 1 of speech/000#0 belong; delete it and embed again$"
    )
    with pytest.raises(IntegrityError, match=message):
        next(mixed.clips()).read()


def test_another_number_of_targets_is_refused(shards: list[TrainingShard]) -> None:
    more = replace(shards[0], windows=shards[0].windows + 1)
    with pytest.raises(IntegrityError, match="has 1 targets of speech/000#0 where 2 of speech/000#0 belong; delete it"):
        next(more.clips()).read()


def test_a_damaged_record_is_refused(shards: list[TrainingShard], tmp_path: Path) -> None:
    data = bytearray(shards[0].audio.read_bytes())
    data[200] ^= 1
    (tmp_path / "damaged.tfrecord").write_bytes(data)
    with pytest.raises(IntegrityError, match=r"^shard /.*/damaged\.tfrecord is damaged; delete it and run again$"):
        next(replace(shards[0], audio=tmp_path / "damaged.tfrecord").clips()).read()
