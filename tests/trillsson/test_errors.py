"""The error tree: the class decides the exit status."""

import pytest

from trillsson.errors import GateError, InputError, IntegrityError, TransientError, TrillssonError


@pytest.mark.parametrize(
    ("error", "status"), [(InputError, 2), (IntegrityError, 3), (GateError, 4), (TransientError, 75)]
)
def test_class_decides_exit_status(error: type[TrillssonError], status: int) -> None:
    assert error.exit_status == status
    assert issubclass(error, TrillssonError)


def test_message_is_the_text() -> None:
    assert str(InputError("hop is 0; give 1 or more")) == "hop is 0; give 1 or more"


def test_os_errors_are_not_ours() -> None:
    assert not issubclass(TrillssonError, OSError)
