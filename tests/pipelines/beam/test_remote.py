"""A job on a cluster that ends before its time: Flink is told to cancel it, and it is said if that is not sure."""

import json
import logging
import os
import re
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from pipelines.beam import flink_job
from pipelines.beam.remote import remote_error, remote_job
from trillsson.errors import InputError, IntegrityError, TransientError, TrillssonError


@dataclass
class Flink:
    """A REST interface of Flink's, as much as is asked of it.

    Attributes:
        master: its host and port.
        looks: how often its jobs were asked for.
        jobs: those it has: id, name and state.
        late: looks before which it has none.
        stuck: whether jobs stay in the state CANCELLING.
        raised: what workers raised.
        scheduled: parts of each job that have no slot.
        deaf: requests to cancel that it does not hear.
        status: with what it answers.
        cancelled: paths that it was asked to change.
    """

    master: str = ""
    looks: int = 0
    jobs: dict[str, list[str]] = field(default_factory=dict)
    late: int = 0
    stuck: bool = False
    raised: list[str] = field(default_factory=list)
    scheduled: int = 0
    deaf: int = 0
    status: int = 200
    cancelled: list[str] = field(default_factory=list)

    def answer(self, path: str) -> dict[str, object]:
        if path != "/jobs/overview":
            assert path in [f"/jobs/{jid}/exceptions" for jid in self.jobs]
            return {"exceptionHistory": {"entries": [{"stacktrace": text} for text in self.raised]}}
        self.looks += 1
        jobs = self.jobs.items() if self.looks > self.late else ()
        return {
            "jobs": [
                {"jid": jid, "name": name, "state": state, "tasks": {"scheduled": self.scheduled}}
                for jid, (name, state) in jobs
            ]
        }

    def cancel(self, path: str) -> None:
        self.cancelled.append(path)
        for jid, job in self.jobs.items():
            if jid in path:
                job[1] = "CANCELLING" if self.stuck else "CANCELED"


@pytest.fixture
def flink(monkeypatch: pytest.MonkeyPatch) -> Iterator[Flink]:
    found = Flink()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply(found.answer(self.path) if found.status == 200 else {"errors": ["not now"]})

        def do_PATCH(self) -> None:
            if found.deaf:
                found.deaf -= 1
                self.reply({}, status=503)
                return
            found.cancel(self.path)
            self.reply({})

        def reply(self, value: object, *, status: int = 0) -> None:
            self.send_response(status or found.status)
            self.end_headers()
            self.wfile.write(json.dumps(value).encode())

        def log_message(self, *_: object) -> None:
            pass

    shortened = {"_LOOK_SECONDS": 0.01, "_WATCH_SECONDS": 0.05, "_SUBMIT_SECONDS": 0.5, "_CANCEL_SECONDS": 1.0}
    for name, seconds in shortened.items():
        monkeypatch.setattr(flink_job, name, seconds)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        found.master = f"127.0.0.1:{server.server_port}"
        yield found
        server.shutdown()


def options_of(flink: Flink, *more: str) -> PipelineOptions:
    return PipelineOptions(["--runner=FlinkRunner", f"--flink_master={flink.master}", *more])


def name_of(options: PipelineOptions) -> str:
    return str(options.view_as(GoogleCloudOptions).job_name)


def end_with(error: BaseException, flink: Flink, *, state: str | None = None) -> None:
    """Has a job end with an error while Flink has it in this state."""
    options = options_of(flink)
    with pytest.raises(type(error)), remote_job(options):  # noqa: PT012
        if state:
            flink.jobs["a1"] = [name_of(options), state]
        raise error


def may_still_run(flink: Flink) -> str:
    return rf"» Flink's job trillsson-[0-9a-f]{{12}} may still run, or begin; cancel it at http://{flink.master}\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("a poll failed")])
