"""A job on a cluster: nothing is left of it when it ends, nothing is said twice, and the cluster's errors are ours.

Imports Beam: import it where a job runs.
"""

import logging
import re
import signal
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import requests
from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
)
from apache_beam.runners.portability.flink_runner import MAGIC_HOST_NAMES, FlinkRunner

from pipelines.beam.flink_job import FlinkJob
from pipelines.beam.options import short_name
from trillsson.errors import InputError, TransientError, TrillssonError

_BAD_JAR = re.compile(r'Unable to parse jar URL "([^"]*)"')
_NO_JAR = re.compile(r"Unable to fetch remote job server jar at \S*/(\S+?\.jar)")
_REQUEST = re.compile(r"Request to (\S+) failed with status (404|502|503|504)")
"""What Beam says of a Flink that does not know the job any more, or not yet again: it was started anew."""

_GIVEN_UP = "Recovery is suppressed by"
_BUG = "Traceback (most recent call last)"
"""In what Flink tells of a part that failed: a worker raised it, and was not lost."""

_READER = "wait_until_finish_read"
"""Beam's thread that asks a cluster how a job is; what ends it comes to the launcher too."""

_READER_SECONDS = 10.0


@contextmanager
def remote_job(options: PipelineOptions) -> Iterator[None]:
    """Has a job on Flink end with what is inside: else it would go on beside the rerun.

    Raises:
        InputError, IntegrityError: a worker raised it; the job was cancelled, since Flink would have tried it again.
    """
    with _quiet_reader():
        if not (master := _flink_master(options)):
            yield
            return
        job = FlinkJob(master, _name(options))
        try:
            with _scratch(options), job.watched():
                yield
        except BaseException as error:
            _end(job, interrupted=not isinstance(error, Exception))
            raise


def _end(job: FlinkJob, *, interrupted: bool) -> None:
    """Ends a job, also if a second signal comes with the first: `timeout` sends two."""
    while True:
        try:
            with _deaf():
                job.end(interrupted=interrupted)
        except KeyboardInterrupt:
            interrupted = True
        else:
            return


@contextmanager
def _deaf() -> Iterator[None]:
    """Hears no interrupt."""
    before: dict[signal.Signals, Any] = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for each in (signal.SIGINT, signal.SIGTERM):
                before[each] = signal.signal(each, signal.SIG_IGN)
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler or signal.SIG_DFL)


def remote_error(runner: str, error: Exception) -> TrillssonError | None:
    """Returns what a user can do about an error of a runner elsewhere, or None if that is not known."""
    text = str(error)
    if isinstance(error, requests.ConnectionError) and error.request:
        where = urlsplit(str(error.request.url)).netloc
        return TransientError(
            f"{runner} does not answer at {where}; see that it runs, and run again: what is done is kept"
        )
    if lost := _REQUEST.search(text):
        host, known = urlsplit(lost[1]).netloc, "/jobs/" in lost[1]
        if lost[2] == "404" and not known:
            return InputError(f"what answers at {host} is no Flink ({text[:200]}); correct --flink_master")
        told = "does not know the job any more" if known else f"is not ready (HTTP status {lost[2]})"
        return TransientError(f"{runner} at {host} {told}; run again: what is done is kept")
    if "failed in state CANCELLED" in text:
        return TransientError(f"the job was cancelled on {runner}; run again to go on: what is done is kept")
    if _GIVEN_UP in text and _BUG not in text:
        told = f"{runner} lost workers too often, and started the job's parts again no more"
        return TransientError(f"{told}; run again: what is done is kept")
    if isinstance(error, ValueError) and (wrong := _BAD_JAR.match(text)):
        return InputError(f"{wrong[1]} does not exist; correct --flink_job_server_jar")
    if wrong := _NO_JAR.match(text):
        return InputError(f"{wrong[1]} cannot be fetched; give a JAR, as `trillsson engine options` does")
    return None


def _flink_master(options: PipelineOptions) -> str | None:
    """Returns the URL of Flink's REST interface, if the job goes to a Flink that is there."""
    master = options.view_as(FlinkRunnerOptions).flink_master
    if short_name(options.view_as(StandardOptions).runner or "") != "flink" or master in MAGIC_HOST_NAMES:
        return None
    return str(FlinkRunner.add_http_scheme(master)).rstrip("/")


def _name(options: PipelineOptions) -> str:
    """Gives the job a name that no other has, by which it is found again."""
    naming = options.view_as(GoogleCloudOptions)  # every runner reads it
    naming.job_name = f"{naming.job_name or 'trillsson'}-{uuid.uuid4().hex[:12]}"
    return str(naming.job_name)


@contextmanager
def _scratch(options: PipelineOptions) -> Iterator[None]:
    """Has Beam leave a JAR that it submits, of 170 MB, where it is removed whatever happens."""
    if not options.view_as(FlinkRunnerOptions).flink_submit_uber_jar:  # a job server of Beam's outlives the job
        yield
        return
    usual = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="trillsson-") as folder:
        tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = usual


@contextmanager
def _quiet_reader() -> Iterator[None]:
    """Keeps back what Beam's reading thread says, its traceback included: it is in the error that the job ends with."""
    usual = threading.excepthook

    def print_others(told: threading.ExceptHookArgs) -> None:
        if told.thread is None or not told.thread.name.startswith(_READER):
            usual(told)

    def of_others(record: logging.LogRecord) -> bool:
        return not str(record.threadName).startswith(_READER) or record.levelno < logging.ERROR

    root = logging.getLogger()
    root.addFilter(of_others)
    threading.excepthook = print_others
    try:
        yield
    except Exception:
        for thread in threading.enumerate():
            if thread.name.startswith(_READER):
                thread.join(_READER_SECONDS)
        raise
    finally:
        threading.excepthook = usual
        root.removeFilter(of_others)
