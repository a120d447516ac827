import io
import struct
import zlib

import numpy as np
import pytest
import soundfile

from trillsson.audio import to_pcm16
from trillsson.config import LogMelSpec
from trillsson.inspection.media import data_uri, png, spectrogram, wav


def test_a_wav_file_decodes_to_the_samples() -> None:
    audio = np.random.default_rng(0).uniform(-1, 0.99, 5_000).astype(np.float32)
    samples, rate = soundfile.read(io.BytesIO(wav(audio)), dtype="int16")
    assert rate == 16_000
    assert samples.astype("<i2").tobytes() == to_pcm16(audio)


def test_a_png_decodes_to_the_picture() -> None:
    picture = np.arange(12, dtype=np.uint8).reshape(3, 4) * 21
    header, palette, rows = chunks(png(picture))
    assert header == (b"IHDR", struct.pack(">IIBBBBB", 4, 3, 8, 3, 0, 0, 0))
    assert palette[1][:3] == bytes((0, 0, 4))
    assert palette[1][-3:] == bytes((252, 255, 164))
    assert len(palette[1]) == 768
    assert zlib.decompress(rows[1]) == b"".join(b"\0" + row.tobytes() for row in picture)


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Splits a PNG file into its chunks but the last, and checks their checksums."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    found, at = [], 8
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        body = data[at + 4 : at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size : at + 12 + size]) == (zlib.crc32(body),)
        found.append((body[:4], body[4:]))
        at += 12 + size
    assert found.pop() == (b"IEND", b"")
    return found


def test_a_tone_is_a_line_at_its_height() -> None:
    spec = LogMelSpec()
    time = np.arange(16_000) / 16_000
    low, high = (
        spectrogram(np.sin(2 * np.pi * hertz * time).astype(np.float32), spec).mean(axis=1).argmax()
        for hertz in (300, 5_000)
    )
    # Rows run from the highest band to the lowest; 300 Hz is nearest to band 6 of 0 to 79,
    # 5 kHz to band 67 (HTK mel, 125 to 7,500 Hz).
    assert (low, high) == (73, 12)


@pytest.mark.parametrize(("samples", "frames"), [(16_000, 98), (400, 1), (7, 1)])
def test_silence_is_black_and_a_short_clip_is_filled(samples: int, frames: int) -> None:
    picture = spectrogram(np.zeros(samples, np.float32), LogMelSpec())
    assert picture.shape == (80, frames)
    assert not picture.any()


def test_data_uri() -> None:
    assert data_uri(b"hello", "audio/wav") == "data:audio/wav;base64,aGVsbG8="
