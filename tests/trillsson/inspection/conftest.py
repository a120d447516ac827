"""Fixtures for tests of inspection: audio datasets made of literals."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from trillsson.datasets import Dataset, open_any_dataset, open_dataset
from trillsson.records import AudioRecord, EmbeddingRecord

StorePair = Callable[..., tuple[str, str]]
MakeClip = Callable[..., AudioRecord]
MakeDataset = Callable[..., Dataset]
Claim = Callable[..., Dataset]


@pytest.fixture
def make_clip() -> MakeClip:
    """Returns a function that makes a clip of 0.2 s; equal `sound`s give equal samples."""

    def make(key: str, sound: int = 0, *, speaker: str = "", split: str = "", **labels: str) -> AudioRecord:
        audio = np.random.default_rng(sound).uniform(-0.5, 0.5, 3_200).astype(np.float32)
        return AudioRecord(key=key, speaker=speaker, split=split, labels=labels, audio=audio)

    return make


@pytest.fixture
def claim() -> Claim:
    """Returns a function that opens a dataset by a manifest which says other things of its first shard."""

    def change(dataset: Dataset, **claims: int) -> Dataset:
        told = json.loads(Path(dataset.uri).read_bytes())
        for name, value in claims.items():
            told[name] += value - told["shards"][0][name]
            told["shards"][0][name] = value
        other = Path(dataset.uri).with_name("claim.json")
        other.write_text(json.dumps(told))
        return open_any_dataset(str(other))

    return change


@pytest.fixture
def make_dataset(store_pair: StorePair, tmp_path: Path) -> MakeDataset:
    """Returns a function that stores clips as an audio dataset and opens it."""

    def make(clips: Sequence[AudioRecord], *, corpus: str = "speech", per_shard: int = 20) -> Dataset:
        rows = [EmbeddingRecord(clip.key, np.zeros((1, 2), np.float32)) for clip in clips]
        where = tmp_path / corpus
        uri, _ = store_pair(where, clips, rows, content={"corpus": corpus}, corpus=corpus, per_shard=per_shard)
        return open_dataset(uri, "audio")

    return make
