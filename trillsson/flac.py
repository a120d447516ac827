"""FLAC of 16 bits through dr_flac, which takes 0.6 of libsndfile's time: most public speech is such FLAC.

dr_flac passes over damaged frames without a word, so the samples are counted against the header; what does not add up
is left to libsndfile, which tells what is wrong. As there, a frame is believed if its checksum is right (CRC-16); the
MD5 of the whole is not compared.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trillsson.audio import RejectError

_HEAD_BYTES = 26
"""`fLaC`, the header of a metadata block, and STREAMINFO as far as the number of samples (RFC 9639, section 8.2)."""


class FlacError(Exception):
    """dr_flac did not get all samples that the header announces."""


@dataclass(frozen=True)
class FlacInfo:
    """What a FLAC file says of itself: Hz, channels, bits a sample, and samples a channel, 0 where it does not know."""

    rate: int
    channels: int
    bits: int
    samples: int


def parse_flac_info(head: bytes) -> FlacInfo | None:
    """Returns what the first bytes of a FLAC file say, or None if they are not those of one that can be decoded.

    Args:
        head: at least 26 bytes of a file, if it has as many.
    """
    if len(head) < _HEAD_BYTES or head[:4] != b"fLaC" or head[4] & 0x7F:
        return None
    packed = int.from_bytes(head[18:26], "big")  # 20 bits of rate, 3 of channels - 1, 5 of bits - 1, 36 of samples
    info = FlacInfo(packed >> 44, (packed >> 41 & 7) + 1, (packed >> 36 & 31) + 1, packed & (1 << 36) - 1)
    return info if info.rate else None


def flac_blocks(path: Path, info: FlacInfo, *, size: int) -> Iterator[NDArray[np.int16]]:
    """Yields blocks of `[samples, channels]` int16, `size` samples each but for the last.

    Args:
        path: a FLAC file of 16 bits.
        info: what it says of itself.
        size: samples a channel in one block.

    Raises:
        FlacError: there are fewer samples than the file announces.
        RejectError: there are more, which libsndfile would drop without a word.
    """
    import miniaudio

    found = 0
    try:
        for data in miniaudio.flac_stream_file(str(path), min(size, info.samples)):
            block = np.frombuffer(data, np.int16).reshape(-1, info.channels)
            found += len(block)
            if found > info.samples:
                told = f"it holds more than the {info.samples} samples that its header announces"
                raise RejectError("undecodable", f"{told}; encode it anew")
            yield block
    except miniaudio.DecodeError as error:
        raise FlacError(str(error)) from error
    if found != info.samples:
        raise FlacError(f"{found} of {info.samples} samples")
