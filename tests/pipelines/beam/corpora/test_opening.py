"""What of a corpus's options decides how its items are opened, and so makes all its shards anew."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipelines.beam.corpora import open_reader
from pipelines.beam.prepare import PrepareSpec, run
from trillsson.config import AudioSetCorpus, HuggingFaceCorpus, TfdsCorpus
from trillsson.config.corpora import CorpusSpec
from trillsson.datasets import open_dataset


@pytest.mark.parametrize(
    ("corpus", "opening"),
    [
        (AudioSetCorpus(kind="audioset", path="x", cut=False), {"cut": False}),
        (HuggingFaceCorpus(kind="huggingface", path="x", audio="sound"), {"audio": "sound"}),
        (
            TfdsCorpus(kind="tfds", path="x", dataset="savee", speaker="who", labels=("a",), sample_rate=8_000),
            {"audio": "audio", "speaker": "who", "labels": ["a"], "sample_rate": 8_000},
        ),
    ],
)
def test_the_options_that_decide_it(corpus: CorpusSpec, opening: Mapping[str, Any]) -> None:
    assert open_reader(corpus).opening == opening


def shards_of(corpus: CorpusSpec, work: Path) -> set[str]:
    uri = run(PrepareSpec(name="c", corpus=corpus, workdir=str(work)))
    return {shard.id for shard in open_dataset(uri, "audio").manifest.shards}


def test_cutting_videos_makes_other_shards(tmp_path: Path, write_speech: Any) -> None:
    """Of two runs over the same items, only `cut` tells them apart."""
    root = tmp_path / "corpus"
    write_speech(root / "--4gqARaEJE.wav", 12.0)
    (root / "eval_segments.csv").write_text('--4gqARaEJE, 0.000, 10.000, "/m/068hy"\n')
    whole, cut = (
        AudioSetCorpus(kind="audioset", path=str(root), segments=("eval_segments.csv",), cut=cut)
        for cut in (False, True)
    )
    assert list(open_reader(whole).items()) == list(open_reader(cut).items())
    assert not shards_of(whole, tmp_path / "work") & shards_of(cut, tmp_path / "work")
