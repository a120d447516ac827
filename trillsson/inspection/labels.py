"""The values of a label column: how many clips and speakers each has, by split."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from trillsson.inspection.splits import SPLITS, Counts

TOP = 20
"""Values of a column that are shown; the others are added up."""

_FEW = 3
"""Values shown of a column that holds no classes, but transcripts, with hardly two clips of any, or measures."""

MOST_VALUES = 10_000
"""Values of a column that are told apart. A column of more is no class, and a value first met beyond is one of
the others: memory stays bounded on a column of transcripts."""


@dataclass(frozen=True)
class Value:
    """A value of a label column: clips that have it, and the speakers of those clips, in each split."""

    name: str
    clips: Counts
    speakers: Counts


@dataclass(frozen=True)
class Column:
    """A label column.

    Attributes:
        name: what it is called.
        values: the 20 that most clips have, the most frequent first; 3 where the column holds no classes.
        span: the smallest and the largest where all are numbers, more than 20, and not all of them whole.
        is_speaker: whether the column repeats every clip's speaker.
        distinct: how many values there are.
        complete: whether that is all; else there are more.
        others: clips of the values that are not shown, in each split.
        without: clips without a value, in each split.
    """

    name: str
    values: tuple[Value, ...]
    span: tuple[float, float] | None
    is_speaker: bool
    distinct: int
    complete: bool
    others: Counts
    without: Counts


class ColumnTally:
    """Counts the values of one column, clip by clip."""

    def __init__(self, name: str, *, most: int = MOST_VALUES) -> None:
        self._name = name
        self._most = most
        self._clips: dict[str, list[int]] = {}
        self._speakers: dict[str, tuple[set[int], ...]] = {}
        self._labelled = [0] * len(SPLITS)
        self._complete = True

    def add(self, value: str, split: int, *, speaker: int | None) -> None:
        """Counts a clip that has `value`; `speaker` is the speaker's number, if known."""
        self._labelled[split] += 1
        clips = self._clips.get(value)
        if clips is None:
            if len(self._clips) == self._most:
                self._complete = False
                return
            clips = self._clips[value] = [0] * len(SPLITS)
            self._speakers[value] = tuple(set() for _ in SPLITS)
        clips[split] += 1
        if speaker is not None:
            self._speakers[value][split].add(speaker)

    def finish(self, clips: Counts, *, is_speaker: bool = False) -> Column:
        """Returns what was counted of the dataset's `clips` in each split."""
        ordered = sorted(self._clips, key=lambda value: (-sum(self._clips[value]), _natural(value)))
        span = _span(ordered) if len(ordered) > TOP else None
        sparse = len(ordered) > TOP and 2 * len(ordered) > sum(map(sum, self._clips.values()))
        shown = tuple(
            Value(value, tuple(self._clips[value]), tuple(map(len, self._speakers[value])))
            for value in ordered[: _FEW if sparse or span else TOP]
        )
        return Column(
            name=self._name,
            values=shown,
            span=span,
            is_speaker=is_speaker,
            distinct=len(ordered),
            complete=self._complete,
            others=tuple(
                self._labelled[split] - sum(value.clips[split] for value in shown) for split in range(len(SPLITS))
            ),
            without=tuple(total - labelled for total, labelled in zip(clips, self._labelled, strict=True)),
        )


def _natural(value: str) -> tuple[float, str]:
    """Sorts numbers by what they are worth, before words."""
    return _number(value), value


def _number(value: str) -> float:
    """Returns the number that a value is; infinity where it is none."""
    try:
        number = float(value)
    except ValueError:
        return math.inf
    return number if math.isfinite(number) else math.inf


def _span(values: Iterable[str]) -> tuple[float, float] | None:
    numbers = sorted(map(_number, values))
    if math.isinf(numbers[-1]) or all(number.is_integer() for number in numbers):
        return None
    return numbers[0], numbers[-1]
