"""A standalone Flink cluster on hosts of its own: one job manager, and workers with a task manager and a worker pool.

Hosts have a network and a `/tmp` of their own. They see the rest of this machine's disk, as if it were mounted on each.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.engine.flink import JOB_MANAGER_CLASS, TASK_MANAGER_CLASS, flink_command
from pipelines.engine.hosts import Host, alone, check_rights, filters_bridges, host_names, remove_bridge
from pipelines.engine.jars import FLINK_VERSION, EngineJars, fetch_jars, require_java
from pipelines.engine.spec import JOB_MANAGER, POOL_PORT, REST_PORT, Engine, default_cache, forget, noted
from trillsson.errors import InputError, TransientError
from trillsson.progress import Stopwatch, say
from trillsson.storage import explain_os_errors

_START_SECONDS = 120.0
_POOL_MODULE = "apache_beam.runners.worker.worker_pool_main"


class _Started(NamedTuple):
    """A process that was started, and where it writes."""

    process: "subprocess.Popen[bytes]"
    log: Path


def up(engine: Engine) -> None:
    """Brings the cluster up: starts whatever of it does not run, so that it may be called again after a loss.

    Raises:
        InputError: this machine cannot have it (no root, no iproute2, no Java 17, or no Maven), or has another one up;
            or the folder cannot be written.
        IntegrityError: a JAR that was fetched is not the one that was tested.
        TransientError: the JARs cannot be fetched, the cluster does not answer in time, or another process changes it.
    """
    check_rights()
    with explain_os_errors("write below", str(engine.folder)):
        engine.folder.mkdir(parents=True, exist_ok=True)
    require_java()
    jars = fetch_jars(engine.cache)
    watch = Stopwatch()
    with alone():
        if not host_names():
            forget()
        engine.note()
        _wait_for(engine, list(_start_missing(engine, jars)))
    say(f"engine is up: {engine.workers} workers with {engine.slots} slots each [{watch}]")


def down() -> int:
    """Takes the cluster down, with all that runs on its hosts and their `/tmp`; returns how many hosts there were.

    Raises:
        InputError: this is not root.
        TransientError: another process brings it up or down.
    """
    check_rights()
    with alone():
        names, engine = host_names(), noted()
        for name in names:
            host = Host(name, 0)
            host.remove()
            if engine:
                shutil.rmtree(engine.private(host), ignore_errors=True)
        remove_bridge()
        forget()
    return len(names)


def describe() -> str:
    """Says what of the cluster is there.

    Raises:
        InputError: this is not root.
        TransientError: its job manager does not answer, or something is missing.
    """
    check_rights()
    hosts = {name: len(Host(name, 0).processes()) for name in host_names()}
    if not hosts:
        return "no engine; start one with `trillsson engine up`"
    told = _rest("/overview")
    if engine := noted():
        pools = sum(map(_has_pool, engine.worker_hosts()))
        for what, count in {"task managers": told["taskmanagers"], "pools of Python workers": pools}.items():
            if count < engine.workers:
                missing = f"{count} of {engine.workers} {what} are up"
                raise TransientError(f"{missing}; `trillsson engine up` starts what is missing")
    lines = [f"{name}: {count} processes" for name, count in hosts.items()]
    flink = f"Flink {told['flink-version']}: {told['taskmanagers']} task managers, {told['slots-available']} of "
    flink += f"{told['slots-total']} slots free, {told['jobs-running']} jobs running; http://{JOB_MANAGER.address}:{REST_PORT}"
    return "\n".join([*lines, flink])


def beam_options(*, parallelism: int | None = None, cache: Path | None = None) -> list[str]:
    """Returns Beam's options with which a job runs on the cluster.

    Args:
        parallelism: tasks at a time; if not given, one a worker of the cluster that is up.
        cache: where the JARs are kept.

    Raises:
        InputError: no parallelism is given and no cluster is up, or the JARs are to be fetched and Maven is missing.
        IntegrityError: a JAR that was fetched is not the one that was tested.
        TransientError: the JARs cannot be fetched.
    """
    engine = noted()
    if not parallelism and not engine:
        raise InputError("no engine is up; start one with `trillsson engine up`, or give --parallelism")
    return [
        "--runner=FlinkRunner",
        f"--flink_master={JOB_MANAGER.address}:{REST_PORT}",
        f"--flink_version={FLINK_VERSION.rpartition('.')[0]}",
        f"--flink_job_server_jar={fetch_jars(cache or (engine.cache if engine else default_cache())).job_server}",
        "--flink_submit_uber_jar",
        "--environment_type=EXTERNAL",
        f"--environment_config=localhost:{POOL_PORT}",
        f"--parallelism={parallelism or (engine.workers if engine else 1)}",
    ]


def _start_missing(engine: Engine, jars: EngineJars) -> Iterator[_Started]:
    """Starts what does not run: the job manager, and on each worker a task manager and a pool of Python workers."""
    pool = [sys.executable, "-m", _POOL_MODULE, f"--service_port={POOL_PORT}"]
    for host in engine.hosts():
        host.create()
        name = JOB_MANAGER_CLASS if host == JOB_MANAGER else TASK_MANAGER_CLASS
        if host != JOB_MANAGER and not host.processes(_POOL_MODULE):
            yield _start(engine, host, pool, what="pool")
        if not host.processes(name):
            yield _start(engine, host, flink_command(engine, host, name, jars=jars), what="flink")


def _start(engine: Engine, host: Host, command: Sequence[str], *, what: str) -> _Started:
    folder = engine.host_folder(host)
    folder.mkdir(parents=True, exist_ok=True)
    # Beam's pool starts a bare `python`: the first on the path has to be this one.
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    project = Path(__file__).parents[2]
    share = [*engine.share, engine.folder.absolute(), engine.cache, Path(sys.prefix), Path(sys.base_prefix), project]
    log = folder / f"{what}.log"
    process = host.start(command, folder=engine.private(host), log=log, environment={"PATH": path}, share=share)
    return _Started(process, log)


def _wait_for(engine: Engine, started: Sequence[_Started]) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        for process, log in started:
            if (status := process.poll()) is not None:
                raise TransientError(f"a process ended as it was started (exit status {status}); read {log}")
        with contextlib.suppress(TransientError):
            if _rest("/overview")["taskmanagers"] >= engine.workers and all(map(_has_pool, engine.worker_hosts())):
                return
        time.sleep(0.5)
    told = f"the engine did not come up in {_START_SECONDS:.0f} s; read {engine.folder}/*/flink.log"
    if filters_bridges():
        told += ", and see that this machine's firewall lets through what goes from host to host"
    raise TransientError(told)


def _has_pool(host: Host) -> bool:
    try:
        socket.create_connection((host.address, POOL_PORT), timeout=1).close()
    except OSError:
        return False
    return True


def _rest(path: str) -> Any:
    """Asks the job manager.

    Raises:
        TransientError: it does not answer.
    """
    url = f"http://{JOB_MANAGER.address}:{REST_PORT}{path}"
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5) as answer:
            return json.load(answer)
    except (OSError, ValueError) as error:
        told = f"Flink does not answer at {url} ({error})"
        raise TransientError(f"{told}; `trillsson engine up` starts what is missing") from error
