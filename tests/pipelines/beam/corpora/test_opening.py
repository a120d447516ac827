"""What of a corpus's options decides how its items are opened, and so makes all its shards anew."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from pipelines.beam import prepare
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


@pytest.fixture
def check_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuse_work: Callable[..., None]
) -> Callable[[CorpusSpec, CorpusSpec], None]:
    """Returns a function that checks that two specs list the same items, and that nothing is shared but by the same."""

    def check(one: CorpusSpec, other: CorpusSpec) -> None:
        assert list(open_reader(one).items()) == list(open_reader(other).items())
        made = shards_of(one, tmp_path / "work")
        assert not made & shards_of(other, tmp_path / "work")
        monkeypatch.setattr(prepare, "make_shards", refuse_work)
        assert shards_of(one, tmp_path / "work") == made

    return check


def test_cutting_videos_makes_other_shards(tmp_path: Path, write_speech: Any, check_opening: Any) -> None:
    root = tmp_path / "corpus"
    write_speech(root / "--4gqARaEJE.wav", 12.0)
    (root / "eval_segments.csv").write_text('--4gqARaEJE, 0.000, 10.000, "/m/068hy"\n')
    whole, cut = (
        AudioSetCorpus(kind="audioset", path=str(root), segments=("eval_segments.csv",), cut=cut)
        for cut in (False, True)
    )
    check_opening(whole, cut)


def test_another_column_of_audio_makes_other_shards(tmp_path: Path, check_opening: Any) -> None:
    sound = io.BytesIO()
    soundfile.write(sound, np.zeros(1_600, np.int16), 16_000, format="WAV")
    rows = [{"near": {"bytes": sound.getvalue()}, "far": {"bytes": sound.getvalue()}}]
    (tmp_path / "corpus").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "corpus/train-00000-of-00001.parquet")
    near, far = (
        HuggingFaceCorpus(kind="huggingface", path=str(tmp_path / "corpus"), audio=column) for column in ("near", "far")
    )
    check_opening(near, far)


def test_another_feature_for_a_label_makes_other_shards(tmp_path: Path, check_opening: Any) -> None:
    tfds = pytest.importorskip("tensorflow_datasets", reason="install extra `tfds`")
    row = {"audio": np.arange(1_600, dtype=np.int64), "age": 20, "mono": True}
    audio = tfds.features.Audio(file_format="wav", sample_rate=16_000)
    tfds.dataset_builders.store_as_tfds_dataset(
        name="tiny",
        version="1.0.0",
        features=tfds.features.FeaturesDict({"audio": audio, "age": np.int32, "mono": np.bool_}),
        split_datasets={"train": [(0, row)]},
        data_dir=tmp_path / "corpus",
        disable_shuffling=True,
    )
    age, mono = (
        TfdsCorpus(kind="tfds", path=str(tmp_path / "corpus"), dataset="tiny", labels=(label,))
        for label in ("age", "mono")
    )
    check_opening(age, mono)
