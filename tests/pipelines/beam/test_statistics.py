"""statistics: what tensorflow-transform saves is what numpy finds in the training clips, and nothing else."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines.beam.embed import EmbedSpec
from pipelines.beam.embed import run as embed
from pipelines.beam.prepare import PrepareSpec
from pipelines.beam.prepare import run as prepare
from pipelines.beam.statistics import StatisticsSpec, run
from trillsson.config import ConformerTeacher, FolderCorpus, Framing, Task, Training
from trillsson.errors import InputError, IntegrityError
from trillsson.pairs import open_pair, read_pair
from trillsson.records import decode_clip
from trillsson.training.pool import part_of
from trillsson.training.targets import read_statistics

EditCsv = Callable[[Callable[[list[dict[str, str]]], None]], None]
FRAMING = Framing(window=16_000, hop=16_000)
TEACHER = ConformerTeacher(kind="conformer", dim=16, layers=1, layer=1, heads=2)


@pytest.fixture
def make_spec(tones: FolderCorpus, tmp_path: Path) -> Callable[[], StatisticsSpec]:
    def make() -> StatisticsSpec:
        workdir = str(tmp_path / "work")
        audio = (prepare(PrepareSpec(name="tones", corpus=tones, workdir=workdir)),)
        targets = embed(EmbedSpec(audio=audio, embedder=TEACHER, framing=FRAMING, workdir=workdir, name="teacher"))
        return StatisticsSpec(
            audio=audio,
            targets=targets,
            training=Training(corpora=("tones",), steps=1, validation_fraction=0.25),
            tasks={"pitch": Task(corpus="tones", label="pitch"), "who": Task(corpus="tones", label="speaker")},
            workdir=workdir,
        )

    return make


def test_mean_scale_and_vocabularies_are_those_of_the_training_clips(
    make_spec: Callable[[], StatisticsSpec], edit_csv: EditCsv, tmp_path: Path
) -> None:
    edit_csv(lambda rows: [row.update(speaker="bob") for row in rows if row["speaker"] in ("cem", "dov")] and None)
    spec = make_spec()
    uri = run(spec)
    pair = open_pair(spec.audio[0], spec.targets[0])
    clips = [each for shard in pair.shards for each in read_pair(shard, decode_clip, cache=tmp_path)]
    rows = np.concatenate([rows for clip, rows in clips if part_of(clip, (), spec.training) == "train"])
    found = read_statistics(Path(uri))
    assert found.windows == len(rows)
    np.testing.assert_allclose(found.standardiser.mean, rows.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(found.standardiser.scale, rows.std(axis=0), rtol=1e-3, atol=1e-5)
    assert found.vocabularies == {"pitch": ("high", "low"), "who": ("ann", "bob")}
    assert run(spec) == uri


def test_a_test_label_that_training_never_shows(make_spec: Callable[[], StatisticsSpec], edit_csv: EditCsv) -> None:
    edit_csv(lambda rows: next(row for row in rows if row["split"] == "test").update(pitch="middle"))
    message = r"^task pitch: label 'middle' of corpus tones is in validation or test and never in train; "
    with pytest.raises(InputError, match=message):
        run(make_spec())


def test_a_task_that_no_clip_is_labelled_for(make_spec: Callable[[], StatisticsSpec]) -> None:
    spec = make_spec().model_copy(update={"tasks": {"age": Task(corpus="tones", label="age")}})
    message = r"^task age: no clip of corpus tones has label 'age' and split 'train' in column 'split'; mend the task"
    with pytest.raises(InputError, match=message):
        run(spec)


def test_nothing_to_learn_from(make_spec: Callable[[], StatisticsSpec], edit_csv: EditCsv) -> None:
    edit_csv(lambda rows: [row.update(split="test") for row in rows] and None)
    message = r"^training\.corpora \(tones\) leave no clip to learn from: every one is a test clip; add some$"
    with pytest.raises(InputError, match=message):
        run(make_spec())


def test_targets_of_other_audio_are_refused(
    make_spec: Callable[[], StatisticsSpec], tones: FolderCorpus, tmp_path: Path
) -> None:
    spec = make_spec()
    bare = FolderCorpus(kind="folder", path=tones.path)
    other = prepare(PrepareSpec(name="tones", corpus=bare, workdir=str(tmp_path / "work")))
    with pytest.raises(IntegrityError, match=r"does not hold the embeddings of .*; embed that dataset anew"):
        run(spec.model_copy(update={"audio": (other,)}))
