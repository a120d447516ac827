"""The engine without its cluster: what it refuses, what it tells, and the options with which jobs run on it."""

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from pipelines.cli import main
from pipelines.engine import cluster
from pipelines.engine.cluster import Engine, beam_options, describe, up, worker_host, write_config
from pipelines.engine.jars import EngineJars
from trillsson.errors import InputError, TransientError


def test_flinks_config_of_a_worker(tmp_path: Path) -> None:
    folder = write_config(Engine(tmp_path, slots=3, memory=3_000), worker_host(2))
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert folder == tmp_path / "worker-2/conf"
    assert config["jobmanager.rpc.address"] == "10.77.0.2"
    assert config["taskmanager.host"] == "10.77.0.12"
    assert config["taskmanager.memory.process.size"] == "3000m"
    assert config["taskmanager.numberOfTaskSlots"] == 3
    assert config["restart-strategy.type"] == "fixed-delay"
    assert (folder / "log4j2.properties").read_text().startswith("rootLogger.level = INFO\n")


@pytest.mark.parametrize("workers", [0, 201])
def test_too_few_or_too_many_workers(tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "check_rights", lambda: None)
    with pytest.raises(InputError, match=rf"^{workers} workers: give 1 to 200$"):
        up(Engine(tmp_path, workers=workers))


def test_without_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "check_rights", lambda: None)
    monkeypatch.setenv("PATH", "")
    told = "java is not installed; install it, such as Debian's openjdk-17-jre-headless"
    with pytest.raises(InputError, match=f"^{told}$"):
        up(Engine(tmp_path))


def test_options_of_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert CliRunner().invoke(main, ["engine", "options", "--workers", "1"]).output.endswith(" --parallelism=1\n")


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
