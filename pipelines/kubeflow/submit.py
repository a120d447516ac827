"""Sends a compiled pipeline to a Kubeflow Pipelines server: one run now (`submit`) or a recurring run (`schedule`).

Both go through the server's REST API (v2beta1), because a ScheduledWorkflow applied with kubectl never triggers a run.
"""

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipelines.kubeflow.cron import check_cron
from pipelines.kubeflow.server import connect, explained, find_named, identified, page_url
from trillsson.digests import SHORT
from trillsson.errors import InputError


@dataclass(frozen=True)
class SubmittedRun:
    """A run that the server has accepted, and the page that shows it."""

    run_id: str
    url: str


@dataclass(frozen=True)
class ScheduledRun:
    """A recurring run, the pipeline version that it runs, and the ids of the recurring runs that it replaced."""

    recurring_run_id: str
    url: str
    version: str
    replaced: tuple[str, ...]


def submit(
    package: Path,
    *,
    host: str,
    name: str,
    experiment: str,
    arguments: Mapping[str, Any],
    enable_caching: bool = True,
    service_account: str | None = None,
    namespace: str | None = None,
) -> SubmittedRun:
    """Creates one run of a compiled pipeline; the experiment is made if there is none of that name.

    Args:
        package: the compiled pipeline, a YAML file.
        host: the server's address with its scheme, such as `http://ml-pipeline.kubeflow.svc.cluster.local:8888`.
        name: what the run is called.
        experiment: what the experiment is called.
        arguments: the pipeline's parameters.
        enable_caching: True keeps what each step was compiled with; False turns the cache off for every step.
        service_account: what the steps' pods run as; the server's default if None.
        namespace: the user's namespace on a multi-user server; None on a single-user server.

    Raises:
        InputError: the package, the arguments or the host cannot be used, or the server refuses the request.
        TransientError: the server cannot be reached, or fails.
    """
    text = _checked_package(package, arguments, enable_caching=enable_caching)
    with explained(host), _written(text) as path:
        client = connect(host, namespace)
        run = client.run_pipeline(
            experiment_id=_experiment_id(client, experiment, namespace, host),
            job_name=name,
            pipeline_package_path=str(path),
            params=dict(arguments),
            service_account=service_account,
        )
        run_id = identified(run.run_id, host)
    return SubmittedRun(run_id=run_id, url=page_url(host, f"runs/details/{run_id}"))


def schedule(
    package: Path,
    *,
    host: str,
    name: str,
    cron: str,
    experiment: str,
    arguments: Mapping[str, Any],
    enable_caching: bool = True,
    service_account: str | None = None,
    namespace: str | None = None,
) -> ScheduledRun:
    """Makes `name` the one recurring run of a compiled pipeline: doing it again replaces, and never adds.

    The package becomes a version of the pipeline `name`, named by its digest and uploaded only if the server does not
    have it. The new recurring run is created before those of the same name are deleted: interrupted, this leaves one
    too many rather than none, and the next call mends it. Runs missed meanwhile are not made up for, and one run goes
    at a time: a release covers everything that is new.

    Args:
        package: the compiled pipeline, a YAML file.
        host: the server's address with its scheme.
        name: what the recurring run and the pipeline are called.
        cron: six fields, seconds first, in the server's time zone (UTC unless set up otherwise).
        experiment: what the experiment is called.
        arguments: the pipeline's parameters.
        enable_caching: as in `submit`.
        service_account: as in `submit`.
        namespace: as in `submit`.

    Raises:
        InputError: the cron, the package, the arguments or the host cannot be used, or the server refuses the request.
        TransientError: the server cannot be reached, or fails.
    """
    cron = check_cron(cron)
    text = _checked_package(package, arguments, enable_caching=enable_caching)
    version = f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:SHORT]}"
    with explained(host), _written(text) as path:
        client = connect(host, namespace)
        experiment_id = _experiment_id(client, experiment, namespace, host)
        pipeline_id = _pipeline_id(client, name, namespace, host)
        version_id = _version_id(client, pipeline_id, version, path, host)
        older = find_named(client.list_recurring_runs, "recurring_runs", name, namespace=namespace)
        recurring = client.create_recurring_run(
            experiment_id=experiment_id,
            job_name=name,
            cron_expression=cron,
            max_concurrency=1,
            no_catchup=True,
            params=dict(arguments),
            pipeline_id=pipeline_id,
            version_id=version_id,
            service_account=service_account,
        )
        recurring_run_id = identified(recurring.recurring_run_id, host)
        replaced = tuple(sorted(run.recurring_run_id for run in older))
        for old_id in replaced:
            _delete_recurring_run(client, old_id)
    url = page_url(host, f"recurringrun/details/{recurring_run_id}")
    return ScheduledRun(recurring_run_id=recurring_run_id, url=url, version=version, replaced=replaced)


