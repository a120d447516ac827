"""The session cluster on Kubernetes is the one that the engine's tests run with, as far as a file can tell."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.beam.options import runs_elsewhere
from pipelines.engine import cluster
from pipelines.engine.flink import write_config
from pipelines.engine.jars import FLINK_VERSION, EngineJars
from pipelines.engine.spec import JOB_MANAGER, POOL_PORT, REST_PORT, Engine
from tests.k8s.conftest import K8S, render


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    return render("flink")


@pytest.fixture
def session(documents: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = [document for document in documents if document["kind"] == "FlinkDeployment"]
    return copy.deepcopy(found)


@pytest.fixture
def beam() -> list[str]:
    """The options that the README has for a release."""
    (block,) = re.findall(r"```yaml\n( +beam:\n.*?)```", (K8S / "README.md").read_text(), re.DOTALL)
    options: list[str] = yaml.safe_load(block)["beam"]
    return options


def pool(session: dict[str, Any]) -> dict[str, Any]:
    containers = session["spec"]["taskManager"]["podTemplate"]["spec"]["containers"]
    (found,) = [each for each in containers if each["name"] == "python-workers"]
    return dict(found)


def test_the_versions_are_those_that_were_tested(session: dict[str, Any]) -> None:
    assert session["spec"]["image"] == f"flink:{FLINK_VERSION}-java17"
    assert session["spec"]["flinkVersion"] == "v" + "_".join(FLINK_VERSION.split(".")[:2])


def test_its_settings_are_those_that_were_tested(session: dict[str, Any], tmp_path: Path) -> None:
    tested = yaml.safe_load((write_config(Engine(tmp_path), JOB_MANAGER) / "config.yaml").read_text())
    settings = session["spec"]["flinkConfiguration"]
    assert settings.pop("restart-strategy.failure-rate.delay") == "10 s"  # pods take longer to come back than processes
    assert settings == {
        name: str(tested[name])
        for name in (
            "taskmanager.numberOfTaskSlots",
            "taskmanager.load-balance.mode",
            "restart-strategy.type",
            "restart-strategy.failure-rate.max-failures-per-interval",
            "restart-strategy.failure-rate.failure-rate-interval",
            "heartbeat.interval",
            "heartbeat.timeout",
            "cluster.uncaught-exception-handling",
        )
    }


def test_python_workers_lie_beside_every_task_manager(session: dict[str, Any]) -> None:
    (claim,) = [each["metadata"]["name"] for each in render("base") if each["kind"] == "PersistentVolumeClaim"]
    volumes = session["spec"]["taskManager"]["podTemplate"]["spec"]["volumes"]
    assert pool(session)["command"][1:] == ["-m", cluster._POOL_MODULE, f"--service_port={POOL_PORT}"]
    assert [mount["mountPath"] for mount in pool(session)["volumeMounts"]] == ["/data", "/tmp"]
    assert volumes[0] == {"name": "work", "persistentVolumeClaim": {"claimName": claim}}


def test_a_release_on_it_has_the_options_that_were_tested(
    session: dict[str, Any], beam: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, tasks = session["metadata"]["name"], session["spec"]["taskManager"]["replicas"]
    jar = Path("/data/engine/job-server.jar")
    monkeypatch.setattr(cluster, "fetch_jars", lambda cache: EngineJars(cache, jar))
    tested = cluster.beam_options(parallelism=tasks)
    here = f"--flink_master={JOB_MANAGER.address}:{REST_PORT}"
    assert beam == [f"--flink_master={name}-rest:{REST_PORT}" if each == here else each for each in tested]
    assert runs_elsewhere(beam)
