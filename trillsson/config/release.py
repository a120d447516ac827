"""A release: one YAML file, from corpora to published versions. Unknown keys are refused.

An error names the file, the key, the value and what is allowed.
"""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import Field, ValidationError, model_validator

from trillsson.config.base import Framing, Name, Positive, Spec, TaskName
from trillsson.config.corpora import Corpus, CorpusSpec
from trillsson.config.mistakes import tell
from trillsson.config.models import Embedding, Teacher
from trillsson.errors import InputError

S = TypeVar("S", bound=Spec)

RESERVED = ("teacher", "logmel")
"""What the teacher and the baseline are called; no student may be."""


class Training(Spec):
    """How students are trained: local matching, mean squared error, AdamW with warm-up and cosine decay."""

    corpora: tuple[Name, ...] = Field(min_length=1, description="corpora whose clips outside test are learnt from")
    steps: int = Field(ge=1)
    batch_size: int = Field(64, ge=1, description="windows in a batch")
    learning_rate: Positive = 1e-3
    warmup_steps: int = Field(0, ge=0)
    weight_decay: float = Field(1e-4, ge=0, allow_inf_nan=False)
    validation_fraction: float = Field(0.1, gt=0, lt=1, description="share of the clips held out of training")
    checkpoint_every: int = Field(100, ge=1, description="steps")
    seed: int = 0


class Student(Spec):
    """One student: an architecture, and what it trains with where that differs from `training`."""

    architecture: Literal["nano", "trillsson1"]
    steps: int | None = Field(None, ge=1)
    batch_size: int | None = Field(None, ge=1)
    learning_rate: Positive | None = None


class Task(Spec):
    """One NOSS evaluation: a labelled dataset, a split rule, a metric."""

    corpus: Name
    label: str = Field(min_length=1, description="CSV column that holds the class")
    split: str | None = Field(None, description="CSV column of the split, where it is not the corpus's own")
    metric: Literal["accuracy", "balanced_accuracy", "equal_error_rate"] = "accuracy"
    carve_by: Literal["speaker", "clip"] = Field(
        "speaker", description="how validation is carved from train where the set has none"
    )


class Evaluation(Spec):
    """How probes are fitted and how sure their scores are."""

    penalties: tuple[Positive, ...] = Field((1e-3, 1e-2, 1e-1, 1.0, 10.0), min_length=1, description="C of the probe")
    bootstrap: int = Field(1000, ge=100, description="resamples of the test set for the 95 % interval")
    validation_fraction: float = Field(0.2, gt=0, lt=1, description="share carved from train where there is none")
    seed: int = Field(0, ge=0)


class Gate(Spec):
    """What a student must reach to be published."""

    teacher_fraction: float = Field(
        gt=0, allow_inf_nan=False, description="share of the teacher's score that counts as kept"
    )
    min_tasks: int = Field(ge=1, description="tasks on which that share must be kept")
    max_size_mb: Positive = Field(description="largest of the exported formats, in 10^6 bytes")
    max_parity: float = Field(
        1e-3, gt=0, allow_inf_nan=False, description="largest relative difference between an export and Keras"
    )


class Resources(Spec):
    """What the Kubernetes pods of a release ask for."""

    image: str = "trillsson:latest"
    cpu: str = "2"
    memory: str = "8Gi"
    gpu: int = Field(1, ge=0, description="GPUs of one training pod")
    gpu_type: str = "nvidia.com/gpu"
    volume_claim: str = Field("trillsson-work", description="claim mounted at the folder of workdir and registry")
    mount_path: str = "/data"
    parallelism: int = Field(0, ge=0, description="corpora or students worked on at once; 0 is no limit")


class Preparation(Spec):
    """What `prepare` needs of a release: corpora, and where their audio goes."""

    workdir: str = Field(min_length=1, description="folder or gs:// prefix of everything between the steps")
    corpora: dict[Name, Corpus] = Field(min_length=1)
    beam: tuple[str, ...] = Field((), description="Beam's options for the data jobs, such as --runner=FlinkRunner")

    @model_validator(mode="after")
    def _can_be_reached(self) -> "Preparation":
        _refuse_other_places({"workdir": self.workdir})
        _refuse_other_places(
            {f"corpora.{name}.path": one.path for name, one in self.corpora.items() if isinstance(one, CorpusSpec)}
        )
        return self


