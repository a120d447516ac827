"""train: one student learns the teacher's targets, window by window (local matching, mean squared error).

Deterministic under its seed; killed anywhere, it goes on from its last checkpoint to the same weights.
"""

import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

import trillsson
from trillsson.audio import PCM_SCALE
from trillsson.config import Framing, Name, Spec, Student, Task, TaskName, Training
from trillsson.digests import SHORT, digest_of
from trillsson.errors import InputError
from trillsson.folders import commit_folder, find_folder, local_folder
from trillsson.pairs import DatasetPair, open_pairs
from trillsson.progress import Stopwatch, bar, say
from trillsson.storage import join, open_storage
from trillsson.training.board import open_board
from trillsson.training.checkpoints import pack_variables, restore_checkpoint, save_checkpoint
from trillsson.training.data import Batch, Windows, count_windows, open_windows
from trillsson.training.exclusions import Screened, read_screened
from trillsson.training.pool import split_columns
from trillsson.training.targets import Statistics, read_statistics

SCHEMA_VERSION = 2
WEIGHTS = "weights.npz"
SUMMARY = "training.json"


class TrainSpec(Spec):
    """Which student to train, on what, and below which folder the result goes."""

    name: Name
    student: Student
    training: Training = Field(description="the student's own numbers already put in")
    tasks: dict[TaskName, Task]
    audio: tuple[str, ...]
    targets: tuple[str, ...]
    statistics: str
    screened: str = Field(description="the folder that the screening of the audio left")
    framing: Framing
    workdir: str


class TrainingSummary(Spec):
    """What came of a training: `training.json` beside the weights."""

    steps: int
    windows: int = Field(description="training windows in one epoch")
    loss: float = Field(description="mean squared error of standardised targets, last interval")
    validation_loss: float
    history: tuple[dict[str, float], ...] = Field(description="step, loss and validation_loss of every interval")


def run(spec: TrainSpec) -> str:
    """Trains a student and returns the URI of the folder with its weights, or finds what an earlier run left.

    Raises:
        InputError: the audio was not screened for this, there is too little to learn from, or the loss is no longer
            finite.
        IntegrityError: data do not match their manifests.
    """
    pairs = [pair for pair in open_pairs(spec.audio, spec.targets) if pair.corpus in spec.training.corpora]
    screened = read_screened(spec.screened)
    screened.check([pair.audio for pair in pairs], corpora=spec.training.corpora, tasks=spec.tasks)
    uri = join(open_storage(spec.workdir).uri, "training", spec.name, _identity(spec, pairs, screened))
    if found := find_folder(uri):
        return found
    watch = Stopwatch()
    with tempfile.TemporaryDirectory(prefix="trillsson-") as folder:
        statistics = read_statistics(local_folder(spec.statistics, Path(folder) / "statistics"))
        windows = open_windows(
            pairs,
            spec.training,
            tasks=spec.tasks,
            excluded=screened.keys,
            standardiser=statistics.standardiser,
            framing=spec.framing,
            cache=Path(folder) / "shards",
        )
        model, summary = _train(spec, windows, statistics, uri=uri)
        made = Path(folder) / "made"
        made.mkdir()
        (made / WEIGHTS).write_bytes(pack_variables(model.variables))
        (made / SUMMARY).write_text(summary.model_dump_json(indent=1), encoding="utf-8")
        stored = commit_folder(uri, made)
    say(f"train {spec.name}: {summary.steps} steps, validation loss {summary.validation_loss:.4f} [{watch}]")
    return stored


def build_model(student: Student, *, dim: int, framing: Framing, seed: int) -> Any:
    """Builds a student with fresh weights, the same for the same seed, taking `[batch, window]` waveforms."""
    from trillsson.students import build_student

    return build_student(student.architecture, dim=dim, window=framing.window, seed=seed)


