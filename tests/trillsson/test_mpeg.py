"""MPEG audio: whatever tags say or leave out, all of a file is decoded, or it is a reject."""

import struct
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from trillsson import decoding
from trillsson.audio import RejectError
from trillsson.decoding import decode
from trillsson.mpeg import Frame, Kind, MpegStream, find_mpeg, mpeg_blocks, parse_frame

JOINED = r"^undecodable: it holds more than the {} frames that its first one announces, as joined files do; split it$"


def mp3(seconds: float, rate: int = 44_100, channels: int = 1) -> bytes:
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)
    file = BytesIO()
    soundfile.write(file, np.stack([tone] * channels, axis=1), rate, format="MP3", bitrate_mode="VARIABLE")
    return file.getvalue()


def retagged(file: bytes, flags: int) -> bytes:
    """Returns a file whose tag announces other fields: 1 frames, 2 bytes; the first of these two stays where it was."""
    at = file.index(b"Xing")
    frames_and_bytes = file[at + 8 : at + 16]
    fields = {0: b"\0" * 8, 1: frames_and_bytes[:4] + b"\0" * 4, 2: frames_and_bytes[4:] + b"\0" * 4}
    return file[: at + 4] + struct.pack(">I", flags) + fields.get(flags, frames_and_bytes) + file[at + 16 :]


def untagged(file: bytes) -> bytes:
    return file.replace(b"Xing", b"\0\0\0\0", 1)


def samples_of(file: bytes) -> int:
    """Returns how many samples at 16 kHz there are."""
    return decode(file).samples


def found_in(file: bytes) -> MpegStream:
    found = find_mpeg(BytesIO(file))
    assert found is not None
    return found


TWO, THREE = mp3(2), mp3(3)
ID3V2 = b"ID3\4\0\0\0\0\7\x76" + bytes(7 * 128 + 0x76)
ID3V1 = b"TAG" + b" " * 125


@pytest.mark.parametrize(
    ("head", "frame"),
    [
        ("fffb9064", Frame(Kind(3, 3, 44_100, 2), 417)),
        ("fffb9264", Frame(Kind(3, 3, 44_100, 2), 418)),
        ("fff388c4", Frame(Kind(2, 3, 16_000, 1), 288)),
        ("ffe348c4", Frame(Kind(0, 3, 8_000, 1), 288)),
        ("fffd8404", Frame(Kind(3, 2, 48_000, 2), 384)),
        ("fff588c0", Frame(Kind(2, 2, 16_000, 1), 576)),
        ("ffff9400", Frame(Kind(3, 1, 48_000, 2), 288)),
    ],
)
def test_a_header_of_a_frame(head: str, frame: Frame) -> None:
    assert parse_frame(bytes.fromhex(head)) == frame


@pytest.mark.parametrize(
    "head",
    ["", "fffb90", "fefb9064", "ffdb9064", "ffeb9064", "fff99064", "fffb0064", "fffbf064", "fffb9c64"],
    ids=["none", "short", "no sync", "no sync", "version", "layer", "free format", "bit rate", "rate"],
)
def test_what_is_no_header_of_a_frame(head: str) -> None:
    assert parse_frame(bytes.fromhex(head)) is None


@pytest.mark.parametrize(
    ("head", "samples"), [("fffb9064", 1152), ("fff388c4", 576), ("fff588c0", 1152), ("ffff9400", 384)]
)
def test_samples_of_a_frame(head: str, samples: int) -> None:
    frame = parse_frame(bytes.fromhex(head))
    assert frame is not None
    assert frame.samples == samples


def test_a_tag_takes_off_what_is_no_sound() -> None:
    found = find_mpeg(BytesIO(TWO))
    assert found == MpegStream(44_100, 1, skipped=1_105, samples=88_200, decoded=78 * 1_152, start=417, end=9_469)
    for file in (TWO, ID3V2 + TWO + ID3V1, TWO + bytes(3_000), ID3V2 + ID3V2 + TWO, bytes(500) + TWO):
        assert samples_of(file) == 32_000


