"""How a process ends: one line and a status for our own errors, a traceback for bugs."""

import logging
import signal
from collections.abc import Iterator
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


@pytest.fixture
def handlers() -> Iterator[None]:
    """Puts back what a process that is about to end changes: the handlers of signals, the logs."""
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.usefixtures("handlers")
def test_an_interrupt_ends_on_one_line(
    signum: int, status: int, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(SystemExit) as caught:
        as_task(signal.raise_signal)(signum)
    assert caught.value.code == status
    assert capsys.readouterr() == ("", "trillsson: interrupted; run again to go on: what is done is kept\n")
    # What threads still at work say is not heard, and the next signal ends them.
    logging.critical("a thread was given up")
    assert caplog.messages == []
    assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_bug_stays_a_traceback() -> None:
    def step() -> None:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        as_task(step)()


def test_no_error_file_is_no_error(tmp_path: Path) -> None:
    assert read_error(tmp_path / "none.json") is None


def test_a_task_returns_what_its_step_does() -> None:
    assert as_task(lambda a, *, b: a + b)(1, b=2) == 3
