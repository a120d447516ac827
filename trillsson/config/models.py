"""Specs of whatever embeds: teachers, exported students, the baseline."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from trillsson.config.base import SAMPLE_RATE, Framing, Positive, Spec


class LogMelSpec(Spec):
    """A log-mel front end. The defaults are TRILLsson's (original code, `export_model/tf_frontend.py`)."""

    bands: int = Field(80, ge=1)
    lowest_hz: float = Field(125.0, ge=0)
    highest_hz: float = Field(7_500.0, le=SAMPLE_RATE / 2)
    frame_length: int = Field(400, ge=1, description="samples; 25 ms")
    frame_step: int = Field(160, ge=1, description="samples; 10 ms")
    fft_length: int = Field(512, ge=2)
    offset: float = Field(1e-3, gt=0, description="added before the natural logarithm")


class WaveformInput(Spec):
    """The model takes a window's samples, `[1 or n, window]` float32 in [-1, 1]."""

    kind: Literal["waveform"] = "waveform"


class LogMelInput(Spec):
    """The model takes log-mel patches of `frames` frames cut every `hop` frames, `[1, frames, bands]`."""

    kind: Literal["logmel"]
    frames: int = Field(ge=1)
    hop: int = Field(ge=1)
    logmel: LogMelSpec = LogMelSpec()


TFLiteInput = Annotated[WaveformInput | LogMelInput, Field(discriminator="kind")]


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
    input: TFLiteInput = WaveformInput()


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


class Embedding(Spec):
    """How the embed job works."""

    batch_seconds: Positive = Field(64.0, description="seconds of audio in one call of the embedder")
    max_reject_fraction: float = Field(
        0.0, ge=0, lt=1, description="share of clips that may go without an embedding; else the job fails"
    )

    def windows(self, framing: Framing) -> int:
        """Returns how many windows of a framing make a batch: at least one. 32 of 2 s are the knee on CPUs."""
        return max(1, int(self.batch_seconds * SAMPLE_RATE / framing.window))
