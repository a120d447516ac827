"""What a rerun costs, and what a launcher needs for very many items.

    .venv/bin/python benchmarks/growth.py [clips] [items]

1. The command `trillsson prepare`, as a process of its own with all its start-up, on a folder of WAV files of 1 s:
   the first run, a rerun with nothing new, a rerun with 1 % new files.
2. The launcher's memory and time to list, plan and store so many items: an AudioSet-like tree that exists in the
   listing only, without earlier shards and with all of them made before.
"""

import multiprocessing
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile
import yaml

from pipelines.beam.corpora.reader import Item
from pipelines.beam.plan import PlannedShard, finished_shards, plan_shards, source_of, store_plan
from trillsson.datasets import Shard, ShardSummary, commit_shard
from trillsson.storage import LocalStorage

RELEASE = {
    "name": "growth",
    "registry": "registry",
    "teacher": {"kind": "conformer", "dim": 16, "layers": 1, "layer": 1, "heads": 2},
    "students": {"nano": {"architecture": "nano"}},
    "training": {"corpora": ["folder"], "steps": 1},
    "tasks": {"none": {"corpus": "folder", "label": "none"}},
}


def main(clips: int, items: int) -> None:
    """Runs both measurements."""
    with tempfile.TemporaryDirectory() as folder:
        growth(Path(folder), clips)
    print("\n| launcher | items | shards | s | peak MB |\n|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for work in (first_run, make_all, rerun):
            process = multiprocessing.get_context("spawn").Process(target=work, args=(Path(folder), items))
            process.start()
            process.join()


def growth(root: Path, clips: int) -> None:
    """Times the command on a folder that grows."""
    config = root / "growth.yaml"
    corpora = {"folder": {"kind": "folder", "path": str(root / "audio")}}
    config.write_text(yaml.safe_dump({**RELEASE, "workdir": str(root / "work"), "corpora": corpora}))
    (root / "audio").mkdir()
    print("| run | files | s |\n|---|---|---|")
    for name, first, last in (
        ("first", 0, clips),
        ("nothing new", clips, clips),
        ("1 % new", clips, clips + clips // 100),
        ("nothing new", clips, clips),
    ):
        write_files(root / "audio", range(first, last))
        command = [sys.executable, "-m", "pipelines.cli", "prepare", str(config), "--corpus", "folder"]
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603
        print(f"| {name} | {max(last, clips)} | {time.perf_counter() - start:.1f} |", flush=True)


def write_files(folder: Path, numbers: range) -> None:
    """Writes WAV files of a second of noise."""
    for number in numbers:
        samples = np.random.default_rng(number).uniform(-0.5, 0.5, 16_000)
        soundfile.write(folder / f"{number:06d}.wav", samples, 16_000)


def first_run(folder: Path, count: int) -> None:
    """Lists, plans and stores so many items, of which none was seen before."""
    start = time.perf_counter()
    planned = plan_shards(list(listed(count)), [], identity="1")
    store_plan(LocalStorage(folder / "first"), planned)
    tell("first run", count, planned, start=start)


def make_all(folder: Path, count: int) -> None:
    """Commits the shards of so many items as if they had been made."""
    for shard in plan_shards(listed(count), [], identity="1"):
        commit_shard(LocalStorage(folder / "again"), made(shard))


def rerun(folder: Path, count: int) -> None:
    """Lists and plans so many items, all of which lie in shards."""
    start = time.perf_counter()
    planned = plan_shards(list(listed(count)), list(finished_shards(LocalStorage(folder / "again"))), identity="1")
    tell("rerun", count, planned, start=start)


def tell(name: str, count: int, planned: Sequence[PlannedShard], *, start: float) -> None:
    """Prints what this process took."""
    # Not ru_maxrss: that also counts what the process that started this one had in memory.
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    print(
        f"| {name} | {count} | {len(planned)} | {time.perf_counter() - start:.0f} | {int(peak) / 1024:.0f} |",
        flush=True,
    )


def listed(count: int) -> Iterator[Item]:
    """Yields items as a reader does."""
    for number in range(count):
        path = f"audio/{number % 1000:03d}/Y{number:011d}.flac"
        labels = {"labels": f"/m/{number % 527:05d}"}
        yield Item(key=path, path=path, size=200_000, stamp=str(1_700_000_000_000_000_000 + number), labels=labels)


def made(shard: PlannedShard) -> Shard:
    """Returns the entry of a shard as if it had been made."""
    count = len(shard.items)
    told = {"sources": count, "items": count, "records": count, "seconds": 10.0 * count}
    summary = ShardSummary(id=shard.id, sha256="0" * 64, **told)
    return Shard(summary=summary, sources=tuple(source_of(item, checksum="00000000") for item in shard.items))


if __name__ == "__main__":
    main(*(int(argument) for argument in (*sys.argv[1:], *("10000", "2000000")[len(sys.argv) - 1 :])))
