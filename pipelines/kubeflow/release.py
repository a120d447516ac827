"""A whole release on this machine: read the config, compile the pipeline, run the YAML."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from trillsson.config import Release, load_release
from trillsson.errors import InputError
from trillsson.storage import GCS_SCHEME


def run_release(config: Path, *, show: Callable[[str], None]) -> None:
    """Runs a release from its config.

    Args:
        config: the YAML file.
        show: called with every line that is meant for people.

    Raises:
        TrillssonError: whatever a step raised. What was done until then is kept.
    """
    from pipelines.kubeflow.graph import compile_release
    from pipelines.kubeflow.local import run_local

    release = load_release(config)
    folder = _scratch(release)
    package = folder / "pipeline.yaml"
    compile_release(release, package)
    run_local(package, log=folder / f"run-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.log", show=show)


def _require_shared(release: Release) -> None:
    """Refuses folders that the pods of a cluster do not share."""
    mount = release.resources.mount_path.rstrip("/") + "/"
    for key, path in (("workdir", release.workdir), ("registry", release.registry)):
        if not path.startswith((GCS_SCHEME, mount)):
            raise InputError(
                f"{key} {path} is not shared by the pods of a cluster; give gs:// or a folder below {mount}"
            )


def _scratch(release: Release) -> Path:
    """The local folder for the compiled pipeline and the logs."""
    if release.workdir.startswith(GCS_SCHEME):
        return Path("work") / release.name / "runs"
    folder = Path(release.workdir) / "runs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"workdir {release.workdir} cannot be made: {error.strerror}; give another folder") from error
    return folder


def submit_release(
    config: Path, *, host: str, experiment: str, namespace: str | None = None, service_account: str | None = None
) -> str:
    """Sends a release to a Kubeflow Pipelines server and returns the page of its run.

    Raises:
        InputError: the config or the server's answer is not as it must be.
        TransientError: the server cannot be reached.
    """
    from pipelines.kubeflow.submit import submit

    release = load_release(config)
    with _compiled(release) as package:
        run = submit(
            package,
            host=host,
            name=f"{release.name} {datetime.now(UTC):%Y-%m-%d %H:%M}",
            experiment=experiment,
            arguments={},
            namespace=namespace,
            service_account=service_account,
        )
    return run.url


def schedule_release(
    config: Path,
    *,
    cron: str,
    host: str,
    experiment: str,
    namespace: str | None = None,
    service_account: str | None = None,
) -> str:
    """Makes a Kubeflow Pipelines server run a release by the clock and returns the page of the schedule.

    Raises:
        InputError: the config, the cron expression or the server's answer is not as it must be.
        TransientError: the server cannot be reached.
    """
    from pipelines.kubeflow.submit import schedule

    release = load_release(config)
    with _compiled(release) as package:
        made = schedule(
            package,
            host=host,
            name=f"trillsson-{release.name}",
            cron=cron,
            experiment=experiment,
            arguments={},
            namespace=namespace,
            service_account=service_account,
        )
    return made.url


@contextmanager
def _compiled(release: Release) -> Iterator[Path]:
    """The compiled release, in a temporary folder: a scheduler's pod can write nowhere else."""
    _require_shared(release)
    from pipelines.kubeflow.graph import compile_release

    with tempfile.TemporaryDirectory(prefix="trillsson-") as folder:
        package = Path(folder) / "pipeline.yaml"
        compile_release(release, package)
        yield package
