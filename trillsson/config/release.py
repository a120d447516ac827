"""A release: from corpora to published versions."""

from collections import Counter
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from trillsson.config.base import Framing, Name, Positive, Spec, TaskName
from trillsson.config.corpora import Corpus, CorpusSpec
from trillsson.config.models import Embedding, Teacher

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


def _refuse_other_places(places: Mapping[str, str]) -> None:
    for key, path in places.items():
        if path.startswith("~") or ("://" in path and not path.startswith("gs://")) or "\0" in path:
            raise ValueError(f"{key} {path!r} is neither a folder nor gs://bucket/prefix; write it out")
