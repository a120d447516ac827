"""A job on a cluster, interrupted: Flink is told to cancel it, and it is said if that is not sure."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from pipelines.beam import remote
from pipelines.beam.remote import remote_job


@dataclass
class Flink:
    """A REST interface of Flink's, as much as is asked of it.

    Attributes:
        master: its host and port.
        looks: how often its jobs were asked for.
        jobs: those it has, by name: id and state.
        late: looks before which it has none.
        stuck: whether jobs stay in the state CANCELLING.
        cancelled: paths that it was asked to change.
    """

    master: str = ""
    looks: int = 0
    jobs: dict[str, tuple[str, str]] = field(default_factory=dict)
    late: int = 0
    stuck: bool = False
    cancelled: list[str] = field(default_factory=list)

    def overview(self) -> dict[str, object]:
        self.looks += 1
        jobs = self.jobs.items() if self.looks > self.late else ()
        return {"jobs": [{"jid": jid, "name": name, "state": state} for name, (jid, state) in jobs]}

    def cancel(self, path: str) -> None:
        self.cancelled.append(path)
        after = "CANCELLING" if self.stuck else "CANCELED"
        self.jobs = {name: (jid, after if jid in path else state) for name, (jid, state) in self.jobs.items()}


@pytest.fixture
def flink(monkeypatch: pytest.MonkeyPatch) -> Iterator[Flink]:
    found = Flink()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/jobs/overview"
            self.answer(found.overview())

        def do_PATCH(self) -> None:
            found.cancel(self.path)
            self.answer({})

        def answer(self, value: object) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(value).encode())

        def log_message(self, *_: object) -> None:
            pass

    for name, seconds in {"_LOOK_SECONDS": 0.01, "_SUBMIT_SECONDS": 0.5, "_CANCEL_SECONDS": 1.0}.items():
        monkeypatch.setattr(remote, name, seconds)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        found.master = f"127.0.0.1:{server.server_port}"
        yield found
        server.shutdown()


def interrupt(flink: Flink, *options: str) -> None:
    parsed = PipelineOptions(["--runner=FlinkRunner", f"--flink_master={flink.master}", *options])
    with pytest.raises(KeyboardInterrupt), remote_job(parsed):
        raise KeyboardInterrupt


@pytest.mark.parametrize("late", [0, 3])
def test_its_own_job_is_cancelled(flink: Flink, late: int, capsys: pytest.CaptureFixture[str]) -> None:
    flink.jobs = {"mine": ("a1", "RUNNING"), "other": ("b2", "RUNNING")}
    flink.late = late
    interrupt(flink, "--job_name=mine")
    assert flink.cancelled == ["/jobs/a1?mode=cancel"]
    assert flink.jobs == {"mine": ("a1", "CANCELED"), "other": ("b2", "RUNNING")}
    assert capsys.readouterr().err == ""


def test_a_job_that_never_came_is_not_waited_for_long(flink: Flink, capsys: pytest.CaptureFixture[str]) -> None:
    interrupt(flink)
    assert flink.looks > 1
    assert flink.cancelled == []
    assert capsys.readouterr().err == ""


def test_a_job_that_goes_on_is_told(flink: Flink, capsys: pytest.CaptureFixture[str]) -> None:
    flink.jobs = {"mine": ("a1", "RESTARTING")}
    flink.stuck = True
    interrupt(flink, "--job_name=mine")
    assert flink.cancelled == ["/jobs/a1?mode=cancel"]
    assert capsys.readouterr().err == f"» Flink's job mine may still run; cancel it at http://{flink.master}\n"


def test_a_flink_that_does_not_answer_is_told(flink: Flink, capsys: pytest.CaptureFixture[str]) -> None:
    flink.master = "127.0.0.1:9"
    interrupt(flink, "--job_name=mine")
    assert capsys.readouterr().err == "» Flink's job mine may still run; cancel it at http://127.0.0.1:9\n"


def test_every_job_has_a_name_of_its_own() -> None:
    names = set()
    for given in ([], [], ["--job_name=mine"]):
        parsed = PipelineOptions(["--runner=FlinkRunner", "--flink_master=127.0.0.1:9", *given])
        with remote_job(parsed):
            names.add(parsed.view_as(GoogleCloudOptions).job_name)
    assert len(names) == 3
    assert "mine" in names
