"""How numbers and names are written, in text and on the page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trillsson.inspection.labels import Column
from trillsson.inspection.splits import SPLITS
from trillsson.inspection.splitting import Splits
from trillsson.inspection.summary import Summary

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def number(value: int) -> str:
    """Writes a count with thousands separators."""
    return f"{value:,}"


def hours(value: float) -> str:
    """Writes hours, with more digits the fewer there are."""
    digits = 3 if value < 1 else 2 if value < 10 else 1 if value < 1000 else 0
    return f"{value:,.{digits}f}"


_PART_OF_WORDS = "\u200c\u200d\u00a0\u202f"
"""Joiners, as Persian and Hindi have them, and spaces that do not break: no printable letters by Python's lights."""


def size(value: int) -> str:
    """Writes a size in powers of 1000: 1234567 as `1.2 MB`."""
    scaled, unit = float(value), 0
    while scaled >= 999.95 and unit < len(_UNITS) - 1:
        scaled, unit = scaled / 1000, unit + 1
    return f"{value:,} bytes" if unit == 0 else f"{scaled:,.1f} {_UNITS[unit]}"


def plural(count: int, noun: str) -> str:
    """Writes a count and its noun: `1 clip`, `2,000 clips`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def printable(text: str) -> str:
    """Replaces what could move a terminal's cursor, turn its direction, or break a line, by a mark."""
    return "".join(letter if letter.isprintable() or letter in _PART_OF_WORDS else "�" for letter in text)


def percent(share: float) -> str:
    """Writes a share in per cent; one that is not 0 never reads as 0."""
    return "under 0.1%" if 0 < share < 0.001 else f"{share:.1%}"


def values_told(column: Column) -> str:
    """Writes how many values a column has, and from where to where they lie, where that says more."""
    if not column.complete:
        return f"more than {plural(column.distinct, 'value')}"
    return plural(column.distinct, "value") + (" from {:g} to {:g}".format(*column.span) if column.span else "")


def others_told(column: Column) -> str:
    """Writes how many values a column has beyond those that are shown."""
    beyond = plural(column.distinct - len(column.values), "other value")
    return beyond if column.complete else f"more than {beyond}"


def task_names(tasks: Sequence[str]) -> str:
    """Writes which tasks: `task a`, `tasks a and b`."""
    *first, last = tasks
    return f"tasks {', '.join(first)} and {last}" if first else f"task {last}"


@dataclass(frozen=True)
class Remark:
    """What a reader must not overlook; a grave one spoils what is measured on the dataset."""

    text: str
    grave: bool


def remarks(summary: Summary) -> tuple[Remark, ...]:
    """Returns what a reader must not overlook, the gravest first."""
    return (
        *(Remark(each, grave=True) for each in _grave(summary)),
        *(Remark(each, grave=False) for each in _mild(summary)),
    )


def _grave(summary: Summary) -> Iterator[str]:
    if leaks := summary.duplicates.leaks:
        yield f"Leak: {plural(leaks, 'test clip')} {_be(leaks)} among the clips that are learnt from as well."
    for splits in (summary.splits, *summary.task_splits):
        yield from _grave_of(splits)


def _grave_of(splits: Splits) -> Iterator[str]:
    column = printable(splits.column)
    for names, count in splits.speakers.shared.items():
        where = f"{', '.join(names[:-1])} and {names[-1]}" + (f" by {column}" if column else "")
        yield f"{plural(count, 'speaker')} {_be(count)} in {where}."
    what = f"a split in column {column!r}" if column else "a split"
    if column and splits.empty:
        yield f"No clip has {what}, where {task_names(splits.tasks)} would look for it."
    if words := splits.unknown_words:
        clips = splits.clips[SPLITS.index("other")]
        quoted = ", ".join(repr(printable(word)) for word in words)
        verb = "has" if clips == 1 else "have"
        yield f"{plural(clips, 'clip')} {verb} {what} that is not known, such as {quoted}: training refuses that."


def _mild(summary: Summary) -> Iterator[str]:
    manifest, found = summary.dataset.manifest, summary.duplicates
    if found.copies:
        what = "an exact copy of another clip" if found.copies == 1 else "exact copies of other clips"
        yield f"{plural(found.copies, 'clip')} {_be(found.copies)} {what} in this dataset."
    if found.across:
        yield f"{plural(found.across, 'clip')} {_be(found.across)} in another dataset too."
    if rejected := manifest.items - manifest.records:
        verb = "was" if rejected == 1 else "were"
        lost = plural(manifest.lost, "source")
        yield f"{number(rejected)} of {plural(manifest.items, 'item')} {verb} rejected; {lost} gave no clip."
    if not summary.splits.speakers.complete:
        told = plural(summary.splits.speakers.total, "speaker")
        yield f"There are more than {told}: counts leave the others out."


def _be(count: int) -> str:
    return "is" if count == 1 else "are"
