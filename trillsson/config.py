"""The release config: one YAML file is one release. Every spec that a step takes is defined here, typed and frozen.

Unknown keys are refused; an error names the file, the key, the value and what is allowed.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from trillsson.digests import digest_of
from trillsson.errors import InputError

SAMPLE_RATE = 16_000
"""Hz. Every clip, window and model of this project."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
"""A name that is also a folder: lower-case letters, digits, `-` and `_`."""

TaskName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]{0,62}$")]
"""As `Name`, without `-`: it also names a vocabulary of tensorflow-transform, which would change a `-`."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A finite number above 0."""

RESERVED = ("teacher", "logmel")
"""What the teacher and the baseline are called; no student may be."""


class Spec(BaseModel):
    """A frozen value that knows its own digest. Unknown keys are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def digest(self) -> str:
        """SHA-256 of the spec's canonical JSON."""
        return digest_of(self.model_dump(mode="json"))


class Framing(Spec):
    """How a clip is cut into windows. Part of the identity of every dataset and model.

    Windows start at 0, `hop`, 2 `hop`, ... A window that runs past the clip's end is dropped (`tail: drop`, the
    original's rule) or filled (`tail: pad`); the first window is always kept. Filling mirrors the clip at its end
    as often as needed (`symmetric`, as the original pads) or adds zeros (`constant`).
    """

    window: int = Field(32_000, ge=400, description="samples in a window; 2 s")
    hop: int = Field(32_000, ge=1, description="samples between the starts of windows")
    padding: Literal["symmetric", "constant"] = "symmetric"
    tail: Literal["pad", "drop"] = "pad"


class LogMelSpec(Spec):
    """A log-mel front end. The defaults are TRILLsson's (original code, `export_model/tf_frontend.py`)."""

    bands: int = Field(80, ge=1)
    lowest_hz: float = Field(125.0, ge=0)
    highest_hz: float = Field(7_500.0, le=SAMPLE_RATE / 2)
    frame_length: int = Field(400, ge=1, description="samples; 25 ms")
    frame_step: int = Field(160, ge=1, description="samples; 10 ms")
    fft_length: int = Field(512, ge=2)
    offset: float = Field(1e-3, gt=0, description="added before the natural logarithm")


class GeneratedCorpus(Spec):
    """Speech made on the spot by espeak-ng: seven labelled tasks, the same bytes for the same seed."""

    kind: Literal["generated"]
    seed: int = 0
    scale: float = Field(1.0, gt=0, le=4, description="1.0 is about 3,000 clips, 110 minutes")


class FolderCorpus(Spec):
    """A folder of audio files (wav, flac, ogg, mp3), local or `gs://`, with an optional CSV of labels."""

    kind: Literal["folder"]
    path: str = Field(min_length=1)
    csv: str | None = Field(None, description="relative to path; its first column is each file's path")
    labels: tuple[str, ...] | None = Field(None, description="CSV columns to keep; all if not given")
    speaker: str | None = Field(None, description="CSV column that names the speaker")
    split: str | None = Field(None, description="CSV column that names the split")
    max_reject_fraction: float = Field(0.0, ge=0, lt=1, description="prepare fails above this share of rejects")


Corpus = Annotated[GeneratedCorpus | FolderCorpus, Field(discriminator="kind")]


class WaveformInput(Spec):
    """The model takes a window's samples, `[1 or n, window]` float32 in [-1, 1]."""

    kind: Literal["waveform"] = "waveform"


class LogMelInput(Spec):
    """The model takes log-mel patches of `frames` frames cut every `hop` frames, `[1, frames, bands]`."""

    kind: Literal["logmel"]
    frames: int = Field(ge=1)
    hop: int = Field(ge=1)
    logmel: LogMelSpec = LogMelSpec()


