"""Fixtures for training: a small audio dataset with targets that can be learnt from it."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from trillsson.audio import frame, from_pcm16, to_pcm16
from trillsson.config import Framing, Student, Task, Training
from trillsson.folders import commit_folder
from trillsson.records import AudioRecord, EmbeddingRecord
from trillsson.training import screen
from trillsson.training.exclusions import EXCLUDED, Exclusion
from trillsson.training.pool import part_of
from trillsson.training.screen import ScreenSpec
from trillsson.training.train import TrainSpec

DIM = 4
FRAMING = Framing(window=8_000, hop=8_000)
CONTENT = {"framing": FRAMING.model_dump(mode="json"), "embedder": {"kind": "test", "dim": DIM}}


@dataclass(frozen=True)
class Speech:
    """URIs of an audio dataset and its targets, what is in them, and which clip has no target."""

    audio: str
    targets: str
    records: tuple[AudioRecord, ...]
    rejected: str


def clip(number: int) -> AudioRecord:
    """A tone of 0.4 to 1.4 s; every fifth clip is test, by one column or the other."""
    rng = np.random.default_rng(number)
    time = np.arange(6_400 + 400 * (number % 40)) / 16_000
    audio = (0.3 * np.sin(2 * np.pi * (200 + 20 * number) * time) + 0.01 * rng.standard_normal(time.size)).astype("f4")
    labels = {"other_split": "test" if number % 10 == 5 else "train", "digit": str(number % 2)}
    return AudioRecord(
        key=f"speech/{number:03d}#0", audio=audio, split="eval" if number % 10 == 0 else "train", labels=labels
    )


def targets_of(record: AudioRecord) -> EmbeddingRecord:
    """What a teacher might say: energies that a student can hear, on a scale of their own."""
    windows = frame(record.audio, FRAMING)
    spectrum = np.abs(np.fft.rfft(windows, axis=1))
    rows = np.stack([np.log(spectrum[:, low : low + 250].sum(axis=1)) for low in range(100, 1_100, 250)], axis=1)
    return EmbeddingRecord(key=record.key, embeddings=(100 + 5 * rows).astype(np.float32))


@pytest.fixture(scope="session")
def speech(store_pair: Callable[..., tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Speech:
    """Three shards of 20 clips each; the last clip of the second shard has no target."""
    records = tuple(clip(number) for number in range(60))
    rejected = records[39].key
    targets = [targets_of(record) for record in records if record.key != rejected]
    audio_uri, targets_uri = store_pair(tmp_path_factory.mktemp("speech"), records, targets, content=CONTENT)
    return Speech(audio_uri, targets_uri, records, rejected)


@pytest.fixture(scope="session")
def training() -> Training:
    return Training(
        corpora=("speech",), steps=6, batch_size=8, warmup_steps=2, checkpoint_every=2, validation_fraction=0.2
    )


@pytest.fixture(scope="session")
def tasks() -> dict[str, Task]:
    """Tasks whose test clips must never be learnt from; one takes its split from a column of its own."""
    return {
        "digit": Task(corpus="speech", label="digit"),
        "other": Task(corpus="speech", label="digit", split="other_split"),
    }


@pytest.fixture(scope="session")
def screened_uri(
    speech: Speech, training: Training, tasks: dict[str, Task], tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The screening of the small dataset: no two of its clips are equal."""
    workdir = str(tmp_path_factory.mktemp("screened"))
    return screen.run(ScreenSpec(audio=(speech.audio,), training=training, tasks=tasks, workdir=workdir))


@pytest.fixture(scope="session")
def exclude(screened_uri: str) -> Callable[[Path, Sequence[str]], str]:
    """Returns a function that writes the same screening, but with some clips excluded, to a folder."""

    def write(folder: Path, keys: Sequence[str]) -> str:
        made = folder / "made"
        shutil.copytree(screened_uri, made)
        lines = [Exclusion(key=key, reason="duplicate", of="speech/000#0").model_dump_json() + "\n" for key in keys]
        (made / EXCLUDED).write_text("".join(lines))
        return commit_folder(str(folder / "stored"), made)

    return write


@pytest.fixture(scope="session")
def make_statistics(speech: Speech, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Training], str]:
    """Commits a folder like the one that the statistics job leaves: mean 100, scale 10, the true window count."""
    import tensorflow as tf

    def make(training: Training) -> str:
        count = len(windows_of(speech, "train", training))

        @tf.function(input_signature=[{"embedding": tf.TensorSpec([None, DIM])}])
        def transform(features: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            zeros = tf.zeros_like(features["embedding"])
            return {"mean": zeros + 100, "scale": zeros + 10, "windows": zeros + count}

        module = tf.Module()
        module.transform_fn = transform.get_concrete_function()
        root = tmp_path_factory.mktemp("statistics")
        tf.saved_model.save(module, str(root / "made/targets/transform_fn"))
        assets = root / "made/labels/transform_fn/assets"
        assets.mkdir(parents=True)
        (assets / "digit_train").write_text("1\n0\n")
        return commit_folder(str(root / "stored"), root / "made")

    return make


@pytest.fixture(scope="session")
def statistics_uri(make_statistics: Callable[[Training], str], training: Training) -> str:
    """The statistics of the small training."""
    return make_statistics(training)


@pytest.fixture
def train_spec(
    speech: Speech,
    training: Training,
    tasks: dict[str, Task],
    statistics_uri: str,
    screened_uri: str,
    tmp_path: Path,
) -> TrainSpec:
    """A training of the nano student on the small dataset, below the test's own folder."""
    return TrainSpec(
        name="nano",
        student=Student(architecture="nano"),
        training=training,
        tasks=tasks,
        audio=(speech.audio,),
        targets=(speech.targets,),
        statistics=statistics_uri,
        screened=screened_uri,
        framing=FRAMING,
        workdir=str(tmp_path / "work"),
    )


def windows_of(speech: Speech, part: str, training: Training) -> list[tuple[np.ndarray, np.ndarray]]:
    """The windows, as int16, and targets of one part, worked out in plain Python."""
    found = []
    for record in speech.records:
        if part_of(record, ("other_split",), training) == part and record.key != speech.rejected:
            windows = frame(from_pcm16(to_pcm16(record.audio)), FRAMING) * 32_768
            found += list(zip(windows.astype(np.int16), targets_of(record).embeddings, strict=True))
    return found


@pytest.fixture(scope="session")
def expected() -> Callable[[Speech, str, Training], list[tuple[np.ndarray, np.ndarray]]]:
    """`windows_of`, for tests."""
    return windows_of
