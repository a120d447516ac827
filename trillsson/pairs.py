"""Audio and the embeddings of the same clips, read side by side: what belongs together is checked, never assumed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from trillsson.config import Framing
from trillsson.datasets import Dataset, ShardSummary, Source, embedding_identity, open_dataset, shard_id
from trillsson.embedder import Embeddings
from trillsson.errors import IntegrityError
from trillsson.records import Clip, decode_embedding, read_shard

ClipT = TypeVar("ClipT", bound=Clip)


@dataclass(frozen=True)
class ShardPair:
    """A shard of audio and the shard of its embeddings: the same clips in the same order, less the rejects."""

    audio: ShardSummary
    embeddings: ShardSummary


@dataclass(frozen=True)
class DatasetPair:
    """An audio dataset and the embeddings of it."""

    audio: Dataset
    embeddings: Dataset

    @property
    def corpus(self) -> str:
        """Name of the corpus both are of."""
        return self.audio.manifest.corpus

    @property
    def framing(self) -> Framing:
        """How the clips were cut into the windows that were embedded."""
        return Framing.model_validate(self.embeddings.manifest.content["framing"])

    @property
    def shards(self) -> tuple[ShardPair, ...]:
        """The shards that belong together, in order."""
        both = zip(self.audio.manifest.shards, self.embeddings.manifest.shards, strict=True)
        return tuple(ShardPair(audio, embeddings) for audio, embeddings in both)

    def rejected(self) -> frozenset[str]:
        """Keys of clips that have audio and no embeddings."""
        return frozenset(reject.key for reject in self.embeddings.rejects())


def open_pair(audio_uri: str, embeddings_uri: str) -> DatasetPair:
    """Opens two datasets by their manifests and checks that one was made from the other.

    Raises:
        InputError: one of the manifests does not exist, or is of another kind.
        IntegrityError: the embeddings are not those of this audio.
    """
    pair = DatasetPair(open_dataset(audio_uri, "audio"), open_dataset(embeddings_uri, "embeddings"))
    identity = embedding_identity(pair.embeddings.manifest.content)
    wanted = [shard_id((Source(key=s.id, identity=s.sha256),), identity) for s in pair.audio.manifest.shards]
    if [shard.id for shard in pair.embeddings.manifest.shards] != wanted:
        raise IntegrityError(f"{embeddings_uri} does not hold the embeddings of {audio_uri}; embed that dataset anew")
    return pair


def read_pair(
    pair: DatasetPair, shards: ShardPair, *, decode: Callable[[bytes], ClipT], cache: Path
) -> Iterator[tuple[ClipT, Embeddings]]:
    """Yields the clips of one shard that have embeddings, with those, `[windows, dim]` float32.

    Args:
        pair: the datasets.
        shards: one of the pair's shards.
        decode: `records.decode_audio`, or `records.decode_clip` where the samples are not wanted.
        cache: where shards on `gs://` are copied to.

    Raises:
        IntegrityError: a shard does not match its manifest, or the keys do not match.
    """
    clips = map(decode, read_shard(pair.audio.open_shard(shards.audio, cache)))
    rejected = pair.rejected() if shards.embeddings.items > shards.embeddings.records else frozenset()
    for data in read_shard(pair.embeddings.open_shard(shards.embeddings, cache)):
        record = decode_embedding(data)
        clip = next((clip for clip in clips if clip.key not in rejected), None)
        if clip is None or clip.key != record.key:
            found = "nothing" if clip is None else clip.key
            raise IntegrityError(
                f"embeddings of {record.key} stand where {found} does in the audio; "
                f"delete {pair.embeddings.root} and run again"
            )
        yield clip, record.embeddings
