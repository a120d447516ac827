"""Progress of long work, one marked line at a time, so that a launcher can pick it out of a step's other output."""

import sys
import time
from typing import Any

MARK = "» "
"""Starts every line that is meant for the person who waits."""


def say(text: str) -> None:
    """Writes one marked line to standard error: standard output is for results."""
    _Lines().write(MARK + text)


def bar(description: str, total: int, *, unit: str, initial: int = 0) -> Any:
    """Returns a tqdm bar (use it in a `with`) that writes marked lines: done, total, elapsed and remaining time."""
    from tqdm import tqdm

    return tqdm(
        desc=MARK + description,
        total=total,
        initial=initial,
        unit=f" {unit}",
        file=_Lines(),
        mininterval=2.0,
        bar_format="{desc}: {n_fmt}/{total_fmt}{unit} [{elapsed}<{remaining}{postfix}]",
    )


class _Lines:
    """A file for tqdm that ends every state of a bar with a newline, so that other output never runs into it."""

    def write(self, text: str) -> None:
        if line := text.strip("\r\n"):
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    def flush(self) -> None:
        """Every line is flushed already."""


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def __str__(self) -> str:
        return f"{time.perf_counter() - self._start:.1f} s"
