"""The line of progress: what the committed shards hold, and what is left by weight."""

from pathlib import Path

import pytest

from pipelines.beam.watch import Tally, shard_progress
from trillsson.datasets import Reject, Shard, ShardSummary, Source, commit_shard
from trillsson.storage import LocalStorage

REJECT = Reject(key="c/a#0", stage="prepare", reason="too_short")


def test_a_line_tells_rates_hours_and_what_is_left() -> None:
    tally = Tally(shards=1, clips=500, seconds=7_200.0, rejects=3, weight=25.0)
    assert tally.line("prepare c", total=4, weight=100.0, elapsed=10.0) == (
        "prepare c: 1/4 shards, 500 clips (50/s), 2.00 h done, 6.00 h left, 3 rejects [10 s < 30 s]"
    )


def test_before_the_first_shard_nothing_is_foretold() -> None:
    line = Tally().line("prepare c", total=4, weight=100.0, elapsed=10.0)
    assert line == "prepare c: 0/4 shards, 0 clips (0/s), 0.00 h done, 0 rejects [10 s < ?]"


def test_items_without_bytes_count_by_shards() -> None:
    line = Tally(shards=1, rejects=2).line("prepare c", total=2, weight=0.0, elapsed=4.0)
    assert line == "prepare c: 1/2 shards, 0 clips (0/s), 0.00 h done, 0.00 h left, 2 rejects [4 s < 4 s]"


def test_the_last_line_tells_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    storage = LocalStorage(tmp_path)
    with shard_progress("prepare c", storage, {"one": 1.0, "two": 3.0}):
        for name in ("one", "two"):
            summary = ShardSummary(id=name, sha256="", items=3, records=2, seconds=1_800.0)
            for path in summary.files[:-1]:
                storage.create(path, b"")
            commit_shard(storage, Shard(summary=summary, sources=(Source(name, ""),), rejects=(REJECT,)))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("» prepare c: 2/2 shards, 4 clips (")
    assert ", 1.00 h done, 0.00 h left, 2 rejects [0 s < 0 s]" in line
