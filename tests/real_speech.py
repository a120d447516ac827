"""Real recordings, where a folder of labelled sets is at hand, each with a `manifest.csv`."""

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("TRILLSSON_SPEECH_DATA", Path(__file__).parents[2] / "shared/speech"))
SETS = sorted(path.parent for path in FOLDER.glob("*/manifest.csv"))

needs_sets = pytest.mark.skipif(
    not SETS, reason=f"no labelled sets below {FOLDER}; set TRILLSSON_SPEECH_DATA to a folder of them"
)
