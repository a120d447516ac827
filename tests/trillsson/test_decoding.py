"""Decoding: every format to mono 16 kHz int16, whole or a reject, in memory that does not grow with length."""

import errno
import re
import tempfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trillsson.audio import RejectError
from trillsson.decoding import BLOCK_SECONDS, Decoded, Samples, decode
from trillsson.errors import TransientError


def encoded(samples: NDArray[np.generic], rate: int, **how: str) -> bytes:
    file = BytesIO()
    soundfile.write(file, samples, rate, **how)
    return file.getvalue()


def tone(rate: int, seconds: float, hertz: float = 440.0) -> NDArray[np.float64]:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


def samples_of(audio: Path | bytes | Samples) -> NDArray[np.int16]:
    decoded = decode(audio)
    return decoded.read(0, decoded.samples)


FORMATS = [
    ("WAV", "PCM_16", 16_000),
    ("WAV", "PCM_24", 48_000),
    ("WAV", "FLOAT", 44_100),
    ("WAV", "PCM_U8", 8_000),
    ("FLAC", "PCM_16", 22_050),
    ("OGG", "VORBIS", 44_100),
    ("OGG", "OPUS", 48_000),
    ("AIFF", "PCM_16", 48_000),
    ("MP3", "MPEG_LAYER_III", 32_000),
]


@pytest.mark.parametrize(("kind", "subtype", "rate"), FORMATS)
def test_every_format_decodes_to_the_same_tone(kind: str, subtype: str, rate: int) -> None:
    found = samples_of(encoded(tone(rate, 1.5), rate, format=kind, subtype=subtype))
    assert found.dtype == np.int16
    assert abs(found.size - 24_000) < 1_200  # MP3 pads
    spectrum = np.abs(np.fft.rfft(found[4_000:20_000]))
    assert np.argmax(spectrum) == 440
    assert 2 * spectrum[440] / 16_000 / 32_768 == pytest.approx(0.5, rel=0.03)


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_channels_are_averaged(subtype: str) -> None:
    stereo = np.stack([np.full(16_000, 0.5), np.full(16_000, -0.25)], axis=1)
    np.testing.assert_array_equal(samples_of(encoded(stereo, 16_000, format="WAV", subtype=subtype)), 4_096)


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_resampling_in_blocks_is_resampling_at_once(subtype: str) -> None:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 44_100 * 65).astype(np.float32)
    file = encoded(samples, 44_100, format="WAV", subtype=subtype)
    wanted = 32_768 * soxr.resample(soundfile.read(BytesIO(file), dtype="float32")[0], 44_100, 16_000)
    np.testing.assert_allclose(samples_of(file), wanted, atol=0.51)


def test_a_wav_of_16_bits_at_16_khz_keeps_every_bit(tmp_path: Path) -> None:
    pcm = np.random.default_rng(0).integers(-32_768, 32_768, 5_000, dtype=np.int16)
    file = encoded(pcm, 16_000, format="WAV", subtype="PCM_16")
    np.testing.assert_array_equal(samples_of(file), pcm)
    (tmp_path / "a.wav").write_bytes(file)
    np.testing.assert_array_equal(samples_of(tmp_path / "a.wav"), pcm)


def test_what_is_beyond_full_scale_is_clipped() -> None:
    found = samples_of(encoded(np.float32([1.5, -1.5, 0.25]), 16_000, format="WAV", subtype="FLOAT"))
    assert found.tolist() == [32_767, -32_768, 8_192]


@pytest.mark.parametrize("array", [np.arange(-5, 5, dtype=np.int16), np.arange(-5, 5, dtype=np.float32) / 32_768])
def test_samples_are_taken_as_they_are(array: NDArray[np.int16] | NDArray[np.float32]) -> None:
    assert samples_of(Samples(array, 16_000)).tolist() == list(range(-5, 5))


def test_samples_of_another_rate_are_resampled() -> None:
    found = samples_of(Samples(tone(8_000, 1.0).astype(np.float32), 8_000))
    np.testing.assert_allclose(found[1_000:-1_000], 32_768 * tone(16_000, 1.0)[1_000:-1_000], atol=60)


def test_text_is_undecodable() -> None:
    with pytest.raises(RejectError, match=r"^undecodable: Format not recognised\.$"):
        decode(b"this is a text file named .wav")


