"""Sounds and pictures as data URIs: a WAV file that any browser plays, a log-mel spectrogram as PNG."""

import base64
import io
import struct
import wave
import zlib

import numpy as np
from numpy.typing import NDArray

from trillsson.audio import Audio, to_pcm16
from trillsson.config import SAMPLE_RATE, LogMelSpec
from trillsson.logmel import log_mel

_STOPS = ((0, 0, 4), (40, 11, 84), (101, 21, 110), (159, 42, 99), (212, 72, 66), (245, 125, 21), (250, 193, 39),
          (252, 255, 164))  # fmt: skip
"""Colours from faint to loud, evenly spaced; rises in lightness throughout, so it also reads in grey."""


def wav(audio: Audio) -> bytes:
    """Encodes samples, `[samples]` float32 in [-1, 1], as a 16-bit mono WAV file of 16 kHz."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(to_pcm16(audio))
    return buffer.getvalue()


def spectrogram(audio: Audio, spec: LogMelSpec) -> NDArray[np.uint8]:
    """Returns a log-mel spectrogram as a picture: `[bands, frames]`, low bands below, 0 faint to 255 loud.

    Black is digital silence, white-yellow the clip's loudest band. A clip shorter than a frame is filled with zeros.
    """
    filled = np.pad(audio, (0, max(0, spec.frame_length - audio.size)))
    levels = log_mel(filled[None], spec)[0].T[::-1]
    floor = np.log(spec.offset)
    top = max(float(levels.max()), floor + 1.0)
    return np.asarray(np.clip(np.rint(255 * (levels - floor) / (top - floor)), 0, 255), np.uint8)


def png(picture: NDArray[np.uint8]) -> bytes:
    """Encodes `[height, width]` indices into the colours as a PNG file (W3C PNG, third edition: 8-bit palette)."""
    height, width = picture.shape
    stops = np.linspace(0, 255, len(_STOPS))
    palette = np.stack([np.interp(np.arange(256), stops, channel) for channel in zip(*_STOPS, strict=True)], axis=1)
    rows = np.pad(picture, ((0, 0), (1, 0)))  # each row begins with its filter: 0, none
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0),
        b"PLTE": np.rint(palette).astype(np.uint8).tobytes(),
        b"IDAT": zlib.compress(rows.tobytes(), 9),
        b"IEND": b"",
    }
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts.items()
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def data_uri(data: bytes, kind: str) -> str:
    """Returns a URI that holds a file of a media type."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
