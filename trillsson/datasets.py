"""Datasets on disk: shards, what each shard holds, and the manifest that makes them a dataset.

    <root>/shards/<id>-<digest>.tfrecord     the records; written first
    <root>/shards/<id>-<digest>.clips.jsonl  audio only: the index, a line a record with all but the samples
    <root>/shards/<id>.json                  a `Shard`: the commit of that shard, with its sources and rejects
    <root>/manifests/<id>.json               a `Manifest`: the commit of a dataset, naming its shards; written last

A shard's id is a digest of what goes in, so shards are shared between the datasets of one root, and a rerun computes
only those that are missing. Readers start from a manifest and never glob.
"""

import hashlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from itertools import accumulate, chain
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, ValidationError

from trillsson.config import Spec
from trillsson.digests import SHORT, canonical_json, digest_of, file_digest
from trillsson.errors import InputError, IntegrityError
from trillsson.records import SCHEMA_VERSION, IndexedClip, decode_index, shard_path
from trillsson.storage import Storage, join, open_storage

_LISTED = 5
"""Manifests of one folder that are told apart in an error."""

_TOOLS = ("numpy", "soundfile", "miniaudio", "soxr", "tensorflow", "keras", "ai-edge-litert", "trillsson")


class Reject(Spec):
    """An input that could not be used: its key, the stage that refused it, the reason, and the particulars."""

    key: str
    stage: Literal["prepare", "embed"]
    reason: str
    detail: str = ""


class Source(NamedTuple):
    """One item that goes into a shard: a recording of a corpus, or an audio shard.

    Attributes:
        key: what it is called.
        identity: digest of what is known of it, but for the stamp.
        stamp: changes when its file does, and also when the file is merely touched or copied.
        checksum: CRC32C of the file's bytes in hex, where a worker has read them and the stamp is none itself; that of
            another file that decides the item follows after a plus.
    """

    key: str
    identity: str
    stamp: str = ""
    checksum: str = ""


class ShardSummary(Spec):
    """What a manifest says of one shard.

    Every one of `sources` became at least one of `items`, of which there are `records` and rejects; `lost` sources
    gave no record.
    """

    id: str
    sha256: str
    index_sha256: str = ""
    sources: int = 1
    lost: int = 0
    items: int
    records: int
    windows: int = 0
    seconds: float

    @property
    def files(self) -> tuple[str, ...]:
        """Paths of the shard's files, relative to the dataset's root; the entry, which commits it, last."""
        index = (index_path(self.id, self.index_sha256),) if self.index_sha256 else ()
        return (shard_path(self.id, self.sha256), *index, entry_path(self.id))


class Shard(Spec):
    """The commit of one shard: its summary, how items become records, what went in, and what was refused."""

    summary: ShardSummary
    identity: str = ""
    sources: tuple[Source, ...]
    rejects: tuple[Reject, ...] = ()


class Manifest(Spec):
    """A dataset: its shards, totals and everything that decides its content."""

    schema_version: Literal[2] = 2
    kind: Literal["audio", "embeddings"]
    corpus: str
    content: dict[str, Any] = Field(description="corpus spec, or framing and embedder: what decides the content")
    shards: tuple[ShardSummary, ...]
    sources: int
    lost: int
    items: int
    records: int
    windows: int
    seconds: float
    rejects: dict[str, int] = Field(description="reason -> items")
    tools: dict[str, str]


