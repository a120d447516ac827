"""embed, the worker's side: the clips of one audio shard are framed, batched, embedded and written.

Reading and framing run ahead of the model in one thread, the model ahead of writing in another.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.beam.ahead import prefetched
from pipelines.beam.batches import Batcher, assemble, batches
from trillsson.config import EmbedderSpec, Embedding, Framing
from trillsson.datasets import Reject, Shard, ShardSummary, StoredShard, commit_shard, shard_path
from trillsson.embedder import Embedder
from trillsson.records import EmbeddingRecord, decode_audio, encode_embedding, read_shard, write_shard
from trillsson.storage import open_storage
from trillsson.teachers import open_embedder

BATCH_TOLERANCE = 1e-3
"""How far an embedding may differ for the same window in another batch, as a share of its largest value. Float32 on a
CPU stays below 1e-5; TF32 and bfloat16 on a GPU below this."""

_BATCHES_AHEAD = 2


class EmbedTicket(NamedTuple):
    """What a worker is sent: the id of the shard to make, and the audio shard that it is of."""

    id: str
    audio: StoredShard


class EmbedMaker:
    """Makes embedding shards below a dataset root; the embedder is loaded once a worker.

    Args:
        root: URI of the embedding dataset.
        embedder: what embeds.
        framing: how clips are cut.
        embedding: how large batches are.
    """

    def __init__(self, root: str, embedder: EmbedderSpec, *, framing: Framing, embedding: Embedding) -> None:
        self._root = root
        self._spec = embedder
        self._framing = framing
        self._embedding = embedding
        self._batcher: Batcher | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_batcher": None}  # a model is never sent to a worker

    def setup(self) -> None:
        """Loads the embedder."""
        embedder: Embedder = open_embedder(self._spec, self._framing)
        self._batcher = Batcher(embedder, tolerance=BATCH_TOLERANCE)

    def make(self, planned: EmbedTicket) -> Shard:
        """Embeds one audio shard, writes the embeddings, and commits them.

        A clip without a finite embedding, or too large for memory, is a reject.
        """
        if self._batcher is None:
            self.setup()
        storage = open_storage(self._root)
        rejects: list[Reject] = []
        counts = {"records": 0, "windows": 0}

        def records(audio: Path) -> Iterator[bytes]:
            for outcome in prefetched(self._outcomes(audio), most=_BATCHES_AHEAD):
                if isinstance(outcome, Reject):
                    rejects.append(outcome)
                    continue
                counts["records"] += 1
                counts["windows"] += len(outcome.embeddings)
                yield encode_embedding(outcome)

        with tempfile.TemporaryDirectory(prefix="trillsson-") as cache:
            audio = planned.audio.fetch(Path(cache))
            placed = write_shard(storage, shard_path(planned.id), records(audio))
        summary = ShardSummary(
            id=planned.id,
            sha256=placed.sha256,
            items=planned.audio.summary.records,
            seconds=planned.audio.summary.seconds,
            **counts,
        )
        shard = Shard(summary=summary, sources=(planned.audio.source,), rejects=tuple(rejects))
        commit_shard(storage, shard)
        return shard

    def _outcomes(self, audio: Path) -> Iterator[EmbeddingRecord | Reject]:
        assert self._batcher is not None  # noqa: S101  # `make` has called `setup`; not a check of input
        clips = map(decode_audio, read_shard(audio))
        windows = self._embedding.windows(self._framing)
        together = prefetched(batches(clips, self._framing, windows=windows), most=_BATCHES_AHEAD)
        return assemble(self._batcher.embed(batch) for batch in together)
