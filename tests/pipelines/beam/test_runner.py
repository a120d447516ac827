"""Errors of workers come back as our own, whatever the runner makes of them."""

from collections.abc import Callable

import apache_beam as beam
import pytest

from pipelines.beam.processes import LocalRunner
from pipelines.beam.runner import run_pipeline
from trillsson.errors import InputError, TransientError, TrillssonError


def failing(error: Exception) -> Callable[[beam.Pipeline], object]:
    def fail(element: int) -> int:
        raise error

    return lambda pipeline: pipeline | beam.Create([1]) | "work" >> beam.Map(fail)


@pytest.mark.parametrize("error", [InputError("no [such] file: a.wav; give one"), TransientError("disk full; rerun")])
@pytest.mark.parametrize("options", [(), ("--direct_running_mode=multi_threading",)])
def test_a_workers_error_is_raised_as_it_was(
    error: TrillssonError,
    options: tuple[str, ...],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(type(error)) as caught:
        run_pipeline(failing(error), options)
    assert str(caught.value) == str(error)
    assert (*capfd.readouterr(), caplog.messages) == ("", "", [])


def test_a_bug_is_not_taken_for_one_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ZeroDivisionError):
        run_pipeline(failing(ZeroDivisionError("a bug")), ())
    assert "a bug [while running 'work']" in caplog.messages


def test_what_beam_itself_refuses_is_one_line() -> None:
    with pytest.raises(
        InputError, match=r"^Beam refuses the options for DataflowRunner: [^\n]*option: project\.[^\n]*$"
    ):
        run_pipeline(lambda pipeline: None, ["--runner=DataflowRunner"])


@pytest.mark.parametrize("options", [(), ("--runner=DirectRunner",), ("--runner=FnApiRunner",)])
def test_the_local_runner_needs_no_download(options: tuple[str, ...]) -> None:
    def build(pipeline: beam.Pipeline) -> None:
        assert isinstance(pipeline.runner, LocalRunner)
        _ = pipeline | beam.Create([1])

    run_pipeline(build, options)
