"""What the paper's 60,000 hours ask of the data jobs: calculated from what was measured here, and simulated.

    .venv/bin/python benchmarks/sixty_thousand.py

Prints the tables of docs/scale.md. The corpus is Libri-light's unlab-60k. `Measured` names the benchmark of each
figure; nothing else is measured. A teacher of CAP12's size, hosts of 16 cores, and how often they die are assumed.
"""

import math
from dataclasses import dataclass

import numpy as np

from pipelines.beam.plan import MOST_BYTES, MOST_ITEMS
from trillsson.audio import CLIP_SAMPLES
from trillsson.config import SAMPLE_RATE

HOURS, FILES, BYTES = 57_700, 219_000, 3.4e12
"""Of unlab-60k, as `trillsson corpora librilight` tells."""

CLIP_SECONDS = CLIP_SAMPLES / SAMPLE_RATE
WINDOW_SECONDS = 2.0
DIM = 1_024
PCM_BYTES = 32_000
"""Of a second of audio in a dataset."""

TEACHER_GFLOP = 2 * 0.3 * 50
"""Of one window: CAP12 up to its 12th of 24 layers, half of 600M parameters, each used twice a frame; 50 frames."""

CORES = 16
"""Of a host."""

RESTARTS = 20
RESTART_SECONDS = 25.0
"""From a loss until tasks run again: 20 s without a heartbeat, 3 s of waiting, and the start of a worker process."""

SPREAD = 0.1
"""Of the time that shards take, as a share of it: shards are packed to the same size."""


@dataclass(frozen=True)
class Measured:
    """Figures of one shared virtual core, and the benchmark of each."""

    prepare: float = 1.0  # seconds of audio a CPU second, FLAC at 16 kHz: prepare_job.py
    gflops: float = 1.0  # GFLOP/s of a Conformer of 6 GFLOP a window, bare, one core: embed_job.py
    student: float = 62.0  # windows/s of trillsson1 on Flink: engine.py
    kept: float = 0.87  # of the bare embedder's speed on Flink: engine.py
    statistics: float = 1.0  # windows/s: statistics_job.py
    screen: float = 1.0  # clips/s: indexes.py
    screen_bytes: float = 1.0  # of memory a clip: indexes.py
    item_bytes: float = 900.0  # of the launcher's memory a file of the corpus: growth.py
    tickets: float = 10_900.0  # shards/s that pass Flink if they take no time: engine.py


def main() -> None:
    """Prints all tables."""
    measured = Measured()
    shards = stages(measured)
    print()
    machines(shards, measured)


def stages(measured: Measured) -> int:
    """Prints what each job takes in and costs; returns how many shards there are."""
    a_shard = min(MOST_ITEMS, int(MOST_BYTES / (BYTES / FILES)))
    shards = math.ceil(FILES / a_shard)
    seconds = HOURS * 3_600
    windows = seconds / WINDOW_SECONDS
    clips = seconds / CLIP_SECONDS
    pcm, rows = seconds * PCM_BYTES, windows * DIM * 4
    teacher = measured.gflops * measured.kept / TEACHER_GFLOP
    jobs = {
        "prepare": (seconds / measured.prepare, BYTES, pcm),
        "embed, a teacher of CAP12's size, on CPUs": (windows / teacher, pcm, rows),
        "embed, trillsson1": (windows / measured.student, pcm, rows),
        "screen (one process)": (clips / measured.screen, 0, 0),
        "statistics (one process)": (windows / measured.statistics, rows, 0),
    }
    print(f"{shards} shards of {a_shard} files and {seconds / shards / 3600:.1f} h; {clips / 1e6:.1f}M clips of up to")
    sizes = f"audio {pcm / 1e12:.1f} TB, targets {rows / 1e12:.2f} TB"
    print(f"{CLIP_SECONDS:.0f} s, {windows / 1e6:.0f}M windows; {sizes}")
    print(f"tickets through Flink: {shards / measured.tickets:.0f} s")
    launcher, screen = FILES * measured.item_bytes / 1e9, clips * measured.screen_bytes / 1e9
    print(f"launcher of prepare: {launcher:.1f} GB; screen: {screen:.1f} GB")
    print("\n| job | core-hours | hours on 64 cores | a shard on a core | read and written by a core, MB/s |")
    print("|---|---|---|---|---|")
    for name, (cost, read, written) in jobs.items():
        spread = 1 if "one process" in name else 64
        shard = "" if spread == 1 else f"{cost / shards / 60:.1f} min"
        rate = f"{read / cost / 1e6:.1f} and {written / cost / 1e6:.1f}"
        print(f"| {name} | {cost / 3600:.0f} | {cost / 3600 / spread:.1f} | {shard} | {rate} |")
    return shards


def machines(shards: int, measured: Measured) -> None:
    """Prints how long the teacher takes while hosts die, as a share of the time without."""
    cost = HOURS * 3_600 / WINDOW_SECONDS * TEACHER_GFLOP / measured.gflops / measured.kept / shards
    print("| hosts | hours, if none dies | one dies once in | deaths | committed shards made anew | kept |")
    print("|---|---|---|---|---|---|")
    for hosts in (16, 64, 256):
        ideal = shards * cost / hosts / CORES
        for days in (30, 1):
            lasts = days * 86_400.0
            taken = [simulate(shards, cost, hosts=hosts, mtbf=lasts, kept=kept) / ideal for kept in (False, True)]
            row = " | ".join("does not end" if math.isinf(each) else f"{each:.2f}" for each in taken)
            print(f"| {hosts} | {ideal / 3600:.0f} | {days} d | {ideal * hosts / lasts:.0f} | {row} |", flush=True)


def simulate(shards: int, cost: float, *, hosts: int, mtbf: float, kept: bool, seed: int = 0) -> float:
    """Returns the seconds that a job takes while hosts die, or infinity if it takes ten times what it should.

    Every task has its share of the shards from the start, as Flink gives them out. A death sends all tasks back, since
    each had its share in part from the host that is gone. A job whose restarts are used up is run again, and shares
    out what is left.

    Args:
        shards: how many.
        cost: core-seconds of one.
        hosts: how many, of `CORES` tasks each.
        mtbf: mean seconds between the deaths of one host.
        kept: whether tasks pass over what they have committed, and begin with the shard that was at work.
        seed: of all that is random.
    """
    draw = np.random.default_rng(seed)
    tasks, now, left = hosts * CORES, 0.0, shards
    limit = 10 * shards * cost / tasks
    while left and now < limit:
        counts = np.bincount(draw.integers(0, tasks, left), minlength=tasks)
        ends = [np.cumsum(cost * draw.normal(1, SPREAD, count).clip(0.5)) for count in counts]
        committed = np.zeros(tasks, np.int64)
        for _ in range(RESTARTS + 1):
            death = now + draw.exponential(mtbf / hosts)
            begun = [ends[task][done - 1] if kept and done else 0.0 for task, done in enumerate(committed)]
            last = max(each[-1] - start for each, start in zip(ends, begun, strict=True) if len(each))
            if now + last <= death:
                return float(now + last)
            done = [np.searchsorted(e, b + death - now, "right") for e, b in zip(ends, begun, strict=True)]
            committed = np.maximum(committed, done)
            now = death + RESTART_SECONDS
        left -= int(committed.sum())
    return math.inf if left else now


if __name__ == "__main__":
    main()
