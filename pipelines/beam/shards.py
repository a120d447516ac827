"""Has Beam make the shards of a plan that are missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pipelines.beam.runner import run_pipeline
from pipelines.beam.watch import shard_progress
from trillsson.datasets import Shard, entry_path, parse_shard_entry, read_shard_entry
from trillsson.errors import TransientError
from trillsson.storage import Storage, open_storage


class Planned(Protocol):
    """What a worker is sent to make one shard from: small, however large the shard is."""

    @property
    def id(self) -> str:
        """Id of the shard."""


class ShardMaker(Protocol):
    """Makes shards on a worker, for several tasks at once. It is sent there pickled, so it holds specs, not models."""

    @property
    def root(self) -> str:
        """URI of the dataset."""

    def setup(self) -> None:
        """Loads what is heavy, once a worker."""

    def make(self, planned: Any) -> Shard:
        """Makes, writes and commits one shard."""


@dataclass(frozen=True)
class Work:
    """What is to be made, and what is said of it meanwhile.

    Attributes:
        root: URI of the dataset.
        maker: how one shard is made.
        description: what the progress line begins with.
        options: Beam's options.
    """

    root: str
    maker: ShardMaker
    description: str
    options: Sequence[str]


def missing_shards(storage: Storage, entries: Mapping[str, Shard], ids: Sequence[str]) -> tuple[str, ...]:
    """Returns the ids of those shards that have no entry, or not all the files that it names."""
    there = set(storage.list("shards"))
    return tuple(each for each in ids if each not in entries or not set(entries[each].summary.files) <= there)


def make_shards(planned: Sequence[Planned], work: Work, *, weights: Mapping[str, float]) -> None:
    """Makes planned shards, all of them missing.

    Args:
        planned: what workers are sent.
        work: what is to be made.
        weights: shard's id -> how much work it is, in any unit: bytes of audio, seconds of audio.
    """
    if not planned:
        return
    with shard_progress(work.description, open_storage(work.root), weights):
        import apache_beam as beam

        from pipelines.beam.transforms import MakeShards

        run_pipeline(
            lambda pipeline: pipeline | beam.Create(list(planned), reshuffle=False) | MakeShards(work.maker),
            work.options,
        )


def finished_shard(root: str, shard_id: str) -> Shard | None:
    """Returns a shard of the dataset at `root` if it is committed and its files are there, else None.

    Raises:
        IntegrityError: its entry is damaged.
    """
    storage = open_storage(root)
    shard = read_shard_entry(storage, shard_id)
    return shard if shard and all(storage.stat_many(shard.summary.files)) else None


def read_entries(storage: Storage, ids: Sequence[str]) -> dict[str, Shard]:
    """Maps the ids of those shards that are committed to their entries.

    Raises:
        IntegrityError: an entry is damaged.
    """
    found = zip(ids, storage.read_many([entry_path(each) for each in ids]), strict=True)
    return {each: parse_shard_entry(storage, each, data) for each, data in found if data is not None}


def made_shards(storage: Storage, ids: Sequence[str]) -> dict[str, Shard]:
    """Maps the ids of shards that workers say they have made to their entries.

    Raises:
        IntegrityError: an entry is damaged.
        TransientError: one is not there.
    """
    found = read_entries(storage, ids)
    for each in ids:
        if each not in found:
            raise TransientError(f"shard {storage.uri}/{entry_path(each)} is gone; run again to make it anew")
    return found
