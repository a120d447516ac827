"""How a job on this machine ends before its time: at once, told once, and with none of its processes left.

Beam's local runner waits for ever for a worker process that is gone, and tells every error several times over. Imports
Beam: import it where a job runs.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from pipelines.beam.processes import kill_workers
from pipelines.beam.worker import print_nothing
from pipelines.beam.worker_errors import worker_error
from trillsson.errors import TransientError, TrillssonError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PRESS_SECONDS = 1.0
_LOST = "Worker subprocess exited with return code "
_THREADS = ("run_worker", "beam_control_read", "read_grpc_client_inputs")
"""Beam's threads that raise when a worker is gone."""


@contextmanager
def local_job() -> Iterator[None]:
    """Ends a job at once when it is interrupted or a worker process is gone, and keeps back what Beam says of that.

    Raises:
        KeyboardInterrupt: SIGINT or SIGTERM came; the argument says which.
        TransientError: a worker process was killed.
        RuntimeError: a worker process crashed.
    """
    kept, stop = _Kept(), _Stop()
    usual = threading.excepthook

    def listen(args: threading.ExceptHookArgs) -> None:
        # Only the thread that looks after a worker hears of its end.
        if _LOST in (text := str(args.exc_value)):
            stop.lose(int(text.rpartition(" ")[2]))
        elif isinstance(args.exc_value, grpc.RpcError):
            kept.keep(lambda: usual(args))
        else:
            usual(args)

    threading.excepthook = listen
    print_nothing()
    try:
        with kept.logs(), stop.listening():
            yield
    except BaseException as error:
        kept.show(all_of_it=not isinstance(error, KeyboardInterrupt | TrillssonError) and not stop.cause)
        raise
    else:
        kept.show(all_of_it=True)
    finally:
        threading.excepthook = usual


class _Stop:
    """Ends a job from outside."""

    def __init__(self) -> None:
        self.cause: BaseException | None = None
        self._lost = False
        self._lock = threading.RLock()  # a handler may interrupt itself
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._press, daemon=True)
        self._before: dict[int, Any] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listens for signals, and raises the cause when there is one, whatever the job made of it."""
        if threading.current_thread() is threading.main_thread():
            self._before = {each: signal.getsignal(each) or signal.SIG_DFL for each in _SIGNALS}
            for each in _SIGNALS:
                signal.signal(each, self._handle)
        try:
            yield
        except BaseException:
            if not self.cause:
                raise
        finally:
            self._end()
        if self.cause:
            raise self.cause from None

    def lose(self, status: int) -> None:
        """A worker process has ended with this status."""
        if -status in (signal.SIGKILL, signal.SIGTERM):
            cause: Exception = TransientError(
                f"a worker process was killed (exit status {128 - status}): by hand, or for want of memory; "
                "run again, with fewer workers if it is memory: what is done is kept"
            )
        else:
            cause = RuntimeError(f"a worker process crashed (exit status {status})")
        self._stop(cause, lost=True)

    def _handle(self, signum: int, *_: object) -> None:
        if self._over.is_set():
            return
        # A job in a shell's background ignores interrupts, but for those of `_press`.
        if self._before[signum] is signal.SIG_IGN and not self.cause:
            return
        self._stop(KeyboardInterrupt(signum))
        if signum == signal.SIGTERM:
            # Sent to the whole group, it ends workers too: they are not the cause.
            self.cause = KeyboardInterrupt(signum)
        raise KeyboardInterrupt(signum)

    def _stop(self, cause: BaseException, *, lost: bool = False) -> None:
        """Has the job end for this cause, if there was none before."""
        with self._lock:
            if self.cause or self._over.is_set():
                return
            self.cause, self._lost = cause, lost
        self._thread.start()

    def _press(self) -> None:
        # Real signals: only they wake a thread that waits for a lock. Again and again, as what the first one ends may
        # itself wait for the lost worker on its way out. Work in the launcher's own process is left to clean up.
        while not self._over.is_set():
            if self._lost:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            self._lost |= kill_workers()
            self._over.wait(_PRESS_SECONDS)

    def _end(self) -> None:
        self._over.set()
        if self.cause:
            self._thread.join()
        if kill_workers() or self.cause:
            _wait_for_threads()
        for each, handler in self._before.items():
            signal.signal(each, handler)


class _Kept(logging.Handler):
    """Keeps back the errors that Beam logs until it is known what the job ends with."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[tuple[bool, Callable[[], object]]] = []

    @contextmanager
    def logs(self) -> Iterator[None]:
        """Takes what Beam and gRPC log."""
        loggers = [logging.getLogger(name) for name in ("apache_beam", "grpc")]
        for each in loggers:
            each.addHandler(self)
            each.propagate = False
        try:
            yield
        finally:
            for each in loggers:
                each.propagate = True
                each.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps an error; anything less is said at once."""
        if record.levelno < logging.ERROR:
            logging.getLogger().handle(record)
            return
        text = self.format(record)
        # Beam marks what a step raised. What is neither ours nor an interrupt is a bug.
        bug = "[while running '" in text and not worker_error(text) and KeyboardInterrupt.__name__ not in text
        self.keep(lambda: logging.getLogger().handle(record), bug=bug)

    def keep(self, show: Callable[[], object], *, bug: bool = False) -> None:
        """Keeps what `show` would show."""
        self._kept.append((bug, show))

    def show(self, *, all_of_it: bool) -> None:
        """Shows what was kept back: all of it, or the bugs only, where the rest is what the job's error says."""
        for bug, show in self._kept:
            if all_of_it or bug:
                show()


def _wait_for_threads() -> None:
    """Waits for threads that are about to raise. Their `join` may return early: an interrupt ended one before."""
    until = time.monotonic() + _PRESS_SECONDS
    while time.monotonic() < until and any(thread.name in _THREADS for thread in threading.enumerate()):
        time.sleep(0.01)
