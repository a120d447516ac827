"""The recipe of one clip: everything that decides its samples, as a frozen value."""

from dataclasses import dataclass
from typing import Literal

from trillsson.generated.espeak import Speech
from trillsson.generated.voices import Split


@dataclass(frozen=True)
class Effect:
    """What is done to the speech itself: the cue of spoofed and of slurred speech.

    Attributes:
        kind: a function of `trillsson.generated.effects`, or `none`.
        amount: its iterations, order, bins or frames.
        strength: 0 to 1, of `slur` only.
    """

    kind: Literal["none", "griffin_lim", "lpc_vocoder", "smear", "slur"] = "none"
    amount: int = 0
    strength: float = 0.0


@dataclass(frozen=True)
class Channel:
    """How the clip was recorded. It tells nothing about the label, but for emotions, which turn level and slope.

    Attributes:
        seconds: of the clip. Longer speech is cut, shorter is set in silence.
        position: 0 to 1, where in the speech the cut starts, or where in the silence the speech does.
        slope: of the whole spectrum, dB an octave.
        snr: speech above noise, dB.
        noise_slope: of the noise's spectrum, dB an octave.
        level: root mean square of the clip, dB of full scale.
    """

    seconds: float
    position: float
    slope: float
    snr: float
    noise_slope: float
    level: float


@dataclass(frozen=True)
class Utterance:
    """One clip of the corpus.

    Attributes:
        task: a column of `labels.csv`.
        split: train, validation or test.
        label: the class.
        index: from 0, among the clips of this task, split and label.
        speech: what espeak-ng says.
        effect: what is done to it.
        channel: how it is recorded.
        seed: of noise and random phases.
        extension: flac or wav, drawn without a look at the label.
    """

    task: str
    split: Split
    label: str
    index: int
    speech: Speech
    effect: Effect
    channel: Channel
    seed: int
    extension: Literal["flac", "wav"]

    @property
    def path(self) -> str:
        """The file's POSIX path in the corpus folder."""
        return f"{self.task}/{self.split}/{self.label}-{self.index:03}.{self.extension}"
