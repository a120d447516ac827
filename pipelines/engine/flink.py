"""Flink's own processes: their config, and the Java command that its start scripts would make of it."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from pipelines.engine.hosts import Host
from pipelines.engine.jars import EngineJars
from pipelines.engine.spec import JOB_MANAGER, REST_PORT, Engine
from trillsson.errors import InputError

JOB_MANAGER_CLASS = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
TASK_MANAGER_CLASS = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"

_QUESTIONS = {JOB_MANAGER_CLASS: "GET_JM_RESOURCE_PARAMS", TASK_MANAGER_CLASS: "GET_TM_RESOURCE_PARAMS"}
_OPENED = (
    *("java.lang", "java.lang.reflect", "java.net", "java.io", "java.nio", "java.text", "java.time", "java.util"),
    *("java.util.concurrent", "java.util.concurrent.atomic", "java.util.concurrent.locks", "sun.nio.ch"),
)
_JAVA_17 = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED]
"""What Flink 1.19 needs opened on Java 17 (`env.java.opts.all` of its config)."""

_OUT_OF_MEMORY = "-XX:+ExitOnOutOfMemoryError"
"""Else a task manager without memory lives on, and its job hangs. (Flink's own option for that, to end at any uncaught
exception, ends healthy ones: a job that is cancelled raises some in threads that look for its classes.)"""

_LOG_CONFIG = "log4j2.properties"
_LOG_SETTINGS = """rootLogger.level = INFO
rootLogger.appenderRef.out.ref = out
appender.out.name = out
appender.out.type = CONSOLE
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{yyyy-MM-dd HH:mm:ss} %-5p %c{1} %m%n
"""


def flink_command(engine: Engine, host: Host, name: str, *, jars: EngineJars) -> list[str]:
    """Writes a host's config, and returns the command that runs one of Flink's processes there.

    Raises:
        InputError: Flink refuses the config.
    """
    conf = write_config(engine, host)
    flags, dynamic = _ask_flink(jars, _QUESTIONS[name], conf)
    java = ["java", *flags, *_JAVA_17, _OUT_OF_MEMORY, f"-Dlog4j.configurationFile={conf / _LOG_CONFIG}"]
    return [*java, "-cp", f"{jars.flink}/lib/*", name, "--configDir", str(conf), *dynamic]


def write_config(engine: Engine, host: Host) -> Path:
    """Writes Flink's config of one host and returns its folder."""
    folder = engine.host_folder(host) / "conf"
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
        # A shard is made whole or not at all, and making it twice changes nothing: what a host lost is made again. By
        # their rate, as a long job outlives many hosts, of which each costs two restarts.
        "restart-strategy.type": "failure-rate",
        "restart-strategy.failure-rate.max-failures-per-interval": 30,
        "restart-strategy.failure-rate.failure-rate-interval": "1 h",
        "restart-strategy.failure-rate.delay": "3 s",
        "heartbeat.interval": 2_000,
        "heartbeat.timeout": 20_000,
    }
    text = "".join(f"{name}: {value}\n" for name, value in settings.items())
    (folder / "config.yaml").write_text(text)
    (folder / _LOG_CONFIG).write_text(_LOG_SETTINGS)
    return folder


def _ask_flink(jars: EngineJars, question: str, conf: Path) -> tuple[Sequence[str], Sequence[str]]:
    """Has Flink work out flags of Java's for its memory, and settings of its own, as its start scripts do."""
    classes = f"{jars.flink}/bin/bash-java-utils.jar:{jars.flink}/lib/*"
    command = ["java", "-cp", classes, "org.apache.flink.runtime.util.bash.BashJavaUtils", question]
    done = subprocess.run([*command, "--configDir", str(conf)], capture_output=True, text=True, check=False)  # noqa: S603
    marked = [line.partition("BASH_JAVA_UTILS_EXEC_RESULT:")[2] for line in done.stdout.splitlines()]
    if done.returncode or not any(marked):
        said = next(
            (line for line in (done.stderr + done.stdout).splitlines() if "xception" in line), "no reason given"
        )
        raise InputError(f"Flink does not start with {conf}/config.yaml: {said.strip()[:300]}; give it more memory")
    flags, dynamic, *_ = [line.split() for line in marked if line] + [[]]
    return flags, dynamic
