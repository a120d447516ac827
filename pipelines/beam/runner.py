"""Runs a Beam pipeline on whatever runner the options name, and gives its errors back as our own."""

import contextlib
import re
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipelines.beam.options import parse_options, refused
from trillsson import errors
from trillsson.errors import TransientError, TrillssonError

if TYPE_CHECKING:
    import apache_beam as beam

_INVALID = "Pipeline has validations errors: "
_INTERRUPT_SECONDS = 1.0
_LOST = "Worker subprocess exited with return code"
_RAISED = re.compile(r"(?:trillsson\.errors\.)?\b(InputError|IntegrityError|GateError|TransientError): (.+)")
_STEP = re.compile(r" \[while running '[^']*'\]?.*$", re.DOTALL)


def run_pipeline(build: "Callable[[beam.Pipeline], object]", options: Sequence[str]) -> None:
    """Builds a pipeline and waits for it.

    Args:
        build: applies the transforms to the pipeline it is given.
        options: Beam's own command-line options, such as `--runner=FlinkRunner`; without a runner, this machine.

    Raises:
        InputError: the runner is unknown or one that loses data, or an option cannot be used.
        TransientError: a worker process of the local runner was killed.
        TrillssonError: whatever a worker raised.
    """
    import apache_beam as beam
    from apache_beam.options.pipeline_options import StandardOptions

    parsed = parse_options(options)
    try:
        with _lost_workers_told(), beam.Pipeline(options=parsed) as pipeline:
            build(pipeline)
    except TrillssonError as error:
        raise _without_step(error) from error
    except Exception as error:
        text = str(error)
        if text.startswith(_INVALID):
            raise refused(parsed.view_as(StandardOptions).runner, [text.removeprefix(_INVALID)]) from error
        if ours := _worker_error(text):
            raise ours from error
        raise


@contextmanager
def _lost_workers_told() -> Iterator[None]:
    """Ends a run whose worker process was killed: Beam's local runner would wait for it for ever.

    Only the thread that looks after the process hears of its end, and raises; so that is listened to.
    """
    lost: list[str] = []
    over = threading.Event()
    usual = threading.excepthook

    def interrupt() -> None:
        # Real signals: only they wake a thread that waits for a lock. Again and again, as what the first one ends may
        # itself wait for the lost worker on its way out.
        while not over.is_set():
            _kill_workers()
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            over.wait(_INTERRUPT_SECONDS)

    def listen(args: threading.ExceptHookArgs) -> None:
        if _LOST not in str(args.exc_value):
            usual(args)
        elif not lost:
            lost.append(str(args.exc_value))
            threading.Thread(target=interrupt, daemon=True).start()

    threading.excepthook = listen
    main = threading.current_thread() is threading.main_thread()
    # A job in a shell's background ignores interrupts, and would this one.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler) if main else None
    try:
        yield
    except KeyboardInterrupt:
        over.set()
        if not lost:
            raise
        status = lost[0].rpartition(" ")[2]
        raise TransientError(
            f"a worker process was killed (exit status {status}): by hand, or for want of memory; "
            "run again, with fewer workers if it is memory: what is done is kept"
        ) from None
    finally:
        over.set()
        threading.excepthook = usual
        if main:
            signal.signal(signal.SIGINT, handler)


def _kill_workers() -> None:
    """Ends the workers of a run that was given up: the threads that wait for them would keep this process."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if any("sdk_worker_main" in word for word in child.cmdline()):
                child.kill()


def _worker_error(text: str) -> TrillssonError | None:
    """Finds one of our errors in what a runner reports: most runners keep only the text of a worker's exception."""
    found = _RAISED.findall(text)
    if not found:
        return None
    name, message = found[-1]
    error: TrillssonError = getattr(errors, name)(_STEP.sub("", message))
    return error


def _without_step(error: TrillssonError) -> TrillssonError:
    return type(error)(_STEP.sub("", str(error)))
