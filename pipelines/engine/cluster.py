"""A standalone Flink cluster on hosts of its own: one job manager, and workers with a task manager and a worker pool.

Hosts have a network and a `/tmp` of their own. They see the rest of this machine's disk, as if it were mounted on each.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.engine.hosts import Host, alone, check_rights, host_names, remove_bridge
from pipelines.engine.jars import EngineJars, fetch_jars, require
from trillsson.errors import InputError, TransientError
from trillsson.progress import Stopwatch, say

JOB_MANAGER = Host("job-manager", 2)
REST_PORT = 8081
POOL_PORT = 50_000

_MOST_WORKERS = 200
_START_SECONDS = 120.0
_JOB_MANAGER_CLASS = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
_TASK_MANAGER_CLASS = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
_POOL_MODULE = "apache_beam.runners.worker.worker_pool_main"
_OPENED = (
    *("java.lang", "java.lang.reflect", "java.net", "java.io", "java.nio", "java.text", "java.time", "java.util"),
    *("java.util.concurrent", "java.util.concurrent.atomic", "java.util.concurrent.locks", "sun.nio.ch"),
)
_JAVA_17 = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED]
"""What Flink 1.19 needs opened on Java 17 (`env.java.opts.all` of its config)."""

_LOG_CONFIG = "log4j2.properties"
_LOG_SETTINGS = """rootLogger.level = INFO
rootLogger.appenderRef.out.ref = out
appender.out.name = out
appender.out.type = CONSOLE
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{yyyy-MM-dd HH:mm:ss} %-5p %c{1} %m%n
"""


def default_cache() -> Path:
    """Returns where the JARs are kept, if no other place is given."""
    return Path("~/.cache/trillsson/engine").expanduser()


@dataclass(frozen=True)
class Engine:
    """What a cluster is made of.

    Attributes:
        folder: where its logs lie, and the temporary folders of its hosts.
        workers: how many.
        slots: tasks that each runs at a time.
        memory: of a task manager's process, in MB; Python comes on top.
        share: folders below `/tmp` that every host sees, as a mounted disk; elsewhere all are seen.
        cache: where the JARs are kept.
    """

    folder: Path
    workers: int = 2
    slots: int = 2
    memory: int = 2_048
    share: tuple[Path, ...] = ()
    cache: Path = field(default_factory=default_cache)


def worker_host(number: int) -> Host:
    """Returns the host of the worker of that number, from 1."""
    return Host(f"worker-{number}", 10 + number)


def up(engine: Engine) -> None:
    """Brings the cluster up: starts whatever of it does not run, so that it may be called again after a loss.

    Raises:
        InputError: this machine cannot have it: no root, no iproute2, no Java, or no Maven.
        TransientError: the JARs cannot be fetched, the cluster does not answer in time, or another process changes it.
    """
    check_rights()
    if not 1 <= engine.workers <= _MOST_WORKERS:
        raise InputError(f"{engine.workers} workers: give 1 to {_MOST_WORKERS}")
    require("java", "openjdk-17-jre-headless")
    jars = fetch_jars(engine.cache)
    watch = Stopwatch()
    with alone():
        _start_job_manager(engine, jars)
        for number in range(1, engine.workers + 1):
            _start_worker(engine, jars, number)
        _wait_for(engine)
    say(f"engine is up: {engine.workers} workers with {engine.slots} slots each [{watch}]")


def _start_job_manager(engine: Engine, jars: EngineJars) -> None:
    """Starts the job manager, unless it runs."""
    JOB_MANAGER.create()
    if JOB_MANAGER.processes(_JOB_MANAGER_CLASS):
        return
    conf = write_config(engine, JOB_MANAGER)
    flags, dynamic = _ask_flink(jars, "GET_JM_RESOURCE_PARAMS", conf)
    _start(engine, JOB_MANAGER, [*_java(jars, conf, flags, _JOB_MANAGER_CLASS), *dynamic], what="flink")


def _start_worker(engine: Engine, jars: EngineJars, number: int) -> None:
    """Starts a worker's task manager and its pool of Python workers, unless they run."""
    host = worker_host(number)
    host.create()
    if not host.processes(_POOL_MODULE):
        python = [sys.executable, "-m", _POOL_MODULE, f"--service_port={POOL_PORT}"]
        _start(engine, host, python, what="pool")
    if not host.processes(_TASK_MANAGER_CLASS):
        conf = write_config(engine, host)
        flags, dynamic = _ask_flink(jars, "GET_TM_RESOURCE_PARAMS", conf)
        _start(engine, host, [*_java(jars, conf, flags, _TASK_MANAGER_CLASS), *dynamic], what="flink")


def down() -> int:
    """Takes the cluster down, and all that runs on its hosts; returns how many hosts there were.

    Raises:
        InputError: this is not root.
        TransientError: another process brings it up or down.
    """
    check_rights()
    with alone():
        names = host_names()
        for name in names:
            Host(name, 0).remove()
        remove_bridge()
    return len(names)


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


