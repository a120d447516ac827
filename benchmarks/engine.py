"""What a Flink cluster costs and gains: against the bare embedder, against this machine alone, and with a large plan.

    .venv/bin/python benchmarks/engine.py [minutes of audio, or 0] [shards of the large plan] [rounds]      (as root)

1. Windows a second of embed (trillsson1, windows of 2 s) on one worker and on two, each pinned to a core of its own,
   against the bare embedder on the same cores. Start-up is not counted: it is what a job of two shards takes.
2. All of the job, start-up and all, on two workers, against Beam's local runner with two processes.
3. Peak memory of the launcher and of the job manager while very many shards, which take no time, go through.

The cluster is that of `trillsson engine`; it is brought up and taken down. Medians of the rounds. The less audio, the
more the start, which differs by seconds, decides 1.
"""

import multiprocessing
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import apache_beam as beam
from embed_job import make_audio, make_student, seconds, whole_job, windows_of

from pipelines.beam.plan import Ticket
from pipelines.beam.runner import run_pipeline
from pipelines.beam.transforms import MakeShards
from pipelines.engine.cluster import beam_options, down, up
from pipelines.engine.hosts import host_names
from pipelines.engine.spec import JOB_MANAGER, Engine, worker_host
from pipelines.process import settle_environment
from trillsson.config import EmbedderSpec, Framing
from trillsson.datasets import Shard, ShardSummary
from trillsson.teachers import open_embedder

FEW = 32
BATCH = 32


def main(minutes: float, shards: int, rounds: int) -> None:
    """Runs all three."""
    settle_environment()
    with tempfile.TemporaryDirectory(dir=".") as folder:
        root = Path(folder).absolute()
        with cluster(root):
            if minutes:
                audio, few = make_corpus(root / "all", int(6 * minutes)), make_corpus(root / "few", FEW)
                compare(root, audio, few, spec=make_student(root / "trillsson1"), rounds=rounds)
            plan(shards)


@contextmanager
def cluster(root: Path) -> Iterator[None]:
    """A cluster of two workers, each on a core of its own; there must be none yet."""
    if host_names():
        raise SystemExit("an engine is up already; end it with `trillsson engine down`")
    try:
        up(Engine(root / "engine"))
        for number in (1, 2):
            for process in worker_host(number).processes("worker_pool_main"):
                for thread in process.threads():  # any of them may start a worker, which inherits where it may run
                    os.sched_setaffinity(thread.id, {number - 1})
        yield
    finally:
        down()


def make_corpus(root: Path, clips: int) -> str:
    """Returns the manifest of so many clips of 10 s."""
    root.mkdir()
    return make_audio(root, clips)


def compare(root: Path, audio: str, few: str, *, spec: EmbedderSpec, rounds: int) -> None:
    """Prints windows a second on one core and on two, and what all of a job takes."""
    windows = len(windows_of(audio)) - len(windows_of(few))
    print("| cores | bare, windows/s | Flink, windows/s | ratio | start of a job, s |\n|---|---|---|---|---|")
    for cores in (1, 2):
        options = beam_options(parallelism=cores)
        bare = bare_speed(few, spec, cores=cores, rounds=rounds)
        start, whole = (job_seconds(root, each, spec, options, rounds=rounds) for each in (few, audio))
        flink = windows / (whole - start)
        print(f"| {cores} | {bare:.0f} | {flink:.0f} | {flink / bare:.2f} | {start:.1f} |", flush=True)
    processes = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    here = job_seconds(root, audio, spec, processes, rounds=rounds)
    print(f"\nall of a job, 2 processes: Flink {whole:.1f} s, here {here:.1f} s: {whole / here:.2f}", flush=True)


def job_seconds(root: Path, audio: str, spec: EmbedderSpec, options: Sequence[str], *, rounds: int) -> float:
    """Returns what all of embed takes."""
    taken = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(dir=root) as workdir:
            taken.append(seconds(lambda to=workdir: whole_job(audio, spec, to, *options)))  # type: ignore[misc]
    return statistics.median(taken)


def bare_speed(audio: str, spec: EmbedderSpec, *, cores: int, rounds: int) -> float:
    """Returns windows/s of the embedder alone: one process a core, all at once."""
    context = multiprocessing.get_context("spawn")
    speeds = context.Queue()
    ready = context.Barrier(cores)
    told = [(audio, spec, core, 10 * rounds, ready, speeds) for core in range(cores)]
    processes = [context.Process(target=_bare, args=each) for each in told]
    for process in processes:
        process.start()
    found = [speeds.get() for _ in processes]
    for process in processes:
        process.join()
    return float(sum(found))


def _bare(
    audio: str,
    spec: EmbedderSpec,
    core: int,
    rounds: int,
    ready: "multiprocessing.synchronize.Barrier",
    speeds: "multiprocessing.Queue[float]",
) -> None:
    os.sched_setaffinity(0, {core})
    settle_environment()
    windows = windows_of(audio)
    embedder = open_embedder(spec, Framing())
    embedder.embed(windows[:BATCH])  # tracing is not counted
    ready.wait()
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        for first in range(0, len(windows), BATCH):
            embedder.embed(windows[first : first + BATCH])
        taken.append(time.perf_counter() - start)
    speeds.put(len(windows) / statistics.median(taken))


class NoWork:
    """Makes shards of nothing."""

    root = "work/none"

    def setup(self) -> None:
        """Nothing to load."""

    def make(self, planned: Ticket) -> Shard:
        """Makes nothing."""
        summary = ShardSummary(id=planned.id, sha256="0" * 64, items=0, records=0, seconds=0)
        return Shard(summary=summary, identity="", sources=(), rejects=())


def plan(shards: int) -> None:
    """Prints what very many shards cost the launcher and the job manager."""
    tickets = [Ticket(f"{number:016x}", f"plans/{number // 64}.json", number % 64) for number in range(shards)]
    taken = seconds(
        lambda: run_pipeline(
            lambda pipeline: pipeline | beam.Create(tickets, reshuffle=False) | MakeShards(NoWork()),
            beam_options(parallelism=2),
        )
    )
    (manager, *_) = JOB_MANAGER.processes("java")
    launcher, job_manager = (peak(process) for process in (os.getpid(), manager.pid))
    print(f"\n{shards} shards: {taken:.0f} s; launcher {launcher:.0f} MB, job manager {job_manager:.0f} MB", flush=True)


def peak(process: int) -> float:
    """Returns the peak memory of a process in MB."""
    (found,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(found) / 1024


if __name__ == "__main__":
    given = sys.argv[1:]
    main(float((given or ["60"])[0]), int((given[1:] or ["100000"])[0]), int((given[2:] or ["3"])[0]))
