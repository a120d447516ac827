"""The compiled graph: stable, complete, and valid against KFP's own schema."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

from pipelines.kubeflow.graph import compile_release
from trillsson.config import Release

MakeRelease = Callable[..., tuple[Path, Release]]


@pytest.fixture
def compiled(make_release: MakeRelease, tmp_path: Path) -> Callable[..., tuple[dict[str, Any], dict[str, Any]]]:
    def compile_(**changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        package = tmp_path / "package.yaml"
        compile_release(make_release(**changes)[1], package)
        spec, platform = yaml.safe_load_all(package.read_text())
        return spec, platform

    return compile_


def executors(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: each["container"] for name, each in spec["deploymentSpec"]["executors"].items()}


def test_compiling_twice_gives_the_same_bytes(make_release: MakeRelease, tmp_path: Path) -> None:
    _, release = make_release()
    for name in ("one", "two"):
        compile_release(release, tmp_path / f"{name}.yaml")
    assert (tmp_path / "one.yaml").read_bytes() == (tmp_path / "two.yaml").read_bytes()


def test_it_is_valid_for_kubeflow(compiled: Callable[..., tuple[dict[str, Any], dict[str, Any]]]) -> None:
    spec, platform = compiled()
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    for config in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
        json_format.ParseDict(config, kubernetes_executor_config_pb2.KubernetesExecutorConfig())


def test_its_defaults_are_the_release(
    compiled: Callable[..., tuple[dict[str, Any], dict[str, Any]]], make_release: MakeRelease
) -> None:
    spec, _ = compiled()
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert Release.model_validate_json(parameters["release"]["defaultValue"]) == make_release()[1]
    assert parameters["corpora"]["defaultValue"] == ["tones"]
    assert parameters["students"]["defaultValue"] == ["nano"]


def test_every_step_is_there_in_the_releases_image_with_its_volume_and_uncached(
    compiled: Callable[..., tuple[dict[str, Any], dict[str, Any]]],
) -> None:
    spec, platform = compiled(resources={"image": "registry.example/trillsson@sha256:1", "mount_path": "/work"})
    found = executors(spec)
    steps = {"prepare", "screen", "embed", "statistics", "train", "export", "evaluate", "report", "publish"}
    assert {name.removeprefix("exec-").rstrip("-0123456789") for name in found} == steps
    assert {each["image"] for each in found.values()} == {"registry.example/trillsson@sha256:1"}
    placed = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(placed) == set(found)
    assert {mount["mountPath"] for each in placed.values() for mount in each["pvcMount"]} == {"/work"}
    dags = [component["dag"] for component in spec["components"].values() if "dag" in component]
    tasks = [task for dag in (*dags, spec["root"]["dag"]) for task in dag["tasks"].values()]
    assert not any(task.get("cachingOptions", {}).get("enableCache") for task in tasks)


def test_no_model_runs_before_the_audio_was_screened(
    compiled: Callable[..., tuple[dict[str, Any], dict[str, Any]]],
) -> None:
    spec, _ = compiled()
    tasks = spec["root"]["dag"]["tasks"]
    for name in ("embed", "embed-2"):
        assert tasks[name]["componentRef"]["name"].startswith("comp-embed")
        assert "screen" in tasks[name]["dependentTasks"]
    for name in ("statistics", "students", "report"):
        screened = tasks[name]["inputs"]["parameters"]["screened"]
        assert screened["taskOutputParameter"] == {"outputParameterKey": "Output", "producerTask": "screen"}


def test_the_report_rests_on_the_audio_and_the_targets_that_were_learnt_from(
    compiled: Callable[..., tuple[dict[str, Any], dict[str, Any]]],
) -> None:
    spec, _ = compiled()
    tasks = spec["root"]["dag"]["tasks"]
    for name in ("audio", "targets", "screened"):
        told, learnt = (tasks[task]["inputs"]["parameters"][name] for task in ("report", "statistics"))
        assert told == learnt
    assert tasks["report"]["inputs"]["parameters"]["targets"]["taskOutputParameter"]["producerTask"] == "embed"


@pytest.mark.parametrize(("gpus", "asked"), [(2, {"exec-train": "2"}), (0, {})])
def test_only_training_asks_for_gpus(
    compiled: Callable[..., tuple[dict[str, Any], dict[str, Any]]], gpus: int, asked: dict[str, str]
) -> None:
    spec, _ = compiled(resources={"gpu": gpus, "gpu_type": "nvidia.com/gpu"})
    accelerators = {name: each["resources"].get("accelerator") for name, each in executors(spec).items()}
    assert {name: found["resourceCount"] for name, found in accelerators.items() if found} == asked


def test_students_and_corpora_fan_out(compiled: Callable[..., tuple[dict[str, Any], dict[str, Any]]]) -> None:
    spec, _ = compiled(resources={"parallelism": 3})
    loops = [
        task
        for dag in (spec["root"]["dag"], spec["components"]["comp-students"]["dag"])
        for task in dag["tasks"].values()
        if "parameterIterator" in task
    ]
    assert [loop["parameterIterator"]["items"]["inputParameter"] for loop in loops] == [
        "pipelinechannel--corpora",
        "pipelinechannel--students",
    ]
    assert [loop["iteratorPolicy"]["parallelismLimit"] for loop in loops] == [3, 3]
