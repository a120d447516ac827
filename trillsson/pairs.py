"""Audio and the embeddings of the same clips, read side by side: what belongs together is checked, never assumed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from trillsson.config import Framing
from trillsson.datasets import Dataset, StoredShard, embedding_identity, open_dataset, shard_id
from trillsson.embedder import Embeddings
from trillsson.errors import InputError, IntegrityError
from trillsson.records import AudioRecord, Clip, IndexedClip, decode_audio, decode_embedding
from trillsson.storage import join
from trillsson.tfrecords import read_tfrecords

ClipT = TypeVar("ClipT", bound=Clip)


@dataclass(frozen=True)
class ShardPair:
    """A shard of audio and the shard of its embeddings: the same clips in the same order, less the rejects."""

    corpus: str
    audio: StoredShard
    embeddings: StoredShard


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
        both = zip(self.audio.shards, self.embeddings.shards, strict=True)
        return tuple(ShardPair(self.corpus, audio, embeddings) for audio, embeddings in both)

    def rejected(self) -> frozenset[str]:
        """Keys of clips that have audio and no embeddings."""
        return frozenset(reject.key for reject in self.embeddings.rejects())


def open_pairs(audio: Sequence[str], embeddings: Sequence[str]) -> tuple[DatasetPair, ...]:
    """Opens datasets of audio and of their embeddings, given in the same order.

    Raises:
        InputError: there are not as many of one as of the other, or see `open_pair`.
        IntegrityError: see `open_pair`.
    """
    if len(audio) != len(embeddings):
        counts = f"{len(audio)} audio datasets and {len(embeddings)} of embeddings"
        raise InputError(f"got {counts}; give one of embeddings for each of audio, in the same order")
    return tuple(open_pair(one, other) for one, other in zip(audio, embeddings, strict=True))


def open_pair(audio_uri: str, embeddings_uri: str) -> DatasetPair:
    """Opens two datasets by their manifests and checks that one was made from the other.

    Raises:
        InputError: one of the manifests does not exist, or is of another kind.
        IntegrityError: the embeddings are not those of this audio.
    """
    pair = DatasetPair(open_dataset(audio_uri, "audio"), open_dataset(embeddings_uri, "embeddings"))
    identity = embedding_identity(pair.embeddings.manifest.content)
    wanted = [shard_id((shard.source,), identity) for shard in pair.audio.shards]
    if [shard.id for shard in pair.embeddings.manifest.shards] != wanted:
        raise IntegrityError(f"{embeddings_uri} does not hold the embeddings of {audio_uri}; embed that dataset anew")
    return pair


def read_pair(shards: ShardPair, *, cache: Path) -> Iterator[tuple[IndexedClip, Embeddings]]:
    """Yields what is known of the clips of a pair that have embeddings, with those, `[windows, dim]` float32.

    The audio itself is not read.

    Args:
        shards: one of a pair's shards.
        cache: where shards on `gs://` are copied to.

    Raises:
        IntegrityError: a shard does not match its manifest, or the keys do not match.
    """
    return _zipped(shards.audio.clips(), shards, cache=cache)


def read_heard(shards: ShardPair, *, cache: Path) -> Iterator[tuple[AudioRecord, Embeddings]]:
    """Yields the same as `read_pair`, with the clips' samples."""
    return _zipped(map(decode_audio, read_tfrecords(shards.audio.fetch(cache))), shards, cache=cache)


def _zipped(clips: Iterator[ClipT], shards: ShardPair, *, cache: Path) -> Iterator[tuple[ClipT, Embeddings]]:
    rejected = {reject.key for reject in shards.embeddings.rejects()}
    wanted = (clip for clip in clips if clip.key not in rejected)
    for data in read_tfrecords(shards.embeddings.fetch(cache)):
        record = decode_embedding(data)
        clip = next(wanted, None)
        if clip is None or clip.key != record.key:
            raise _mismatch(shards, record.key, "nothing" if clip is None else clip.key)
        yield clip, record.embeddings
    if (clip := next(wanted, None)) is not None:
        raise _mismatch(shards, "nothing", clip.key)


def _mismatch(shards: ShardPair, embedded: str, heard: str) -> IntegrityError:
    where = join(shards.embeddings.root, "shards", shards.embeddings.summary.id)
    return IntegrityError(
        f"embeddings of {embedded} stand where {heard} does in the audio; delete {where}* and make the dataset again"
    )
