"""The session cluster on Kubernetes is the one that the engine's tests run with, as far as a file can tell."""

import copy
import re
import shutil
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from pipelines.beam.options import runs_elsewhere
from pipelines.engine import cluster, flink
from pipelines.engine.flink import write_config
from pipelines.engine.jars import FLINK_VERSION, EngineJars
from pipelines.engine.spec import JOB_MANAGER, POOL_PORT, REST_PORT, Engine
from tests.k8s.conftest import K8S, render
from tests.k8s.test_manifests import NEWEST


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
    assert settings.pop("env.java.opts.taskmanager") == flink._OUT_OF_MEMORY
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
        )
    }


def test_who_reaches_it(documents: list[dict[str, Any]], session: dict[str, Any]) -> None:
    (policy,) = [document for document in documents if document["kind"] == "NetworkPolicy"]
    assert kubernetes_validate.validate(policy, NEWEST, strict=True) == NEWEST
    labels = session["spec"]["podTemplate"]["metadata"]["labels"]
    assert policy["spec"]["podSelector"]["matchLabels"] == labels
    itself, others = policy["spec"]["ingress"]
    assert itself == {"from": [{"podSelector": {"matchLabels": labels}}]}
    assert others["ports"] == [{"port": REST_PORT}]


def test_its_pods_have_no_rights_they_do_not_need(session: dict[str, Any]) -> None:
    pod = session["spec"]["podTemplate"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in (*pod["containers"], pool(session)):
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_an_overlay_gives_it_the_image_and_the_namespace_of_a_release(tmp_path: Path) -> None:
    shutil.copytree(K8S, tmp_path / "k8s")
    path = tmp_path / "k8s/overlays/example/kustomization.yaml"
    path.write_text(path.read_text().replace("  - ../../base\n", "  - ../../base\n  - ../../flink\n"))
    (found,) = [each for each in render("overlays/example", tmp_path / "k8s") if each["kind"] == "FlinkDeployment"]
    assert found["metadata"]["namespace"] == "speech-team"
    assert pool(found)["image"].startswith("registry.example/speech/trillsson@sha256:")


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
