"""Audio and embeddings side by side: what does not belong together is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trillsson.config import Framing
from trillsson.errors import IntegrityError
from trillsson.pairs import DatasetPair, open_pair, read_pair
from trillsson.records import AudioRecord, EmbeddingRecord, write_shard
from trillsson.storage import LocalStorage
from trillsson.tfrecords import read_tfrecords

CONTENT = {"framing": Framing().model_dump(mode="json")}
MakePair = Callable[[str, str], DatasetPair]


@pytest.fixture
def make_pair(store_pair: Callable[..., tuple[str, str]], tmp_path: Path) -> MakePair:
    """Makes a pair from the keys of its clips and the keys of its embeddings, a letter each."""

    def make(keys: str, embedded: str) -> DatasetPair:
        clips = [AudioRecord(key=key, audio=np.zeros(4, np.float32)) for key in keys]
        rows = [EmbeddingRecord(key=key, embeddings=np.ones((2, 3), np.float32)) for key in embedded]
        return open_pair(*store_pair(tmp_path, clips, rows, content=CONTENT))

    return make


def keys_of(pair: DatasetPair, cache: Path) -> list[str]:
    (shards,) = pair.shards
    return [clip.key for clip, _ in read_pair(shards, cache=cache)]


def test_clips_come_with_their_rows(make_pair: MakePair, tmp_path: Path) -> None:
    pair = make_pair("abc", "abc")
    assert keys_of(pair, tmp_path) == ["a", "b", "c"]
    assert (pair.corpus, pair.framing, pair.rejected()) == ("speech", Framing(), frozenset())


def test_a_clip_that_could_not_be_embedded_is_passed_over(make_pair: MakePair, tmp_path: Path) -> None:
    pair = make_pair("abc", "ac")
    assert pair.rejected() == {"b"}
    assert keys_of(pair, tmp_path) == ["a", "c"]


@pytest.mark.parametrize(("keys", "embedded", "found"), [("ab", "ba", "a"), ("a", "ab", "nothing")])
def test_keys_that_do_not_match(make_pair: MakePair, tmp_path: Path, keys: str, embedded: str, found: str) -> None:
    message = rf"embeddings of b stand where {found} does in the audio; delete .*/embeddings/shards/\w+\* and make the"
    with pytest.raises(IntegrityError, match=message):
        keys_of(make_pair(keys, embedded), tmp_path)


def test_a_clip_without_embeddings_that_is_no_reject(make_pair: MakePair, tmp_path: Path) -> None:
    pair = make_pair("ab", "ab")
    (shards,) = pair.shards
    one = [*read_tfrecords(shards.embeddings.fetch(tmp_path))][:1]
    written = write_shard(LocalStorage(Path(shards.embeddings.root)), shards.embeddings.summary.id, one)
    cut = replace(shards.embeddings, summary=shards.embeddings.summary.model_copy(update={"sha256": written}))
    with pytest.raises(IntegrityError, match=r"^embeddings of nothing stand where b does in the audio; delete "):
        list(read_pair(replace(shards, embeddings=cut), cache=tmp_path))
