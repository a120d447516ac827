"""embed: an audio dataset and an embedder become an embedding dataset, for teacher labels and for evaluation alike.

One shard of embeddings belongs to one shard of audio and holds the same clips in the same order, one row a window.
This is the launcher's side of it.
"""

from collections import Counter
from collections.abc import Sequence

from pydantic import Field

from pipelines.beam.embed_shard import BATCH_TOLERANCE, EmbedHow, EmbedMaker, EmbedTicket
from pipelines.beam.options import check_options
from pipelines.beam.shards import Work, made_shards, make_shards, missing_shards, read_entries
from trillsson.config import EmbedderSpec, Embedding, Framing, Spec
from trillsson.datasets import Dataset, Shard, commit_dataset, embedding_identity, open_dataset, shard_id
from trillsson.digests import SHORT
from trillsson.errors import InputError
from trillsson.records import SCHEMA_VERSION
from trillsson.storage import join, open_storage
from trillsson.teachers import fingerprint


class EmbedSpec(Spec):
    """What to embed, with what, and below which folder the embedding datasets go."""

    audio: tuple[str, ...] = Field(min_length=1, description="URIs of the audio datasets' manifests")
    embedder: EmbedderSpec
    framing: Framing
    embedding: Embedding = Embedding()
    workdir: str
    name: str = Field(description="what to call the embedder in progress and errors")
    beam_options: tuple[str, ...] = ()


def run(spec: EmbedSpec) -> tuple[str, ...]:
    """Embeds audio datasets and returns the URIs of their embedding datasets' manifests, in the same order.

    Raises:
        InputError: the embedder cannot be opened, does not take windows of this framing, gives another embedding for a
            window in another batch, or rejected more clips than `max_reject_fraction` allows.
        IntegrityError: an audio shard does not match its manifest.
    """
    check_options(spec.beam_options)
    mark = fingerprint(spec.embedder)
    return tuple(_embed_dataset(open_dataset(uri, "audio"), spec, mark=mark) for uri in spec.audio)


def _embed_dataset(audio: Dataset, spec: EmbedSpec, *, mark: str) -> str:
    corpus = audio.manifest.corpus
    storage = open_storage(join(open_storage(spec.workdir).uri, "embeddings", mark[:SHORT], corpus))
    content = {
        "corpus": corpus,
        "embedder": spec.embedder.model_dump(mode="json", exclude={"path"}),
        "fingerprint": mark,
        "framing": spec.framing.model_dump(mode="json"),
        "batch_tolerance": BATCH_TOLERANCE,
        "schema_version": SCHEMA_VERSION,
    }
    identity = embedding_identity(content)
    # Two audio shards of the same bytes are embedded once.
    tickets = [EmbedTicket(shard_id((shard.source,), identity), shard) for shard in audio.shards]
    ids = [ticket.id for ticket in tickets]
    entries = read_entries(storage, list(dict.fromkeys(ids)))
    missing = set(missing_shards(storage, entries, ids))
    todo = {ticket.id: ticket for ticket in tickets if ticket.id in missing}
    how = EmbedHow(spec.embedder, mark, spec.framing, spec.embedding)
    maker = EmbedMaker(storage.uri, how)
    work = Work(storage.uri, maker, f"embed {corpus} with {spec.name}", spec.beam_options)
    make_shards(list(todo.values()), work, weights={id_: t.audio.summary.seconds for id_, t in todo.items()})
    entries |= made_shards(storage, list(todo))
    shards = tuple(entries[each] for each in ids)
    _refuse_rejects(shards, audio, spec)
    return commit_dataset(
        storage.uri, shards, kind="embeddings", corpus=corpus, content=content, sources=len(audio.shards)
    )


def _refuse_rejects(shards: Sequence[Shard], audio: Dataset, spec: EmbedSpec) -> None:
    rejects = [reject for shard in shards for reject in shard.rejects]
    if len(rejects) <= spec.embedding.max_reject_fraction * audio.manifest.records:
        return
    reasons = ", ".join(f"{n} {why}" for why, n in sorted(Counter(reject.reason for reject in rejects).items()))
    raise InputError(
        f"{spec.name} gave no embedding for {len(rejects)} of {audio.manifest.records} clips of "
        f"{audio.manifest.corpus} ({reasons}), more than embedding.max_reject_fraction "
        f"{spec.embedding.max_reject_fraction:g}; first {rejects[0].key}; mend the model, remove those files, or lower "
        "embedding.batch_seconds if memory was short"
    )
