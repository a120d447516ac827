"""FLAC through dr_flac: the samples that libsndfile gives, and its verdict on files that are damaged."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trillsson import decoding
from trillsson.audio import RejectError
from trillsson.decoding import decode
from trillsson.flac import FlacError, FlacInfo, flac_blocks, parse_flac_info

PCM = np.random.default_rng(0).integers(-9_000, 9_000, 20_000, dtype=np.int16)


def flac(samples: NDArray[np.int16], rate: int = 16_000, subtype: str = "PCM_16") -> bytes:
    file = BytesIO()
    soundfile.write(file, samples, rate, format="FLAC", subtype=subtype)
    return file.getvalue()


def outcome(audio: Path | bytes) -> bytes | str:
    try:
        decoded = decode(audio)
    except RejectError as error:
        return str(error)
    return decoded.read(0, decoded.samples).tobytes()


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 96_000])
@pytest.mark.parametrize(("subtype", "bits"), [("PCM_S8", 8), ("PCM_16", 16), ("PCM_24", 24)])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_what_a_file_says_of_itself(rate: int, subtype: str, bits: int, channels: int) -> None:
    samples = np.stack([PCM[:1_234]] * channels, axis=1)
    assert parse_flac_info(flac(samples, rate, subtype)) == FlacInfo(rate, channels, bits, 1_234)


@pytest.mark.parametrize("head", [b"", flac(PCM)[:25], b"RIFF" + flac(PCM)[4:], b"ID3\4" + flac(PCM), b"fLaC\1" * 9])
def test_other_files_say_nothing(head: bytes) -> None:
    assert parse_flac_info(head) is None


@given(samples=st.integers(1, 20_000), channels=st.integers(1, 3), size=st.integers(1, 30_000))
def test_blocks_hold_the_samples(
    tmp_path_factory: pytest.TempPathFactory, samples: int, channels: int, size: int
) -> None:
    path = tmp_path_factory.mktemp("flac") / "a.flac"
    wanted = np.stack([PCM[:samples] // (1 + channel) for channel in range(channels)], axis=1)
    path.write_bytes(flac(wanted))
    blocks = list(flac_blocks(path, FlacInfo(16_000, channels, 16, samples), size=size))
    assert [len(block) for block in blocks] == [size] * (samples // size) + [samples % size] * (samples % size > 0)
    np.testing.assert_array_equal(np.concatenate(blocks), wanted)


def test_samples_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_bytes(flac(PCM))
    with pytest.raises(FlacError, match=r"^20000 of 20001 samples$"):
        list(flac_blocks(tmp_path / "a.flac", FlacInfo(16_000, 1, 16, 20_001), size=4_096))


def announcing(samples: int, rate: int, channels: int) -> bytes:
    """A file of 20,000 samples whose header says something else."""
    data = bytearray(flac(np.stack([PCM] * channels, axis=1), rate))
    data[18:26] = (rate << 44 | channels - 1 << 41 | 15 << 36 | samples).to_bytes(8, "big")
    return bytes(data)


@pytest.mark.parametrize("samples", [20_001, 2**35])
@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2)])
def test_a_header_that_announces_too_much_is_left_to_libsndfile(
    tmp_path: Path, samples: int, rate: int, channels: int
) -> None:
    lying = announcing(samples, rate, channels)
    (tmp_path / "a.flac").write_bytes(lying)
    assert outcome(tmp_path / "a.flac") == outcome(lying)


def test_a_header_that_announces_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_bytes(announcing(0, 16_000, 1))
    told = r"^undecodable: its header does not tell its length, as of FLAC from a pipe; encode it anew$"
    for audio in (tmp_path / "a.flac", announcing(0, 16_000, 1)):
        with pytest.raises(RejectError, match=told):
            decode(audio)


MORE = r"^undecodable: it holds more than the {} samples that its header announces; encode it anew$"


@pytest.mark.parametrize("samples", [1, 4_096, 19_999])
@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2)])
def test_no_samples_are_dropped_beyond_what_is_announced(
    tmp_path: Path, samples: int, rate: int, channels: int
) -> None:
    (tmp_path / "a.flac").write_bytes(announcing(samples, rate, channels))
    with pytest.raises(RejectError, match=MORE.format(samples)):
        decode(tmp_path / "a.flac")


JOINED = r"^undecodable: another file lies behind the first one, as joined files have it; split it$"


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_two_files_in_one_are_refused(tmp_path: Path, rate: int) -> None:
    (tmp_path / "a.flac").write_bytes(flac(np.resize(PCM, 5 * rate), rate) * 2)
    with pytest.raises(RejectError, match=JOINED):
        decode(tmp_path / "a.flac")


@pytest.mark.parametrize("first", ["PCM_S8", "PCM_16", "PCM_24"])
@pytest.mark.parametrize("second", ["PCM_16", "PCM_24"])
@pytest.mark.parametrize("front", [b"", b"ID3\4\0\0\0\0\0\5" + bytes(5)], ids=["", "tag"])
def test_two_files_of_any_kind_in_one_are_refused(tmp_path: Path, first: str, second: str, front: bytes) -> None:
    """dr_flac skips the frames of another kind, libsndfile all that lies behind the announced samples."""
    joined = front + flac(PCM, subtype=first) + b"fLaC\x80" + flac(PCM, subtype=second)[5:]
    (tmp_path / "a.flac").write_bytes(joined)
    for audio in (joined, tmp_path / "a.flac"):
        with pytest.raises(RejectError, match=JOINED):
            decode(audio)


def test_a_rate_of_nothing_is_a_reject(tmp_path: Path) -> None:
    data = bytearray(flac(PCM))
    data[18:21] = bytes([0, 0, data[20] & 0x0F])
    (tmp_path / "a.flac").write_bytes(data)
    assert outcome(tmp_path / "a.flac") == outcome(bytes(data))
    assert str(outcome(bytes(data))).startswith("undecodable: ")


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
def test_only_sixteen_bits_go_through_dr_flac(tmp_path: Path, subtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = BytesIO()
    soundfile.write(file, np.random.default_rng(0).uniform(-0.5, 0.5, 5_000), 16_000, format="FLAC", subtype=subtype)
    (tmp_path / "a.flac").write_bytes(file.getvalue())
    assert outcome(tmp_path / "a.flac") == outcome(file.getvalue())
    asked: list[object] = []
    monkeypatch.setattr(decoding, "flac_blocks", lambda path, info, size: asked.append(info) or iter(()))
    decode(tmp_path / "a.flac")
    assert len(asked) == (subtype == "PCM_16")


def test_what_is_no_flac(tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_bytes(b"fLaC")
    with pytest.raises(FlacError):
        list(flac_blocks(tmp_path / "a.flac", FlacInfo(16_000, 1, 16, 1), size=1))


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.999])
@pytest.mark.parametrize("seconds", [1, 45])
def test_a_cut_file_is_refused_as_libsndfile_refuses_it(tmp_path: Path, kept: float, seconds: int) -> None:
    whole = flac(np.resize(PCM, seconds * 16_000))
    cut = whole[: int(kept * len(whole))]
    (tmp_path / "a.flac").write_bytes(cut)
    assert outcome(tmp_path / "a.flac") == outcome(cut)
    assert isinstance(outcome(cut), str)


@given(at=st.integers(0, len(flac(PCM)) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_changes_no_samples_unseen(tmp_path_factory: pytest.TempPathFactory, at: int, bit: int) -> None:
    damaged = bytearray(flac(PCM))
    damaged[at] ^= 1 << bit
    path = tmp_path_factory.mktemp("flac") / "a.flac"
    path.write_bytes(damaged)
    found = outcome(path)
    assert found in (PCM.tobytes(), outcome(bytes(damaged))) or str(found).startswith("undecodable: it holds more")


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (16_000, 2), (44_100, 1), (44_100, 2)])
def test_a_long_file_decodes_as_libsndfile_decodes_it(tmp_path: Path, rate: int, channels: int) -> None:
    samples = np.stack([np.resize(PCM, 65 * rate)] * channels, axis=1)
    (tmp_path / "a.flac").write_bytes(flac(samples, rate))
    assert outcome(tmp_path / "a.flac") == outcome(flac(samples, rate))


@pytest.mark.parametrize("seconds", [30, 60])
def test_a_length_of_whole_blocks(tmp_path: Path, seconds: int) -> None:
    samples = np.resize(PCM, seconds * 16_000)
    (tmp_path / "a.flac").write_bytes(flac(samples))
    assert outcome(tmp_path / "a.flac") == samples.tobytes()
