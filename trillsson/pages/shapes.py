"""What the pictures of all pages share."""

from dataclasses import dataclass

PICTURE_WIDTH = 360
"""Width of a picture in SVG user units: about that of a phone, so that its text is hardly shrunk there."""


@dataclass(frozen=True)
class Tick:
    """A number on an axis."""

    x: float
    text: str
