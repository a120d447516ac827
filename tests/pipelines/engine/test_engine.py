"""The engine without its cluster: what it refuses, what it tells, and the options with which jobs run on it."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from pipelines.cli import main
from pipelines.engine import cluster, spec
from pipelines.engine.cluster import beam_options, describe, up
from pipelines.engine.flink import write_config
from pipelines.engine.jars import EngineJars
from pipelines.engine.spec import Engine, chosen, forget, noted, worker_host
from trillsson.errors import InputError, TransientError


def test_flinks_config_of_a_worker(tmp_path: Path) -> None:
    folder = write_config(Engine(tmp_path, slots=3, memory=3_000), worker_host(2))
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert folder == tmp_path / "worker-2/conf"
    assert config["jobmanager.rpc.address"] == "10.77.0.2"
    assert config["taskmanager.host"] == "10.77.0.12"
    assert config["taskmanager.memory.process.size"] == "3000m"
    assert config["taskmanager.numberOfTaskSlots"] == 3
    assert config["restart-strategy.type"] == "failure-rate"
    assert (folder / "log4j2.properties").read_text().startswith("rootLogger.level = INFO\n")


@pytest.mark.parametrize("workers", [0, 201])
def test_too_few_or_too_many_workers(tmp_path: Path, workers: int) -> None:
    with pytest.raises(InputError, match=rf"^{workers} workers: give 1 to 200$"):
        Engine(tmp_path, workers=workers)


@pytest.fixture
def note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where it is noted which cluster is up; none is."""
    monkeypatch.setattr(spec, "_NOTE", tmp_path / "note.json")
    return tmp_path / "note.json"


def test_the_one_that_is_up_is_noted(tmp_path: Path, note: Path) -> None:
    engine = Engine(tmp_path, workers=3, share=(tmp_path / "b", tmp_path / "a"), cache=tmp_path / "cache")
    engine.note()
    engine.note()
    assert noted() == Engine(tmp_path, workers=3, share=(tmp_path / "a", tmp_path / "b"), cache=tmp_path / "cache")
    Engine(tmp_path, workers=4, share=engine.share, cache=engine.cache).note()
    assert (found := noted()) is not None
    assert found.workers == 4
    forget()
    assert noted() is None


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("workers", 1, "workers 2, not 1"),
        ("slots", 3, "slots 2, not 3"),
        ("memory", 4_096, "memory 2048, not 4096"),
        ("share", (Path("/tmp/x"),), "share none, not /tmp/x"),
        ("folder", Path("/other"), "folder /engine, not /other"),
    ],
)
def test_what_runs_is_not_changed(note: Path, name: str, value: object, told: str) -> None:
    engine = Engine(Path("/engine"))
    engine.note()
    message = f"^the engine that is up has {told}; end it first with `trillsson engine down`$"
    with pytest.raises(InputError, match=message):
        dataclasses.replace(engine, **{name: value}).note()  # type: ignore[arg-type]
    assert noted() == engine


def test_what_is_not_given_stays_as_it_is(tmp_path: Path, note: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = ["worker-1"]
    monkeypatch.setattr(spec, "host_names", lambda: hosts)
    assert chosen(slots=3) == Engine(Path("work/engine"), slots=3)
    engine = Engine(tmp_path, workers=3, slots=1, share=(tmp_path / "a",))
    engine.note()
    assert chosen() == engine
    assert chosen(workers=4) == dataclasses.replace(engine, workers=4)
    hosts.clear()  # the machine was started anew, and the note stayed
    assert chosen() == Engine(Path("work/engine"))


def test_missing_task_managers_are_told(note: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Engine(tmp_path, workers=3).note()
    monkeypatch.setattr(cluster, "check_rights", lambda: None)
    monkeypatch.setattr(cluster, "host_names", lambda: ["worker-1"])
    monkeypatch.setattr(cluster.Host, "processes", lambda _: [])
    there = {"taskmanagers": 2}
    monkeypatch.setattr(cluster, "_rest", lambda _: there)
    monkeypatch.setattr(cluster, "_has_pool", lambda host: host != worker_host(2))
    with pytest.raises(
        TransientError, match=r"^2 of 3 task managers are up; `trillsson engine up` starts what is missing$"
    ):
        describe()
    there["taskmanagers"] = 3
    with pytest.raises(
        TransientError, match=r"^2 of 3 pools of Python workers are up; `trillsson engine up` starts what is missing$"
    ):
        describe()


@pytest.mark.parametrize("text", ['{"workers": 2, "slo', '{"workers": 2, "colour": "red"}'])
def test_half_a_note_or_that_of_another_version_is_none(note: Path, tmp_path: Path, text: str) -> None:
    note.write_text(text)
    assert noted() is None
    Engine(tmp_path).note()
    assert noted() == Engine(tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path: Path, note: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "check_rights", lambda: None)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=rf"^cannot write below {tmp_path}/file/engine: .*"):
        up(Engine(tmp_path / "file/engine"))
    assert noted() is None


def test_all_of_tmp_is_not_shared(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^/tmp cannot be shared: each host has its own; share a folder in it$"):
        Engine(tmp_path, share=(Path("/tmp"),))


def test_without_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "check_rights", lambda: None)
    monkeypatch.setenv("PATH", "")
    told = "java is not installed; install it, such as Debian's openjdk-17-jre-headless"
    with pytest.raises(InputError, match=f"^{told}$"):
        up(Engine(tmp_path))


def test_options_of_a_job(tmp_path: Path, note: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "fetch_jars", lambda cache: EngineJars(cache / "flink", cache / "job-server.jar"))
    assert beam_options(parallelism=3, cache=tmp_path) == [
        "--runner=FlinkRunner",
        "--flink_master=10.77.0.2:8081",
        "--flink_version=1.19",
        f"--flink_job_server_jar={tmp_path}/job-server.jar",
        "--flink_submit_uber_jar",
        "--environment_type=EXTERNAL",
        "--environment_config=localhost:50000",
        "--parallelism=3",
    ]
    asked = ["engine", "options"]
    assert CliRunner().invoke(main, [*asked, "--parallelism", "1"]).output.endswith(" --parallelism=1\n")
    Engine(tmp_path, workers=5).note()
    assert CliRunner().invoke(main, asked).output.endswith(" --parallelism=5\n")


def test_options_without_an_engine(note: Path) -> None:
    message = "^no engine is up; start one with `trillsson engine up`, or give --parallelism$"
    with pytest.raises(InputError, match=message):
        beam_options()


def test_a_process_that_ends_as_it_is_started_is_told_at_once(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"])
    process.wait()
    message = rf"^a process ended as it was started \(exit status 7\); read {tmp_path}/flink\.log$"
    with pytest.raises(TransientError, match=message):
        cluster._wait_for(Engine(tmp_path), [cluster._Started(process, tmp_path / "flink.log")])


def test_no_engine_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "check_rights", lambda: None)
    monkeypatch.setattr(cluster, "host_names", list)
    assert describe() == "no engine; start one with `trillsson engine up`"


def test_an_engine_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refuses:
        def open(self, url: str, *, timeout: float) -> None:
            raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(cluster, "check_rights", lambda: None)
    monkeypatch.setattr(cluster, "host_names", lambda: ["worker-1"])
    monkeypatch.setattr(cluster.Host, "processes", lambda _: [])
    monkeypatch.setattr(cluster.urllib.request, "build_opener", lambda _: Refuses())
    told = r"Flink does not answer at http://10\.77\.0\.2:8081/overview \(.*refused\)"
    message = f"^{told}; `trillsson engine up` starts what is missing$"
    with pytest.raises(TransientError, match=message):
        describe()