def _checked_package(package: Path, arguments: Mapping[str, Any], *, enable_caching: bool) -> str:
    """Returns a package's text, with the cache turned off throughout if so asked.

    The client's own `enable_caching` is not used: True would override steps that are compiled never to be cached,
    False would miss the steps inside loops, and a recurring run of an uploaded version loses it.
    """
    try:
        text = package.read_text(encoding="utf-8")
        documents = list(yaml.safe_load_all(text))
    except OSError as error:
        raise InputError(f"cannot read package {package}: {error.strerror}; compile the pipeline first") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"package {package} is not a YAML file; compile the pipeline again") from error
    spec = documents[0] if documents else None
    if not isinstance(spec, dict) or not {"pipelineInfo", "root"} <= spec.keys():
        raise InputError(f"package {package} is not a compiled pipeline; compile it again")
    _check_arguments(spec["root"].get("inputDefinitions", {}).get("parameters", {}), arguments, package)
    if enable_caching:
        return text
    for component in (spec["root"], *spec.get("components", {}).values()):
        for task in component.get("dag", {}).get("tasks", {}).values():
            if "cachingOptions" in task:  # Loops have none.
                task["cachingOptions"] = {}  # What the compiler writes for a step that is not to be cached.
    return yaml.safe_dump_all(documents, sort_keys=False)


def _check_arguments(parameters: Mapping[str, Any], arguments: Mapping[str, Any], package: Path) -> None:
    unknown = sorted(arguments.keys() - parameters.keys())
    if unknown:
        known = ", ".join(sorted(parameters)) or "none"
        raise InputError(f"pipeline {package} has no parameter {unknown[0]!r}; it has {known}")
    needed = {name for name, value in parameters.items() if "defaultValue" not in value and not value.get("isOptional")}
    missing = sorted(needed - arguments.keys())
    if missing:
        raise InputError(f"pipeline {package} needs a value for {', '.join(missing)}; add it to the arguments")


@contextlib.contextmanager
def _written(text: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="trillsson-") as folder:
        path = Path(folder, "pipeline.yaml")
        path.write_text(text, encoding="utf-8")
        yield path


def _experiment_id(client: Any, name: str, namespace: str | None, host: str) -> str:
    return identified(client.create_experiment(name, namespace=namespace).experiment_id, host)


def _pipeline_id(client: Any, name: str, namespace: str | None, host: str) -> str:
    found = find_named(client.list_pipelines, "pipelines", name, namespace=namespace)
    if found:
        return identified(found[0].pipeline_id, host)
    wanted = client.api_models.V2beta1Pipeline(display_name=name, namespace=namespace)
    return identified(client.pipelines.pipeline_service_create_pipeline(wanted).pipeline_id, host)


def _version_id(client: Any, pipeline_id: str, version: str, path: Path, host: str) -> str:
    found = find_named(client.list_pipeline_versions, "pipeline_versions", version, pipeline_id=pipeline_id)
    if found:
        return identified(found[0].pipeline_version_id, host)
    uploaded = client.upload_pipeline_version(str(path), version, pipeline_id=pipeline_id)
    return identified(uploaded.pipeline_version_id, host)


def _delete_recurring_run(client: Any, recurring_run_id: str) -> None:
    from kfp_server_api import ApiException

    try:
        client.delete_recurring_run(recurring_run_id)
    except ApiException as error:
        if error.status != 404:  # Someone else has deleted it.
            raise
