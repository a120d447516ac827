"""What every process of this project does first and last: settle the environment, and end on one clear line."""

import errno
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

from trillsson import errors
from trillsson.errors import InputError, TransientError, TrillssonError

ERROR_FILE = "TRILLSSON_ERROR_FILE"
"""Environment variable: where a step leaves its error for the launcher, whom KFP does not tell the cause."""

INTERRUPTED = "interrupted; run again to go on: what is done is kept"

P = ParamSpec("P")
R = TypeVar("R")


def settle_environment() -> None:
    """Keeps tf.keras at Keras 3, which importing tensorflow-transform would undo, and TensorFlow and Beam quiet."""
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "0")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Every worker process of the local runner warns that it has no folder for what nobody has registered.
    logging.getLogger("apache_beam.runners.portability.local_job_service").setLevel(logging.ERROR)


def as_task(step: Callable[P, R]) -> Callable[P, R]:
    """Wraps a step for a pod: our own errors end the process on one line and their exit status."""

    def task(*args: P.args, **kwargs: P.kwargs) -> R:
        settle_environment()
        with one_line_errors():
            return step(*args, **kwargs)

    return task


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turns our own errors, a full disk, and an interrupt into one line on standard error and an exit status.

    Any other is a bug and stays.
    """
    try:
        with _sigterm_interrupts():
            try:
                yield
            except ModuleNotFoundError as error:
                raise InputError(f"{error.name} is not installed; pip install 'trillsson[pipelines]'") from error
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                raise TransientError(f"{error.filename or 'a disk'} is full; free some space and run again") from error
    except TrillssonError as error:
        if path := os.environ.get(ERROR_FILE):
            record = {"error": type(error).__name__, "message": str(error)}
            Path(path).write_text(json.dumps(record), encoding="utf-8")
        sys.stderr.write(f"trillsson: {error}\n")
        raise SystemExit(error.exit_status) from error
    except KeyboardInterrupt as error:
        if threading.current_thread() is threading.main_thread():
            # Threads may still be at work: a second Ctrl-C ends them, and nobody wants to hear of their errors.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            logging.disable()
        after = "\n" if sys.stderr.isatty() else ""  # a terminal has written ^C there
        sys.stderr.write(f"{after}trillsson: {INTERRUPTED}\n")
        raise SystemExit(128 + (error.args or (signal.SIGINT,))[0]) from error


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Lets SIGTERM interrupt this process as Ctrl-C does, so that it cleans up."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def interrupt(signum: int, *_: object) -> None:
        raise KeyboardInterrupt(signum)

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def read_error(path: Path) -> TrillssonError | None:
    """Returns the error that a task left in the launcher's error file, or None."""
    if not path.exists():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    error: TrillssonError = getattr(errors, record["error"])(record["message"])
    return error
