"""A job that ends before its time ends at once, on one line, and leaves no process behind."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

import grpc
import psutil
import pytest

from pipelines.beam.ending import local_job
from trillsson.errors import InputError

JOB = """
import os, sys, time
from pathlib import Path

import apache_beam as beam

from pipelines.beam.runner import run_pipeline
from pipelines.process import one_line_errors, settle_environment
from trillsson.errors import InputError, TransientError


def wait(path):
    Path(path).touch()
    time.sleep(600)


def fail(path):
    raise TransientError(f"{path} is full; free some space")


def crash(path):
    os.abort()


def err(path):
    1 / 0


work, path, *options = sys.argv[1:]
settle_environment()
with one_line_errors():
    run_pipeline(lambda pipeline: pipeline | beam.Create([path]) | beam.Map(globals()[work]), options)
"""

INTERRUPTED = "trillsson: interrupted; run again to go on: what is done is kept\n"
PROCESSES = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")


def start(work: str, path: Path, options: Sequence[str]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", JOB, work, str(path), *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)


@pytest.mark.parametrize("options", [(), PROCESSES], ids=["here", "processes"])
@pytest.mark.parametrize("send", [os.kill, os.killpg])
@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_is_one_line(
    tmp_path: Path, options: tuple[str, ...], send: Callable[[int, int], None], signum: int, status: int
) -> None:
    job = start("wait", tmp_path / "begun", options)
    deadline = time.monotonic() + 60
    while not (tmp_path / "begun").exists():
        assert time.monotonic() < deadline, "no worker"
        time.sleep(0.02)
    workers = psutil.Process(job.pid).children(recursive=True)
    assert len(workers) == (2 if options else 0)
    send(job.pid, signum)
    _, errors = job.communicate(timeout=30)
    assert (job.returncode, errors) == (status, INTERRUPTED)
    assert not [worker for worker in workers if worker.is_running()]


def test_an_error_of_a_worker_process_is_one_line(tmp_path: Path) -> None:
    _, errors = (job := start("fail", tmp_path / "disk", PROCESSES)).communicate(timeout=60)
    assert (job.returncode, errors) == (75, f"trillsson: {tmp_path}/disk is full; free some space\n")


@pytest.mark.parametrize(
    ("work", "last"),
    [
        ("crash", "RuntimeError: a worker process crashed (exit status -6)"),
        ("err", "ZeroDivisionError: division by zero [while running 'Map(err)']"),
    ],
)
def test_a_bug_in_a_worker_process_is_a_traceback(work: str, last: str) -> None:
    _, errors = (job := start(work, Path("x"), PROCESSES)).communicate(timeout=60)
    assert job.returncode == 1
    assert "Traceback (most recent call last):\n" in errors
    assert "trillsson: " not in errors
    assert [line for line in errors.splitlines() if line][-1] == last


BUG = "KeyError: 'x' [while running 'work']"
EVERYTHING = ["trillsson.errors.InputError: no [while running 'work']", "a stream broke", BUG]


@pytest.mark.parametrize(
    ("end", "shown"),
    [
        (None, EVERYTHING),
        (RuntimeError(BUG), EVERYTHING),
        (InputError("no"), [BUG]),
        (KeyboardInterrupt(), [BUG]),
    ],
    ids=repr,
)
def test_only_what_the_jobs_error_says_is_kept_back(
    end: BaseException | None, shown: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("apache_beam.runners.common")
    around: AbstractContextManager[object] = pytest.raises(type(end)) if end else nullcontext()
    with around, local_job():
        for each in EVERYTHING:
            logger.error(each)
        logger.warning("at once")
        assert caplog.messages == ["at once"]
        if end:
            raise end
    assert caplog.messages == ["at once", *shown]
    logger.error("later")
    assert caplog.messages[-1] == "later"


@pytest.mark.parametrize(("error", "shown"), [(grpc.RpcError("a stream broke"), 0), (KeyError("bug"), 1)])
def test_an_exception_of_a_thread(error: Exception, shown: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: seen.append(args.exc_value))

    def work() -> None:
        raise error

    def job() -> None:
        with local_job():
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            raise InputError("no")

    with pytest.raises(InputError):
        job()
    assert seen == [error] * shown


def test_an_ignored_interrupt_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with local_job():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interrupt_that_beam_swallows_still_counts() -> None:
    with pytest.raises(KeyboardInterrupt) as caught, local_job(), suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.args == (signal.SIGTERM,)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
