"""embed: an audio dataset and an embedder become an embedding dataset, for teacher labels and for evaluation alike.

One shard of embeddings belongs to one shard of audio and holds the same clips in the same order, one row a window.
"""

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from pipelines.beam.ahead import ahead
from pipelines.beam.plan import PlannedShard, finished_shards, plan_shards
from pipelines.beam.runner import LOCAL_RUNNER
from pipelines.beam.shards import make_shards
from trillsson.audio import frame
from trillsson.config import EmbedderSpec, Framing, Spec
from trillsson.datasets import (
    Dataset,
    Reject,
    Shard,
    ShardSummary,
    StoredShard,
    commit_dataset,
    commit_shard,
    embedding_identity,
    open_dataset,
    shard_path,
)
from trillsson.digests import SHORT
from trillsson.embedder import Embedder, Embeddings, Windows
from trillsson.errors import InputError
from trillsson.records import (
    SCHEMA_VERSION,
    AudioRecord,
    EmbeddingRecord,
    decode_audio,
    encode_embedding,
    read_shard,
    write_shard,
)
from trillsson.storage import join, open_storage
from trillsson.teachers import fingerprint, open_embedder

BATCH = 32
"""Windows in one call of the embedder: the knee on CPU, where larger batches gain nothing."""

_CLIPS_AHEAD = 64


class EmbedSpec(Spec):
    """What to embed, with what, and below which folder the embedding datasets go."""

    audio: tuple[str, ...] = Field(min_length=1, description="URIs of the audio datasets' manifests")
    embedder: EmbedderSpec
    framing: Framing
    workdir: str
    name: str = Field(description="what to call the embedder in progress and errors")
    beam_options: tuple[str, ...] = LOCAL_RUNNER


def run(spec: EmbedSpec) -> tuple[str, ...]:
    """Embeds audio datasets and returns the URIs of their embedding datasets' manifests, in the same order.

    Raises:
        InputError: the embedder cannot be opened, or does not take windows of this framing.
        IntegrityError: an audio shard does not match its manifest.
    """
    mark = fingerprint(spec.embedder)
    return tuple(_embed_dataset(open_dataset(uri, "audio"), spec, mark=mark) for uri in spec.audio)


def _embed_dataset(audio: Dataset, spec: EmbedSpec, *, mark: str) -> str:
    corpus = audio.manifest.corpus
    root = join(open_storage(spec.workdir).uri, "embeddings", mark[:SHORT], corpus)
    content = {
        "corpus": corpus,
        "embedder": spec.embedder.model_dump(mode="json", exclude={"path"}),
        "fingerprint": mark,
        "framing": spec.framing.model_dump(mode="json"),
        "schema_version": SCHEMA_VERSION,
    }
    planned = plan_shards(
        audio.shards,
        finished_shards(open_storage(root)),
        identity=embedding_identity(content),
        per_shard=1,
    )
    shards = make_shards(
        planned,
        root,
        maker=EmbedMaker(root, embedder=spec.embedder, framing=spec.framing),
        description=f"embed {corpus} with {spec.name}",
        options=spec.beam_options,
    )
    rejects = [reject for shard in shards for reject in shard.rejects]
    if rejects:
        raise InputError(
            f"{spec.name} gives embeddings that are not finite on {len(rejects)} of {audio.manifest.records} clips of "
            f"{corpus}, first {rejects[0].key}; mend the model, or remove those files"
        )
    return commit_dataset(root, shards, kind="embeddings", corpus=corpus, content=content)


class EmbedMaker:
    """Makes embedding shards below a dataset root; the embedder is loaded once a worker.

    Args:
        root: URI of the embedding dataset.
        embedder: what embeds.
        framing: how clips are cut.
    """

    def __init__(self, root: str, *, embedder: EmbedderSpec, framing: Framing) -> None:
        self._root = root
        self._spec = embedder
        self._framing = framing
        self._embedder: Embedder | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_embedder": None}  # a model is never sent to a worker

    def setup(self) -> None:
        """Loads the embedder."""
        self._embedder = open_embedder(self._spec, self._framing)

    def make(self, planned: PlannedShard[StoredShard]) -> Shard:
        """Embeds one audio shard, writes the embeddings, and commits them."""
        embedder = self._embedder or open_embedder(self._spec, self._framing)
        return embed_shard(planned, self._root, embedder=embedder, framing=self._framing)


def embed_shard(planned: PlannedShard[StoredShard], root: str, *, embedder: Embedder, framing: Framing) -> Shard:
    """Embeds the clips of one audio shard and commits the shard of their embeddings.

    A clip whose embedding is not finite is a reject.
    """
    storage = open_storage(root)
    (item,) = planned.items
    rejects: list[Reject] = []
    counts = {"records": 0, "windows": 0}

    def records(audio: Path) -> Iterator[bytes]:
        clips = ahead(decode_audio, read_shard(audio), threads=1, most=_CLIPS_AHEAD)
        for record in embed_clips(clips, embedder, framing=framing):
            if np.isfinite(record.embeddings).all():
                counts["records"] += 1
                counts["windows"] += len(record.embeddings)
                yield encode_embedding(record)
            else:
                rejects.append(Reject(key=record.key, stage="embed", reason="non_finite_embedding"))

    with tempfile.TemporaryDirectory(prefix="trillsson-") as cache:
        audio = item.fetch(Path(cache))
        written = write_shard(storage, shard_path(planned.id), records(audio))
    summary = ShardSummary(
        id=planned.id,
        sha256=written,
        items=item.summary.records,
        seconds=item.summary.seconds,
        **counts,
    )
    shard = Shard(summary=summary, sources=(item.source,), rejects=tuple(rejects))
    commit_shard(storage, shard)
    return shard


def embed_clips(clips: Iterable[AudioRecord], embedder: Embedder, *, framing: Framing) -> Iterator[EmbeddingRecord]:
    """Embeds clips in order; windows of several clips share a batch."""
    waiting: list[tuple[str, Windows]] = []
    for clip in clips:
        waiting.append((clip.key, frame(clip.audio, framing)))
        if sum(len(windows) for _, windows in waiting) >= BATCH:
            yield from _embed_together(waiting, embedder)
            waiting = []
    yield from _embed_together(waiting, embedder)


def _embed_together(clips: list[tuple[str, Windows]], embedder: Embedder) -> Iterator[EmbeddingRecord]:
    if not clips:
        return
    rows: Embeddings = embedder.embed(np.concatenate([windows for _, windows in clips]))
    ends = np.cumsum([len(windows) for _, windows in clips])
    for (key, windows), end in zip(clips, ends, strict=True):
        yield EmbeddingRecord(key=key, embeddings=rows[end - len(windows) : end])
