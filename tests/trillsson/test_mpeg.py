"""MPEG audio: whatever tags say or leave out, all of a file is decoded, or it is a reject."""

import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from trillsson.audio import RejectError
from trillsson.decoding import decode
from trillsson.mpeg import Frame, Kind, Untagged, find_untagged, mpeg_blocks, parse_frame

JOINED = r"^undecodable: it holds more than the {} frames that its first one announces, as joined files do; split it$"
DELAY = 1_152 + 1_105
"""What LAME's tag takes off the start: the frame that holds it, and the delay of coder (576) and decoder (529)."""


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


def outcome(file: bytes) -> float | str:
    try:
        return decode(file).samples / 16_000
    except RejectError as error:
        return str(error)


TWO, THREE = mp3(2), mp3(3)
ID3V2 = b"ID3\4\0\0\0\0\7\x76" + bytes(7 * 128 + 0x76)
ID3V1 = b"TAG" + b" " * 125


@pytest.mark.parametrize(
    ("head", "frame"),
    [
        ("fffb9064", Frame(Kind(3, 3, 44_100), 2, 417)),
        ("fffb9264", Frame(Kind(3, 3, 44_100), 2, 418)),
        ("fff388c4", Frame(Kind(2, 3, 16_000), 1, 288)),
        ("ffe348c4", Frame(Kind(0, 3, 8_000), 1, 288)),
        ("fffd8404", Frame(Kind(3, 2, 48_000), 2, 384)),
        ("fff588c0", Frame(Kind(2, 2, 16_000), 1, 576)),
        ("ffff9400", Frame(Kind(3, 1, 48_000), 2, 288)),
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


def test_a_tag_that_tells_the_length_is_believed() -> None:
    for file in (TWO, ID3V2 + TWO + ID3V1, TWO + bytes(3_000)):
        assert find_untagged(BytesIO(file)) is None
        assert outcome(file) == 2.0


@pytest.mark.parametrize("flags", [1, 3])
@pytest.mark.parametrize("between", [b"", ID3V1, ID3V2, ID3V1 + ID3V2, bytes(100)])
def test_joined_files_are_refused(flags: int, between: bytes) -> None:
    with pytest.raises(RejectError, match=JOINED.format(78)):
        decode(retagged(TWO, flags) + between + THREE)


def test_joined_files_are_refused_behind_a_picture(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(ID3V2 + TWO + b"APETAGEX" + b"\xff\xd8\xff\xe0" * 400_000 + untagged(THREE))
    with pytest.raises(RejectError, match=JOINED.format(78)):
        decode(tmp_path / "a.mp3")


def test_a_tag_that_counts_bytes_wrongly_costs_nothing() -> None:
    at = TWO.index(b"Xing") + 12
    assert outcome(TWO[:at] + struct.pack(">I", 1_000) + TWO[at + 4 :]) == 2.0


@pytest.mark.parametrize(
    ("make", "frames"),
    [(untagged, 79), (lambda file: retagged(file, 0), 78), (lambda file: retagged(file, 2), 78)],
    ids=["no tag", "a tag with nothing", "a tag with bytes"],
)
@pytest.mark.parametrize("front", [b"", ID3V2], ids=["", "tag"])
@pytest.mark.parametrize("end", [b"", ID3V1, b"\xff\xfb", bytes(5_000)], ids=["", "old tag", "sync", "zeros"])
def test_without_a_tag_all_is_read(
    tmp_path: Path, make: Callable[[bytes], bytes], frames: int, front: bytes, end: bytes
) -> None:
    """libsndfile reads 0.6 to 0.7 s of these."""
    file = front + make(TWO) + end
    (tmp_path / "a.mp3").write_bytes(file)
    assert decode(file).samples == decode(tmp_path / "a.mp3").samples
    assert outcome(file) == pytest.approx(frames * 1_152 / 44_100, abs=1e-4)


def test_without_a_tag_the_samples_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(untagged(TWO))
    stream = Untagged(44_100, 1, 77 * 1_152, 9_469)
    found = np.concatenate(list(mpeg_blocks(tmp_path / "a.mp3", stream, size=10_000)))[DELAY:, 0]
    wanted, _ = soundfile.read(BytesIO(TWO), dtype="int16")
    assert len(wanted) == 88_200
    assert np.abs(found[: len(wanted)].astype(int) - wanted).max() <= 1


@given(
    seconds=st.floats(0.2, 3), rate=st.sampled_from([8_000, 16_000, 32_000, 44_100, 48_000]), channels=st.integers(1, 2)
)
def test_without_a_tag_nothing_is_left_out(seconds: float, rate: int, channels: int) -> None:
    file = mp3(seconds, rate, channels)
    beyond = decode(untagged(file)).samples / 16_000 - decode(file).samples / 16_000
    assert 0.03 < beyond < 5 * 1_152 / rate


def test_files_without_tags_can_be_joined() -> None:
    alone = [decode(untagged(file)).samples for file in (TWO, THREE)]
    assert decode(untagged(TWO) + untagged(THREE)).samples == pytest.approx(sum(alone), abs=2)


@pytest.mark.parametrize(
    "between", [ID3V1, ID3V2, bytes(100), mp3(1, 48_000)], ids=["old tag", "tag", "damage", "another rate"]
)
def test_what_lies_between_frames_is_refused(between: bytes) -> None:
    told = rf"damage, a tag or another rate at byte {len(TWO)}, with more sound behind it; mend or split it with ffmpeg"
    with pytest.raises(RejectError, match=rf"^undecodable: {told}$"):
        decode(untagged(TWO) + between + untagged(THREE))


def test_a_last_frame_that_is_cut_is_refused() -> None:
    with pytest.raises(RejectError, match=r"^truncated: its last frame, at byte 9261, is not whole$"):
        decode(untagged(TWO)[:-50])


def test_frames_that_cannot_be_decoded_are_missed(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(untagged(TWO))
    stream = Untagged(44_100, 1, 100 * 1_152, 9_469)
    with pytest.raises(
        RejectError, match=r"^undecodable: only 91008 of the 115200 samples of its frames can be decoded$"
    ):
        list(mpeg_blocks(tmp_path / "a.mp3", stream, size=10_000))
    (tmp_path / "a.mp3").write_bytes(b"no sound")
    with pytest.raises(RejectError, match=r"^undecodable: could not open/decode file$"):
        list(mpeg_blocks(tmp_path / "a.mp3", stream, size=10_000))


@pytest.mark.parametrize("file", [b"", b"ID3", b"ID3\4\0\0\0\0\0\1", b"\xff\xfb\x90\x64" * 3, TWO[:600]])
def test_other_files_are_left_alone(file: bytes) -> None:
    assert find_untagged(BytesIO(file)) is None


def test_a_tag_with_a_footer_is_longer() -> None:
    footed = ID3V2[:5] + b"\x10" + ID3V2[6:] + b"3DI" + bytes(7)
    found = find_untagged(BytesIO(footed + untagged(TWO)))
    assert found == Untagged(44_100, 1, 77 * 1_152, len(footed) + 9_469)