def describe() -> str:
    """Says what of the cluster is there.

    Raises:
        InputError: this is not root.
        TransientError: its job manager does not answer.
    """
    check_rights()
    hosts = {name: len(Host(name, 0).processes()) for name in host_names()}
    if not hosts:
        return "no engine; start one with `trillsson engine up`"
    told = _rest("/overview")
    lines = [f"{name}: {count} processes" for name, count in hosts.items()]
    flink = f"Flink {told['flink-version']}: {told['taskmanagers']} task managers, {told['slots-available']} of "
    flink += f"{told['slots-total']} slots free, {told['jobs-running']} jobs running; http://{JOB_MANAGER.address}:{REST_PORT}"
    return "\n".join([*lines, flink])


def beam_options(*, parallelism: int, cache: Path | None = None) -> list[str]:
    """Returns Beam's options with which a job runs on the cluster, `parallelism` tasks at a time.

    Raises:
        InputError, TransientError: the JARs are not there and cannot be fetched.
    """
    return [
        "--runner=FlinkRunner",
        f"--flink_master={JOB_MANAGER.address}:{REST_PORT}",
        "--flink_version=1.19",
        f"--flink_job_server_jar={fetch_jars(cache or default_cache()).job_server}",
        "--flink_submit_uber_jar",
        "--environment_type=EXTERNAL",
        f"--environment_config=localhost:{POOL_PORT}",
        f"--parallelism={parallelism}",
    ]


def _wait_for(engine: Engine) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(TransientError):
            if _rest("/overview")["taskmanagers"] >= engine.workers:
                return
        time.sleep(0.5)
    raise TransientError(f"the engine did not come up in {_START_SECONDS:.0f} s; read {engine.folder}/*/flink.log")


def write_config(engine: Engine, host: Host) -> Path:
    """Writes Flink's config of one host and returns its folder."""
    folder = engine.folder.absolute() / host.name / "conf"
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "jobmanager.rpc.address": JOB_MANAGER.address,
        "jobmanager.rpc.port": 6123,
        "jobmanager.bind-host": "0.0.0.0",  # noqa: S104  # of its own network
        "jobmanager.memory.process.size": "1g",
        "rest.address": JOB_MANAGER.address,
        "rest.port": REST_PORT,
        "rest.bind-address": "0.0.0.0",  # noqa: S104
        "taskmanager.host": host.address,
        "taskmanager.bind-host": "0.0.0.0",  # noqa: S104
        "taskmanager.resource-id": host.name,
        "taskmanager.memory.process.size": f"{engine.memory}m",
        # tensorflow-transform's statistics are a graph of hundreds of edges: less is too few buffers for it.
        "taskmanager.memory.network.min": f"{engine.memory // 4}m",
        "taskmanager.memory.network.max": f"{engine.memory // 4}m",
        "taskmanager.numberOfTaskSlots": engine.slots,
        "taskmanager.load-balance.mode": "SLOTS",  # else one worker gets all tasks that it has slots for
        # A shard is made whole or not at all, and making it twice changes nothing: what a host lost is made again.
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": 20,
        "restart-strategy.fixed-delay.delay": "3 s",
        "heartbeat.interval": 2_000,
        "heartbeat.timeout": 20_000,
    }
    text = "".join(f"{name}: {value}\n" for name, value in settings.items())
    (folder / "config.yaml").write_text(text)
    (folder / _LOG_CONFIG).write_text(_LOG_SETTINGS)
    return folder


def _ask_flink(jars: EngineJars, question: str, conf: Path) -> tuple[list[str], list[str]]:
    """Has Flink work out flags of Java's for its memory, and settings of its own, as its start scripts do."""
    classes = f"{jars.flink}/bin/bash-java-utils.jar:{jars.flink}/lib/*"
    command = ["java", "-cp", classes, "org.apache.flink.runtime.util.bash.BashJavaUtils", question]
    done = subprocess.run([*command, "--configDir", str(conf)], capture_output=True, text=True, check=False)  # noqa: S603
    marked = [line.partition("BASH_JAVA_UTILS_EXEC_RESULT:")[2] for line in done.stdout.splitlines()]
    if done.returncode or not any(marked):
        raise InputError(f"Flink refuses its config in {conf}: {(done.stderr or done.stdout).strip()[-300:]}")
    flags, dynamic, *_ = [line.split() for line in marked if line] + [[]]
    return flags, dynamic


def _java(jars: EngineJars, conf: Path, flags: Sequence[str], name: str) -> list[str]:
    log = f"-Dlog4j.configurationFile={conf / _LOG_CONFIG}"
    return ["java", *flags, *_JAVA_17, log, "-cp", f"{jars.flink}/lib/*", name, "--configDir", str(conf)]


def _start(engine: Engine, host: Host, command: Sequence[str], *, what: str) -> None:
    folder = engine.folder.absolute() / host.name
    folder.mkdir(parents=True, exist_ok=True)
    # Beam's pool starts a bare `python`: the first on the path has to be this one.
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    project = Path(__file__).parents[2]
    share = [*engine.share, engine.folder.absolute(), engine.cache, Path(sys.prefix), Path(sys.base_prefix), project]
    host.start(command, folder=folder / "tmp", log=folder / f"{what}.log", environment={"PATH": path}, share=share)
