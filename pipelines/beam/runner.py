"""Runs a Beam pipeline on whatever runner the options name, and gives its errors back as our own."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipelines.beam.options import LOCAL_RUNNER, parse_options, refused
from pipelines.beam.worker_errors import without_step, worker_error
from trillsson.errors import TrillssonError

if TYPE_CHECKING:
    import apache_beam as beam

_INVALID = "Pipeline has validations errors: "


def run_pipeline(build: "Callable[[beam.Pipeline], object]", options: Sequence[str]) -> None:
    """Builds a pipeline and waits for it.

    Args:
        build: applies the transforms to the pipeline it is given.
        options: Beam's own command-line options, such as `--runner=FlinkRunner`; without a runner, this machine.

    Raises:
        InputError: the runner is unknown or one that loses data, an option cannot be used, or the runner's JAR is not
            to be had.
        TransientError: a worker process of the local runner was killed, or a cluster does not answer.
        TrillssonError: whatever a worker raised.
        KeyboardInterrupt: SIGINT or SIGTERM came.
    """
    import apache_beam as beam
    from apache_beam.options.pipeline_options import StandardOptions

    parsed = parse_options(options)
    name = parsed.view_as(StandardOptions).runner
    if name == LOCAL_RUNNER:
        from pipelines.beam.ending import local_job
        from pipelines.beam.processes import LocalRunner

        runner, job = LocalRunner(), local_job()
    else:
        from pipelines.beam.remote import remote_job

        runner, job = None, remote_job(parsed)
    with job, _own_errors(name), beam.Pipeline(runner, options=parsed) as pipeline:
        build(pipeline)


@contextmanager
def _own_errors(runner: str) -> Iterator[None]:
    try:
        yield
    except TrillssonError as error:
        raise without_step(error) from error
    except Exception as error:
        from pipelines.beam.remote import remote_error

        text = str(error)
        if text.startswith(_INVALID):
            raise refused(runner, [text.removeprefix(_INVALID)]) from error
        if ours := worker_error(text) or remote_error(runner, error):
            raise ours from error
        raise
