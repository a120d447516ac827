"""Errors of workers come back as our own, whatever the runner makes of them."""

from collections.abc import Callable

import apache_beam as beam
import pytest

from pipelines.beam.runner import LOCAL_RUNNER, run_pipeline, shard_progress
from trillsson.errors import InputError, TransientError, TrillssonError


def failing(error: Exception) -> Callable[[beam.Pipeline], object]:
    def fail(element: int) -> int:
        raise error

    return lambda pipeline: pipeline | beam.Create([1]) | "work" >> beam.Map(fail)


@pytest.mark.parametrize("error", [InputError("no [such] file: a.wav; give one"), TransientError("disk full; rerun")])
@pytest.mark.parametrize("options", [LOCAL_RUNNER, ("--runner=FnApiRunner", "--direct_running_mode=multi_threading")])
def test_a_workers_error_is_raised_as_it_was(error: TrillssonError, options: tuple[str, ...]) -> None:
    with pytest.raises(type(error)) as caught:
        run_pipeline(failing(error), options)
    assert str(caught.value) == str(error)


def test_a_bug_is_not_taken_for_one_of_ours() -> None:
    with pytest.raises(ZeroDivisionError):
        run_pipeline(failing(ZeroDivisionError("a bug")), LOCAL_RUNNER)


def test_progress_counts_to_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    with shard_progress("prepare tones", 3, lambda: 0):
        pass
    assert "» prepare tones: 3/3 shards" in capsys.readouterr().err
