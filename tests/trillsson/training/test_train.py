"""Training: deterministic, resumable to the same weights, and honest about a loss that runs away."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trillsson.config import Framing, Student, Task, Training
from trillsson.errors import InputError, IntegrityError
from trillsson.training import train
from trillsson.training.train import SUMMARY, WEIGHTS, TrainingSummary, TrainSpec, run


def weights_of(uri: str) -> list[np.ndarray]:
    with np.load(Path(uri) / WEIGHTS) as arrays:
        return [arrays[name] for name in arrays.files]


def elsewhere(spec: TrainSpec, folder: Path, **changes: Any) -> TrainSpec:
    training = spec.training.model_copy(update=changes)
    return spec.model_copy(update={"workdir": str(folder), "training": training})


def same(one: list[np.ndarray], two: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_killed_and_resumed_gives_the_weights_of_an_uninterrupted_training(
    train_spec: TrainSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(elsewhere(train_spec, tmp_path / "whole"))
    save, saved = train.save_checkpoint, []

    def dies_after_the_second(storage: Any, model: Any, history: Any) -> None:
        save(storage, model, history)
        saved.append(history[-1]["step"])
        if len(saved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(train, "save_checkpoint", dies_after_the_second)
    with pytest.raises(KeyboardInterrupt):
        run(train_spec)
    resumed = run(train_spec)
    assert saved == [2, 4, 6]
    assert same(weights_of(resumed), weights_of(whole))
    assert (Path(resumed) / SUMMARY).read_text() == (Path(whole) / SUMMARY).read_text()


def test_the_seed_decides_and_a_finished_training_is_found(
    train_spec: TrainSpec, make_statistics: Callable[[Training], str], tmp_path: Path
) -> None:
    short = elsewhere(train_spec, tmp_path / "one", steps=2)
    first = run(short)
    assert run(short) == first
    assert same(weights_of(first), weights_of(run(elsewhere(short, tmp_path / "two"))))
    other = elsewhere(short, tmp_path / "three", seed=1)
    other = other.model_copy(update={"statistics": make_statistics(other.training)})
    assert not same(weights_of(first), weights_of(run(other)))


def test_a_student_fed_with_pcm_answers_as_to_the_waveform() -> None:
    student = train.build_model(Student(architecture="nano"), dim=4, framing=Framing(window=8_000, hop=8_000), seed=0)
    pcm = np.random.default_rng(0).integers(-9_000, 9_000, (2, 8_000), dtype=np.int16)
    found = train._fed_pcm(student, Framing(window=8_000, hop=8_000)).predict_on_batch(pcm)
    np.testing.assert_allclose(found, student.predict_on_batch(pcm / np.float32(32_768)), atol=1e-6)


def test_a_changed_exclusion_trains_anew(
    train_spec: TrainSpec, exclude: Callable[[Path, Sequence[str]], str], tmp_path: Path
) -> None:
    short = elsewhere(train_spec, tmp_path / "work", steps=1)
    whole = run(short)
    same_clips = short.model_copy(update={"screened": exclude(tmp_path / "none", [])})
    assert run(same_clips) == whole
    less = [f"speech/{number:03d}#0" for number in range(40, 60)]
    longer = elsewhere(short, tmp_path / "work", steps=30)
    with pytest.raises(IntegrityError, match=r"^the statistics count .* windows, the shards hold .*; run statistics"):
        run(longer.model_copy(update={"screened": exclude(tmp_path / "some", less)}))


def test_a_screening_of_something_else_is_refused(train_spec: TrainSpec) -> None:
    tasks = {**train_spec.tasks, "more": Task(corpus="speech", label="digit", split="third_split")}
    with pytest.raises(InputError, match=r" was screened for other tasks, task more differs; run screen again$"):
        run(train_spec.model_copy(update={"tasks": tasks}))


def test_it_learns_and_tells_how(train_spec: TrainSpec, tmp_path: Path) -> None:
    uri = run(elsewhere(train_spec, tmp_path / "long", steps=40, checkpoint_every=20, learning_rate=3e-3))
    summary = TrainingSummary.model_validate_json((Path(uri) / SUMMARY).read_text())
    assert [entry["step"] for entry in summary.history] == [20, 40]
    assert summary.history[1]["loss"] < 0.7 * summary.history[0]["loss"]
    assert list((Path(uri).parent / "tensorboard").glob("events.*"))
    assert [path.name for path in (Path(uri).parent / "checkpoints").glob("*.npz")] == ["00000040.npz"]


def test_a_loss_that_is_not_finite(train_spec: TrainSpec, tmp_path: Path) -> None:
    message = r"^student 'nano': loss is nan and validation loss nan at step 2; lower its learning_rate$"
    with pytest.raises(InputError, match=message):
        run(elsewhere(train_spec, tmp_path / "wild", learning_rate=1e30, warmup_steps=0))


def test_no_clip_to_validate_on(train_spec: TrainSpec, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no clip is held out for validation; raise training\.validation_fraction"):
        run(elsewhere(train_spec, tmp_path / "none", validation_fraction=1e-9, batch_size=4))
