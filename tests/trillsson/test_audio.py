"""Clips, PCM and framing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trillsson.audio import (
    CLIP_SAMPLES,
    clip_starts,
    cut,
    fill_windows,
    frame,
    from_pcm16,
    is_audio,
    to_pcm16,
    window_count,
)
from trillsson.config import Framing
from trillsson.errors import InputError


@pytest.mark.parametrize("path", ["a.wav", "b/a.FLAC", "a.Mp2", "a.wave", "a.m4a", "a.3GP"])
def test_names_of_audio(path: str) -> None:
    assert is_audio(path)


@pytest.mark.parametrize("path", ["wav", "a.txt", "a.wav.txt", "a.wav/b", "._a.wav", "b/._a.wav"])
def test_names_that_are_none(path: str) -> None:
    assert not is_audio(path)


def test_clip_starts() -> None:
    assert list(clip_starts(0)) == [0]
    assert list(clip_starts(CLIP_SAMPLES)) == [0]
    assert list(clip_starts(CLIP_SAMPLES + 1_599)) == [0]
    assert list(clip_starts(CLIP_SAMPLES + 1_600)) == [0, CLIP_SAMPLES]


def test_a_recording_is_cut_every_30_seconds() -> None:
    assert cut(0, None) == [(0, 0)]
    assert cut(100, None) == [(0, 100)]
    assert cut(CLIP_SAMPLES + 20_000, None) == [(0, CLIP_SAMPLES), (CLIP_SAMPLES, CLIP_SAMPLES + 20_000)]


def test_a_recording_is_cut_at_its_segments() -> None:
    found = cut(50 * 16_000, [(1.0, 2.5), (3.0, 40.0), (45.0, 60.0), (70.0, 71.0)])
    assert found == [(16_000, 40_000), (48_000, 528_000), (528_000, 640_000), (720_000, 800_000)]
    assert cut(16_000, [(2.0, 3.0)]) == []


@given(st.integers(0, 3 * CLIP_SAMPLES))
def test_clips_cover_a_recording_but_for_a_short_rest(samples: int) -> None:
    parts = cut(samples, None)
    assert [start for start, _ in parts[1:]] == [stop for _, stop in parts[:-1]]
    assert 0 <= samples - parts[-1][1] < 1_600
    assert all(stop - start <= CLIP_SAMPLES for start, stop in parts)


def test_pcm_is_clipped_not_wrapped() -> None:
    assert to_pcm16(np.float32([1.0, -1.0, 0.5])) == np.array([32_767, -32_768, 16_384], "<i2").tobytes()


@given(st.binary(min_size=2, max_size=200).filter(lambda data: len(data) % 2 == 0))
def test_pcm_round_trip(pcm: bytes) -> None:
    assert to_pcm16(from_pcm16(pcm)) == pcm


FRAMINGS = st.builds(
    Framing,
    window=st.integers(400, 600),
    hop=st.integers(1, 900),
    padding=st.sampled_from(["symmetric", "constant"]),
    tail=st.sampled_from(["pad", "drop"]),
)


@given(st.integers(1, 5_000), FRAMINGS)
def test_windows_are_the_audio_on_the_grid(samples: int, framing: Framing) -> None:
    audio = np.arange(1, samples + 1, dtype=np.float32)
    windows = frame(audio, framing)
    assert windows.shape == (window_count(samples, framing), framing.window)
    for number, window in enumerate(windows):
        real = audio[number * framing.hop :][: framing.window]
        np.testing.assert_array_equal(window[: real.size], real)
        if framing.padding == "constant":
            assert not window[real.size :].any()


@given(st.integers(1, 5_000), FRAMINGS)
def test_padding_leaves_no_sample_out_where_windows_touch(samples: int, framing: Framing) -> None:
    covered = (window_count(samples, framing) - 1) * framing.hop + framing.window
    if framing.tail == "pad":
        assert covered >= samples
    else:
        assert covered <= max(samples, framing.window)


def test_symmetric_padding_is_numpys() -> None:
    audio = np.random.default_rng(0).standard_normal(700).astype(np.float32)
    windows = frame(audio, Framing(window=2_000, hop=2_000))
    np.testing.assert_array_equal(windows, np.pad(audio, (0, 1_300), "symmetric")[None])


@given(st.integers(1, 5_000), FRAMINGS, st.data())
def test_windows_can_be_written_where_they_belong(samples: int, framing: Framing, data: st.DataObject) -> None:
    audio = np.arange(1, samples + 1, dtype=np.float32)
    wanted = frame(audio, framing)
    first = data.draw(st.integers(0, len(wanted) - 1))
    rows = np.full((len(wanted) - first, framing.window), -1, np.int16)
    fill_windows(rows, audio.astype(np.int16), framing, first=first)
    np.testing.assert_array_equal(rows, wanted[first:])


def test_framing_refuses_what_is_not_one_row() -> None:
    with pytest.raises(InputError, match=r"audio has shape \(2, 3\); give one non-empty row of 16 kHz samples"):
        frame(np.zeros((2, 3), np.float32), Framing())
