"""A job on a cluster: how it ends when it is interrupted, and what is said of a cluster's own errors.

Imports Beam: import it where a job runs.
"""

import contextlib
import re
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import requests
from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
)
from apache_beam.runners.portability.flink_runner import MAGIC_HOST_NAMES, FlinkRunner

from trillsson.errors import InputError, TransientError, TrillssonError
from trillsson.progress import say

_BAD_JAR = re.compile(r'Unable to parse jar URL "([^"]*)"')
_NO_JAR = re.compile(r"Unable to fetch remote job server jar at \S*/(\S+?\.jar)")
_READER = "wait_until_finish_read"
"""Beam's thread that asks a cluster how a job is; what ends it comes to the launcher too."""

_READER_SECONDS = 10.0
_ENDED = {"FINISHED", "FAILED", "CANCELED"}
_ANSWER_SECONDS = 5.0
_LOOK_SECONDS = 0.5
_SUBMIT_SECONDS = 3.0
_CANCEL_SECONDS = 20.0


@contextmanager
def remote_job(options: PipelineOptions) -> Iterator[None]:
    """Cancels a job on Flink when this process is interrupted, and says nothing twice.

    Otherwise the job would go on, and the rerun would share the cluster with it. Beam's own way to cancel a job that
    was submitted as a JAR asks Flink for a path that it does not have.
    """
    master, name = _flink_master(options), _name_of(options)
    with _quiet_reader():
        try:
            yield
        except KeyboardInterrupt:
            if master:
                _cancel(master, name)
            raise


def remote_error(runner: str, error: Exception) -> TrillssonError | None:
    """Returns what a user can do about an error of a runner elsewhere, or None if that is not known."""
    if isinstance(error, requests.ConnectionError) and error.request:
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


def _flink_master(options: PipelineOptions) -> str | None:
    """Returns the URL of Flink's REST interface, if the job goes to a Flink that is there."""
    master = options.view_as(FlinkRunnerOptions).flink_master
    if "flink" not in str(options.view_as(StandardOptions).runner).lower() or master in MAGIC_HOST_NAMES:
        return None
    return str(FlinkRunner.add_http_scheme(master)).rstrip("/")


def _name_of(options: PipelineOptions) -> str:
    """Returns the job's name, by which it is found again; gives it one."""
    naming = options.view_as(GoogleCloudOptions)  # every runner reads it
    naming.job_name = naming.job_name or f"trillsson-{uuid.uuid4().hex[:12]}"
    return str(naming.job_name)


def _cancel(master: str, name: str) -> None:
    """Cancels a job and waits for its end, or says that it may go on."""
    begun = time.monotonic()
    with contextlib.suppress(requests.RequestException):
        while (waited := time.monotonic() - begun) < _CANCEL_SECONDS:
            overview = requests.get(f"{master}/jobs/overview", timeout=_ANSWER_SECONDS).json()
            states = {job["jid"]: job["state"] for job in overview["jobs"] if job["name"] == name}
            # It may just be on its way there.
            if all(state in _ENDED for state in states.values()) and (states or waited > _SUBMIT_SECONDS):
                return
            for job in [job for job, state in states.items() if state not in {*_ENDED, "CANCELLING"}]:
                requests.patch(f"{master}/jobs/{job}?mode=cancel", timeout=_ANSWER_SECONDS)
            time.sleep(_LOOK_SECONDS)
    say(f"Flink's job {name} may still run; cancel it at {master}")


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
    except Exception:
        for thread in threading.enumerate():
            if thread.name.startswith(_READER):
                thread.join(_READER_SECONDS)
        raise
    finally:
        threading.excepthook = usual
