"""How a process ends: one line and a status for our own errors, a traceback for bugs."""

from pathlib import Path

import pytest

from pipelines.process import ERROR_FILE, as_task, read_error
from trillsson.errors import GateError, InputError, IntegrityError, TransientError, TrillssonError


@pytest.mark.parametrize(
    ("error", "status"),
    [(InputError, 2), (IntegrityError, 3), (GateError, 4), (TransientError, 75)],
)
def test_our_errors_end_on_one_line(
    error: type[TrillssonError],
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(ERROR_FILE, str(tmp_path / "error.json"))

    def step() -> None:
        raise error("what, 7, fix")

    with pytest.raises(SystemExit) as caught:
        as_task(step)()
    assert caught.value.code == status
    assert capsys.readouterr().err == "trillsson: what, 7, fix\n"
    told = read_error(tmp_path / "error.json")
    assert type(told) is error
    assert str(told) == "what, 7, fix"


def test_a_bug_stays_a_traceback() -> None:
    def step() -> None:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        as_task(step)()


def test_no_error_file_is_no_error(tmp_path: Path) -> None:
    assert read_error(tmp_path / "none.json") is None


def test_a_task_returns_what_its_step_does() -> None:
    assert as_task(lambda a, *, b: a + b)(1, b=2) == 3
