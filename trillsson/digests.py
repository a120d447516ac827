"""SHA-256 digests of plain values, files and folders: the identity of everything this project stores."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SHORT = 16
"""Hex digits kept where a digest is part of a file name: 64 bits, ample for the items of one folder."""

_BLOCK = 1 << 18
"""Bytes of a file that are read at once: they stay in the processor's cache."""


def canonical_json(value: Any) -> bytes:
    """Encodes a JSON value to the one byte string that stands for it: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest_of(value: Any) -> str:
    """Returns the SHA-256 hex digest of a JSON value, independent of key order."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def file_digest(path: Path) -> str:
    """Returns the SHA-256 hex digest of a file's bytes, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_checksum(path: Path) -> str:
    """Returns the CRC32C of a file's bytes, 8 hex digits, read in blocks: tells a change, in a tenth of the time."""
    import google_crc32c
    import numpy as np

    checksum = 0
    buffer = np.empty(_BLOCK, np.uint8)  # filled again and again: new memory for each block takes longer than reading
    view = buffer.view()
    view.flags.writeable = False  # which google_crc32c insists on
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(buffer.data):
            checksum = google_crc32c.extend(checksum, view[:size])
    return f"{checksum:08x}"


def folder_digests(folder: Path, *, leave_out: Iterable[str] = ()) -> dict[str, str]:
    """Maps the POSIX path of every file below `folder`, sorted, to its SHA-256 hex digest.

    Args:
        folder: an existing folder.
        leave_out: relative POSIX paths that do not count.
    """
    skipped = set(leave_out)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path: path.relative_to(folder).as_posix() for path in files}
    return {name: file_digest(path) for path, name in names.items() if name not in skipped}
