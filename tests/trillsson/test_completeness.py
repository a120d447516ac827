"""Whether a file is one file only; what is cut short is tested where it is decoded."""

from io import BytesIO

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from trillsson.audio import RejectError
from trillsson.completeness import refuse_joined


def encoded(kind: str) -> bytes:
    file = BytesIO()
    soundfile.write(file, np.random.default_rng(0).uniform(-0.3, 0.3, 20_000), 16_000, format=kind)
    return file.getvalue()


FILES = {kind: encoded(kind) for kind in ("FLAC", "OGG")}


@given(early=st.integers(0, 60), kind=st.sampled_from(["FLAC", "OGG"]))
def test_a_second_file_is_found_wherever_it_begins(early: int, kind: str) -> None:
    """Also across the border of what is read at once."""
    first = FILES[kind].ljust((1 << 20) - early, b"\0")
    refuse_joined(BytesIO(first + bytes(100)), 0)
    refuse_joined(BytesIO(first[1:] + FILES[kind]), 0)  # another format
    told = r"^undecodable: another file lies behind the first one, as joined files have it; split it$"
    with pytest.raises(RejectError, match=told):
        refuse_joined(BytesIO(first + FILES[kind]), 0)
