"""Progress: whole marked lines on standard error."""

import pytest

from trillsson.progress import MARK, Stopwatch, bar, say


def test_lines_are_marked_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    say("report: a.html")
    with bar("train nano", 3, unit="steps", initial=1) as progress:
        progress.set_postfix_str("loss 0.5")
        progress.update(2)
    captured = capsys.readouterr()
    first, *states = captured.err.splitlines()
    assert captured.out == ""
    assert first == f"{MARK}report: a.html"
    assert states[0].startswith(f"{MARK}train nano: 1/3 steps [00:00<")
    assert states[-1].startswith(f"{MARK}train nano: 3/3 steps [00:00<")
    assert states[-1].endswith(", loss 0.5]")


def test_a_stopwatch_tells_seconds() -> None:
    assert str(Stopwatch()) == "0.0 s"
