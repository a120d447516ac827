"""Decoding, clips, PCM and framing."""

from io import BytesIO

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st

from trillsson.audio import (
    CLIP_SAMPLES,
    RejectError,
    clip_starts,
    decode,
    frame,
    from_pcm16,
    to_pcm16,
    window_count,
)
from trillsson.config import Framing
from trillsson.errors import InputError


def encoded(samples: np.ndarray, rate: int, **how: str) -> BytesIO:
    file = BytesIO()
    soundfile.write(file, samples, rate, **how)
    file.seek(0)
    return file


def tone(rate: int, seconds: float, hertz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


@pytest.mark.parametrize(
    ("kind", "subtype", "rate"),
    [
        ("WAV", "PCM_16", 16_000),
        ("WAV", "PCM_24", 48_000),
        ("WAV", "FLOAT", 44_100),
        ("WAV", "PCM_U8", 8_000),
        ("FLAC", "PCM_16", 22_050),
        ("OGG", "VORBIS", 44_100),
        ("MP3", "MPEG_LAYER_III", 32_000),
    ],
)
def test_every_format_decodes_to_the_same_tone(kind: str, subtype: str, rate: int) -> None:
    audio = decode(encoded(tone(rate, 1.5), rate, format=kind, subtype=subtype))
    assert audio.dtype == np.float32
    assert abs(audio.size - 24_000) < 1_200  # MP3 pads
    spectrum = np.abs(np.fft.rfft(audio[4_000:20_000]))
    assert np.argmax(spectrum) == 440


def test_channels_are_averaged() -> None:
    stereo = np.stack([np.full(16_000, 0.5), np.full(16_000, -0.25)], axis=1)
    audio = decode(encoded(stereo, 16_000, format="WAV", subtype="FLOAT"))
    np.testing.assert_allclose(audio, 0.125)


def test_resampling_in_blocks_is_resampling_at_once() -> None:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 44_100 * 65).astype(np.float32)
    audio = decode(encoded(samples, 44_100, format="WAV", subtype="FLOAT"))
    np.testing.assert_allclose(audio, soxr.resample(samples, 44_100, 16_000), atol=1e-5)


def test_a_wav_of_16_bits_at_16_khz_keeps_every_bit() -> None:
    pcm = np.random.default_rng(0).integers(-32_768, 32_768, 5_000, dtype=np.int16)
    assert to_pcm16(decode(encoded(pcm, 16_000, format="WAV", subtype="PCM_16"))) == pcm.astype("<i2").tobytes()


def test_text_is_undecodable() -> None:
    with pytest.raises(RejectError, match=r"^undecodable: Format not recognised\.$"):
        decode(BytesIO(b"this is a text file named .wav"))


def test_a_cut_flac_is_refused() -> None:
    whole = encoded(np.random.default_rng(0).uniform(-1, 1, 48_000), 16_000, format="FLAC").getvalue()
    with pytest.raises(RejectError, match=r"^(truncated|undecodable): "):
        decode(BytesIO(whole[: len(whole) // 2]))


def test_a_cut_wav_is_refused() -> None:
    whole = encoded(tone(16_000, 1.0), 16_000, format="WAV", subtype="PCM_16").getvalue()
    with pytest.raises(RejectError, match=r"^truncated: 20000 of 32044 bytes are there$"):
        decode(BytesIO(whole[:20_000]))
    endless = whole[:4] + b"\xff\xff\xff\xff" + whole[8:]
    assert decode(BytesIO(endless)).size == 16_000


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_refused(bad: float) -> None:
    samples = tone(16_000, 1.0)
    samples[100] = bad
    with pytest.raises(RejectError) as caught:
        decode(encoded(samples, 16_000, format="WAV", subtype="FLOAT"))
    assert caught.value.reason == "non_finite"


def test_an_empty_file_is_no_samples() -> None:
    assert decode(encoded(np.zeros(0), 16_000, format="WAV", subtype="PCM_16")).size == 0


def test_clip_starts() -> None:
    assert list(clip_starts(0)) == [0]
    assert list(clip_starts(CLIP_SAMPLES)) == [0]
    assert list(clip_starts(CLIP_SAMPLES + 1_599)) == [0]
    assert list(clip_starts(CLIP_SAMPLES + 1_600)) == [0, CLIP_SAMPLES]


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


def test_framing_refuses_what_is_not_one_row() -> None:
    with pytest.raises(InputError, match=r"audio has shape \(2, 3\); give one non-empty row of 16 kHz samples"):
        frame(np.zeros((2, 3), np.float32), Framing())
