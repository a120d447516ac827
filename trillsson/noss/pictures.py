"""The geometry of the report's pictures: one a task, a dot and its interval for every model.

Lengths are SVG user units; the template draws what is computed here. On every picture further right is better, so the
axis of an equal error rate runs from its largest value down to zero.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from trillsson.noss.metrics import higher_is_better
from trillsson.noss.results import ModelResult, Role, metric_title
from trillsson.pages.shapes import PICTURE_WIDTH, Tick

_MARGIN = 14
_ROW = 46
_TRACK = 27
"""Depth of a row's line below the row's top; the model's name stands above it."""
_AXIS = 42
"""Room below the rows for the numbers of the axis and for the word chance."""
_LONGEST_NAME = 27
"""Letters of a model's name that fit beside its score."""


@dataclass(frozen=True)
class Mark:
    """One model on one task: a dot at `x`, its 95 % interval from `left` to `right`, on the line at `y`."""

    name: str
    role: Role
    value: str
    interval: str
    x: float
    left: float
    right: float
    y: float


@dataclass(frozen=True)
class Picture:
    """Everything that is drawn for one task; `summary` says it in words, for those who cannot see it."""

    task: str
    metric: str
    summary: str
    width: int
    height: int
    start: float
    end: float
    axis_y: float
    ticks: tuple[Tick, ...]
    chance_x: float
    chance_text: str
    chance_anchor: str
    marks: tuple[Mark, ...]


def picture(results: Sequence[ModelResult], *, task: str) -> Picture:
    """Lays out the picture of one task.

    Args:
        results: the models, in the order they are drawn; those without a score on the task are left out.
        task: the task.
    """
    shown = [result for result in results if task in result.scores]
    scores = [result.scores[task] for result in shown]
    first = scores[0]
    rising = higher_is_better(first.metric)
    # Scores of accuracy fill their whole range; error rates are small, and theirs ends above the worst of them.
    top = 1.0 if rising else max(0.5, math.ceil(10 * max(score.high for score in scores)) / 10)
    start, end = float(_MARGIN), float(PICTURE_WIDTH - _MARGIN)

    def place(value: float) -> float:
        share = value / top if rising else 1 - value / top
        return round(start + share * (end - start), 1)

    marks = tuple(
        Mark(
            name=_shortened(result.name),
            role=result.role,
            value=f"{score.value:.2f}",
            interval=f"{score.low:.2f}–{score.high:.2f}",
            x=place(score.value),
            left=min(place(score.low), place(score.high)),
            right=max(place(score.low), place(score.high)),
            y=row * _ROW + _TRACK,
        )
        for row, (result, score) in enumerate(zip(shown, scores, strict=True))
    )
    said = "; ".join(
        f"{result.name} ({result.role}) {score.value:.2f}, interval {score.low:.2f} to {score.high:.2f}"
        for result, score in zip(shown, scores, strict=True)
    )
    chance_x = place(first.chance)
    return Picture(
        task=task,
        metric=metric_title(first.metric),
        summary=f"{metric_title(first.metric)}, chance {first.chance:.2f}. {said}.",
        width=PICTURE_WIDTH,
        height=len(marks) * _ROW + _AXIS,
        start=start,
        end=end,
        axis_y=len(marks) * _ROW + 4,
        ticks=tuple(Tick(place(top * step / 5), f"{top * step / 5:.1f}") for step in range(6)),
        chance_x=chance_x,
        chance_text=f"chance {first.chance:.2f}",
        chance_anchor=_anchor(chance_x),
        marks=marks,
    )


def _anchor(x: float) -> str:
    """Which end of a text stands at `x`, so that the text stays inside the picture."""
    if x < PICTURE_WIDTH / 5:
        return "start"
    return "end" if x > PICTURE_WIDTH * 4 / 5 else "middle"


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
