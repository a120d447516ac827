from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trillsson.audio import to_pcm16
from trillsson.datasets import Dataset, find_manifest, open_dataset
from trillsson.errors import IntegrityError
from trillsson.inspection.sampling import Level, draw, measure
from trillsson.records import AudioRecord
from trillsson.storage import open_storage

MakeClip = Callable[..., AudioRecord]
MakeDataset = Callable[..., Dataset]
Claim = Callable[..., Dataset]


@pytest.fixture
def dataset(make_dataset: MakeDataset, make_clip: MakeClip) -> Dataset:
    """40 clips in 20 shards, more than are read."""
    return make_dataset([make_clip(f"{number:02d}", number, split="train") for number in range(40)], per_shard=2)


def test_the_same_seed_draws_the_same(dataset: Dataset) -> None:
    one, two, other = (draw(dataset, players=4, measured=10, seed=seed) for seed in (1, 1, 2))
    keys = [[excerpt.clip.key for excerpt in sample.excerpts] for sample in (one, two, other)]
    assert keys[0] == keys[1] != keys[2]
    assert (one.levels, one.shards) == (two.levels, 16)
    assert (len(keys[0]), len(one.levels)) == (4, 10)
    assert keys[0] == sorted(set(keys[0]))


@pytest.mark.parametrize(("players", "measured", "heard", "levels"), [(0, 5, 0, 5), (9, 5, 9, 9), (99, 500, 32, 32)])
def test_how_many_are_drawn(dataset: Dataset, players: int, measured: int, heard: int, levels: int) -> None:
    sample = draw(dataset, players=players, measured=measured)
    assert (len(sample.excerpts), len(sample.levels)) == (heard, levels)


def test_an_excerpt_is_the_clip_it_says(dataset: Dataset, make_clip: MakeClip) -> None:
    for excerpt in draw(dataset, players=5).excerpts:
        wanted = make_clip("", int(excerpt.clip.key))
        assert to_pcm16(excerpt.audio) == to_pcm16(wanted.audio)
        assert (excerpt.seconds, excerpt.clip.split) == (0.2, "train")


def test_a_long_clip_is_cut(make_dataset: MakeDataset) -> None:
    long = AudioRecord(key="long", audio=np.linspace(-1, 0.9, 176_000, dtype=np.float32))
    (excerpt,) = draw(make_dataset([long])).excerpts
    assert (excerpt.seconds, excerpt.audio.size) == (11.0, 160_000)


def test_a_shard_of_fewer_records_than_its_manifest_says(dataset: Dataset, claim: Claim) -> None:
    with pytest.raises(IntegrityError) as caught:
        draw(claim(dataset, records=9, items=9))
    told = f"shard {dataset.root}/{dataset.shards[0].summary.files[0]} holds fewer records than the 9 of its manifest"
    assert str(caught.value) == f"{told}; delete that manifest and make the dataset again"


def test_shards_in_a_bucket(dataset: Dataset, gcs_prefix: str) -> None:
    storage = open_storage(gcs_prefix)
    for path in Path(dataset.root).rglob("*.*"):
        storage.create(path.relative_to(dataset.root).as_posix(), path.read_bytes())
    there = open_dataset(find_manifest(f"{gcs_prefix}/"), "audio")
    assert there.uri == find_manifest(there.uri) == f"{gcs_prefix}/manifests/{Path(dataset.uri).name}"
    assert draw(there, players=0).levels == draw(dataset, players=0).levels


def test_levels() -> None:
    sine = np.sin(2 * np.pi * np.arange(16_000) / 100).astype(np.float32)
    assert measure(0.1 * sine).rms == pytest.approx(-23.01, abs=0.01)
    assert measure(0.1 * sine).peak == pytest.approx(-20.0, abs=0.01)
    assert measure(0.1 * sine).clipped == 0
    square = np.array([1, -1, 32_767 / 32_768, 32_766 / 32_768, 0, 0, 0, 0], np.float32)
    assert measure(square).clipped == 3 / 8
    assert measure(np.zeros(9, np.float32)) == measure(np.zeros(0, np.float32)) == Level(-np.inf, -np.inf, 0)