@dataclass(frozen=True)
class Dataset:
    """A dataset opened for reading."""

    uri: str
    root: str
    manifest: Manifest

    @property
    def id(self) -> str:
        """Digest of the records: a dataset made anew from files that were touched or moved has the same."""
        manifest = self.manifest
        # What made audio is told by its records; embeddings of the same bytes may yet stand for something else.
        cause = manifest.content if manifest.kind == "embeddings" else manifest.corpus
        records = [shard.sha256 for shard in manifest.shards if shard.records]
        return digest_of({"kind": manifest.kind, "cause": cause, "records": records})[:SHORT]

    @property
    def shards(self) -> tuple["StoredShard", ...]:
        """The dataset's shards, in order."""
        return tuple(StoredShard(self.root, summary) for summary in self.manifest.shards)

    def clips(self) -> Iterator[IndexedClip]:
        """Yields what the indexes of an audio dataset say of its records, in order; several are read at once.

        Raises:
            IntegrityError: an index is missing or changed.
        """
        return chain.from_iterable(self.indexes())

    def indexes(self) -> Iterator[Iterator[IndexedClip]]:
        """Yields the same, one iterator a shard."""
        shards = self.shards
        indexes = open_storage(self.root).read_many(shard.index for shard in shards)
        for shard, data in zip(shards, indexes, strict=True):
            yield shard.parse_index(data)

    def pick(self, rows: Iterable[int]) -> Iterator[tuple[int, IndexedClip]]:
        """Yields some of what `clips` yields, with its place there, in order; reads only the indexes that hold it.

        Args:
            rows: places in the order of `clips`, from 0.

        Raises:
            IntegrityError: an index is missing or changed.
        """
        ends = list(accumulate(shard.records for shard in self.manifest.shards))
        wanted: dict[int, list[int]] = {}
        for row in sorted(set(rows)):
            wanted.setdefault(bisect_right(ends, row), []).append(row)
        shards = [StoredShard(self.root, self.manifest.shards[place]) for place in wanted]
        indexes = open_storage(self.root).read_many(shard.index for shard in shards)
        for (place, held), shard, data in zip(wanted.items(), shards, indexes, strict=True):
            clips = list(shard.parse_index(data))
            start = ends[place] - len(clips)
            yield from ((row, clips[row - start]) for row in held)

    def rejects(self) -> Iterator[Reject]:
        """Yields every reject of the dataset."""
        for shard in self.shards:
            yield from shard.rejects()


@dataclass(frozen=True)
class StoredShard:
    """One shard of a dataset, small enough to send to a worker."""

    root: str
    summary: ShardSummary

    @property
    def source(self) -> Source:
        """Identity of the shard as an input: its bytes, whatever files they came from."""
        return Source(key=self.summary.sha256, identity="")

    def clips(self) -> Iterator[IndexedClip]:
        """Yields what the index of an audio shard says of its records, in order.

        Raises:
            IntegrityError: the index is missing or changed.
        """
        return self.parse_index(open_storage(self.root).read(self.index))

    @property
    def index(self) -> str:
        """Path of the shard's index, relative to the dataset's root."""
        return index_path(self.summary.id, self.summary.index_sha256)

    def parse_index(self, data: bytes | None) -> Iterator[IndexedClip]:
        """Yields what the bytes of the shard's index say, after checking them against the manifest.

        Raises:
            IntegrityError: the index is missing or changed, or holds more or fewer records.
        """
        data, where = data or b"", join(self.root, self.index)
        if hashlib.sha256(data).hexdigest() != self.summary.index_sha256:
            raise IntegrityError(f"index {where} is missing or not as its manifest says; {self._remedy}")
        if (held := data.count(b"\n")) != self.summary.records:
            told = f"index {where} holds {held} records, its manifest says {self.summary.records}"
            raise IntegrityError(f"{told}; delete that manifest and {self._files} and make the dataset again")
        return decode_index(data)

    def fetch(self, cache: Path) -> Path:
        """Returns a local path of the shard, its bytes checked against the manifest.

        Raises:
            IntegrityError: the shard is missing or changed.
        """
        path = open_storage(self.root).local(shard_path(self.summary.id, self.summary.sha256), cache)
        if (found := file_digest(path)) != self.summary.sha256:
            told = f"shard {path} has digest {found[:SHORT]}, its manifest says {self.summary.sha256[:SHORT]}"
            raise IntegrityError(f"{told}; {self._remedy}")
        return path

    @property
    def _remedy(self) -> str:
        return f"delete {self._files} and make the dataset again"

    @property
    def _files(self) -> str:
        return f"{join(self.root, 'shards', self.summary.id)}*"

    def rejects(self) -> tuple[Reject, ...]:
        """Returns what was refused where the shard was made."""
        if self.summary.items == self.summary.records:
            return ()
        shard = read_shard_entry(open_storage(self.root), self.summary.id)
        if shard is None:
            where = join(self.root, entry_path(self.summary.id))
            raise IntegrityError(f"{where} is missing; run again to restore it")
        return shard.rejects


