"""Checks what `kubectl apply -k` would send: against the schemas, then for what the schemas do not see."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from pipelines.kubeflow.cron import check_cron
from trillsson.config import Release, load_release

Documents = list[dict[str, Any]]
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
NEWEST = "1.37"
OLDEST = "1.31"  # The first in which podFailurePolicy is stable.


def one(documents: Documents, kind: str) -> dict[str, Any]:
    (found,) = [document for document in documents if document["kind"] == kind]
    return found


def pod_of(documents: Documents) -> dict[str, Any]:
    spec: dict[str, Any] = one(documents, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return spec


def walk(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yields every value below `value` with the keys that lead to it."""
    yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield from walk(child, (*path, str(key)))


@pytest.fixture
def release(rendered: Documents, tmp_path: Path) -> Release:
    path = tmp_path / "release.yaml"
    path.write_text(one(rendered, "ConfigMap")["data"]["release.yaml"])
    return load_release(path)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_document_fits_its_schema(rendered: Documents, version: str) -> None:
    kinds = [document["kind"] for document in rendered]
    assert sorted(kinds) == [
        "ConfigMap",
        "CronJob",
        "Namespace",
        "PersistentVolumeClaim",
        "Role",
        "RoleBinding",
        "ServiceAccount",
    ]
    for document in rendered:
        assert kubernetes_validate.validate(document, version, strict=True) == version


@pytest.mark.parametrize(
    "damage",
    [
        lambda job: job["spec"].update(scheduel="0 3 * * 1"),
        lambda job: job["spec"].update(startingDeadlineSeconds="soon"),
        lambda job: job["spec"].pop("schedule"),
    ],
)
def test_the_schemas_refuse_a_damaged_document(rendered: Documents, damage: Callable[[Any], object]) -> None:
    document = yaml.safe_load(yaml.safe_dump(one(rendered, "CronJob")))
    damage(document)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, NEWEST, strict=True)


def test_names_are_dns_labels_and_belong_together(rendered: Documents) -> None:
    for document in rendered:
        assert DNS_LABEL.fullmatch(document["metadata"]["name"])
    inside = [document for document in rendered if document["kind"] != "Namespace"]
    assert {document["metadata"]["namespace"] for document in inside} == {
        one(rendered, "Namespace")["metadata"]["name"]
    }
    # A job's name is the CronJob's and 11 characters: 63 at most.
    assert len(one(rendered, "CronJob")["metadata"]["name"]) <= 52


def test_the_schedule_has_five_fields_and_a_time_zone(rendered: Documents) -> None:
    spec = one(rendered, "CronJob")["spec"]
    assert check_cron(spec["schedule"], seconds=False) == spec["schedule"]
    assert re.fullmatch(r"[A-Z][A-Za-z]+/[A-Za-z_/]+", spec["timeZone"])
    assert spec["concurrencyPolicy"] == "Forbid"


def test_the_job_ends(rendered: Documents) -> None:
    job = one(rendered, "CronJob")["spec"]["jobTemplate"]["spec"]
    assert job["template"]["spec"]["restartPolicy"] == "Never"  # What podFailurePolicy asks for.
    assert job["activeDeadlineSeconds"] == 1800
    containers = [container["name"] for container in job["template"]["spec"]["containers"]]
    assert [rule["onExitCodes"]["containerName"] for rule in job["podFailurePolicy"]["rules"]] == containers


def test_quantities_can_be_read(rendered: Documents) -> None:
    quantities = {
        ".".join(path): value
        for document in rendered
        for path, value in walk(document)
        if (set(path[-2:-1]) & {"requests", "limits"}) or path[-1:] == ("sizeLimit",)
    }
    assert len(quantities) == 5
    assert {name for name, value in quantities.items() if not QUANTITY.fullmatch(str(value))} == set()


def test_everything_that_is_referred_to_exists(rendered: Documents, release: Release) -> None:
    pod = pod_of(rendered)
    binding = one(rendered, "RoleBinding")
    account = one(rendered, "ServiceAccount")["metadata"]
    assert pod["serviceAccountName"] == account["name"]
    assert binding["roleRef"]["name"] == one(rendered, "Role")["metadata"]["name"]
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
    ]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    assert volumes.keys() == mounts.keys()
    assert volumes["release"]["configMap"]["name"] == one(rendered, "ConfigMap")["metadata"]["name"]
    assert release.resources.volume_claim == one(rendered, "PersistentVolumeClaim")["metadata"]["name"]


def test_the_command_submits_the_mounted_config(rendered: Documents) -> None:
    container = pod_of(rendered)["containers"][0]
    assert container["command"][:3] == ["trillsson", "submit", "/etc/trillsson/release.yaml"]
    assert "/etc/trillsson" in [mount["mountPath"] for mount in container["volumeMounts"]]
    used = set(re.findall(r"\$\((\w+)\)", " ".join(container["command"])))
    assert used <= {variable["name"] for variable in container["env"]}


def test_the_token_is_for_the_pipelines_server_only(rendered: Documents) -> None:
    pod = pod_of(rendered)
    assert pod["automountServiceAccountToken"] is False
    assert one(rendered, "ServiceAccount")["automountServiceAccountToken"] is False
    (source,) = next(volume for volume in pod["volumes"] if volume["name"] == "token")["projected"]["sources"]
    assert source["serviceAccountToken"]["audience"] == "pipelines.kubeflow.org"
    container = pod["containers"][0]
    (folder,) = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "token"]
    environment = {variable["name"]: variable.get("value") for variable in container["env"]}
    # The path that kfp.Client documents as its default.
    assert environment["KF_PIPELINES_SA_TOKEN_PATH"] == "/var/run/secrets/kubeflow/pipelines/token"
    assert environment["KF_PIPELINES_SA_TOKEN_PATH"] == f"{folder}/{source['serviceAccountToken']['path']}"


def test_the_pod_has_no_rights_it_does_not_need(rendered: Documents) -> None:
    pod = pod_of(rendered)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 1000
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert one(rendered, "Role")["rules"] == [
        {"apiGroups": ["pipelines.kubeflow.org"], "resources": ["experiments"], "verbs": ["create", "list"]},
        {"apiGroups": ["pipelines.kubeflow.org"], "resources": ["runs"], "verbs": ["create"]},
    ]


def test_the_release_runs_in_the_image_that_submits_it(rendered: Documents, release: Release) -> None:
    image = pod_of(rendered)["containers"][0]["image"]
    assert release.resources.image == image
    assert re.search(r":[0-9.]+$|@sha256:[0-9a-f]{64}$", image)


def test_the_release_can_publish_and_keeps_nothing_in_the_pod(release: Release) -> None:
    assert release.gate is not None
    for folder in (release.workdir, release.registry):
        assert folder.startswith(("gs://", f"{release.resources.mount_path}/"))