class ConformerTeacher(Spec):
    """The built-in teacher: a Conformer encoder in CAP12's shape, seeded and untrained.

    CAP12 (arXiv 2110.04621) is layer 12 of a 600M-parameter Conformer; scale it down with these numbers.
    """

    kind: Literal["conformer"]
    dim: int = Field(1024, ge=8)
    layers: int = Field(24, ge=1)
    layer: int = Field(12, ge=1, description="the layer, from 1, whose mean over time is the embedding")
    heads: int = Field(8, ge=1)
    kernel: int = Field(5, ge=1, description="frames in the depthwise convolution")
    seed: int = 0

    @model_validator(mode="after")
    def _consistent(self) -> "ConformerTeacher":
        if self.layer > self.layers:
            raise ValueError(f"layer {self.layer} does not exist in {self.layers} layers")
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} is not a multiple of heads {self.heads}")
        return self


class SavedModelTeacher(Spec):
    """A TensorFlow SavedModel with a declared signature: `[n, window]` waveforms to `{output: [n, dim]}`."""

    kind: Literal["saved_model"]
    path: str = Field(min_length=1)
    dim: int = Field(ge=1)
    signature: str = "serving_default"
    input: str = Field("waveform", description="name of the signature's argument")
    output: str = Field("embedding", description="key of the result that holds the embedding")


class TFLiteTeacher(Spec):
    """A TFLite file with a declared input and embedding tensor. Patches of a window are averaged."""

    kind: Literal["tflite"]
    path: str = Field(min_length=1)
    dim: int = Field(ge=1)
    tensor: str = Field(min_length=1, description="name of the embedding tensor, which need not be an output")
    input: Annotated[WaveformInput | LogMelInput, Field(discriminator="kind")] = WaveformInput()


class LogMelBaseline(Spec):
    """Mean and standard deviation over time of a window's log-mel bands: the floor any model has to beat."""

    kind: Literal["logmel"] = "logmel"
    logmel: LogMelSpec = LogMelSpec(bands=64)


class BundleEmbedder(Spec):
    """An exported student: a bundle folder, embedded through its SavedModel."""

    kind: Literal["bundle"]
    path: str = Field(min_length=1)


Teacher = Annotated[ConformerTeacher | SavedModelTeacher | TFLiteTeacher, Field(discriminator="kind")]
EmbedderSpec = Annotated[
    ConformerTeacher | SavedModelTeacher | TFLiteTeacher | LogMelBaseline | BundleEmbedder,
    Field(discriminator="kind"),
]


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


class Release(Spec):
    """One release: from corpora to published versions."""

    name: Name
    workdir: str = Field(min_length=1, description="folder or gs:// prefix of everything between the steps")
    registry: str = Field(min_length=1, description="folder or gs:// prefix where versions are published")
    framing: Framing = Framing()
    corpora: dict[Name, Corpus] = Field(min_length=1)
    teacher: Teacher
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
        for key, path in (("workdir", self.workdir), ("registry", self.registry)):
            if path.startswith("~") or ("://" in path and not path.startswith("gs://")):
                raise ValueError(f"{key} {path!r} is neither a folder nor gs://bucket/prefix; write it out")
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


def load_release(path: Path) -> Release:
    """Reads and validates a release config.

    Raises:
        InputError: the file is missing, is not YAML, or does not fit; names the file, the key and the value.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InputError(f"cannot read config {path}: {reason}; name an existing YAML file") from error
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        where = re.sub(r"\s+", " ", str(error))
        raise InputError(f"config {path} is not valid YAML: {where}") from error
    if not isinstance(raw, Mapping):
        raise InputError(f"config {path} holds {type(raw).__name__}, not a mapping; see configs/quickstart.yaml")
    return parse_release(raw, source=str(path))


def parse_release(raw: Mapping[str, Any], *, source: str) -> Release:
    """Validates a parsed config; `source` names it in errors.

    Raises:
        InputError: an unknown key, a wrong type or a value out of range.
    """
    try:
        return Release.model_validate(raw)
    except ValidationError as error:
        # A misspelt key is also a missing one; the spelling is what has to be mended.
        first = min(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        key = ".".join(str(part) for part in first["loc"]) or "the config as a whole"
        raise InputError(f"config {source}: {key}: {_reason(first)}{more}") from error


def _reason(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return "unknown key; remove it or mend its spelling"
    if error["type"] == "missing":
        return "is required and missing"
    value = "" if isinstance(error["input"], Mapping) else f", got {error['input']!r}"
    return f"{error['msg'].removeprefix('Value error, ')}{value}"
