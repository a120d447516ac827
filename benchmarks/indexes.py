"""What the steps that read indexes alone take for very many clips: `screen`, and `inspect` with a release's uses.

    .venv/bin/python benchmarks/indexes.py [clips] [clips in a shard]

The datasets are of two corpora, half of the clips each, and synthetic: they have manifests, entries and indexes, but no
audio, which neither step opens. A tenth of the clips are test; one of a hundred is a copy, a leak or a duplicate. Each
step runs in a process of its own, whose time is without start-up and whose peak memory is with it: the row `nothing`
tells how much of that is the imports. The files are in the page cache.
"""

import hashlib
import multiprocessing
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from trillsson.config import Task, Training
from trillsson.datasets import Shard, ShardSummary, Source, commit_dataset, commit_shard, index_path, open_dataset
from trillsson.inspection.summary import summarise
from trillsson.records import IndexedClip, encode_index
from trillsson.storage import open_storage
from trillsson.training import screen

CORPORA = ("one", "two")
TASKS = {"digit": Task(corpus="one", label="digit", split="session")}


def main(clips: int, per_shard: int) -> None:
    """Makes the datasets and prints a row a step."""
    with tempfile.TemporaryDirectory() as folder:
        uris = tuple(make_dataset(Path(folder), corpus, clips // 2, per_shard) for corpus in CORPORA)
        print("| step | clips | shards | s | peak MB |\n|---|---|---|---|---|", flush=True)
        for step in (nothing, screening, inspecting):
            # A process of its own each: the peak of one is not another's.
            process = multiprocessing.get_context("spawn").Process(target=measured, args=(step, uris, folder))
            process.start()
            process.join()
            if process.exitcode:
                sys.exit(process.exitcode)


def make_dataset(folder: Path, corpus: str, clips: int, per_shard: int) -> str:
    """Writes a dataset without audio and returns its manifest's URI."""
    root = str(folder / "audio" / corpus)
    shards = (make_shard(root, corpus, range(at, min(at + per_shard, clips))) for at in range(0, clips, per_shard))
    return commit_dataset(root, shards, kind="audio", corpus=corpus, content={})


def make_shard(root: str, corpus: str, numbers: range) -> Shard:
    """Writes the index and the entry of a shard."""
    storage = open_storage(root)
    clips = [clip(corpus, number) for number in numbers]
    data = encode_index(clips)
    digest = hashlib.sha256(data).hexdigest()
    count = len(clips)
    summary = ShardSummary(
        id=f"{numbers.start:016d}",
        sha256=hashlib.sha256(f"{corpus}{numbers.start}".encode()).hexdigest(),
        index_sha256=digest,
        sources=count,
        items=count,
        records=count,
        seconds=10.0 * count,
    )
    storage.create(index_path(summary.id, digest), data)
    shard = Shard(summary=summary, sources=tuple(Source(each.key, "") for each in clips))
    commit_shard(storage, shard)
    return shard


def clip(corpus: str, number: int) -> IndexedClip:
    """Returns what an index says of a clip; every hundredth sounds as one of corpus `one`, in turn in test and not."""
    copied = number - (99 if number % 200 == 99 else 98)
    sound = f"one/{copied}" if number % 100 == 99 else f"{corpus}/{number}"
    return IndexedClip(
        key=f"{corpus}/{number // 1000:05d}/{number:08d}.flac#0",
        speaker=f"s{number % 5000}",
        split="test" if number % 10 == 0 else "train",
        labels={"digit": str(number // 10 % 10), "session": "test" if number % 10 == 0 else "train"},
        samples=160_000,
        sha256=hashlib.sha256(sound.encode()).hexdigest(),
    )


Step = Callable[[tuple[str, ...], str], None]


def measured(step: Step, uris: tuple[str, ...], folder: str) -> None:
    """Runs a step and prints what it took of this process."""
    start = time.perf_counter()
    step(uris, folder)
    took = time.perf_counter() - start
    # Not ru_maxrss: that also counts what the process that started this one had in memory.
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    manifests = [open_dataset(uri, "audio").manifest for uri in uris]
    totals = (sum(each.records for each in manifests), sum(len(each.shards) for each in manifests))
    row = (step.__name__, *totals, f"{took:.1f}", f"{int(peak) / 1024:.0f}")
    print("|", " | ".join(map(str, row)), "|", flush=True)


def nothing(*_: object) -> None:
    """Stands for the imports."""


def screening(uris: tuple[str, ...], folder: str) -> None:
    """Decides on every clip."""
    screen.run(screen.ScreenSpec(audio=uris, training=Training(corpora=CORPORA, steps=1), tasks=TASKS, workdir=folder))


def inspecting(uris: tuple[str, ...], _: str) -> None:
    """Looks into the first dataset, against the other."""
    one, *others = (open_dataset(uri, "audio") for uri in uris)
    summarise(one, others, tasks=TASKS, learnt_from=CORPORA)


if __name__ == "__main__":
    main(*(int(argument) for argument in (*sys.argv[1:], *("300000", "3")[len(sys.argv) - 1 :])))