def test_the_samples_are_those_of_libsndfile(tmp_path: Path) -> None:
    """Which reads this file well; its floats are rounded here, so one step is allowed."""
    for rate, channels in ((44_100, 1), (16_000, 2), (8_000, 1)):
        file = mp3(2, rate, channels)
        stream = found_in(file)
        (tmp_path / "a.mp3").write_bytes(file[stream.start : stream.end])
        found = np.concatenate(list(mpeg_blocks(tmp_path / "a.mp3", stream, size=10_000)))
        wanted, _ = soundfile.read(BytesIO(file), dtype="int16", always_2d=True)
        assert found.shape == wanted.shape == (2 * rate, channels)
        assert np.abs(found.astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("flags", [1, 3])
@pytest.mark.parametrize("between", [b"", ID3V1, ID3V2, ID3V1 + ID3V2, bytes(100)], ids=len)
def test_joined_files_are_refused(flags: int, between: bytes) -> None:
    with pytest.raises(RejectError, match=JOINED.format(78)):
        decode(retagged(TWO, flags) + between + THREE)


def test_joined_files_are_refused_behind_a_picture(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(ID3V2 + TWO + b"APETAGEX" + b"\xff\xd8\xff\xe0" * 400_000 + untagged(THREE))
    with pytest.raises(RejectError, match=JOINED.format(78)):
        decode(tmp_path / "a.mp3")


def test_a_tag_that_counts_bytes_wrongly_costs_nothing() -> None:
    at = TWO.index(b"Xing") + 12
    assert samples_of(TWO[:at] + struct.pack(">I", 1_000) + TWO[at + 4 :]) == 32_000


def test_a_tag_that_counts_a_frame_too_few_costs_nothing() -> None:
    at = TWO.index(b"Xing") + 8
    assert samples_of(TWO[:at] + struct.pack(">I", 77) + TWO[at + 4 :]) == round((78 * 1_152 - 1_105) / 44_100 * 16_000)


@pytest.mark.parametrize(("frames", "reason"), [(40, "undecodable"), (79, "truncated")])
def test_a_tag_that_counts_frames_wrongly_is_refused(frames: int, reason: str) -> None:
    at = TWO.index(b"Xing") + 8
    with pytest.raises(RejectError, match=f"^{reason}: .*{frames} frames"):
        decode(TWO[:at] + struct.pack(">I", frames) + TWO[at + 4 :])


def test_words_of_a_tag_elsewhere_are_none() -> None:
    file = untagged(TWO)
    assert samples_of(file[:50] + b"Info" + file[54:]) == samples_of(file)


@pytest.mark.parametrize(
    ("make", "frames"),
    [(untagged, 79), (lambda file: retagged(file, 0), 78), (lambda file: retagged(file, 2), 78)],
    ids=["no tag", "a tag with nothing", "a tag with bytes"],
)
@pytest.mark.parametrize(
    "front", [b"", ID3V2, ID3V2 * 2, bytes(64), ID3V1], ids=["", "tag", "tags", "zeros", "old tag"]
)
@pytest.mark.parametrize("end", [b"", ID3V1, b"\xff\xfb", bytes(5_000)], ids=["", "old tag", "sync", "zeros"])
def test_without_a_tag_all_is_read(make: Callable[[bytes], bytes], frames: int, front: bytes, end: bytes) -> None:
    """libsndfile reads 0.6 to 0.7 s of most of these."""
    assert samples_of(front + make(TWO) + end) == pytest.approx(frames * 1_152 / 44_100 * 16_000, abs=1)


@given(
    seconds=st.floats(0.2, 3), rate=st.sampled_from([8_000, 16_000, 32_000, 44_100, 48_000]), channels=st.integers(1, 2)
)
def test_nothing_is_left_out(seconds: float, rate: int, channels: int) -> None:
    file = mp3(seconds, rate, channels)
    assert samples_of(file) == pytest.approx(int(rate * seconds) / rate * 16_000, abs=2)
    assert 0.03 < (samples_of(untagged(file)) - samples_of(file)) / 16_000 < 5 * 1_152 / rate


def test_files_without_tags_can_be_joined() -> None:
    alone = [samples_of(untagged(file)) for file in (TWO, THREE)]
    assert samples_of(untagged(TWO) + untagged(THREE)) == pytest.approx(sum(alone), abs=2)


@pytest.mark.parametrize(
    "between",
    [ID3V1, ID3V2, bytes(100), mp3(1, 48_000), untagged(mp3(1, channels=2))],
    ids=["old tag", "tag", "damage", "rate", "channels"],
)
def test_what_lies_between_frames_is_refused(between: bytes) -> None:
    told = rf"damage, a tag, another rate or other channels at byte {len(TWO)}, with more sound behind it"
    with pytest.raises(RejectError, match=rf"^undecodable: {told}; mend or split it with ffmpeg$"):
        decode(untagged(TWO) + between + untagged(THREE))


@pytest.mark.parametrize("make", [untagged, bytes])
@pytest.mark.parametrize("end", [b"", ID3V1])
def test_a_last_frame_that_is_cut_is_refused(make: Callable[[bytes], bytes], end: bytes) -> None:
    with pytest.raises(RejectError, match=r"^truncated: its last frame, at byte 9261, is not whole$"):
        decode(make(TWO)[:-50] + end)


def test_frames_that_are_not_there_are_missed() -> None:
    with pytest.raises(RejectError, match=r"^truncated: 77 of 78 frames are there$"):
        decode(TWO[:9_261])


def test_bits_that_lay_before_the_first_frame_are_not_missed(tmp_path: Path) -> None:
    """As in a recording that begins in the middle of a broadcast."""
    rest = b"\0" * 100 + TWO[3_000:]
    stream = found_in(rest)
    frames = stream.samples // 1_152
    assert stream.decoded == (frames - 7) * 1_152  # of 83 bytes each; 511 may lie before the first
    assert samples_of(rest) > 1.3 * 16_000


def test_frames_that_cannot_be_decoded_are_missed(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(untagged(TWO))
    stream = replace(found_in(untagged(TWO)), decoded=100 * 1_152)
    told = r"^undecodable: only 91008 of the 115200 samples of its frames can be decoded$"
    with pytest.raises(RejectError, match=told):
        list(mpeg_blocks(tmp_path / "a.mp3", stream, size=10_000))
    (tmp_path / "a.mp3").write_bytes(b"no sound")
    with pytest.raises(RejectError, match=r"^undecodable: could not open/decode file$"):
        list(mpeg_blocks(tmp_path / "a.mp3", stream, size=10_000))


@pytest.mark.parametrize("file", [b"", b"ID3", b"ID3\4\0\0\0\0\0\1", b"\xff\xfb\x90\x64" * 3, TWO[:600]], ids=len)
def test_other_files_are_left_alone(file: bytes) -> None:
    assert find_mpeg(BytesIO(file)) is None


def test_a_tag_with_a_footer_is_longer() -> None:
    footed = ID3V2[:5] + b"\x10" + ID3V2[6:] + b"3DI" + bytes(7)
    assert found_in(footed + untagged(TWO)) == replace(
        found_in(untagged(TWO)), start=len(footed), end=len(footed) + 9_469
    )


@pytest.mark.parametrize("kind", [b"\x50\0", b"\x55\0"])
def test_wav_files_that_hold_it_are_read(kind: bytes) -> None:
    form = kind + struct.pack("<HIIHHH", 1, 44_100, 16_000, 1, 0, 0)
    for file in (TWO, untagged(TWO)):
        parts = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(file)) + file + b"\0"
        wav = b"RIFF" + struct.pack("<I", 4 + len(parts)) + b"WAVE" + parts
        assert samples_of(wav) == samples_of(file)


def test_what_libsndfile_alone_finds_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "find_mpeg", lambda _: None)
    with pytest.raises(RejectError, match=r"^undecodable: its frames cannot be found: they are of a free format, or "):
        decode(TWO)


def starts_of(file: bytes) -> list[int]:
    """Returns where each frame of a file begins."""
    starts = [0]
    while frame := parse_frame(file[starts[-1] : starts[-1] + 4]):
        starts.append(starts[-1] + frame.size)
    return starts[:-1]


def damaged(file: bytes, frame: int) -> bytes:
    """Returns a file with one frame that cannot be found any more."""
    at = starts_of(file)[frame] + 1
    return file[:at] + b"\0" + file[at + 1 :]


@pytest.mark.parametrize(("make", "frame"), [(bytes, 0), (bytes, 1), (bytes, 2), (untagged, 1), (untagged, 2)])
def test_damage_in_the_first_frames_is_refused(make: Callable[[bytes], bytes], frame: int) -> None:
    with pytest.raises(
        RejectError, match=r"^undecodable: its first frames, at byte 0, are damaged; mend it with ffmpeg"
    ):
        decode(damaged(make(TWO), frame))


def test_damage_in_the_very_first_frame_is_not_to_be_told_from_junk_before_it() -> None:
    assert samples_of(damaged(untagged(TWO), 0)) == pytest.approx(78 * 1_152 / 44_100 * 16_000, abs=1)


@pytest.mark.parametrize("frame", [-2, -3, -4])
def test_damage_in_the_last_frames_is_refused(frame: int) -> None:
    file = untagged(TWO)
    told = f"damage, a tag, another rate or other channels at byte {starts_of(file)[frame]}, with more sound behind it"
    with pytest.raises(RejectError, match=f"^undecodable: {told}; "):
        decode(damaged(file, frame))


def test_noise_that_looks_like_headers_is_read_fast() -> None:
    """Which took minutes when each candidate was read from the file."""
    for noise in (b"\xff" * 3_000_000, b"\xff\xfb\x90\x64" * 100_000):
        assert samples_of(TWO + noise[:-1] + bytes(2_000)) == 32_000
