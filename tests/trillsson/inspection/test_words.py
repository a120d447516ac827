from dataclasses import replace
from typing import Any

import pytest

from trillsson.inspection.labels import Column
from trillsson.inspection.words import hours, others_told, percent, plural, printable, size, task_names, values_told

COLUMN = Column("c", (), span=None, is_speaker=False, distinct=1, complete=True, others=(), without=())


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0.000"), (0.01234, "0.012"), (9.876, "9.88"), (12.34, "12.3"), (60_123.4, "60,123")]
)
def test_hours(value: float, text: str) -> None:
    assert hours(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(999, "999 bytes"), (1_000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"), (7 * 10**15, "7,000.0 TB")],
)
def test_size(value: int, text: str) -> None:
    assert size(value) == text


@pytest.mark.parametrize(("share", "text"), [(0, "0.0%"), (1e-6, "under 0.1%"), (0.0012, "0.1%"), (1, "100.0%")])
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("change", "values", "others"),
    [
        ({}, "1 value", "1 other value"),
        ({"distinct": 2_000, "span": (0.25, 1e3)}, "2,000 values from 0.25 to 1000", "2,000 other values"),
        ({"complete": False, "distinct": 20, "span": (0, 1)}, "more than 20 values", "more than 20 other values"),
    ],
)
def test_values(change: dict[str, Any], values: str, others: str) -> None:
    column = replace(COLUMN, **change)
    assert (values_told(column), others_told(column)) == (values, others)


def test_tasks() -> None:
    told = [task_names(("a",)), task_names(("a", "b")), task_names(("a", "b", "c"))]
    assert told == ["task a", "tasks a and b", "tasks a, b and c"]


def test_counts_and_names() -> None:
    assert (plural(1, "clip"), plural(0, "clip"), plural(1_234, "clip")) == ("1 clip", "0 clips", "1,234 clips")
    assert printable("é\x1b[2J\nb\u202e") == "é�[2J�b�"
    assert printable("می\u200cخواهم à\u00a0moi") == "می\u200cخواهم à\u00a0moi"
