"""Where copies of remote files are kept on this machine."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Returns the folder that the environment variable TRILLSSON_CACHE names, else `~/.cache/trillsson`."""
    return Path(os.environ.get("TRILLSSON_CACHE") or Path.home() / ".cache" / "trillsson")
