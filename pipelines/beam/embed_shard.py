"""embed, the worker's side: the clips of one audio shard are framed, batched, embedded and written.

Reading and framing run ahead of the model in one thread, the model ahead of writing in another.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.beam.batches import OUT_OF_MEMORY, Batcher, assemble, batches
from trillsson.ahead import prefetched
from trillsson.config import EmbedderSpec, Embedding, Framing
from trillsson.datasets import Reject, Shard, ShardSummary, StoredShard, commit_shard
from trillsson.embedder import Embedder
from trillsson.errors import TransientError
from trillsson.records import EmbeddingRecord, decode_audio, encode_embedding, write_shard
from trillsson.storage import open_storage
from trillsson.teachers import fingerprint, open_embedder
from trillsson.tfrecords import read_tfrecords

BATCH_TOLERANCE = 1e-3
"""How far an embedding may differ for the same window in another batch, as a share of its largest value. Float32 on a
CPU stays below 1e-5; TF32 and bfloat16 on a GPU below this."""

_BATCHES_AHEAD = 2


class EmbedTicket(NamedTuple):
    """What a worker is sent: the id of the shard to make, and the audio shard that it is of."""

    id: str
    audio: StoredShard


class EmbedHow(NamedTuple):
    """How windows become embeddings.

    Attributes:
        embedder: what embeds.
        fingerprint: of the embedder, as the launcher found it.
        framing: how clips are cut.
        embedding: how large batches are, and how many rejects are borne.
    """

    embedder: EmbedderSpec
    fingerprint: str
    framing: Framing
    embedding: Embedding


class EmbedMaker:
    """Makes embedding shards below a dataset root; the embedder is loaded once a worker.

    Args:
        root: URI of the embedding dataset.
        how: how windows become embeddings.
    """

    def __init__(self, root: str, how: EmbedHow) -> None:
        self.root = root
        self._how = how
        self._batcher: Batcher | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_batcher": None}  # a model is never sent to a worker

    def setup(self) -> None:
        """Loads the embedder.

        Raises:
            TransientError: it is another than the launcher found.
        """
        self._batcher = self._load()

    def _load(self) -> Batcher:
        embedder: Embedder = open_embedder(self._how.embedder, self._how.framing)
        if fingerprint(self._how.embedder) != self._how.fingerprint:
            raise TransientError(f"the {self._how.embedder.kind} embedder changed while the job ran; run again")
        return Batcher(embedder, tolerance=BATCH_TOLERANCE)

    def make(self, planned: EmbedTicket) -> Shard:
        """Embeds one audio shard, writes the embeddings, and commits them.

        A clip without a finite embedding, or too large for memory, is a reject.

        Raises:
            TransientError: memory was short and no rejects are borne: nothing is committed, a rerun may succeed.
        """
        batcher = self._batcher or self._load()
        storage = open_storage(self.root)
        rejects: list[Reject] = []
        counts = {"records": 0, "windows": 0}

        def records(audio: Path) -> Iterator[bytes]:
            for outcome in prefetched(self._outcomes(audio, batcher), most=_BATCHES_AHEAD):
                if isinstance(outcome, Reject):
                    self._refuse_passing(outcome)
                    rejects.append(outcome)
                    continue
                counts["records"] += 1
                counts["windows"] += len(outcome.embeddings)
                yield encode_embedding(outcome)

        with tempfile.TemporaryDirectory(prefix="trillsson-") as cache:
            audio = planned.audio.fetch(Path(cache))
            written = write_shard(storage, planned.id, records(audio))
        summary = ShardSummary(
            id=planned.id,
            sha256=written,
            items=planned.audio.summary.records,
            seconds=planned.audio.summary.seconds,
            **counts,
        )
        shard = Shard(summary=summary, sources=(planned.audio.source,), rejects=tuple(rejects))
        commit_shard(storage, shard)
        return shard

    def _refuse_passing(self, reject: Reject) -> None:
        """Refuses what may succeed next time, where it would be an error anyway."""
        if reject.reason == OUT_OF_MEMORY and not self._how.embedding.max_reject_fraction:
            raise TransientError(
                f"memory was short for clip {reject.key}, with half a batch too; lower embedding.batch_seconds from "
                f"{self._how.embedding.batch_seconds:g}, or give workers more memory, and run again"
            )

    def _outcomes(self, audio: Path, batcher: Batcher) -> Iterator[EmbeddingRecord | Reject]:
        clips = map(decode_audio, read_tfrecords(audio))
        windows = self._how.embedding.windows(self._how.framing)
        together = prefetched(batches(clips, self._how.framing, windows=windows), most=_BATCHES_AHEAD)
        return assemble(map(batcher.embed, together))
