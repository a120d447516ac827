"""Fixtures for the benchmark's tests: small tasks with a known answer, and results made of literals."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trillsson.config import Release, parse_release
from trillsson.noss.probes import TaskScore
from trillsson.noss.results import ModelResult
from trillsson.noss.tasks import TaskData

MakeData = Callable[..., TaskData]
MakeScore = Callable[..., TaskScore]
MakeResult = Callable[..., ModelResult]


@pytest.fixture
def make_data() -> MakeData:
    """Makes a task whose classes are shifted along their own axis: `spread` 0 is trivial, large ones are noise."""

    def make(*, classes: int = 3, speakers: int = 5, clips: int = 4, spread: float = 0.0, dim: int = 8) -> TaskData:
        rng = np.random.default_rng(7)
        rows = [
            (f"clip-{voice}-{label}-{take}", f"class-{label}", f"voice-{voice}", "test" if voice == 0 else "train")
            for voice in range(speakers)
            for label in range(classes)
            for take in range(clips)
        ]
        keys, labels, voices, splits = zip(*rows, strict=True)
        centres = np.eye(dim)[[int(label.removeprefix("class-")) for label in labels]]
        embeddings = (centres + spread * rng.standard_normal(centres.shape)).astype(np.float32)
        return TaskData(keys, embeddings, labels, voices, splits)

    return make


@pytest.fixture
def make_score() -> MakeScore:
    """Makes a score with literal numbers; keywords replace any of them."""

    def make(task: str = "emotion", value: float = 0.8, **changes: Any) -> TaskScore:
        fields: dict[str, Any] = {
            "task": task,
            "metric": "accuracy",
            "value": value,
            "low": max(0.0, value - 0.05),
            "high": min(1.0, value + 0.05),
            "chance": 0.25,
            "classes": 4,
            "train": 80,
            "validation": 20,
            "test": 50,
            "penalty": 0.1,
            "validation_value": 0.82,
            "carved": "speaker",
            "converged": True,
        }
        return TaskScore(**(fields | changes))

    return make


@pytest.fixture
def make_result(make_score: MakeScore) -> MakeResult:
    """Makes a model's result from the values of its scores; keywords replace any field."""

    def make(
        name: str = "nano", role: str = "student", values: dict[str, float] | None = None, **changes: Any
    ) -> ModelResult:
        fields: dict[str, Any] = {
            "name": name,
            "role": role,
            "dim": 1024,
            "size_mb": {"saved_model": 5.31, "tflite": 1.62} if role == "student" else None,
            "ms_per_second": 2.5,
            "parity": {"saved_model": 1e-6, "tflite": 3e-4} if role == "student" else {},
            "scores": {task: make_score(task, value) for task, value in (values or {"emotion": 0.8}).items()},
            "provenance": {"embeddings": "3f9a"},
        }
        return ModelResult(**(fields | changes))

    return make


@pytest.fixture
def release() -> Release:
    """A release with the tasks `emotion` and `spoof` and a gate."""
    return parse_release(
        {
            "name": "sample",
            "workdir": "work",
            "registry": "registry",
            "corpora": {"speech": {"kind": "generated"}},
            "teacher": {"kind": "conformer"},
            "students": {"nano": {"architecture": "nano"}},
            "training": {"corpora": ["speech"], "steps": 10},
            "tasks": {
                "emotion": {"corpus": "speech", "label": "emotion"},
                "spoof": {"corpus": "speech", "label": "spoof", "metric": "equal_error_rate"},
            },
            "gate": {"teacher_fraction": 0.9, "min_tasks": 2, "max_size_mb": 30},
        },
        source="test",
    )