def entry_path(shard_id: str) -> str:
    """Path of a shard's entry, relative to the dataset's root."""
    return f"shards/{shard_id}.json"


def index_path(shard_id: str, sha256: str) -> str:
    """Path of an audio shard's index, relative to the dataset's root."""
    return f"shards/{shard_id}-{sha256[:SHORT]}.clips.jsonl"


def shard_id(sources: Iterable[Source], identity: str, *, known_by: int = 2, attempt: int = 0) -> str:
    """Returns a shard's id: a digest of its items and of how they become records.

    Args:
        sources: the items.
        identity: digest of how they become records.
        known_by: how many fields of each source count: 2 without the stamp, so that the same files give the same id
            wherever and whenever they were copied; 3 with it, and 4 with the checksum, where that id is taken.
        attempt: counts on where that is taken, too.
    """
    told = {"identity": identity, "sources": [source[:known_by] for source in sources]}
    return digest_of({**told, "attempt": attempt} if attempt else told)[:SHORT]


def embedding_identity(content: Mapping[str, Any]) -> str:
    """Returns the digest of how audio becomes embeddings: framing, embedder and schema, as a manifest tells them."""
    return digest_of({"step": "embed", **content})


def read_shard_entry(storage: Storage, shard_id: str) -> Shard | None:
    """Returns the entry of a finished shard, or None where the shard still has to be made."""
    data = storage.read(entry_path(shard_id))
    return None if data is None else parse_shard_entry(storage, shard_id, data)


def parse_shard_entry(storage: Storage, shard_id: str, data: bytes) -> Shard:
    """Parses the bytes of a shard's entry.

    Raises:
        IntegrityError: they are none.
    """
    try:
        return Shard.model_validate_json(data)
    except ValidationError as error:
        where = join(storage.uri, entry_path(shard_id))
        raise IntegrityError(f"{where} is damaged; delete it and run again") from error


def commit_shard(storage: Storage, shard: Shard) -> None:
    """Marks a shard, whose files are in place, as finished. One that is finished already is left.

    Raises:
        IntegrityError: items in are not records out plus rejects, or the entry that is there names files that are gone.
    """
    summary = shard.summary
    if summary.items != summary.records + len(shard.rejects):
        raise IntegrityError(
            f"shard {summary.id}: {summary.items} items in, {summary.records} records out and "
            f"{len(shard.rejects)} rejects; this is a bug, please report it"
        )
    if summary.sources != len(shard.sources):
        raise IntegrityError(
            f"shard {summary.id}: {len(shard.sources)} sources were planned and {summary.sources} became items; "
            "this is a bug, please report it"
        )
    if storage.create(entry_path(summary.id), canonical_json(shard.model_dump(mode="json"))):
        return
    there = read_shard_entry(storage, summary.id)
    if there and there.summary.sha256 != summary.sha256 and not set(there.summary.files) <= set(storage.list("shards")):
        where = join(storage.uri, entry_path(summary.id))
        raise IntegrityError(f"{where} names a file that is gone and cannot be made again; delete it and run again")


def commit_dataset(
    root: str,
    shards: Iterable[Shard],
    *,
    kind: Literal["audio", "embeddings"],
    corpus: str,
    content: Mapping[str, Any],
    sources: int | None = None,
) -> str:
    """Writes the manifest of finished shards, if there is none yet, and returns its URI.

    Args:
        root: URI of the dataset.
        shards: what it is made of, in order.
        kind: what the records are.
        corpus: name of the corpus.
        content: everything that decides the content.
        sources: how many sources there should be, counted where they were listed.

    Raises:
        IntegrityError: the shards hold more or fewer sources.
    """
    summaries, reasons, refused = [], Counter[str](), hashlib.sha256()
    for shard in shards:
        summaries.append(shard.summary)
        for reject in shard.rejects:
            reasons[reject.reason] += 1
            refused.update(canonical_json(reject.model_dump(mode="json")))
    found = sum(s.sources for s in summaries)
    if sources is not None and found != sources:
        raise IntegrityError(f"{corpus}: {sources} sources went in, the shards hold {found}; this is a bug, report it")
    manifest = Manifest(
        kind=kind,
        corpus=corpus,
        content=dict(content),
        shards=tuple(summaries),
        sources=found,
        lost=sum(s.lost for s in summaries),
        items=sum(s.items for s in summaries),
        records=sum(s.records for s in summaries),
        windows=sum(s.windows for s in summaries),
        seconds=round(sum(s.seconds for s in summaries), 3),
        rejects=dict(sorted(reasons.items())),
        tools=tool_versions(),
    )
    held = {"content": content, "rejects": refused.hexdigest(), "shards": [[s.id, s.sha256] for s in summaries]}
    path = f"manifests/{digest_of(held)[:SHORT]}.json"
    storage = open_storage(root)
    storage.create(path, canonical_json(manifest.model_dump(mode="json")))
    return join(storage.uri, path)


