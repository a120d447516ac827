import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.kubeflow.cron import check_cron
from trillsson.errors import InputError


@pytest.mark.parametrize(
    "cron",
    [
        "0 0 3 * * 1",
        "0 */15 * * * *",
        "0 0 9 ? * 2-6",
        "0 0 0 1 JAN,jul sun",
        "59 59 23 31 12 6",
        "0 0 8-18/2 * * MON-FRI",
        "0 5/10 * * * *",
    ],
)
def test_six_fields_are_accepted(cron: str) -> None:
    assert check_cron(cron) == cron


def test_spaces_are_made_single() -> None:
    assert check_cron("  0 0  3 *\t* 1 ") == "0 0 3 * * 1"


def test_five_fields_are_accepted_where_there_are_no_seconds() -> None:
    assert check_cron("0 3 * * 1", seconds=False) == "0 3 * * 1"


@pytest.mark.parametrize("cron", ["0 3 * * 1", "@weekly", "", "0 0 0 3 * * 1"])
def test_another_number_of_fields_is_refused(cron: str) -> None:
    with pytest.raises(InputError) as caught:
        check_cron(cron)
    assert str(caught.value) == (
        f"cron {cron!r} has {len(cron.split())} fields; give 6: second, minute, hour, day of month, month, day of week"
    )


@pytest.mark.parametrize(
    ("cron", "part", "field"),
    [
        ("60 0 3 * * 1", "60", "second"),
        ("0 60 3 * * 1", "60", "minute"),
        ("0 0 24 * * 1", "24", "hour"),
        ("0 0 3 0 * 1", "0", "day of month"),
        ("0 0 3 * 13 1", "13", "month"),
        ("0 0 3 * * 7", "7", "day of week"),
        ("0 0 3 * * MONDAY", "MONDAY", "day of week"),
        ("0 0 3 MON * *", "MON", "day of month"),
        ("0 0 9-5 * * *", "9-5", "hour"),
        ("0 0 */0 * * *", "*/0", "hour"),
        ("0 0 *-3 * * *", "*-3", "hour"),
        ("0 0 1,,2 * * *", "1,,2", "hour"),
        ("0 -1 3 * * *", "-1", "minute"),
    ],
)
def test_a_field_that_cannot_be_read_is_named(cron: str, part: str, field: str) -> None:
    with pytest.raises(InputError) as caught:
        check_cron(cron)
    assert str(caught.value).startswith(f"cron {cron!r}: {part!r} is no {field}; give *, or values from ")


def test_the_error_says_what_is_allowed() -> None:
    with pytest.raises(InputError) as caught:
        check_cron("0 0 3 * * 8")
    assert str(caught.value).endswith("values from 0 to 6 or SUN, MON, TUE, WED, THU, FRI, SAT")


@given(st.integers(0, 99), st.integers(0, 99))
def test_a_range_of_hours_is_accepted_exactly_if_it_is_in_order_and_in_range(first: int, last: int) -> None:
    try:
        check_cron(f"0 0 {first}-{last} * * *")
        accepted = True
    except InputError:
        accepted = False
    assert accepted == (first <= last <= 23)
