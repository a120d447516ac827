"""What an embedding dataset holds, from its manifest; one record is read, for its width."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trillsson.config import SAMPLE_RATE, Framing
from trillsson.datasets import Dataset
from trillsson.errors import IntegrityError
from trillsson.inspection.summary import RejectReason, reject_reasons, stored_bytes
from trillsson.records import decode_embedding
from trillsson.tfrecords import read_tfrecords


@dataclass(frozen=True)
class EmbeddingSummary:
    """All that is told of an embedding dataset.

    Attributes:
        dataset: the dataset; its manifest has the totals.
        bytes: size of the records.
        dim: numbers in an embedding; 0 where there is none.
        framing: how clips were cut, in words.
        embedder: kind of the embedder.
        fingerprint: digest of the embedder.
        batch_tolerance: how far the same window's embeddings from two batches may differ; None where not told.
        rejects: by reason.
    """

    dataset: Dataset
    bytes: int
    dim: int
    framing: str
    embedder: str
    fingerprint: str
    batch_tolerance: float | None
    rejects: tuple[RejectReason, ...]


def summarise_embeddings(dataset: Dataset) -> EmbeddingSummary:
    """Reads the manifest of an embedding dataset and says what is in it.

    Raises:
        IntegrityError: a shard is missing or changed, or holds fewer records than the manifest says.
    """
    content: dict[str, Any] = dataset.manifest.content
    return EmbeddingSummary(
        dataset=dataset,
        bytes=stored_bytes(dataset),
        dim=_dim(dataset),
        framing=_told(Framing.model_validate(content["framing"])) if "framing" in content else "not told",
        embedder=str(content.get("embedder", {}).get("kind", "not told")),
        fingerprint=str(content.get("fingerprint", "not told")),
        batch_tolerance=content.get("batch_tolerance"),
        rejects=reject_reasons(dataset),
    )


def _dim(dataset: Dataset) -> int:
    held = next((shard for shard in dataset.shards if shard.summary.records), None)
    if held is None:
        return 0
    with tempfile.TemporaryDirectory(prefix="trillsson-") as cache:
        path = held.fetch(Path(cache))
        record = next(read_tfrecords(path), None)
        if record is None:
            told = f"shard {path} holds no record, its manifest says {held.summary.records}"
            raise IntegrityError(f"{told}; delete that manifest and make the dataset again")
        return int(decode_embedding(record).embeddings.shape[1])


def _told(framing: Framing) -> str:
    tail = "a last one that is not full is left out" if framing.tail == "drop" else f"filled ({framing.padding})"
    return f"windows of {framing.window / SAMPLE_RATE:g} s every {framing.hop / SAMPLE_RATE:g} s, {tail}"
