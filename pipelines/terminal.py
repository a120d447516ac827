"""What a person sees of a long run: on a terminal progress is redrawn in place, elsewhere every line is a line."""

from typing import TextIO


class Screen:
    """Shows marked lines as they come."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._live = out.isatty()
        self._open = ""

    def show(self, text: str) -> None:
        """Shows one line; a newer state of the bar that was shown last replaces it on a terminal."""
        bar = text.partition(": ")[0] if text.endswith("]") and "<" in text else ""
        if self._live and self._open:
            self._out.write("\r\x1b[K" if bar == self._open else "\n")
        self._out.write(text)
        self._open = bar if self._live else ""
        if not self._open:
            self._out.write("\n")
        self._out.flush()
