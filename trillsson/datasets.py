"""Datasets on disk: shards, what each shard holds, and the manifest that makes them a dataset.

    <root>/shards/<id>.tfrecord     the records; written first
    <root>/shards/<id>.json         a `Shard`: the commit of that shard, with its sources and rejects
    <root>/manifests/<id>.json      a `Manifest`: the commit of a dataset, naming its shards; written last

A shard's id is a digest of what goes in, so shards are shared between the datasets of one root, and a rerun computes
only those that are missing. Readers start from a manifest and never glob.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from trillsson.config import Spec
from trillsson.digests import SHORT, canonical_json, digest_of, file_digest
from trillsson.errors import InputError, IntegrityError
from trillsson.records import SCHEMA_VERSION
from trillsson.storage import Storage, join, open_storage

_TOOLS = ("numpy", "soundfile", "soxr", "tensorflow", "keras", "ai-edge-litert", "trillsson")


class Reject(Spec):
    """An input that could not be used: its key, the stage that refused it, the reason, and the particulars."""

    key: str
    stage: Literal["prepare", "embed"]
    reason: str
    detail: str = ""


class Source(Spec):
    """One item that goes into a shard: a file or an audio shard, and the digest of everything that matters of it."""

    key: str
    identity: str


class ShardSummary(Spec):
    """What a manifest says of one shard. `items` in = `records` out + `rejects`."""

    id: str
    sha256: str
    items: int
    records: int
    windows: int = 0
    seconds: float


class Shard(Spec):
    """The commit of one shard: its summary, what went in, and what was refused."""

    summary: ShardSummary
    sources: tuple[Source, ...]
    rejects: tuple[Reject, ...] = ()


class Manifest(Spec):
    """A dataset: its shards, totals and everything that decides its content."""

    schema_version: Literal[1] = 1
    kind: Literal["audio", "embeddings"]
    corpus: str
    content: dict[str, Any] = Field(description="corpus spec, or framing and embedder: what decides the content")
    shards: tuple[ShardSummary, ...]
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
        """Digest of the shards and of what decided their content."""
        return dataset_id(self.manifest.content, (shard.id for shard in self.manifest.shards))

    @property
    def shards(self) -> tuple["StoredShard", ...]:
        """The dataset's shards, in order."""
        return tuple(StoredShard(self.root, summary) for summary in self.manifest.shards)

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
        """Identity of the shard as an input: its id and its bytes."""
        return Source(key=self.summary.id, identity=self.summary.sha256)

    def fetch(self, cache: Path) -> Path:
        """Returns a local path of the shard, its bytes checked against the manifest.

        Raises:
            IntegrityError: the shard is missing or changed.
        """
        path = open_storage(self.root).local(shard_path(self.summary.id), cache)
        if (found := file_digest(path)) != self.summary.sha256:
            raise IntegrityError(
                f"shard {path} has digest {found[:SHORT]}, its manifest says {self.summary.sha256[:SHORT]}; "
                f"delete {self.root} and run again"
            )
        return path

    def rejects(self) -> tuple[Reject, ...]:
        """Returns what was refused where the shard was made."""
        if self.summary.items == self.summary.records:
            return ()
        shard = read_shard_entry(open_storage(self.root), self.summary.id)
        if shard is None:
            where = join(self.root, entry_path(self.summary.id))
            raise IntegrityError(f"{where} is missing; run again to restore it")
        return shard.rejects


def shard_path(shard_id: str) -> str:
    """Path of a shard's records, relative to the dataset's root."""
    return f"shards/{shard_id}.tfrecord"


def entry_path(shard_id: str) -> str:
    """Path of a shard's entry, relative to the dataset's root."""
    return f"shards/{shard_id}.json"


def dataset_id(content: Mapping[str, Any], shard_ids: Iterable[str]) -> str:
    """Returns the name of a dataset's manifest: a digest of its content's cause and its shards, in order."""
    return digest_of({"content": content, "shards": list(shard_ids)})[:SHORT]


def shard_id(sources: Iterable[Source], identity: str) -> str:
    """Returns a shard's id: a digest of its items and of how they become records."""
    return digest_of({"identity": identity, "sources": [source.model_dump() for source in sources]})[:SHORT]


def embedding_identity(content: Mapping[str, Any]) -> str:
    """Returns the digest of how audio becomes embeddings: framing, embedder and schema, as a manifest tells them."""
    return digest_of({"step": "embed", **content})


def read_shard_entry(storage: Storage, shard_id: str) -> Shard | None:
    """Returns the entry of a finished shard, or None where the shard still has to be made."""
    data = storage.read(entry_path(shard_id))
    try:
        return None if data is None else Shard.model_validate_json(data)
    except ValidationError as error:
        where = join(storage.uri, entry_path(shard_id))
        raise IntegrityError(f"{where} is damaged; delete it and run again") from error


def commit_shard(storage: Storage, shard: Shard) -> None:
    """Marks a shard, whose records are in place, as finished.

    Raises:
        IntegrityError: items in are not records out plus rejects.
    """
    summary = shard.summary
    if summary.items != summary.records + len(shard.rejects):
        raise IntegrityError(
            f"shard {summary.id}: {summary.items} items in, {summary.records} records out and "
            f"{len(shard.rejects)} rejects; this is a bug, please report it"
        )
    storage.create(entry_path(summary.id), canonical_json(shard.model_dump(mode="json")))


def commit_dataset(
    root: str, shards: Iterable[Shard], *, kind: Literal["audio", "embeddings"], corpus: str, content: Mapping[str, Any]
) -> str:
    """Writes the manifest of finished shards, if there is none yet, and returns its URI."""
    shards = tuple(shards)
    summaries = tuple(shard.summary for shard in shards)
    manifest = Manifest(
        kind=kind,
        corpus=corpus,
        content=dict(content),
        shards=summaries,
        items=sum(s.items for s in summaries),
        records=sum(s.records for s in summaries),
        windows=sum(s.windows for s in summaries),
        seconds=round(sum(s.seconds for s in summaries), 3),
        rejects=dict(sorted(Counter(reject.reason for shard in shards for reject in shard.rejects).items())),
        tools=tool_versions(),
    )
    path = f"manifests/{dataset_id(content, (s.id for s in summaries))}.json"
    storage = open_storage(root)
    storage.create(path, canonical_json(manifest.model_dump(mode="json")))
    return join(storage.uri, path)


def open_dataset(uri: str, kind: Literal["audio", "embeddings"]) -> Dataset:
    """Opens a dataset by its manifest's URI.

    Raises:
        InputError: there is no such manifest, or it is of another kind.
        IntegrityError: the manifest cannot be read as one of this schema version.
    """
    root, _, name = uri.rpartition("/manifests/")
    data = open_storage(root).read(f"manifests/{name}") if root else None
    if data is None:
        raise InputError(f"dataset {uri} does not exist; name the manifest that a step printed, or run that step")
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        raise IntegrityError(f"manifest {uri} is not one of schema version {SCHEMA_VERSION}; make it anew") from error
    if manifest.kind != kind:
        raise InputError(f"dataset {uri} holds {manifest.kind}; give one that holds {kind}")
    return Dataset(uri=uri, root=root, manifest=manifest)


def tool_versions() -> dict[str, str]:
    """Maps the packages that decide a dataset's bytes to their installed versions."""
    found = {}
    for tool in _TOOLS:
        try:
            found[tool] = metadata.version(tool)
        except metadata.PackageNotFoundError:
            continue
    return found
