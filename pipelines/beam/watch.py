"""One line of progress for a data job, on whatever runner: it reads the entries of shards as they are committed."""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

from trillsson.datasets import entry_path, parse_shard_entry
from trillsson.errors import IntegrityError, TransientError
from trillsson.progress import say
from trillsson.storage import Storage

_LOOK_SECONDS = 2.0
_BEATS = 8
"""Looks without news after which the line is said again: a long shard is still at work."""

_SPARE = 20
"""A listing may take one part in so many of the time: with very many shards, the watcher looks less often."""


@dataclass
class Tally:
    """What the finished shards of a job hold so far."""

    shards: int = 0
    clips: int = 0
    seconds: float = 0.0
    rejects: int = 0
    weight: float = 0.0

    def line(self, description: str, *, total: int, weight: float, elapsed: float) -> str:
        """Writes the line: shards, clips and their rate, hours done and left, rejects, time taken and left.

        Args:
            description: what is being done.
            total: shards to make.
            weight: all of the work, in the unit of `self.weight`.
            elapsed: seconds since the start.
        """
        share = self.weight / weight if weight else self.shards / total
        left = f"{elapsed * (1 - share) / share:.0f} s" if share else "?"
        hours = f"{self.seconds / 3600:.2f} h done"
        if share:
            hours += f", {self.seconds * (1 - share) / share / 3600:.2f} h left"
        rate = f"{self.clips / elapsed:.0f}/s" if elapsed else "-"
        return (
            f"{description}: {self.shards}/{total} shards, {self.clips} clips ({rate}), {hours}, "
            f"{self.rejects} rejects [{elapsed:.0f} s < {left}]"
        )


@contextmanager
def shard_progress(description: str, storage: Storage, weights: Mapping[str, float]) -> Iterator[None]:
    """Says how far a job is, while it runs.

    Args:
        description: what is being done.
        storage: the dataset's root.
        weights: id of every shard to make -> how much work it is.
    """
    done = threading.Event()
    waiting = dict(weights)
    total, weight = len(waiting), sum(waiting.values())
    tally = Tally()
    start = time.perf_counter()

    def look() -> bool:
        there = set(storage.list("shards"))
        committed = [each for each in waiting if entry_path(each) in there]
        news = False
        for each, data in zip(committed, storage.read_many([entry_path(each) for each in committed]), strict=True):
            summary = parse_shard_entry(storage, each, data or b"").summary
            if not set(summary.files) <= there:
                continue
            news = True
            tally.shards += 1
            tally.clips += summary.records
            tally.seconds += summary.seconds
            tally.rejects += summary.items - summary.records
            tally.weight += waiting.pop(each)
        return news

    def tell() -> None:
        say(tally.line(description, total=total, weight=weight, elapsed=time.perf_counter() - start))

    def watch() -> None:
        pause = _LOOK_SECONDS
        for beat in count(1):
            if done.wait(pause):
                return
            began = time.perf_counter()
            # What cannot be read now is read at the next look; a job does not fail because it is watched.
            with contextlib.suppress(TransientError, IntegrityError):
                if look() or not beat % _BEATS:
                    tell()
            pause = max(_LOOK_SECONDS, _SPARE * (time.perf_counter() - began))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    with contextlib.suppress(TransientError, IntegrityError):
        look()
        tell()
