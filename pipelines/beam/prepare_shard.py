"""prepare, the worker's side: one planned shard's items are opened, decoded, cut into clips and written.

Decoding runs ahead of writing in threads. Memory does not depend on how long a recording is, or how many there are.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

from pipelines.beam.ahead import ahead
from pipelines.beam.corpora.reader import Item, Reader, Recording
from pipelines.beam.plan import PlannedShard, Ticket, read_planned, source_of
from trillsson.audio import SHORTEST_SAMPLES, RejectError, cut
from trillsson.config import SAMPLE_RATE
from trillsson.datasets import Reject, Shard, ShardSummary, Source, commit_shard, index_path, shard_path
from trillsson.decoding import Decoded, decode
from trillsson.digests import file_checksum
from trillsson.errors import IntegrityError
from trillsson.records import (
    Clip,
    IndexedClip,
    encode_clip,
    encode_index,
    index_clip,
    read_shard,
    write_shard,
)
from trillsson.storage import GCS_SCHEME, Storage, explain_os_errors, join, open_storage
from trillsson.tfrecords import Part

_THREADS = 2
_ITEMS_AHEAD = 4


@dataclass(frozen=True)
class PrepareMaker:
    """Makes shards of a dataset from the items of a corpus.

    Attributes:
        root: URI of the dataset.
        corpus: name of the corpus.
        path: URI of the corpus.
        reader: opens the items.
    """

    root: str
    corpus: str
    path: str
    reader: Reader

    def setup(self) -> None:
        """Nothing to load."""

    def make(self, planned: Ticket) -> Shard:
        """Makes the shard that a ticket stands for."""
        return self.make_shard(read_planned(open_storage(self.root), planned))

    def make_shard(self, planned: PlannedShard) -> Shard:
        """Opens the items of one planned shard, writes its records and its index, and commits it."""
        storage = open_storage(self.root)
        made = _Made()
        with tempfile.TemporaryDirectory(prefix="trillsson-") as scratch:
            # A file that holds many items is read for its checksum once a shard.
            open_item = partial(self._open, Path(scratch), cache(self._checksum))
            opened = ahead(open_item, planned.items, threads=_THREADS, most=_ITEMS_AHEAD)
            placed = write_shard(storage, shard_path(planned.id), self._records(opened, made))
            clips = made.clips
            if not placed.own:
                clips = list(map(index_clip, read_shard(storage.local(shard_path(planned.id), Path(scratch)))))
        summary = ShardSummary(
            id=planned.id,
            sha256=placed.sha256,
            index_sha256=_store_index(storage, planned.id, clips),
            sources=len(made.sources),
            lost=made.lost,
            items=len(clips) + len(made.rejects),
            records=len(clips),
            seconds=round(sum(clip.samples for clip in clips) / SAMPLE_RATE, 3),
        )
        shard = Shard(summary=summary, sources=tuple(made.sources), rejects=tuple(made.rejects))
        commit_shard(storage, shard)
        return shard

    def _open(self, scratch: Path, checksum: Callable[[str], str], item: Item) -> "_Opened":
        """Opens and decodes one item; runs in a thread."""
        if item.reject:
            return _Opened(item, source_of(item), RejectError(item.reject, item.detail))
        copies = scratch / item.identity
        source = source_of(item, checksum=checksum(item.path))
        try:
            recording = self.reader.open(item, copies)
            return _Opened(item, source, (recording, decode(recording.audio)))
        except RejectError as error:
            return _Opened(item, source, error)
        finally:
            shutil.rmtree(copies, ignore_errors=True)

    def _checksum(self, path: str) -> str:
        """Returns the checksum of a file of the corpus; an object store's stamp is one already."""
        if self.path.startswith(GCS_SCHEME):
            return ""
        with explain_os_errors("read", Path(self.path) / path):
            return file_checksum(Path(self.path) / path)

    def _records(self, opened: Iterator["_Opened"], made: "_Made") -> Iterator[tuple[Part, ...]]:
        for each in opened:
            made.sources.append(each.source)
            before = len(made.clips)
            if isinstance(each.outcome, RejectError):
                made.rejects.append(self._rejected(each.item, 0, each.outcome))
            else:
                recording, decoded = each.outcome
                with closing(decoded):
                    yield from self._clips(each.item, recording, decoded=decoded, made=made)
            made.lost += len(made.clips) == before

    def _clips(
        self, item: Item, recording: Recording, *, decoded: Decoded, made: "_Made"
    ) -> Iterator[tuple[Part, ...]]:
        """Cuts a decoded recording into clips."""
        parts = cut(decoded.samples, recording.segments)
        if not parts:
            seconds = decoded.samples / SAMPLE_RATE
            error = RejectError("no_segments", f"none of its segments lies in its {seconds:.3f} s")
            made.rejects.append(self._rejected(item, 0, error))
        for start, stop in parts:
            if stop - start < SHORTEST_SAMPLES:
                least = f"at least {SHORTEST_SAMPLES / SAMPLE_RATE} s are needed"
                error = RejectError("too_short", f"{(stop - start) / SAMPLE_RATE:.3f} s, {least}")
                made.rejects.append(self._rejected(item, start, error))
                continue
            clip = Clip(
                key=f"{self.corpus}/{item.key}#{start}",
                speaker=recording.speaker,
                split=recording.split,
                labels=recording.labels,
            )
            record, entry = encode_clip(clip, decoded.read(start, stop))
            made.clips.append(entry)
            yield record

    def _rejected(self, item: Item, start: int, error: RejectError) -> Reject:
        key = f"{self.corpus}/{item.key}#{start}"
        return Reject(key=key, stage="prepare", reason=error.reason, detail=error.detail)


@dataclass(frozen=True)
class _Opened:
    """An item, and what became of it: its recording, decoded, or the error that makes it a reject."""

    item: Item
    source: Source
    outcome: tuple[Recording, Decoded] | RejectError


@dataclass
class _Made:
    """What became of a shard's items so far."""

    sources: list[Source] = field(default_factory=list)
    clips: list[IndexedClip] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    lost: int = 0


def _store_index(storage: Storage, shard_id: str, clips: list[IndexedClip]) -> str:
    """Writes the index of a shard that is in place and returns its SHA-256."""
    data = encode_index(clips)
    if not storage.create(index_path(shard_id), data) and storage.read(index_path(shard_id)) != data:
        where = join(storage.uri, index_path(shard_id))
        raise IntegrityError(f"{where} is not the index of its shard; delete it and run again")
    return hashlib.sha256(data).hexdigest()
