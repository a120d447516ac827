"""A task that is run again, as a cluster does when it lost a worker, goes on after what was committed."""

from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam

from pipelines.beam.plan import Ticket
from pipelines.beam.runner import run_pipeline
from pipelines.beam.transforms import MakeShards
from trillsson.datasets import Shard, ShardSummary, commit_shard, shard_path
from trillsson.storage import open_storage

IDS = ("a" * 16, "b" * 16, "c" * 16)
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # SHA-256 of nothing


@dataclass
class Maker:
    """Makes empty shards, and leaves a file in `tried` for each time it does."""

    root: str
    tried: str

    def setup(self) -> None:
        """Nothing to load."""

    def make(self, planned: Ticket) -> Shard:
        count = len(list(Path(self.tried).glob(f"{planned.id}-*")))
        (Path(self.tried) / f"{planned.id}-{count}").touch()
        storage = open_storage(self.root)
        shard = Shard(
            summary=ShardSummary(id=planned.id, sha256=EMPTY, sources=0, items=0, records=0, seconds=0), sources=()
        )
        storage.create(shard_path(planned.id, EMPTY), b"")
        commit_shard(storage, shard)
        return shard


def test_what_is_committed_is_not_made_again(tmp_path: Path) -> None:
    root, tried = tmp_path / "dataset", tmp_path / "tried"
    tried.mkdir()
    maker = Maker(str(root), str(tried))
    tickets = [Ticket(each, "plan", 0) for each in IDS]

    def attempt() -> list[str]:
        run_pipeline(lambda pipeline: pipeline | beam.Create(tickets) | MakeShards(maker), ())
        return sorted(path.name for path in tried.iterdir())

    maker.make(tickets[0])
    assert attempt() == [f"{each}-0" for each in IDS]
    assert attempt() == [f"{each}-0" for each in IDS]
    (root / shard_path(IDS[1], EMPTY)).unlink()
    assert attempt() == sorted([*(f"{each}-0" for each in IDS), f"{IDS[1]}-1"])
