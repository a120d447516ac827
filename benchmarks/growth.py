"""What a rerun costs, and what a launcher needs for very many items.

    .venv/bin/python benchmarks/growth.py [clips] [items]

1. The command `trillsson prepare`, as a process of its own with all its start-up, on a folder of WAV files of 1 s:
   the first run, a rerun with nothing new, a rerun with 1 % new files.
2. The launcher's peak memory and time for so many items: all of `prepare`, from the listing to the manifest, but for
   Beam and its workers, for whom another process commits the shards. The items are those of an AudioSet-like tree that
   exists in the listing only.
"""

import multiprocessing
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar
from unittest.mock import patch

import numpy as np
import soundfile
import yaml

from pipelines.beam import prepare
from pipelines.beam.corpora.reader import Item
from pipelines.beam.plan import Ticket, read_planned, source_of
from pipelines.beam.shards import Work
from trillsson.config import FolderCorpus
from trillsson.datasets import Shard, ShardSummary, commit_shard, open_dataset
from trillsson.digests import digest_of
from trillsson.records import SCHEMA_VERSION, shard_path
from trillsson.storage import open_storage


def main(clips: int, items: int) -> None:
    """Runs both measurements."""
    with tempfile.TemporaryDirectory() as folder:
        growth(Path(folder), clips)
    print("\n| launcher | items | shards | s | peak MB |\n|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("first run", "rerun, nothing new"):
            in_a_process(launcher, Path(folder), name, items)


def growth(root: Path, clips: int) -> None:
    """Times the command on a folder that grows."""
    config = root / "growth.yaml"
    corpora = {"folder": {"kind": "folder", "path": str(root / "audio")}}
    config.write_text(yaml.safe_dump({"workdir": str(root / "work"), "corpora": corpora}))
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


def launcher(folder: Path, name: str, count: int) -> None:
    """Runs all of `prepare` but for the workers' part over so many items, and prints what this process took."""
    corpus = FolderCorpus(kind="folder", path=str(folder))
    spec = prepare.PrepareSpec(name="listed", corpus=corpus, workdir=str(folder / "work"))
    waited: list[float] = []

    def make_elsewhere(tickets: Sequence[Ticket], work: Work, **_: object) -> None:
        """Stands for Beam: another process commits the planned shards."""
        start = time.perf_counter()
        if tickets:
            in_a_process(commit_all, work.root, tickets)
        waited.append(time.perf_counter() - start)

    start = time.perf_counter()
    with (
        patch.object(prepare, "open_reader", lambda _: Listed(count)),
        patch.object(prepare, "make_shards", make_elsewhere),
    ):
        uri = prepare.run(spec)
    took = time.perf_counter() - start - sum(waited)
    # Not ru_maxrss: that also counts what the process that started this one had in memory.
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    manifest = open_dataset(uri, "audio").manifest
    row = (name, manifest.sources, len(manifest.shards), f"{took:.0f}", f"{int(peak) / 1024:.0f}")
    print("|", " | ".join(map(str, row)), "|", flush=True)


def in_a_process(work: Callable[..., None], *arguments: object) -> None:
    """Runs a function in a fresh process and waits for it."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
    process.start()
    process.join()


def commit_all(root: str, tickets: Sequence[Ticket]) -> None:
    """Commits planned shards as if they had been made."""
    storage = open_storage(root)
    identity = digest_of({"step": "prepare", "schema_version": SCHEMA_VERSION, "opening": Listed.opening})
    for ticket in tickets:
        shard = read_planned(storage, ticket)
        count = len(shard.items)
        told = {"sources": count, "items": count, "records": count, "seconds": 10.0 * count}
        summary = ShardSummary(id=shard.id, sha256="0" * 64, **told)
        sources = tuple(source_of(item, checksum="00000000") for item in shard.items)
        storage.create(shard_path(summary.id, summary.sha256), b"")
        commit_shard(storage, Shard(summary=summary, identity=identity, sources=sources))


def listed(count: int) -> Iterator[Item]:
    """Yields items as a reader does."""
    for number in range(count):
        path = f"audio/{number % 1000:03d}/Y{number:011d}.flac"
        labels = {"labels": f"/m/{number % 527:05d}"}
        yield Item(key=path, path=path, size=200_000, stamp=str(1_700_000_000_000_000_000 + number), labels=labels)


class Listed:
    """Stands for a reader: it lists files that do not exist."""

    opening: ClassVar[dict[str, str]] = {}

    def __init__(self, count: int) -> None:
        self._count = count

    def items(self) -> Iterator[Item]:
        """Yields items as a reader does."""
        return listed(self._count)


if __name__ == "__main__":
    main(*(int(argument) for argument in (*sys.argv[1:], *("10000", "2000000")[len(sys.argv) - 1 :])))
