"""What the paper's 60,000 hours ask of the data jobs: calculated from what was measured here, and simulated.

    .venv/bin/python benchmarks/sixty_thousand.py

Prints the tables of docs/scale.md. The corpus is Libri-light's unlab-60k. `Measured` names the benchmark of each
figure; nothing else is measured. A teacher of CAP12's size is assumed, and how often workers die. A worker is a task
manager with one core and one Python process, as `engine.py` measures it; one that dies is replaced at once.
"""

import math
import statistics
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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

WORKERS = 64
RESTART_SECONDS = 60.0
"""From a death until tasks run again: 20 s without a heartbeat, 3 s of waiting, the start of processes."""

SPREAD = 0.1
"""Standard deviation of the time that a shard takes, as a share of it: shards are packed to the same size."""

SEEDS = 5


@dataclass(frozen=True)
class Measured:
    """Figures of one shared virtual core, and the benchmark of each."""

    prepare: float = 2_750  # seconds of audio a CPU second, FLAC at 16 kHz: prepare_job.py
    gflops: float = 56  # GFLOP/s: 9.3 windows/s of a Conformer of 6 GFLOP a window, bare, one core: embed_job.py
    student: float = 63  # windows/s of trillsson1 on Flink: engine.py
    kept: float = 0.87  # of the bare embedder's speed on Flink: engine.py
    statistics: float = 22_000  # windows/s of targets: statistics_job.py
    screen: float = 29_000  # clips/s: indexes.py, 1M clips
    screen_bytes: float = 122  # of memory a clip, beyond the imports: indexes.py, 1M clips
    item_bytes: float = 900  # of the launcher's memory a file of the corpus: growth.py, 2M files
    tickets: float = 5_300  # shards/s that pass Flink if they take no time, start included: engine.py, 100,000


def main() -> None:
    """Prints all tables."""
    measured = Measured()
    shards = stages(measured)
    print()
    deaths(shards, measured)


def stages(measured: Measured) -> int:
    """Prints what each job takes in and costs; returns how many shards there are."""
    a_shard = min(MOST_ITEMS, int(MOST_BYTES / (BYTES / FILES)))
    shards = math.ceil(FILES / a_shard)
    seconds = HOURS * 3_600
    windows, clips = seconds / WINDOW_SECONDS, seconds / CLIP_SECONDS
    pcm, rows = seconds * PCM_BYTES, windows * DIM * 4
    sizes = f"audio {pcm / 1e12:.1f} TB, targets {rows / 1e12:.2f} TB"
    print(
        f"{shards} shards of {a_shard} files, {seconds / shards / 3600:.1f} h each; {clips / 1e6:.1f}M clips or more;"
    )
    print(f"{windows / 1e6:.0f}M windows; {sizes}")
    print(f"tickets through Flink: {shards / measured.tickets:.0f} s")
    launcher, screen = FILES * measured.item_bytes / 1e9, clips * measured.screen_bytes / 1e9
    print(f"launcher of prepare: {launcher:.2f} GB; screen: {screen:.1f} GB or more")
    teacher = measured.gflops * measured.kept / TEACHER_GFLOP
    jobs = {
        "prepare": (seconds / measured.prepare, BYTES, pcm),
        "embed, a teacher of CAP12's size, on CPUs": (windows / teacher, pcm, rows),
        "embed, trillsson1": (windows / measured.student, pcm, rows),
    }
    print(f"\n| job | core-hours | hours on {WORKERS} workers | a shard | read and written by a worker, MB/s |")
    print("|---|---|---|---|---|")
    for name, (cost, read, written) in jobs.items():
        rate = f"{read / cost / 1e6:.2g} and {written / cost / 1e6:.2g}"
        print(f"| {name} | {cost / 3600:,.0f} | {cost / 3600 / WORKERS:.1f} | {shown(cost / shards)} | {rate} |")
    for name, hours in {"screen": clips / measured.screen, "statistics": windows / measured.statistics}.items():
        print(f"| {name}, one process | {hours / 3600:.1f} | | | |")
    return shards


def shown(seconds: float) -> str:
    """Writes a time in seconds below a minute, and in minutes from there."""
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.1f} min"


def deaths(shards: int, measured: Measured) -> None:
    """Prints how much longer the teacher takes while workers die."""
    cost = HOURS * 3_600 / WINDOW_SECONDS * TEACHER_GFLOP / measured.gflops / measured.kept / shards
    print("| workers | hours, if none dies | each dies once in | deaths | time, committed shards made anew | kept |")
    print("|---|---|---|---|---|---|")
    for workers in (64, 256, 1_024):
        alive, _ = simulate(shards, cost, workers=workers, mtbf=math.inf, kept=True, seed=0)
        for days in (30, 1):
            lasts = days * 86_400
            runs = [
                [simulate(shards, cost, workers=workers, mtbf=lasts, kept=kept, seed=seed) for seed in range(SEEDS)]
                for kept in (False, True)
            ]
            anew, over = (statistics.median(taken for taken, _ in each) / alive for each in runs)
            died = statistics.median(count for _, count in runs[1])
            row = [f"{each:.2f}" if math.isfinite(each) else "does not end" for each in (anew, over)]
            print(f"| {workers:,} | {alive / 3600:.0f} | {days} d | {died:,.0f} | {' | '.join(row)} |", flush=True)


def simulate(shards: int, cost: float, *, workers: int, mtbf: float, kept: bool, seed: int) -> tuple[float, int]:
    """Returns the seconds that a job takes while workers die, or infinity beyond ten times what it should; and deaths.

    Shards are dealt to workers from the start, in turn, as Flink does it. A death sends all workers back: the job is
    one pipeline, of which Flink starts all parts again.

    Args:
        shards: how many.
        cost: seconds that one takes.
        workers: how many.
        mtbf: mean seconds between the deaths of one worker.
        kept: whether workers pass over what they have committed, and begin with the shard that was at work.
        seed: of all that is random.
    """
    draw = np.random.default_rng(seed)
    ends = [
        np.cumsum(cost * draw.normal(1, SPREAD, len(range(first, shards, workers))).clip(0.5))
        for first in range(workers)
    ]
    committed: NDArray[np.int64] = np.zeros(workers, np.int64)
    now, died = 0.0, 0
    while now < 10 * shards * cost / workers:
        death = now + draw.exponential(mtbf / workers) if math.isfinite(mtbf) else math.inf
        begun = np.array([each[done - 1] if done else 0.0 for each, done in zip(ends, committed, strict=True)])
        last = max(float(each[-1] - start) for each, start in zip(ends, begun, strict=True))
        if now + last <= death:
            return now + last, died
        if kept:
            pairs = zip(ends, begun + (death - now), strict=True)
            committed = np.array([np.searchsorted(each, until, "right") for each, until in pairs])
        now, died = death + RESTART_SECONDS, died + 1
    return math.inf, died


if __name__ == "__main__":
    main()
