"""Submits to, and schedules on, a loopback stand-in for the REST API (v2beta1) of a Kubeflow Pipelines server."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from kfp import compiler, dsl, kubernetes

from pipelines.kubeflow.submit import schedule, submit
from trillsson.errors import InputError, TransientError

API = "/apis/v2beta1"
IDS = {
    "experiments": "experiment_id",
    "runs": "run_id",
    "pipelines": "pipeline_id",
    "versions": "pipeline_version_id",
    "recurringruns": "recurring_run_id",
}
LISTS = {"versions": "pipeline_versions", "recurringruns": "recurringRuns"}


@dataclass
class FakeServer:
    """Keeps what is created, answers lists one item a page, and notes every request."""

    host: str = ""
    items: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {kind: [] for kind in IDS})
    requests: list[tuple[str, str, dict[str, str], dict[str, str]]] = field(default_factory=list)
    uploads: list[bytes] = field(default_factory=list)
    answers: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)

    def called(self, method: str, path: str) -> int:
        return sum(request[:2] == (method, path) for request in self.requests)

    def answer(
        self, method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes
    ) -> tuple[int, str]:
        self.requests.append((method, path, query, headers))
        if (method, path) in self.answers:
            return self.answers[method, path]
        *_, kind = parts = path.removeprefix(f"{API}/").split("/")
        if kind == "healthz":
            return 200, "{}"
        if kind == "upload_version":
            self.uploads.append(body)
            return 200, self._add("versions", {"display_name": query["name"], "pipeline_id": query["pipelineid"]})
        if method == "POST":
            return 200, self._add(kind, json.loads(body))
        if method == "DELETE":
            collection, gone = parts
            kept = [item for item in self.items[collection] if item[IDS[collection]] != gone]
            status = 404 if kept == self.items[collection] else 200
            self.items[collection] = kept
            return status, "{}"
        name = json.loads(query["filter"])["predicates"][0]["stringValue"]
        found = [item for item in self.items[kind] if item["display_name"].lower() == name.lower()]
        start = int(query.get("page_token") or 0)
        page: dict[str, Any] = {LISTS.get(kind, kind): found[start : start + 1]}
        if start + 1 < len(found):
            page["next_page_token"] = str(start + 1)
        return 200, json.dumps(page)

    def _add(self, kind: str, item: dict[str, Any]) -> str:
        number = sum(request[0] == "POST" for request in self.requests)
        self.items[kind].append(item | {IDS[kind]: f"{kind}-{number}"})
        return json.dumps(self.items[kind][-1])


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer()

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            url = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, text = fake.answer(self.command, url.path, query, dict(self.headers), body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_DELETE = handle_any  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            del format, args

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.host = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield fake
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KF_PIPELINES_SA_TOKEN_PATH", "KF_PIPELINES_UI_ENDPOINT", "KF_PIPELINES_ENDPOINT", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("kfp.client.Client._LOCAL_KFP_CONTEXT", "/nonexistent/context.json")


Compile = Callable[..., Path]


@pytest.fixture(scope="module")
def compile_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """Compiles a pipeline with a loop, a step that is never cached and a platform setting."""

    @dsl.component(base_image="python:3.11", install_kfp_package=False)
    def step(text: str) -> str:
        return text

    def compiled(*, cached: bool = True) -> Path:
        @dsl.pipeline(name="small")
        def small(config: str, students: list[str] = ["a"]) -> None:  # noqa: B006
            with dsl.ParallelFor(students) as student:
                step(text=student).set_caching_options(cached)
            kubernetes.set_timeout(step(text=config).set_caching_options(cached), 60)
            step(text=config).set_caching_options(False)

        path = tmp_path_factory.mktemp("package") / "small.yaml"
        compiler.Compiler().compile(small, str(path))
        return path

    return compiled


@pytest.fixture(scope="module")
def package(compile_pipeline: Compile) -> Path:
    return compile_pipeline()


def send(package: Path, host: str, **options: Any) -> Any:
    settings = {"name": "weekly", "experiment": "speech", "arguments": {"config": "c.yaml"}} | options
    return submit(package, host=host, **settings)


def plan(package: Path, host: str, **options: Any) -> Any:
    settings = {"name": "weekly", "experiment": "speech", "cron": "0 0 3 * * 1", "arguments": {"config": "c.yaml"}}
    return schedule(package, host=host, **(settings | options))


def test_a_run_is_created_in_a_new_experiment(
    server: FakeServer, package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = send(package, server.host, service_account="runner")

    experiment, run = server.items["experiments"][0], server.items["runs"][0]
    assert experiment["display_name"] == "speech"
    assert result.run_id == run["run_id"] == "runs-2"
    assert result.url == f"{server.host}/#/runs/details/runs-2"
    spec, platform = yaml.safe_load_all(package.read_text())
    assert run.pop("pipeline_spec") == {"pipeline_spec": spec, "platform_spec": platform}
    assert run == {
        "display_name": "weekly",
        "experiment_id": "experiments-1",
        "run_id": "runs-2",
        "runtime_config": {"parameters": {"config": "c.yaml"}},
        "service_account": "runner",
    }
    assert capsys.readouterr().out == ""


def test_an_experiment_of_that_name_is_used_again(server: FakeServer, package: Path) -> None:
    send(package, server.host)
    send(package, server.host)
    assert len(server.items["experiments"]) == 1
    assert [run["experiment_id"] for run in server.items["runs"]] == ["experiments-1", "experiments-1"]


def test_the_namespace_of_a_multi_user_server_is_passed_on(server: FakeServer, package: Path) -> None:
    send(package, server.host, namespace="speech-team")
    assert server.items["experiments"][0]["namespace"] == "speech-team"
    assert {query["namespace"] for method, _, query, _ in server.requests if method == "GET"} == {"speech-team"}


def test_steps_that_are_never_cached_stay_so(server: FakeServer, package: Path) -> None:
    send(package, server.host)
    tasks = server.items["runs"][0]["pipeline_spec"]["pipeline_spec"]["root"]["dag"]["tasks"]
    caching = {name: task.get("cachingOptions") for name, task in tasks.items()}
    assert caching == {"for-loop-1": None, "step-2": {"enableCache": True}, "step-3": {}}


def test_the_cache_is_turned_off_for_every_step_as_the_compiler_would(
    server: FakeServer, package: Path, compile_pipeline: Compile
) -> None:
    send(package, server.host, enable_caching=False)
    expected = next(yaml.safe_load_all(compile_pipeline(cached=False).read_text()))
    assert server.items["runs"][0]["pipeline_spec"]["pipeline_spec"] == expected


def test_the_projected_token_is_sent(
    server: FakeServer, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(token))
    send(package, server.host)
    assert {headers.get("authorization") for _, path, _, headers in server.requests if path != f"{API}/healthz"} == {
        "Bearer secret"
    }


def test_a_token_that_cannot_be_read_is_named(
    server: FakeServer, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", "/nonexistent/token")
    with pytest.raises(InputError) as caught:
        send(package, server.host)
    assert str(caught.value) == (
        "cannot read the token /nonexistent/token; mend KF_PIPELINES_SA_TOKEN_PATH or unset it"
    )


def test_the_page_is_where_the_user_interface_is(
    server: FakeServer, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KF_PIPELINES_UI_ENDPOINT", "https://kubeflow.example/pipeline/")
    assert send(package, server.host).url == "https://kubeflow.example/pipeline/#/runs/details/runs-2"


@pytest.mark.parametrize("path", [f"{API}/healthz", f"{API}/experiments"])
def test_a_refusal_is_the_users_to_mend_and_is_not_tried_again(server: FakeServer, package: Path, path: str) -> None:
    server.answers["GET", path] = (403, json.dumps({"error": "No\n entry", "code": 7, "message": "No\n entry"}))
    started = time.monotonic()
    with pytest.raises(InputError) as caught:
        send(package, server.host)
    assert str(caught.value) == f"{server.host} refuses with 403: No entry; mend it and run again"
    assert server.called("GET", path) == 1
    assert time.monotonic() - started < 3


def test_a_refusal_that_is_not_json_is_shown(server: FakeServer, package: Path) -> None:
    server.answers["POST", f"{API}/runs"] = (400, "<p>bad " + "x" * 1000)
    with pytest.raises(InputError) as caught:
        send(package, server.host)
    assert str(caught.value) == f"{server.host} refuses with 400: <p>bad {'x' * 493}; mend it and run again"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_failing_server_is_to_be_tried_again(server: FakeServer, package: Path, status: int) -> None:
    server.answers["POST", f"{API}/runs"] = (status, json.dumps({"error": "down"}))
    with pytest.raises(TransientError) as caught:
        send(package, server.host)
    assert str(caught.value) == f"{server.host} fails with {status}: down; run again"


def test_a_server_that_cannot_be_reached_is_to_be_tried_again(package: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(TransientError) as caught:
            send(package, host)
    assert str(caught.value).startswith(f"cannot reach {host}: ")
    assert str(caught.value).endswith("Connection refused; check the host and run again")


def test_a_log_in_page_is_no_server(server: FakeServer, package: Path) -> None:
    server.answers |= {
        (method, f"{API}/{path}"): (200, "<html>Log in</html>")
        for method, path in (("GET", "healthz"), ("GET", "experiments"), ("POST", "experiments"))
    }
    with pytest.raises(InputError) as caught:
        send(package, server.host)
    assert str(caught.value) == (
        f"{server.host} does not answer as a Kubeflow Pipelines server; check the host and your log-in"
    )


def test_two_experiments_of_one_name_are_refused(server: FakeServer, package: Path) -> None:
    double = {"experiments": [{"experiment_id": "1", "display_name": "speech"}] * 2}
    server.answers["GET", f"{API}/experiments"] = (200, json.dumps(double))
    with pytest.raises(InputError) as caught:
        send(package, server.host)
    assert str(caught.value) == (
        f"cannot use {server.host}: Multiple experiments is found with name speech; mend it and run again"
    )


def test_a_host_without_a_scheme_is_refused(package: Path) -> None:
    with pytest.raises(InputError) as caught:
        send(package, "ml-pipeline:8888")
    assert str(caught.value) == "host 'ml-pipeline:8888' has no scheme; give http://... or https://..."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs a value for config; add it to the arguments"),
        ({"config": "c", "student": "a"}, "has no parameter 'student'; it has config, students"),
    ],
)
@pytest.mark.parametrize("call", [send, plan])
def test_arguments_that_do_not_fit_the_pipeline_are_refused(
    server: FakeServer, package: Path, call: Callable[..., Any], arguments: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        call(package, server.host, arguments=arguments)
    assert str(caught.value) == f"pipeline {package} {message}"
    assert server.requests == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read package {}: No such file or directory; compile the pipeline first"),
        (b"a: b: c", "package {} is not a YAML file; compile the pipeline again"),
        (b"\xff\xfe", "package {} is not a YAML file; compile the pipeline again"),
        (b"", "package {} is not a compiled pipeline; compile it again"),
        (b"name: weekly", "package {} is not a compiled pipeline; compile it again"),
    ],
)
def test_a_file_that_is_no_compiled_pipeline_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "package.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        send(path, "http://127.0.0.1:1")
    assert str(caught.value) == message.format(path)


def test_a_schedule_is_created(server: FakeServer, package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = plan(package, server.host, cron="0 0  3 * * 1", service_account="runner")

    assert server.items["recurringruns"] == [
        {
            "display_name": "weekly",
            "experiment_id": "experiments-1",
            "max_concurrency": 1,
            "mode": "ENABLE",
            "no_catchup": True,
            "pipeline_version_reference": {"pipeline_id": "pipelines-2", "pipeline_version_id": "versions-3"},
            "recurring_run_id": "recurringruns-4",
            "runtime_config": {"parameters": {"config": "c.yaml"}},
            "service_account": "runner",
            "trigger": {"cron_schedule": {"cron": "0 0 3 * * 1"}},
        }
    ]
    assert server.items["versions"][0]["display_name"] == result.version
    assert server.items["versions"][0]["pipeline_id"] == "pipelines-2"
    assert package.read_bytes() in server.uploads[0]
    assert server.items["pipelines"] == [{"display_name": "weekly", "pipeline_id": "pipelines-2"}]
    assert result.recurring_run_id == "recurringruns-4"
    assert result.url == f"{server.host}/#/recurringrun/details/recurringruns-4"
    assert result.replaced == ()
    assert capsys.readouterr().out == ""


def test_a_schedule_made_twice_leaves_exactly_one(server: FakeServer, package: Path) -> None:
    first = plan(package, server.host)
    second = plan(package, server.host, cron="0 30 4 * * *")

    assert [run["recurring_run_id"] for run in server.items["recurringruns"]] == [second.recurring_run_id]
    assert server.items["recurringruns"][0]["trigger"]["cron_schedule"]["cron"] == "0 30 4 * * *"
    assert second.replaced == (first.recurring_run_id,)
    assert second.version == first.version
    assert len(server.items["pipelines"]) == len(server.items["versions"]) == 1


def test_a_changed_pipeline_becomes_a_new_version(server: FakeServer, package: Path) -> None:
    first = plan(package, server.host)
    second = plan(package, server.host, enable_caching=False)
    assert first.version != second.version
    assert len(server.items["pipelines"]) == 1
    assert [version["display_name"] for version in server.items["versions"]] == [first.version, second.version]
    reference = server.items["recurringruns"][0]["pipeline_version_reference"]
    assert reference["pipeline_version_id"] == server.items["versions"][1]["pipeline_version_id"]


def test_all_of_that_name_are_replaced_and_no_others(server: FakeServer, package: Path) -> None:
    names = {"a": "weekly", "b": "Weekly", "c": "weekly", "d": "daily"}
    server.items["recurringruns"] = [{"recurring_run_id": key, "display_name": name} for key, name in names.items()]
    result = plan(package, server.host)
    left = [run["recurring_run_id"] for run in server.items["recurringruns"]]
    assert left == ["b", "d", result.recurring_run_id]
    assert result.replaced == ("a", "c")


def test_one_that_is_already_deleted_does_not_matter(server: FakeServer, package: Path) -> None:
    plan(package, server.host)
    old = server.items["recurringruns"][0]["recurring_run_id"]
    server.answers["DELETE", f"{API}/recurringruns/{old}"] = (404, json.dumps({"error": "not found"}))
    assert plan(package, server.host).replaced == (old,)


def test_a_schedule_that_cannot_be_made_leaves_the_old_one(server: FakeServer, package: Path) -> None:
    old = plan(package, server.host)
    server.answers["POST", f"{API}/recurringruns"] = (500, json.dumps({"error": "down"}))
    with pytest.raises(TransientError):
        plan(package, server.host, cron="0 30 4 * * *")
    assert [run["recurring_run_id"] for run in server.items["recurringruns"]] == [old.recurring_run_id]


def test_a_bad_cron_is_refused_before_anything_is_sent(server: FakeServer, package: Path) -> None:
    with pytest.raises(InputError, match=r"cron '0 3 \* \* 1' has 5 fields; give 6"):
        plan(package, server.host, cron="0 3 * * 1")
    assert server.requests == []