@pytest.mark.parametrize("name", ["a.m4a", "a.WMA"])
def test_a_format_that_is_not_read_is_unsupported(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x00\x00\x00\x18ftypM4A ")
    with pytest.raises(RejectError) as caught:
        decode(tmp_path / name)
    assert (caught.value.reason, caught.value.detail) == (
        "unsupported",
        f"{name[1:].lower()} is not read; convert it with ffmpeg to .flac, or to .wav, .aiff, .mp3, .ogg or .opus",
    )


def test_a_file_with_a_wrong_name_is_read_still(tmp_path: Path) -> None:
    (tmp_path / "a.m4a").write_bytes(encoded(tone(16_000, 1.0), 16_000, format="WAV"))
    assert decode(tmp_path / "a.m4a").samples == 16_000


def test_a_file_without_bytes_is_empty(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    for audio in (b"", tmp_path / "a.wav"):
        with pytest.raises(RejectError, match=r"^empty: the file has no bytes$"):
            decode(audio)


def test_the_reason_does_not_tell_where_the_file_lies(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"this is a text file named .wav")
    with pytest.raises(RejectError, match=r"^undecodable: Format not recognised\.$"):
        decode(tmp_path / "a.wav")


CUT = [
    ("WAV", "PCM_16"),
    ("RF64", "PCM_16"),
    ("W64", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("AU", "PCM_16"),
    ("CAF", "PCM_16"),
    ("NIST", "PCM_16"),
    ("NIST", "ULAW"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
]


@pytest.mark.parametrize("kept", [0.5, 0.93])
@pytest.mark.parametrize(("kind", "subtype"), CUT)
def test_a_file_that_was_cut_is_refused(kind: str, subtype: str, kept: float) -> None:
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, 64_000)
    whole = encoded(noise, 16_000, format=kind, subtype=subtype)
    assert abs(decode(whole).samples - 64_000) < 1_200
    with pytest.raises(RejectError, match=r"^(truncated|undecodable): "):
        decode(whole[: int(kept * len(whole))])


def test_a_cut_wav_tells_what_is_there(tmp_path: Path) -> None:
    whole = encoded(tone(16_000, 1.0), 16_000, format="WAV", subtype="PCM_16")
    (tmp_path / "a.wav").write_bytes(whole[:20_000])
    for audio in (whole[:20_000], tmp_path / "a.wav"):
        with pytest.raises(RejectError, match=r"^truncated: 20000 of 32044 bytes are there$"):
            decode(audio)
    endless = whole[:4] + b"\xff\xff\xff\xff" + whole[8:]
    assert decode(endless).samples == 16_000


def test_a_cut_sphere_file_tells_what_is_there() -> None:
    whole = encoded(np.zeros((16_000, 2)), 16_000, format="NIST", subtype="PCM_16")
    assert decode(whole).samples == 16_000
    with pytest.raises(RejectError, match=r"^truncated: 65023 of 65024 bytes are there$"):
        decode(whole[:-1])


@pytest.mark.parametrize(
    ("field", "other"),
    [(b"sample_n_bytes -i 2", b"sample_n_bytes -s3 two"), (b"sample_count -i 16000", b"comment -s1 x")],
)
def test_a_sphere_header_that_does_not_tell_the_length(field: bytes, other: bytes) -> None:
    whole = encoded(np.zeros(16_000), 16_000, format="NIST", subtype="PCM_16")
    head = whole[:1_024].replace(field, other)[:1_024].ljust(1_024, b"\0")
    assert decode(head + whole[1_024:20_000]).samples == 9_488


def test_sphere_files_that_are_compressed_are_not_taken_for_cut_ones() -> None:
    whole = encoded(np.zeros(16_000), 16_000, format="NIST", subtype="PCM_16")
    packed = whole.replace(b"-s3 pcm", b"-s26 pcm,embedded-shorten-v2.00")[:9_000]
    with pytest.raises(RejectError, match=r"^undecodable: File contains data in an unimplemented format\.$"):
        decode(packed)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("serial", [None, 0], ids=["serials", "one serial"])
@pytest.mark.parametrize("lengths", [(1.0, 2.0), (2.0, 1.0), (1.0, 1.0)])
def test_ogg_files_that_were_joined_are_refused(subtype: str, serial: int | None, lengths: tuple[float, ...]) -> None:
    """Some encoders number each stream 0. The checksums of these pages are wrong then, but nobody asks before."""
    files = [encoded(tone(48_000, seconds), 48_000, format="OGG", subtype=subtype) for seconds in lengths]
    if serial is not None:
        files = [re.sub(rb"(?s)(OggS.{10}).{4}", rb"\g<1>" + serial.to_bytes(4, "little"), file) for file in files]
    told = r"^undecodable: another file lies behind the first one, as joined files have it; split it$"
    with pytest.raises(RejectError, match=told):
        decode(b"".join(files))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_refused(bad: float) -> None:
    samples = tone(16_000, 1.0)
    samples[100] = bad
    with pytest.raises(RejectError, match=r"^non_finite: the samples hold NaN or infinity$"):
        decode(encoded(samples, 16_000, format="WAV", subtype="FLOAT"))


def test_a_file_without_samples_is_read() -> None:
    assert decode(encoded(np.zeros(0), 16_000, format="WAV", subtype="PCM_16")).samples == 0


@given(st.lists(st.integers(0, 40), max_size=30), st.data())
def test_any_part_can_be_read_back(sizes: list[int], data: st.DataObject) -> None:
    decoded = Decoded()
    for number, size in enumerate(sizes):
        decoded.append(np.arange(number, number + size, dtype=np.int16))
    whole = np.concatenate([np.zeros(0, np.int16), *(np.arange(n, n + size) for n, size in enumerate(sizes))])
    start = data.draw(st.integers(0, whole.size))
    stop = data.draw(st.integers(start, whole.size))
    np.testing.assert_array_equal(decoded.read(start, stop), whole[start:stop])
    decoded.close()


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    decoded = Decoded()
    for _ in range(8):
        decoded.append(np.zeros(1, np.int16))
    with pytest.raises(TransientError, match=r"^cannot write /.*: No space left on device; free some space and run"):
        decoded.append(np.zeros(1, np.int16))


def test_a_long_recording_does_not_stay_in_memory() -> None:
    decoded = Decoded()
    block = np.zeros(BLOCK_SECONDS * 16_000, np.int16)
    for _ in range(9):
        decoded.append(block)
    assert decoded._blocks == []
    assert decoded.read(decoded.samples - 10, decoded.samples).tolist() == [0] * 10
    decoded.close()
