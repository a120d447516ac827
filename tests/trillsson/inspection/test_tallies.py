"""Counts that hold for any data: histograms add up, bounded tallies lose no clip, bars stay inside."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trillsson.inspection.drawing import draw_categories, draw_histogram, stacked
from trillsson.inspection.histograms import Histogram, binned, durations
from trillsson.inspection.labels import ColumnTally, Value
from trillsson.inspection.speakers import SpeakerTally
from trillsson.inspection.splits import is_tested, split_index, split_told, used
from trillsson.records import Clip
from trillsson.training.pool import is_test

WORDS = st.sampled_from(["", "train", "Train ", "dev", "test", "TEST", " eval"])
LENGTHS = st.lists(st.integers(1, 480_000), min_size=1, max_size=50)


@given(LENGTHS)
def test_durations_add_up_and_cover(samples: list[int]) -> None:
    found = durations(np.array(samples, np.uint32))
    edges, counts = found.histogram.edges, found.histogram.counts
    assert sum(counts) == len(samples)
    assert len(edges) == len(counts) + 1 <= 13
    assert edges[0] <= found.shortest <= found.median <= found.longest <= edges[-1]
    assert found.shortest <= found.mean <= found.longest
    assert all(sum(low <= n / 16_000 < high for n in samples) == count for low, high, count in
               list(zip(edges, edges[1:], counts, strict=False))[:-1])  # fmt: skip


def test_durations_of_nothing_and_of_hours() -> None:
    assert durations(np.zeros(0, np.uint32)).histogram == Histogram((), ())
    hours = durations(np.array([16_000, 16_000 * 7_200], np.uint32)).histogram
    assert (sum(hours.counts), len(hours.counts) <= 12) == (2, True)


@given(st.lists(st.floats(-200, 50)))
def test_levels_beyond_the_edges_count_in_the_outer_bins(values: list[float]) -> None:
    found = binned(values, (-90, -60, -30, 0))
    assert sum(found.counts) == len(values)
    assert found.counts[0] == sum(value < -60 for value in values)


def test_a_column_of_more_values_than_are_told_apart() -> None:
    tally = ColumnTally("text", most=30)
    for number in range(100):
        tally.add(f"{number:02d}", 0, speaker=number % 2)
    tally.add("00", 2, speaker=None)
    found = tally.finish((101, 1, 4, 0, 0))
    assert found.values == (
        Value("00", clips=(1, 0, 1, 0, 0), speakers=(1, 0, 0, 0, 0)),
        Value("01", clips=(1, 0, 0, 0, 0), speakers=(1, 0, 0, 0, 0)),
        Value("02", clips=(1, 0, 0, 0, 0), speakers=(1, 0, 0, 0, 0)),
    )
    assert (found.distinct, found.complete) == (30, False)
    assert (found.others, found.without) == ((97, 0, 0, 0, 0), (1, 1, 3, 0, 0))


def test_values_of_as_many_clips_are_in_the_order_of_numbers_then_words() -> None:
    tally = ColumnTally("take")
    for value in ("10", "b", "nan", "2", "-1.5", "a", "3", "3"):
        tally.add(value, 0, speaker=None)
    found = tally.finish((8, 0, 0, 0, 0))
    assert [value.name for value in found.values] == ["3", "-1.5", "2", "10", "a", "b", "nan"]
    assert found.span is None


@pytest.mark.parametrize(
    ("values", "shown", "span"),
    [
        ([f"{number / 4}" for number in range(21)], 3, (0.0, 5.0)),
        ([f"{number / 4}" for number in range(20)], 20, None),
        ([f"{number}" for number in range(21)], 20, None),
        ([*(f"{number / 4}" for number in range(21)), "long"], 20, None),
        ([*(f"{number / 4}" for number in range(21)), "nan"], 20, None),
    ],
)
def test_measures_are_told_by_their_span(values: list[str], shown: int, span: tuple[float, float] | None) -> None:
    tally = ColumnTally("seconds")
    for value in values * 2:
        tally.add(value, 0, speaker=None)
    found = tally.finish((2 * len(values), 0, 0, 0, 0))
    assert (len(found.values), found.span) == (shown, span)
    assert sum(found.others) == 2 * (len(values) - shown)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 4))))
def test_no_clip_is_lost(clips: list[tuple[int, int]]) -> None:
    tally = ColumnTally("class", most=40)
    for value, split in clips:
        tally.add(str(value), split, speaker=None)
    found = tally.finish(tuple(sum(each == split for _, each in clips) for split in range(5)))
    assert sum(found.others) + sum(sum(value.clips) for value in found.values) == len(clips)
    assert not any(found.without)


def test_more_speakers_than_are_told_apart() -> None:
    tally = SpeakerTally(most=2)
    assert [tally.add(name, 0) for name in ("ann", "bob", "cem", "ann", "")] == [0, 1, None, 0, None]
    found = tally.finish()
    assert (found.total, found.complete, found.unknown) == (2, False, (1, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("word", "place"), [("train", 0), ("DEV", 1), (" eval ", 2), ("", 3), ("fold1", 4), ("devel", 4)]
)
def test_words_for_splits(word: str, place: int) -> None:
    assert split_index(word) == place


@given(WORDS, WORDS, WORDS)
def test_what_is_test_is_what_training_takes_for_test(own: str, column: str, split: str) -> None:
    clip = Clip(key="c/1#0", split=own, labels={"column": column, "split": split})
    for columns in ((), ("column",), ("column", "split"), ("absent",)):
        assert is_tested(clip, columns) == is_test(clip, columns)


@pytest.mark.parametrize(
    ("own", "labels", "tested", "told"),
    [
        ("fold3", {"a": "eval"}, True, "other; test by a"),
        ("train", {"a": "test", "b": "Test"}, True, "train; test by a, b"),
        ("test", {"a": "test"}, True, "test"),
        ("test", {"a": "fold3"}, True, "test"),
        ("", {"a": "fold3", "c": "test"}, False, "no split"),
    ],
)
def test_a_split_in_words(own: str, labels: dict[str, str], tested: bool, told: str) -> None:
    clip = Clip(key="c/1#0", split=own, labels=labels)
    assert (is_tested(clip, ("a", "b")), split_told(clip, ("a", "b"))) == (tested, told)


def test_splits_that_are_shown() -> None:
    assert used([(0, 0, 3, 0, 0), (1, 0, 0, 0, 0)]) == (0, 2)


@given(st.lists(st.integers(0, 10**10), min_size=1, max_size=20))
def test_columns_stay_inside(counts: list[int]) -> None:
    histogram = Histogram(tuple(range(len(counts) + 1)), tuple(counts))
    for drawn in (
        draw_histogram(histogram, title="t", axis="s", said="said."),
        draw_categories(counts, list(map(str, counts)), title="t", axis="s", said="said."),
    ):
        for bar, count in zip(drawn.bars, counts, strict=True):
            assert bar.x >= 0
            assert bar.x + bar.width <= drawn.width
            assert 10 < bar.y <= drawn.axis_y
            assert (bar.height > 0) == (count > 0) == bool(bar.text)
            assert len(bar.text) <= 4
        assert len(drawn.ticks) <= max(9, len(counts))


def test_counts_above_columns() -> None:
    counts = [0, 1, 999, 1_000, 9_949, 9_950, 999_499, 999_500, 25_000_000, 999_499_999, 999_500_000]
    drawn = draw_categories(counts, list(map(str, counts)), title="t", axis="s", said="said.")
    texts = ["", "1", "999", "1.0k", "9.9k", "10k", "999k", "1.0M", "25M", "999M", "1.0G"]
    assert [bar.text for bar in drawn.bars] == texts


def test_a_histogram_in_words() -> None:
    drawn = draw_histogram(Histogram((0, 0.5, 1), (1, 1_500)), title="Duration", axis="s", said="All.")
    assert drawn.summary == "All. 0 to 0.5 s: 1 clip; 0.5 to 1 s: 1,500 clips."
    assert [bar.text for bar in drawn.bars] == ["1", "1.5k"]
    assert [tick.text for tick in drawn.ticks] == ["0", "0.5", "1"]


def test_a_bar_of_splits() -> None:
    pieces = stacked((5, 0, 15, 0, 0), largest=40)
    assert [(piece.split, piece.x, piece.width) for piece in pieces] == [(0, 0.0, 12.5), (2, 12.5, 37.5)]
