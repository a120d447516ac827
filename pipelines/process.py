"""What every process of this project does first and last: settle the environment, and end on one clear line."""

import errno
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

from trillsson import errors
from trillsson.errors import InputError, TransientError, TrillssonError

ERROR_FILE = "TRILLSSON_ERROR_FILE"
"""Environment variable: where a step leaves its error for the launcher, whom KFP does not tell the cause."""

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
    """Turns our own errors, and a full disk, into one line on standard error and an exit status.

    Any other is a bug and stays.
    """
    try:
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


def read_error(path: Path) -> TrillssonError | None:
    """Returns the error that a task left in the launcher's error file, or None."""
    if not path.exists():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    error: TrillssonError = getattr(errors, record["error"])(record["message"])
    return error
