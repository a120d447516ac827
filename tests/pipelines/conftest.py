"""Fixtures for tests of the jobs: a small labelled folder of audio, and a release on it."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml

from trillsson.config import FolderCorpus, Release, load_release

SPEAKERS = ("ann", "bob", "cem", "dov")
SPLITS = {"ann": "train", "bob": "train", "cem": "validation", "dov": "test"}


@pytest.fixture
def tones(tmp_path: Path) -> FolderCorpus:
    """A corpus of 24 files of 0.6 to 3 s: four speakers (a harmonic each), two classes `pitch` high and low."""
    folder = tmp_path / "tones"
    rows = []
    for number in range(24):
        speaker, pitch = SPEAKERS[number % 4], ("low", "high")[number // 4 % 2]
        hertz = {"low": 200, "high": 900}[pitch] + 7 * number
        time = np.arange(int(16_000 * (0.6 + 0.1 * number))) / 16_000
        noise = np.random.default_rng(number).standard_normal(time.size)
        samples = 0.3 * np.sin(2 * np.pi * hertz * time) + 0.01 * noise
        path = f"{speaker}/{number:02d}.{('wav', 'flac')[number % 2]}"
        (folder / speaker).mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / path, samples, 16_000)
        rows.append({"path": path, "speaker": speaker, "split": SPLITS[speaker], "pitch": pitch})
    write_csv(folder / "labels.csv", rows)
    return FolderCorpus(kind="folder", path=str(folder), csv="labels.csv", speaker="speaker", split="split")


def write_csv(path: Path, rows: list[dict[str, str]]) -> None:
    """Writes rows under the header of the first."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def edit_csv(tones: FolderCorpus) -> Callable[[Callable[[list[dict[str, str]]], None]], None]:
    """Returns a function that changes the rows of the corpus's CSV."""
    path = Path(tones.path) / "labels.csv"

    def edit(change: Callable[[list[dict[str, str]]], None]) -> None:
        with path.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        change(rows)
        write_csv(path, rows)

    return edit


@pytest.fixture
def refuse_work() -> Callable[..., None]:
    """Returns what stands for `make_shards` where nothing may be left to do."""

    def refuse(planned: Sequence[object], work: object, *, weights: object) -> None:
        assert not planned

    return refuse


MakeRelease = Callable[..., tuple[Path, Release]]


@pytest.fixture
def make_release(tones: FolderCorpus, tmp_path: Path) -> MakeRelease:
    """Writes a config that trains one nano student for a few steps, with changes, and reads it back."""

    def make(**changes: Any) -> tuple[Path, Release]:
        config = {
            "name": "tones",
            "workdir": str(tmp_path / "work"),
            "registry": str(tmp_path / "registry"),
            "framing": {"window": 8_000, "hop": 8_000},
            "corpora": {"tones": tones.model_dump(mode="json")},
            "teacher": {"kind": "conformer", "dim": 16, "layers": 1, "layer": 1, "heads": 2},
            "students": {"nano": {"architecture": "nano"}},
            "training": {
                "corpora": ["tones"],
                "steps": 4,
                "batch_size": 8,
                "checkpoint_every": 2,
                "validation_fraction": 0.3,
            },
            "tasks": {"pitch": {"corpus": "tones", "label": "pitch"}},
            "gate": {"teacher_fraction": 0.01, "min_tasks": 1, "max_size_mb": 20},
            "resources": {"parallelism": 1},
            **changes,
        }
        path = tmp_path / "release.yaml"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        return path, load_release(path)

    return make
