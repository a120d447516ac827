"""Segments of speech joined into clips."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trillsson.segments import merge_segments

Segments = list[tuple[float, float]]


def in_order(steps: list[tuple[int, int]]) -> Segments:
    """Makes segments of steps (silence before it, its length), in hundredths of a second."""
    segments, now = [], 0
    for silence, length in steps:
        segments.append(((now + silence) / 100, (now + silence + length) / 100))
        now += silence + length
    return segments


speech = st.lists(st.tuples(st.integers(0, 900), st.integers(1, 5_000)), max_size=40).map(in_order)


@pytest.mark.parametrize(
    ("segments", "clips"),
    [
        ([], []),
        ([(0.5, 9.0)], [(0.5, 9.0)]),
        ([(0.5, 9.0), (9.5, 20.0), (21.0, 30.5), (30.75, 34.0)], [(0.5, 30.5), (30.75, 34.0)]),
        ([(0.0, 10.0), (10.0, 30.0), (30.0, 31.0)], [(0.0, 30.0), (30.0, 31.0)]),
        ([(0.0, 1.0), (2.0, 45.0), (46.0, 47.0)], [(0.0, 1.0), (2.0, 45.0), (46.0, 47.0)]),
        ([(0.0, 1.0), (30.5, 31.0)], [(0.0, 1.0), (30.5, 31.0)]),
    ],
    ids=["none", "one", "as long as may be", "touching", "one too long", "silence too long"],
)
def test_clips(segments: Segments, clips: Segments) -> None:
    assert merge_segments(segments, 30.0) == clips


@given(segments=speech, longest=st.sampled_from([0.5, 7.3, 30.0]))
def test_every_segment_lies_whole_in_one_clip_and_order_is_kept(segments: Segments, longest: float) -> None:
    clips = merge_segments(segments, longest)
    members = [[part for part in segments if start <= part[0] and part[1] <= end] for start, end in clips]
    assert [part for parts in members for part in parts] == segments
    assert [(parts[0][0], parts[-1][1]) for parts in members] == clips


@given(segments=speech, longest=st.sampled_from([0.5, 7.3, 30.0]))
def test_only_a_single_segment_is_longer_than_allowed(segments: Segments, longest: float) -> None:
    assert all(end - start <= longest or (start, end) in segments for start, end in merge_segments(segments, longest))


@given(segments=speech, longest=st.sampled_from([0.5, 7.3, 30.0]))
def test_no_clip_could_take_the_next_segment(segments: Segments, longest: float) -> None:
    ends = dict(segments)
    assert all(ends[after[0]] - clip[0] > longest for clip, after in pairwise(merge_segments(segments, longest)))
