"""statistics: what tensorflow-transform saves is what numpy finds in the training clips, and nothing else."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.beam.embed import EmbedSpec
from pipelines.beam.embed import run as embed
from pipelines.beam.prepare import PrepareSpec
from pipelines.beam.prepare import run as prepare
from pipelines.beam.statistics import StatisticsSpec, run
from trillsson.config import ConformerTeacher, FolderCorpus, Framing, Task, Training
from trillsson.errors import InputError, IntegrityError
from trillsson.folders import commit_folder
from trillsson.pairs import open_pair, read_pair
from trillsson.records import Clip
from trillsson.training.exclusions import EXCLUDED, read_screened
from trillsson.training.pool import part_of
from trillsson.training.screen import ScreenSpec
from trillsson.training.screen import run as screen
from trillsson.training.targets import read_statistics

EditCsv = Callable[[Callable[[list[dict[str, str]]], None]], None]
FRAMING = Framing(window=16_000, hop=16_000)
TEACHER = ConformerTeacher(kind="conformer", dim=16, layers=1, layer=1, heads=2)


PITCH = {"pitch": Task(corpus="tones", label="pitch")}
BOTH = {**PITCH, "who": Task(corpus="tones", label="speaker")}
MakeSpec = Callable[..., StatisticsSpec]


@pytest.fixture
def make_spec(tones: FolderCorpus, tmp_path: Path) -> MakeSpec:
    def make(validation_fraction: float = 0.25, tasks: dict[str, Task] = PITCH) -> StatisticsSpec:
        workdir = str(tmp_path / "work")
        training = Training(corpora=("tones",), steps=1, validation_fraction=validation_fraction)
        audio = (prepare(PrepareSpec(name="tones", corpus=tones, workdir=workdir)),)
        targets = embed(EmbedSpec(audio=audio, embedder=TEACHER, framing=FRAMING, workdir=workdir, name="teacher"))
        return StatisticsSpec(
            audio=audio,
            targets=targets,
            screened=screen(ScreenSpec(audio=audio, training=training, tasks=tasks, workdir=workdir)),
            training=training,
            tasks=tasks,
            workdir=workdir,
        )

    return make


def test_mean_scale_and_vocabularies_are_those_of_the_training_clips(
    make_spec: MakeSpec, edit_csv: EditCsv, tmp_path: Path
) -> None:
    edit_csv(lambda rows: [row.update(speaker="bob") for row in rows if row["speaker"] in ("cem", "dov")] and None)
    spec = make_spec(tasks=BOTH)
    uri = run(spec)
    pair = open_pair(spec.audio[0], spec.targets[0])
    clips = [each for shard in pair.shards for each in read_pair(shard, cache=tmp_path)]
    rows = np.concatenate([rows for clip, rows in clips if part_of(clip, (), spec.training) == "train"])
    found = read_statistics(Path(uri))
    assert found.windows == len(rows)
    np.testing.assert_allclose(found.standardiser.mean, rows.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(found.standardiser.scale, rows.std(axis=0), rtol=1e-3, atol=1e-5)
    assert found.vocabularies == {"pitch": ("high", "low"), "who": ("ann", "bob")}
    assert run(spec) == uri


COPIES = {
    "zoe/1.wav": "dov/03.flac",
    "zoe/2.flac": "dov/07.flac",
    "zoe/3.flac": "ann/00.wav",
    "zoe/4.wav": "ann/00.wav",
}
"""Copy -> original. The copies come after, so that of each two it is the copy that goes; dov's clips are test."""


def test_copies_of_a_test_clip_and_of_each_other_change_nothing(
    make_spec: MakeSpec, tones: FolderCorpus, edit_csv: EditCsv, tmp_path: Path
) -> None:
    edit_csv(lambda rows: [row.update(speaker="bob") for row in rows if row["speaker"] in ("cem", "dov")] and None)
    before = read_statistics(Path(run(make_spec(tasks=BOTH))))
    folder = Path(tones.path)
    (folder / "zoe").mkdir()
    for copy, original in COPIES.items():
        if Path(copy).suffix == Path(original).suffix:
            shutil.copy(folder / original, folder / copy)
        else:
            samples, rate = soundfile.read(folder / original, dtype="int16")
            soundfile.write(folder / copy, samples, rate)
    more = [{"path": copy, "speaker": "ann", "split": "train", "pitch": "low"} for copy in COPIES]
    edit_csv(lambda rows: rows.extend(more))
    spec = make_spec(tasks=BOTH)
    assert [(each.key, each.reason, each.of) for each in read_screened(spec.screened).exclusions] == [
        ("tones/zoe/1.wav#0", "leak", "tones/dov/03.flac#0"),
        ("tones/zoe/2.flac#0", "leak", "tones/dov/07.flac#0"),
        ("tones/zoe/3.flac#0", "duplicate", "tones/ann/00.wav#0"),
        ("tones/zoe/4.wav#0", "duplicate", "tones/ann/00.wav#0"),
    ]
    after = read_statistics(Path(run(spec)))
    assert after.windows == before.windows
    np.testing.assert_allclose(after.standardiser.mean, before.standardiser.mean, rtol=1e-6)
    np.testing.assert_allclose(after.standardiser.scale, before.standardiser.scale, rtol=1e-6)
    assert after.vocabularies == before.vocabularies

    made = tmp_path / "nothing" / "made"
    shutil.copytree(spec.screened, made)
    (made / EXCLUDED).write_text("")
    nothing_excluded = commit_folder(str(tmp_path / "nothing" / "stored"), made)
    whole = read_statistics(Path(run(spec.model_copy(update={"screened": nothing_excluded}))))
    learnt = [copy for copy in COPIES if part_of(Clip(key=f"tones/{copy}#0"), (), spec.training) == "train"]
    frames = [soundfile.info(folder / copy).frames for copy in learnt]
    assert frames
    assert whole.windows == before.windows + sum(math.ceil(each / FRAMING.window) for each in frames)


def test_another_runner_needs_a_folder_that_all_hosts_see(make_spec: MakeSpec) -> None:
    spec = make_spec().model_copy(update={"workdir": "gs://bucket/work", "beam_options": ("--runner=FlinkRunner",)})
    told = "statistics on another runner needs a workdir that all hosts mount, not gs://bucket/work"
    message = f"^{told}; without --runner it runs on this machine$"
    with pytest.raises(InputError, match=message):
        run(spec)


def test_every_clip_is_held_out(make_spec: MakeSpec) -> None:
    message = (
        r"^training\.corpora \(tones\) leave no clip to learn from: every one is a test clip, is held out by "
        r"training\.validation_fraction, equals another or has no target; add some$"
    )
    with pytest.raises(InputError, match=message):
        run(make_spec(validation_fraction=0.999_999))


def test_a_screening_for_other_tasks_is_refused(make_spec: MakeSpec) -> None:
    spec = make_spec()
    with pytest.raises(InputError, match=r" was screened for other tasks, task who differs; run screen again$"):
        run(spec.model_copy(update={"tasks": BOTH}))


def test_targets_of_other_audio_are_refused(make_spec: MakeSpec, tones: FolderCorpus, tmp_path: Path) -> None:
    spec = make_spec()
    bare = FolderCorpus(kind="folder", path=tones.path)
    other = prepare(PrepareSpec(name="tones", corpus=bare, workdir=str(tmp_path / "work")))
    with pytest.raises(IntegrityError, match=r"does not hold the embeddings of .*; embed that dataset anew"):
        run(spec.model_copy(update={"audio": (other,)}))
