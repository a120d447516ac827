"""Checks cron expressions before a server sees them: Kubeflow Pipelines takes six fields, a Kubernetes CronJob five.

The grammar is that of the parser behind both (github.com/robfig/cron). Given five fields, Kubeflow's version of it
takes the first for seconds and runs at another time than was meant, without a complaint.
"""

import re
from dataclasses import dataclass

from trillsson.errors import InputError


@dataclass(frozen=True)
class _Field:
    name: str
    lowest: int
    highest: int
    words: tuple[str, ...] = ()

    def number(self, text: str) -> int | None:
        """Returns the value that `text` stands for, or None if it stands for none of this field's values."""
        if text.upper() in self.words:
            return self.words.index(text.upper()) + self.lowest
        value = int(text) if re.fullmatch(r"[0-9]{1,2}", text) else -1
        return value if self.lowest <= value <= self.highest else None


_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 6, _DAYS),
)
_ITEM = re.compile(r"(?P<first>[*?]|\w+)(?:-(?P<last>\w+))?(?:/(?P<step>[0-9]+))?")


def check_cron(cron: str, *, seconds: bool = True) -> str:
    """Returns a cron expression with single spaces between its fields.

    Args:
        cron: fields of numbers, names (`MON`, `JAN`), ranges `1-5`, steps `*/15` and lists `1,3`.
        seconds: whether the first of six fields counts seconds (Kubeflow Pipelines), or there are five (CronJob).

    Raises:
        InputError: the number of fields is another, or a field cannot be read or is out of range.
    """
    wanted = _FIELDS if seconds else _FIELDS[1:]
    parts = cron.split()
    if len(parts) != len(wanted):
        names = ", ".join(field.name for field in wanted)
        raise InputError(f"cron {cron!r} has {len(parts)} fields; give {len(wanted)}: {names}")
    for field, part in zip(wanted, parts, strict=True):
        if not all(_is_item(item, field) for item in part.split(",")):
            allowed = f"{field.lowest} to {field.highest}" + (f" or {', '.join(field.words)}" if field.words else "")
            raise InputError(f"cron {cron!r}: {part!r} is no {field.name}; give *, or values from {allowed}")
    return " ".join(parts)


def _is_item(text: str, field: _Field) -> bool:
    match = _ITEM.fullmatch(text)
    if match is None or (match["step"] is not None and int(match["step"]) == 0):
        return False
    if match["first"] in "*?":
        return match["last"] is None
    first, last = field.number(match["first"]), field.number(match["last"] or match["first"])
    return first is not None and last is not None and first <= last