class Release(Preparation):
    """One release: from corpora to published versions."""

    name: Name
    registry: str = Field(min_length=1, description="folder or gs:// prefix where versions are published")
    framing: Framing = Framing()
    teacher: Teacher
    embedding: Embedding = Embedding()
    students: dict[Name, Student] = Field(min_length=1)
    training: Training
    tasks: dict[TaskName, Task] = Field(min_length=1)
    evaluation: Evaluation = Evaluation()
    gate: Gate | None = Field(None, description="without a gate nothing can be published")
    resources: Resources = Resources()

    @model_validator(mode="after")
    def _names_exist(self) -> "Release":
        wanted = [(f"tasks.{name}.corpus", task.corpus) for name, task in self.tasks.items()]
        wanted += [("training.corpora", corpus) for corpus in self.training.corpora]
        for key, corpus in wanted:
            if corpus not in self.corpora:
                raise ValueError(f"{key} names {corpus!r}; corpora has {', '.join(sorted(self.corpora))}")
        for corpus, count in Counter(self.training.corpora).items():
            if count > 1:
                raise ValueError(f"training.corpora names {corpus!r} {count} times; name it once")
        _refuse_other_places({"registry": self.registry})
        for name in self.students:
            if name in RESERVED:
                raise ValueError(
                    f"students.{name} has a name of another model; choose another than {', '.join(RESERVED)}"
                )
            training = self.training_of(name)
            if training.warmup_steps >= training.steps:
                raise ValueError(
                    f"student {name} warms up for {training.warmup_steps} of {training.steps} steps; use fewer"
                )
        if self.gate and self.gate.min_tasks > len(self.tasks):
            raise ValueError(f"gate.min_tasks is {self.gate.min_tasks}; there are {len(self.tasks)} tasks")
        return self

    def training_of(self, student: str) -> Training:
        """Returns the training spec of one student: `training` with the student's own numbers put in."""
        own = self.students[student].model_dump(exclude={"architecture"}, exclude_none=True)
        return self.training.model_copy(update=own)


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping, of which YAML's own loader drops the first."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.MarkedYAMLError(problem=f"key {key.value!r} stands twice", problem_mark=key.start_mark)
                seen.add(key.value)
        return node


def _refuse_other_places(places: Mapping[str, str]) -> None:
    for key, path in places.items():
        if path.startswith("~") or ("://" in path and not path.startswith("gs://")) or "\0" in path:
            raise ValueError(f"{key} {path!r} is neither a folder nor gs://bucket/prefix; write it out")


def load_release(path: Path) -> Release:
    """Reads and validates a release config.

    Raises:
        InputError: the file is missing, is not YAML, or does not fit; names the file, the key and the value.
    """
    return parse_release(_read(path), source=str(path))


def load_preparation(path: Path) -> Preparation:
    """Reads and validates a config of which only corpora are to be prepared: see `parse_preparation`.

    Raises:
        InputError: as `load_release`.
    """
    return parse_preparation(_read(path), source=str(path))


def parse_release(raw: Mapping[Any, Any], *, source: str) -> Release:
    """Validates a parsed config; `source` names it in errors.

    Raises:
        InputError: a key that is unknown or missing, a wrong type or a value out of range.
    """
    return _parse(Release, raw, source=source)


def parse_preparation(raw: Mapping[Any, Any], *, source: str) -> Preparation:
    """Validates a parsed config of which only corpora are to be prepared.

    Of a release's keys, those that `Preparation` does not have may be missing; what is there must be right.

    Raises:
        InputError: as `parse_release`.
    """
    later = Release.model_fields.keys() - Preparation.model_fields.keys()
    try:
        return Release.model_validate(raw)
    except ValidationError as error:
        spared = {(key,) for key in later}
        mistakes = [
            each for each in error.errors(include_url=False) if each["type"] != "missing" or each["loc"] not in spared
        ]
        if mistakes:
            raise InputError(tell(mistakes, raw, source=source)) from error
    return _parse(Preparation, {key: value for key, value in raw.items() if key not in later}, source=source)


def _parse(kind: type[S], raw: Mapping[Any, Any], *, source: str) -> S:
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise InputError(tell(error.errors(include_url=False), raw, source=source)) from error


def _read(path: Path) -> Mapping[Any, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InputError(f"cannot read config {path}: {reason}; name an existing YAML file") from error
    try:
        raw = yaml.load(text, _Loader)  # noqa: S506  # a safe one
    except yaml.YAMLError as error:
        where = re.sub(r"\s+", " ", str(error))
        raise InputError(f"config {path} is not valid YAML: {where}") from error
    except (ValueError, RecursionError) as error:  # A date that is none, a number of too many digits, deep nesting.
        reason = re.sub(r"\s+", " ", str(error))
        raise InputError(f"config {path} holds a value that cannot be read: {reason}; quote or mend it") from error
    if not isinstance(raw, Mapping):
        raise InputError(f"config {path} holds {type(raw).__name__}, not a mapping; see configs/quickstart.yaml")
    return raw
