"""prepare, the worker's side: one planned shard's items are opened, decoded, cut into clips and written.

Decoding runs ahead of writing in threads. Memory does not depend on how long a recording is, or how many there are.
"""

import hashlib
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

from pipelines.beam.corpora.reader import Item, Reader, Recording
from pipelines.beam.plan import PlannedShard, Ticket, read_planned, source_of
from trillsson.ahead import ahead
from trillsson.audio import SHORTEST_SAMPLES, RejectError, cut
from trillsson.config import SAMPLE_RATE
from trillsson.datasets import Reject, Shard, ShardSummary, Source, commit_shard, index_path
from trillsson.decoding import Decoded, decode
from trillsson.digests import file_checksum
from trillsson.errors import InputError, TransientError
from trillsson.records import Clip, IndexedClip, encode_clip, encode_index, write_shard
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
        identity: digest of how items become records, for the entries.
    """

    root: str
    corpus: str
    path: str
    reader: Reader
    identity: str

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
            opened = ahead(partial(self._open, Path(scratch)), planned.items, threads=_THREADS, most=_ITEMS_AHEAD)
            written = write_shard(storage, planned.id, self._records(opened, made))
        self._refuse_changed(planned.items)
        summary = ShardSummary(
            id=planned.id,
            sha256=written,
            index_sha256=_store_index(storage, planned.id, made.clips),
            sources=len(made.sources),
            lost=made.lost,
            items=len(made.clips) + len(made.rejects),
            records=len(made.clips),
            seconds=round(sum(clip.samples for clip in made.clips) / SAMPLE_RATE, 3),
        )
        sources, rejects = tuple(made.sources), tuple(made.rejects)
        shard = Shard(summary=summary, identity=self.identity, sources=sources, rejects=rejects)
        commit_shard(storage, shard)
        return shard

    def _open(self, scratch: Path, item: Item) -> "_Opened":
        """Opens and decodes one item; runs in a thread."""
        if item.reject:
            return _Opened(item, source_of(item), RejectError(item.reject, item.detail))
        copies = scratch / uuid.uuid4().hex  # of its own: two items may be pieces of one file
        paths = [] if self._remote else [Path(self.path) / path for path in item.files]
        source = source_of(item, checksum="+".join(map(_checksum_once, paths)))
        try:
            recording = self.reader.open(item, copies)
            return _Opened(item, source, (recording, decode(recording.audio)))
        except RejectError as error:
            return _Opened(item, source, error)
        finally:
            if copies.exists():
                shutil.rmtree(copies, ignore_errors=True)

    @property
    def _remote(self) -> bool:
        return self.path.startswith(GCS_SCHEME)

    def _refuse_changed(self, items: Iterable[Item]) -> None:
        """Refuses files that are not those that were listed: what was read would be kept under wrong stamps."""
        read = [item for item in items if not item.reject]
        listed = {path: stamp for item in read for path, stamp in zip(item.files, item.stamp.split("+"), strict=False)}
        for (path, stamp), found in zip(listed.items(), open_storage(self.path).stat_many(listed), strict=True):
            if found is None or found.stamp != stamp:
                raise TransientError(f"{join(self.path, path)} changed while the corpus was prepared; run again")

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


def checksum_of(path: Path) -> str:
    """Returns the CRC32C of a file of a corpus.

    Raises:
        InputError: the file may not be read.
        TransientError: the file is gone, though it was listed.
    """
    try:
        with explain_os_errors("read", path):
            return file_checksum(path)
    except InputError as error:
        if path.exists():
            raise
        raise TransientError(f"{error}; it was there when the corpus was listed; run again") from error


def _checksum_once(path: Path) -> str:
    """Returns a file's checksum, worked out once for a file of many items."""
    try:
        return _checksum_at(path, path.stat().st_ctime_ns)
    except FileNotFoundError:
        return checksum_of(path)  # Raises.


@lru_cache(maxsize=8)
def _checksum_at(path: Path, _: int) -> str:
    """Returns a file's checksum; the time of its inode's change, which nobody can set, tells its states apart."""
    return checksum_of(path)


def _store_index(storage: Storage, shard_id: str, clips: list[IndexedClip]) -> str:
    """Writes the index of a shard that is in place and returns its SHA-256."""
    data = encode_index(clips)
    digest = hashlib.sha256(data).hexdigest()
    storage.create(index_path(shard_id, digest), data)  # False: the same bytes are there already
    return digest