def _identity(spec: TrainSpec, pairs: Sequence[DatasetPair], screened: Screened) -> str:
    return digest_of(
        {
            "step": "train",
            "schema_version": SCHEMA_VERSION,
            "student": spec.student.architecture,
            "training": spec.training.model_dump(mode="json", exclude={"checkpoint_every"}),
            "datasets": [(pair.audio.id, pair.embeddings.id) for pair in pairs],
            # The statistics follow from these; of the tasks, only which clips they test on matters.
            "test_columns": {pair.corpus: split_columns(pair.corpus, spec.tasks) for pair in pairs},
            "excluded": screened.digest,
            "code": [trillsson.__version__, version("keras"), version("tensorflow")],
        }
    )[:SHORT]


def _train(spec: TrainSpec, windows: Windows, statistics: Statistics, *, uri: str) -> tuple[Any, TrainingSummary]:
    """Runs the loop from the last checkpoint to the last step."""
    import tensorflow as tf

    training, storage = spec.training, open_storage(uri)
    tf.config.experimental.enable_op_determinism()
    student = build_model(spec.student, dim=statistics.standardiser.dim, framing=spec.framing, seed=training.seed)
    model = _fed_pcm(student, spec.framing)
    _compile(model, training)
    if not count_windows(windows.held_out):
        raise InputError("no clip is held out for validation; raise training.validation_fraction or add audio")
    history = restore_checkpoint(storage, model)
    done = int(history[-1]["step"]) if history else 0
    batches = windows.batches(statistics.windows, start=done)
    with open_board(uri) as board, bar(f"train {spec.name}", training.steps, unit="steps", initial=done) as progress:
        while done < training.steps:
            loss = _learn(model, batches, min(training.checkpoint_every, training.steps - done), progress)
            done = progress.n
            entry = {"step": done, "loss": loss, "validation_loss": _validate(model, windows)}
            if not np.isfinite([*entry.values()]).all():
                told = f"loss is {loss:g} and validation loss {entry['validation_loss']:g} at step {done}"
                raise InputError(f"student {spec.name!r}: {told}; lower its learning_rate")
            history.append(entry)
            board({**entry, "learning_rate": float(model.optimizer.learning_rate)})
            progress.set_postfix_str(f"loss {loss:.4f}, validation {entry['validation_loss']:.4f}")
            save_checkpoint(storage, model, history)
    summary = TrainingSummary(
        steps=done,
        windows=statistics.windows,
        loss=history[-1]["loss"],
        validation_loss=history[-1]["validation_loss"],
        history=tuple(history),
    )
    return model, summary


def _fed_pcm(student: Any, framing: Framing) -> Any:
    """Returns the student as a model of int16 samples: half the bytes on their way to the device."""
    import keras

    pcm = keras.Input((framing.window,), dtype="int16")
    return keras.Model(pcm, student(keras.layers.Rescaling(1 / PCM_SCALE)(pcm)))


def _compile(model: Any, training: Training) -> None:
    """Compiles with AdamW, warm-up and cosine decay to zero; biases and normalisation are not decayed."""
    import keras

    rate = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if training.warmup_steps else training.learning_rate,
        decay_steps=max(1, training.steps - training.warmup_steps),
        warmup_target=training.learning_rate if training.warmup_steps else None,
        warmup_steps=training.warmup_steps,
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=training.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(optimizer=optimizer, loss="mse", jit_compile=False)
    optimizer.build(model.trainable_variables)


def _learn(model: Any, batches: Iterator[Batch], steps: int, progress: Any) -> float:
    """Takes some steps and returns their mean loss."""
    losses = []
    for waveforms, targets in islice(batches, steps):
        losses.append(model.train_on_batch(waveforms, targets, return_dict=True)["loss"])
        model.reset_metrics()
        progress.update()
    return float(np.mean(losses))


def _validate(model: Any, windows: Windows) -> float:
    """Returns the mean squared error over the validation windows."""
    squares, count = 0.0, 0
    for waveforms, targets in windows.validation():
        squares += float(np.square(model.predict_on_batch(waveforms) - targets).mean(axis=1).sum())
        count += len(targets)
    return squares / count
