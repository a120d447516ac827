"""The geometry of the page's pictures: columns of a histogram, and bars split by split. Lengths are SVG user units."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from trillsson.inspection.histograms import Histogram
from trillsson.inspection.splits import Counts
from trillsson.inspection.words import number, plural
from trillsson.pages.shapes import PICTURE_WIDTH, Tick

_MARGIN = 14
_TOP = 20
_PLOT = 130
_AXIS = 24
_GAP = 1.5
_MOST_TICKS = 9


@dataclass(frozen=True)
class Bar:
    """One column: where it is, its count as it stands above, and all of it in words."""

    x: float
    y: float
    width: float
    height: float
    text: str
    words: str


@dataclass(frozen=True)
class Columns:
    """A histogram to draw; `said` stands beneath it, and `summary` says all of it in words."""

    title: str
    axis: str
    said: str
    summary: str
    width: int
    height: int
    axis_y: float
    start: float
    end: float
    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class Piece:
    """The share of one split in a bar: from `x`, `width` wide, of 100."""

    split: int
    x: float
    width: float


def draw_histogram(histogram: Histogram, *, title: str, axis: str, said: str) -> Columns:
    """Lays out a histogram; `axis` names the unit of its edges."""
    edges = [f"{edge:g}" for edge in histogram.edges]
    names = [f"{low} to {high} {axis}" for low, high in pairwise(edges)]
    step = -(-len(edges) // _MOST_TICKS)
    bars = _bars(histogram.counts, names)
    lefts = [bar.x - _GAP / 2 for bar in bars] + [PICTURE_WIDTH - _MARGIN]
    ticks = tuple(
        Tick(round(x, 1), text) for place, (x, text) in enumerate(zip(lefts, edges, strict=False)) if place % step == 0
    )
    return _columns(bars, ticks, title=title, axis=axis, said=said)


def draw_categories(counts: Sequence[int], names: Sequence[str], *, title: str, axis: str, said: str) -> Columns:
    """Lays out counts of named categories."""
    bars = _bars(counts, names)
    ticks = tuple(Tick(round(bar.x + bar.width / 2, 1), name) for bar, name in zip(bars, names, strict=True))
    return _columns(bars, ticks, title=title, axis=axis, said=said)


def stacked(counts: Counts, *, largest: int) -> tuple[Piece, ...]:
    """Lays out one bar of splits side by side; `largest` is the total that fills all 100 units."""
    pieces, x = [], 0.0
    for split, count in enumerate(counts):
        if count:
            width = 100 * count / largest
            pieces.append(Piece(split, round(x, 2), round(width, 2)))
            x += width
    return tuple(pieces)


def _columns(bars: tuple[Bar, ...], ticks: tuple[Tick, ...], *, title: str, axis: str, said: str) -> Columns:
    told = "; ".join(bar.words for bar in bars if bar.text)
    return Columns(
        title=title,
        axis=axis,
        said=said,
        summary=f"{said} {told}." if told else said,
        width=PICTURE_WIDTH,
        height=_TOP + _PLOT + _AXIS,
        axis_y=_TOP + _PLOT,
        start=_MARGIN,
        end=PICTURE_WIDTH - _MARGIN,
        bars=bars,
        ticks=ticks,
    )


def _bars(counts: Sequence[int], names: Sequence[str]) -> tuple[Bar, ...]:
    if not counts:
        return ()
    each = (PICTURE_WIDTH - 2 * _MARGIN) / len(counts)
    tallest = max(*counts, 1)
    bars = []
    for place, (count, name) in enumerate(zip(counts, names, strict=True)):
        height = max(_PLOT * count / tallest, 1.0) if count else 0.0  # a single clip among millions is still seen
        bars.append(
            Bar(
                x=round(_MARGIN + place * each + _GAP / 2, 1),
                y=round(_TOP + _PLOT - height, 1),
                width=round(each - _GAP, 1),
                height=round(height, 1),
                text=_compact(count) if count else "",
                words=f"{name}: {plural(count, 'clip')}",
            )
        )
    return tuple(bars)


def _compact(count: int) -> str:
    """Writes a count in at most four letters, to stand above a narrow column."""
    for unit, word in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if count >= 0.9995 * unit:  # 999,500 would be rounded to 1000k
            scaled = count / unit
            return f"{scaled:.0f}{word}" if scaled >= 9.95 else f"{scaled:.1f}{word}"
    return number(count)