def open_dataset(uri: str, kind: Literal["audio", "embeddings"]) -> Dataset:
    """Opens a dataset by its manifest's URI.

    Raises:
        InputError: there is no such manifest, or it is of another kind.
        IntegrityError: the manifest cannot be read as one of this schema version.
    """
    dataset = open_any_dataset(uri)
    if dataset.manifest.kind != kind:
        raise InputError(f"dataset {uri} holds {dataset.manifest.kind}; give one that holds {kind}")
    return dataset


def open_any_dataset(uri: str) -> Dataset:
    """Opens a dataset of either kind by its manifest's URI.

    Raises:
        InputError: there is no such manifest.
        IntegrityError: the manifest cannot be read as one of this schema version, or its totals are not its shards'.
    """
    root, _, name = uri.rpartition("/manifests/")
    data = open_storage(root).read(f"manifests/{name}") if root else None
    if data is None:
        raise InputError(f"dataset {uri} does not exist; name the manifest that a step printed, or run that step")
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        raise IntegrityError(
            f"manifest {uri} is damaged, or not of schema version {SCHEMA_VERSION}; delete it and run its step again"
        ) from error
    for total in ("sources", "lost", "items", "records", "windows"):
        told, held = getattr(manifest, total), sum(getattr(shard, total) for shard in manifest.shards)
        if told != held:
            raise IntegrityError(f"manifest {uri} says {told} {total}, its shards hold {held}; delete it and run again")
    if (told := sum(manifest.rejects.values())) != (held := manifest.items - manifest.records):
        raise IntegrityError(f"manifest {uri} says {told} rejects, its shards hold {held}; delete it and run again")
    return Dataset(uri=uri, root=root, manifest=manifest)


def find_manifest(uri: str) -> str:
    """Returns a manifest's URI, given itself or the folder of a dataset that has one manifest.

    Raises:
        InputError: the folder has no manifest, or several: which one is meant must not depend on their dates.
    """
    given = open_storage(uri).uri
    folder, _, name = given.rpartition("/")
    if folder.endswith("/manifests") and name.endswith(".json"):
        return given
    storage = open_storage(given.removesuffix("/manifests") or "/")
    written = {path: when for path, when in storage.written("manifests").items() if path.endswith(".json")}
    newest = sorted(written, key=lambda path: (written[path], path), reverse=True)
    if not newest:
        raise InputError(f"{uri} holds no dataset; name the manifest that a step printed, or run that step")
    if len(newest) > 1:
        listed = [_told(join(storage.uri, path), written[path]) for path in newest[:_LISTED]]
        more = f" and {len(newest) - _LISTED} more" if len(newest) > _LISTED else ""
        raise InputError(f"{uri} holds {len(newest)} manifests; name one, the newest first: {', '.join(listed)}{more}")
    return join(storage.uri, newest[0])


def _told(uri: str, written: datetime) -> str:
    """Returns a manifest's URI with what helps to choose it."""
    try:
        holds = f"{open_any_dataset(uri).manifest.records:,} records"
    except IntegrityError:
        holds = f"damaged, or not of schema version {SCHEMA_VERSION}"
    return f"{uri} ({written:%Y-%m-%d %H:%M} UTC, {holds})"


def tool_versions() -> dict[str, str]:
    """Maps the packages that decide a dataset's bytes to their installed versions."""
    found = {}
    for tool in _TOOLS:
        try:
            found[tool] = metadata.version(tool)
        except metadata.PackageNotFoundError:
            continue
    return found