@pytest.mark.parametrize("state", ["RUNNING", "RESTARTING"])
def test_its_own_job_is_cancelled(
    flink: Flink, error: BaseException, state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flink.jobs = {"b2": ["trillsson", "RUNNING"]}
    end_with(error, flink, state=state)
    assert flink.cancelled == ["/jobs/a1?mode=cancel"]
    assert (flink.jobs["a1"][1], flink.jobs["b2"][1]) == ("CANCELED", "RUNNING")
    assert capsys.readouterr().err == ""


def test_a_job_that_is_on_its_way_is_cancelled_when_it_comes(flink: Flink, capsys: pytest.CaptureFixture[str]) -> None:
    flink.late = 3
    end_with(KeyboardInterrupt(), flink, state="CREATED")
    assert flink.cancelled == ["/jobs/a1?mode=cancel"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("state", ["FINISHED", "FAILED", "CANCELED"])
def test_a_job_that_has_ended_is_left(flink: Flink, state: str, capsys: pytest.CaptureFixture[str]) -> None:
    end_with(ValueError("failed"), flink, state=state)
    assert (flink.cancelled, flink.looks) == ([], 1)
    assert capsys.readouterr().err == ""


def test_a_job_that_may_yet_come_or_go_on_is_told(flink: Flink, capsys: pytest.CaptureFixture[str]) -> None:
    end_with(KeyboardInterrupt(), flink)
    assert re.fullmatch(may_still_run(flink), capsys.readouterr().err)
    flink.stuck = True
    end_with(KeyboardInterrupt(), flink, state="RUNNING")
    assert re.fullmatch(may_still_run(flink), capsys.readouterr().err)
    flink.status = 503
    end_with(KeyboardInterrupt(), flink)
    assert re.fullmatch(may_still_run(flink), capsys.readouterr().err)


def test_a_job_that_was_not_submitted_is_not_waited_for(flink: Flink, capsys: pytest.CaptureFixture[str]) -> None:
    end_with(ValueError("no JAR"), flink)
    flink.status = 503
    end_with(ValueError("no JAR"), flink)
    assert flink.looks == 1
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("deaf", [0, 2], ids=["heard at once", "not heard at first"])
@pytest.mark.parametrize("error", [InputError("bad label; mend it"), IntegrityError("bad shard; stop")])
def test_what_no_repetition_mends_ends_the_job(flink: Flink, error: TrillssonError, deaf: int) -> None:
    options = options_of(flink)
    flink.raised = ["TransientError: disk full", f"java: Caused by: trillsson.errors.{type(error).__name__}: {error}"]
    flink.deaf = deaf
    with pytest.raises(type(error), match=f"^{error}$"), remote_job(options):  # noqa: PT012
        flink.jobs["a1"] = [name_of(options), "RUNNING"]
        deadline = time.monotonic() + 10
        while flink.jobs["a1"][1] != "CANCELED":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        raise RuntimeError("Pipeline mine failed in state CANCELLED: unknown error")


def test_what_may_pass_is_left_to_flink(flink: Flink) -> None:
    options = options_of(flink)
    flink.raised = ["trillsson.errors.TransientError: disk full; free some"]
    with remote_job(options):
        flink.jobs["a1"] = [name_of(options), "RUNNING"]
        time.sleep(0.5)
    assert flink.looks > 4
    assert flink.cancelled == []


def test_parts_without_a_slot_are_told_once(flink: Flink, capsys: pytest.CaptureFixture[str]) -> None:
    options = options_of(flink)
    flink.scheduled = 2
    with remote_job(options):
        flink.jobs["a1"] = [name_of(options), "RUNNING"]
        time.sleep(1)
    told = f"» Flink at http://{flink.master} has too few free slots for all parts of this job, which wait\n"
    assert capsys.readouterr().err == told


def test_every_job_has_a_name_of_its_own(flink: Flink) -> None:
    names = []
    for given in ([], [], ["--job_name=mine"], ["--job_name=mine"]):
        options = options_of(flink, *given)
        with remote_job(options):
            names.append(name_of(options))
    assert len(set(names)) == 4
    assert [name[:5] for name in names] == ["trill", "trill", "mine-", "mine-"]


def test_what_beam_submits_does_not_stay(flink: Flink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    jar = options_of(flink, "--flink_submit_uber_jar")
    with pytest.raises(ValueError, match="refused"), remote_job(jar):  # noqa: PT012
        tempfile.mkstemp(suffix=".jar")
        assert len(list(tmp_path.rglob("*.jar"))) == 1
        raise ValueError("refused")
    assert list(tmp_path.iterdir()) == []
    assert tempfile.gettempdir() == str(tmp_path)


def test_what_the_reading_thread_says_is_in_the_error_already(flink: Flink, caplog: pytest.LogCaptureFixture) -> None:
    def says() -> None:
        logging.error("java.lang.RuntimeException")
        logging.warning("slow")

    with remote_job(options_of(flink)):
        reader = threading.Thread(target=says, name="wait_until_finish_read")
        reader.start()
        reader.join()
        logging.error("of others")
    assert caplog.messages == ["slow", "of others"]


def test_a_second_signal_does_not_keep_the_job_alive(flink: Flink, monkeypatch: pytest.MonkeyPatch) -> None:
    states = flink_job.FlinkJob._states

    def signalled(job: flink_job.FlinkJob) -> dict[str, str]:
        for each in (signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), each)
        return states(job)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    usual = signal.signal(signal.SIGTERM, interrupt)
    monkeypatch.setattr(flink_job.FlinkJob, "_states", signalled)
    try:
        end_with(KeyboardInterrupt(), flink, state="RUNNING")
        assert signal.getsignal(signal.SIGTERM) is interrupt
    finally:
        signal.signal(signal.SIGTERM, usual)
    assert flink.cancelled == ["/jobs/a1?mode=cancel"]


def test_a_signal_as_the_job_is_about_to_be_ended(flink: Flink, monkeypatch: pytest.MonkeyPatch) -> None:
    end, calls = flink_job.FlinkJob.end, [KeyboardInterrupt(), KeyboardInterrupt()]

    def interrupted_first(job: flink_job.FlinkJob, *, interrupted: bool) -> None:
        if calls:
            raise calls.pop()
        end(job, interrupted=interrupted)

    monkeypatch.setattr(flink_job.FlinkJob, "end", interrupted_first)
    end_with(KeyboardInterrupt(), flink, state="RUNNING")
    assert flink.cancelled == ["/jobs/a1?mode=cancel"]


def test_what_is_no_flink_is_told() -> None:
    error = RuntimeError("Request to http://host:80/v1/jars/upload failed with status 404: nothing here")
    found = remote_error("FlinkRunner", error)
    assert isinstance(found, InputError)
    assert str(found) == f"what answers at host:80 is no Flink ({error}); correct --flink_master"


@pytest.mark.parametrize("status", [404, 503])
def test_a_flink_that_was_started_anew_is_one_line(status: int) -> None:
    error = RuntimeError(f"Request to http://host:8081/v1/jobs/a1/execution-result failed with status {status}: {{}}")
    assert (
        transient(error) == "FlinkRunner at host:8081 does not know the job any more; run again: what is done is kept"
    )


def test_a_flink_that_is_not_ready_is_one_line() -> None:
    error = RuntimeError("Request to http://host:8081/v1/jars/upload failed with status 503: election")
    assert (
        transient(error) == "FlinkRunner at host:8081 is not ready (HTTP status 503); run again: what is done is kept"
    )


def test_a_job_that_somebody_cancelled_is_one_line() -> None:
    error = RuntimeError("Pipeline mine failed in state CANCELLED: unknown error")
    assert transient(error) == "the job was cancelled on FlinkRunner; run again to go on: what is done is kept"


def test_workers_that_are_lost_too_often_are_one_line_and_a_bug_is_none() -> None:
    text = "JobException: Recovery is suppressed by FailureRate\nCaused by: Heartbeat of TaskManager timed out."
    told = "FlinkRunner lost workers too often, and started the job's parts again no more"
    assert transient(RuntimeError(text)) == f"{told}; run again: what is done is kept"
    assert remote_error("FlinkRunner", RuntimeError(f"{text} Traceback (most recent call last): 1 / 0")) is None


def transient(error: Exception) -> str:
    found = remote_error("FlinkRunner", error)
    assert isinstance(found, TransientError)
    return str(found)
