"""Runs a Beam pipeline on whatever runner the options name, and gives its errors back as our own."""

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipelines.beam.options import LOCAL_RUNNER, parse_options, refused
from pipelines.beam.worker_errors import without_step, worker_error
from trillsson.errors import InputError, TransientError, TrillssonError

if TYPE_CHECKING:
    import apache_beam as beam

_INVALID = "Pipeline has validations errors: "
_BAD_JAR = re.compile(r'Unable to parse jar URL "([^"]*)"')
_READER_SECONDS = 10.0
_READER = "wait_until_finish_read"
"""Beam's thread that asks a cluster how a job is; what ends it comes to the launcher too."""

_NO_JAR = re.compile(r"Unable to fetch remote job server jar at \S*/(\S+?\.jar)")


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

    from pipelines.beam.ending import local_job
    from pipelines.beam.processes import LocalRunner

    parsed = parse_options(options)
    name = parsed.view_as(StandardOptions).runner
    runner, job = (LocalRunner(), local_job()) if name == LOCAL_RUNNER else (None, _quiet_reader())
    with job, _own_errors(name), beam.Pipeline(runner, options=parsed) as pipeline:
        build(pipeline)


@contextmanager
def _quiet_reader() -> Iterator[None]:
    """Keeps Python from printing the traceback of Beam's reading thread beside the one line that says the same."""
    usual = threading.excepthook

    def print_others(told: threading.ExceptHookArgs) -> None:
        if told.thread is None or not told.thread.name.startswith(_READER):
            usual(told)

    threading.excepthook = print_others
    try:
        yield
    finally:
        for thread in threading.enumerate():
            if thread.name.startswith(_READER):
                thread.join(_READER_SECONDS)
        threading.excepthook = usual


@contextmanager
def _own_errors(runner: str) -> Iterator[None]:
    try:
        yield
    except TrillssonError as error:
        raise without_step(error) from error
    except Exception as error:
        text = str(error)
        if text.startswith(_INVALID):
            raise refused(runner, [text.removeprefix(_INVALID)]) from error
        if ours := worker_error(text) or _cluster_error(runner, error):
            raise ours from error
        raise


def _cluster_error(runner: str, error: Exception) -> TrillssonError | None:
    """Returns what a user can do about an error of a runner elsewhere, or None if that is not known."""
    from requests import ConnectionError as Unreachable

    if isinstance(error, Unreachable) and error.request:
        where = urlsplit(str(error.request.url)).netloc
        return TransientError(
            f"{runner} does not answer at {where}; see that it runs, and run again: what is done is kept"
        )
    text = str(error)
    if isinstance(error, ValueError) and (wrong := _BAD_JAR.match(text)):
        return InputError(f"{wrong[1]} does not exist; correct --flink_job_server_jar")
    if wrong := _NO_JAR.match(text):
        return InputError(f"{wrong[1]} cannot be fetched; give a JAR, as `trillsson engine options` does")
    return None
