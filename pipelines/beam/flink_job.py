"""A job on Flink, seen through Flink's REST interface: what state it is in, what its workers raised, and its end.

Beam's own way to cancel a job that was submitted as a JAR asks Flink for a path that it does not have.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

from pipelines.beam.worker_errors import worker_error
from trillsson.errors import InputError, IntegrityError, TrillssonError
from trillsson.progress import say

_ENDED = {"FINISHED", "FAILED", "CANCELED"}
_ANSWER_SECONDS = 5.0
_LOOK_SECONDS = 0.5
_SUBMIT_SECONDS = 10.0
_CANCEL_SECONDS = 20.0
_WATCH_SECONDS = 5.0
_WAITS = 4
"""Looks after which it is said that parts of the job have no slot."""


class FlinkJob:
    """A job, known by its name, which no other job has; it may not be there yet.

    Args:
        master: URL of Flink's REST interface.
        name: the job's name.
    """

    def __init__(self, master: str, name: str) -> None:
        self._master = master
        self._name = name
        self._seen = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Cancels the job where a worker raised what no repetition mends, which Flink would repeat, and raises that.

        Raises:
            InputError, IntegrityError: whatever a worker raised.
        """
        refused: list[TrillssonError] = []
        over = threading.Event()

        def watch() -> None:
            waited = 0
            while not over.wait(_WATCH_SECONDS):
                # Whoever waits for the job hears of a Flink that does not answer, too.
                with contextlib.suppress(requests.RequestException):
                    waited = waited + 1 if self._waits_for_slots() else 0
                    if waited == _WAITS:
                        say(f"Flink at {self._master} has too few free slots for all parts of this job, which wait")
                    if not refused:
                        refused.extend(self._refusals())
                    if refused:
                        self._ask_to_cancel(self._states())

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        except Exception as error:
            if refused:
                raise refused[0] from error
            raise
        finally:
            over.set()
            watcher.join(_ANSWER_SECONDS)

    def end(self, *, interrupted: bool) -> None:
        """Cancels the job, if it has not ended, and waits for its end; says so if that is not sure.

        Args:
            interrupted: whether it may just be on its way to Flink.
        """
        begun = time.monotonic()
        while (waited := time.monotonic() - begun) < _CANCEL_SECONDS:
            try:
                states = self._states()
                if states and all(state in _ENDED for state in states.values()):
                    return
                if not states and (self._seen or not interrupted):
                    return  # a Flink that was started anew, or one that never had it
                if not states and waited > _SUBMIT_SECONDS:
                    break
                self._ask_to_cancel(states)
            except requests.RequestException:
                if not interrupted and (not self._seen or waited > _ANSWER_SECONDS):
                    break
            time.sleep(_LOOK_SECONDS)
        if interrupted or self._seen:
            say(f"Flink's job {self._name} may still run, or begin; cancel it at {self._master}")

    def _states(self) -> dict[str, str]:
        """Maps the ids of jobs of this name to their states."""
        return {job["jid"]: job["state"] for job in self._jobs()}

    def _waits_for_slots(self) -> bool:
        """Tells whether parts of the job have no slot to run in."""
        return any(job["state"] not in _ENDED and job["tasks"]["scheduled"] for job in self._jobs())

    def _jobs(self) -> list[dict[str, Any]]:
        """Returns what Flink tells of jobs of this name."""
        jobs = [job for job in self._get("/jobs/overview")["jobs"] if job["name"] == self._name]
        self._seen |= bool(jobs)
        return jobs

    def _refusals(self) -> Iterator[TrillssonError]:
        """Yields what workers raised that no repetition mends."""
        for job in self._states():
            for entry in self._get(f"/jobs/{job}/exceptions")["exceptionHistory"]["entries"]:
                error = worker_error(entry["stacktrace"])
                if isinstance(error, InputError | IntegrityError):
                    yield error

    def _ask_to_cancel(self, states: dict[str, str]) -> None:
        for job in [job for job, state in states.items() if state not in {*_ENDED, "CANCELLING"}]:
            requests.patch(f"{self._master}/jobs/{job}?mode=cancel", timeout=_ANSWER_SECONDS).raise_for_status()

    def _get(self, path: str) -> Any:
        answer = requests.get(f"{self._master}{path}", timeout=_ANSWER_SECONDS)
        answer.raise_for_status()
        return answer.json()
