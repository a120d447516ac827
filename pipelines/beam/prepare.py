"""prepare: a corpus becomes an audio dataset of mono 16 kHz clips. This is the launcher's side of it.

It lists the corpus, plans shards, has Beam make those that are missing, and commits the manifest.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from pydantic import Field, SerializeAsAny

from pipelines.beam.corpora import open_reader
from pipelines.beam.corpora.reader import Item, Reader, fault_of, with_usable_name
from pipelines.beam.options import check_options
from pipelines.beam.plan import (
    PlannedShard,
    discard_plan,
    find_begun,
    find_earlier,
    plan_shards,
    silently_changed,
    source_of,
    stale_path,
    store_plan,
)
from pipelines.beam.prepare_shard import PrepareMaker, checksum_of
from pipelines.beam.shards import Work, made_shards, make_shards, missing_shards
from trillsson.config import CorpusSpec, Name, Spec
from trillsson.datasets import Reject, Shard, commit_dataset
from trillsson.digests import digest_of
from trillsson.errors import InputError, TransientError
from trillsson.records import SCHEMA_VERSION
from trillsson.storage import GCS_SCHEME, Storage, join, open_storage

_REASONS_SHOWN = 3


class PrepareSpec(Spec):
    """What to prepare, and below which folder the audio dataset goes."""

    name: Name
    corpus: SerializeAsAny[CorpusSpec]
    workdir: str
    beam_options: tuple[str, ...] = ()
    rehash: bool = Field(False, description="find changed files by their bytes, not by their size and time")


def run(spec: PrepareSpec) -> str:
    """Prepares a corpus and returns the URI of the audio dataset's manifest; computes only what is missing.

    Raises:
        InputError: the corpus cannot be read, or more of it was rejected than `max_reject_fraction` allows.
        TransientError: a write failed, or the corpus changed meanwhile; what is done is kept.
    """
    check_options(spec.beam_options)
    storage = open_storage(join(open_storage(spec.workdir).uri, "audio", spec.name))
    reader = open_reader(spec.corpus)
    items = _listed(spec, reader)
    identity = digest_of({"step": "prepare", "schema_version": SCHEMA_VERSION, "opening": reader.opening})
    earlier = find_earlier(storage)
    checksum = _checksums(spec.corpus) if spec.rehash else None
    planned = plan_shards(
        items,
        earlier.shards.values(),
        identity=identity,
        taken=earlier.taken,
        checksum=checksum,
        begun=find_begun(storage),
    )
    if spec.rehash:
        for stale in silently_changed(earlier.shards.values(), planned):
            storage.create(stale_path(stale), b"")
    missing = set(missing_shards(storage, earlier.shards, [shard.id for shard in planned]))
    todo = [shard for shard in planned if shard.id in missing]
    _make(spec, todo, storage, reader=reader, identity=identity)
    made = made_shards(storage, [shard.id for shard in todo])
    shards = [made.get(shard.id) or earlier.shards[shard.id] for shard in planned]
    _refuse_other_sources(spec, todo, made)
    _refuse_rejects(spec, shards)
    # Where the corpus lies, and how many rejects are borne, change nothing in the records.
    told = spec.corpus.model_dump(mode="json", exclude={"path", "max_reject_fraction"})
    content = {"corpus": spec.name, "spec": told, "schema_version": SCHEMA_VERSION}
    return commit_dataset(storage.uri, shards, kind="audio", corpus=spec.name, content=content, sources=len(items))


def _listed(spec: PrepareSpec, reader: Reader) -> Sequence[Item]:
    """Lists the corpus; refuses what can be refused before any work is done."""
    where = open_storage(spec.corpus.path).uri
    if fault := fault_of(where):
        raise InputError(f"corpus {spec.name!r}: {where} {fault}; correct corpora.{spec.name}.path")
    items = list(map(with_usable_name, reader.items()))
    if not items:
        raise InputError(
            f"corpus {spec.name!r}: {spec.corpus.path} holds nothing of what the config asks for; add audio"
        )
    if len({item.key for item in items}) < len(items):
        ((key, count),) = Counter(item.key for item in items).most_common(1)
        raise InputError(f"corpus {spec.name!r}: {count} recordings are called {key!r}; rename or remove all but one")
    known = [
        Reject(key=f"{spec.name}/{item.key}#0", stage="prepare", reason=item.reject, detail=item.detail)
        for item in items
        if item.reject
    ]
    _refuse(spec, known, of=len(items), lost=len(known))
    return items


def _make(
    spec: PrepareSpec, missing: Sequence[PlannedShard], storage: Storage, *, reader: Reader, identity: str
) -> None:
    tickets = store_plan(storage, missing)
    path = open_storage(spec.corpus.path).uri
    maker = PrepareMaker(storage.uri, corpus=spec.name, path=path, reader=reader, identity=identity)
    work = Work(storage.uri, maker, f"prepare {spec.name}", spec.beam_options)
    make_shards(tickets, work, weights={shard.id: shard.bytes for shard in missing})
    discard_plan(storage, tickets)  # A plan that was not carried out stays: the next run goes on with it.


def _checksums(corpus: CorpusSpec) -> Callable[[Item], str] | None:
    """Returns what computes the checksums of an item's files; on an object store the stamps are checksums already."""
    root = open_storage(corpus.path).uri
    if root.startswith(GCS_SCHEME):
        return None
    of_path = cache(lambda path: checksum_of(Path(root) / path))
    return lambda item: "" if item.reject else "+".join(map(of_path, item.files))


def _refuse_other_sources(spec: PrepareSpec, made_of: Iterable[PlannedShard], made: Mapping[str, Shard]) -> None:
    """Refuses shards that a launcher beside this one made of files that have changed since."""
    for shard in made_of:
        found = [source._replace(checksum="") for source in made[shard.id].sources]
        if found != [source_of(item) for item in shard.items]:
            raise TransientError(f"corpus {spec.name!r} changed while it was prepared; run again")


def _refuse_rejects(spec: PrepareSpec, shards: Sequence[Shard]) -> None:
    rejects = [reject for shard in shards for reject in shard.rejects]
    _refuse(spec, rejects, of=sum(shard.summary.items for shard in shards), lost=len(rejects))
    lost = sum(shard.summary.lost for shard in shards)
    _refuse(spec, rejects, of=sum(shard.summary.sources for shard in shards), lost=lost)


def _refuse(spec: PrepareSpec, rejects: Sequence[Reject], *, of: int, lost: int) -> None:
    """Fails the step if all was lost, or more than the config allows; shows one reject of each of the main reasons."""
    if lost == of:
        rule = "so nothing is left"
    elif lost > spec.corpus.max_reject_fraction * of:
        rule = f"more than max_reject_fraction {spec.corpus.max_reject_fraction:g}"
    else:
        return
    reasons = Counter(reject.reason for reject in rejects)
    counts = "" if len(reasons) == 1 else " (" + ", ".join(f"{n} {why}" for why, n in sorted(reasons.items())) + ")"
    firsts = {reject.reason: reject for reject in reversed(rejects)}
    shown = [firsts[reason] for reason, _ in reasons.most_common(_REASONS_SHOWN)]
    told = "; ".join(f"first {each.key.rpartition('#')[0]}: {each.reason} ({each.detail})" for each in shown)
    raise InputError(
        f"corpus {spec.name!r}: {lost} of {of} items were rejected{counts}, {rule}; {told}; mend or remove such files"
        + ("" if lost == of else f", or raise corpora.{spec.name}.max_reject_fraction")
    )
