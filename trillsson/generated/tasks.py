"""The seven tasks, small versions of those of the Non-Semantic Speech benchmark, as recipes of their clips.

A label is what the generator turned, not what people perceive. What a label does not turn is drawn at random, and
the length and loudness of a clip are drawn from one distribution for all labels of a task (for emotions, loudness is
a cue). A recipe depends on the seed and the clip's name alone: a larger corpus holds the clips of a smaller one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from trillsson.config import GeneratedCorpus
from trillsson.digests import digest_of
from trillsson.generated.espeak import Speech
from trillsson.generated.recipes import Channel, Effect, Utterance
from trillsson.generated.voices import (
    BRITISH_SPEAKERS,
    KEYWORDS,
    LANGUAGES,
    OTHER_WORDS,
    SPEAKERS,
    SPLITS,
    VOICES,
    Split,
    numbers,
    one_of,
    sentences,
)

_FEWEST: Mapping[Split, int] = {"train": 2, "validation": 1, "test": 2}
"""Clips of each class at any scale."""

_WAV_SHARE = 0.1


@dataclass(frozen=True)
class _Clip:
    """What a task is asked for: one clip, with the randomness to draw it."""

    split: Split
    label: str
    index: int
    rng: np.random.Generator

    def about(self, mean: float, spread: float, *, low: int = 0, high: int = 99) -> int:
        """Draws a rounded Gaussian, kept within bounds."""
        return int(np.clip(round(self.rng.normal(mean, spread)), low, high))

    def speech(self, text: str, *, language: str = "en-us", voice: str | None = None) -> Speech:
        """Draws how a text is said: by any voice of the split, at any rate, pitch and range."""
        return Speech(
            language=language,
            voice=voice or one_of(self.rng, VOICES[self.split]),
            text=text,
            rate=self.about(170, 18, low=130, high=220),
            pitch=self.about(50, 12),
            range=self.about(50, 15),
            gap=int(self.rng.integers(3)),
            seed=int(self.rng.integers(2**31)),
        )

    def channel(self, *, seconds: float | None = None, snr: tuple[float, float] = (8, 25)) -> Channel:
        """Draws how the clip is recorded."""
        rng = self.rng
        return Channel(
            seconds=seconds or round(rng.uniform(1.6, 2.8), 3),
            position=round(rng.random(), 6),
            slope=round(rng.normal(0, 1.2), 3),
            snr=round(rng.uniform(*snr), 3),
            noise_slope=round(rng.uniform(-5, 0), 3),
            level=round(rng.uniform(-32, -22), 3),
        )


_Drawn = tuple[Speech, Effect, Channel]


@dataclass(frozen=True)
class _Task:
    """A task's classes, how many clips each has at scale 1, and how one is drawn."""

    labels: tuple[str, ...]
    clips: Mapping[Split, int]
    draw: Callable[[_Clip], _Drawn]


@dataclass(frozen=True)
class _Prosody:
    """What an emotion does to speech: changes of espeak's parameters, of loudness in dB and tilt in dB an octave."""

    pitch: int = 0
    range: int = 0
    rate: int = 0
    gap: int = 0
    loudness: float = 0.0
    slope: float = 0.0


_EMOTIONS: Mapping[str, _Prosody] = {
    "anger": _Prosody(pitch=14, range=26, rate=26, loudness=3, slope=3.0),
    "disgust": _Prosody(pitch=-14, range=10, rate=-26, gap=4, loudness=-1, slope=-1.5),
    "fear": _Prosody(pitch=30, range=-20, rate=36, loudness=-2, slope=1.5),
    "happiness": _Prosody(pitch=24, range=36, rate=8, gap=1, loudness=2, slope=1.5),
    "neutral": _Prosody(),
    "sadness": _Prosody(pitch=-22, range=-34, rate=-36, gap=7, loudness=-3, slope=-3.0),
    "surprise": _Prosody(pitch=40, range=48, rate=-8, gap=3, loudness=2, slope=0.5),
}


def _speaker(clip: _Clip) -> _Drawn:
    # The speaker also has a pitch and a range of their own, spread over the classes by two coprime strides.
    place = SPEAKERS.index(clip.label)
    speech = replace(
        clip.speech(sentences(clip.rng, clip.split), voice=clip.label),
        pitch=clip.about(35 + 30 * (place * 7 % 20) / 19, 8),
        range=clip.about(35 + 30 * (place * 3 % 20) / 19, 12),
    )
    return speech, Effect(), clip.channel()


def _language(clip: _Clip) -> _Drawn:
    return clip.speech(numbers(clip.rng), language=LANGUAGES[clip.label]), Effect(), clip.channel()


def _keyword(clip: _Clip) -> _Drawn:
    word = one_of(clip.rng, OTHER_WORDS) if clip.label == "unknown" else clip.label
    return clip.speech(word), Effect(), clip.channel(seconds=1.0, snr=(0, 20))


def _spoof(clip: _Clip) -> _Drawn:
    drawn = clip.speech(sentences(clip.rng, clip.split)), Effect(), clip.channel(snr=(15, 30))
    if clip.label == "bonafide":
        return drawn
    # The test's first attack is the one that nobody has trained on.
    attacks = (
        *([Effect("smear", amount=2 * int(clip.rng.integers(4, 8)) + 1)] if clip.split == "test" else []),
        Effect("griffin_lim", amount=int(clip.rng.integers(1, 5))),
        Effect("lpc_vocoder", amount=int(clip.rng.integers(10, 21))),
    )
    return drawn[0], attacks[clip.index % len(attacks)], drawn[2]


def _dysarthria(clip: _Clip) -> _Drawn:
    speech, channel = clip.speech(sentences(clip.rng, clip.split)), clip.channel(snr=(12, 30))
    if clip.label == "healthy":
        return speech, Effect(), channel
    severity = clip.rng.uniform(0.5, 1.0)
    slow = replace(
        speech,
        rate=round(speech.rate - 40 * severity),
        range=max(0, round(speech.range - 20 * severity)),
        gap=speech.gap + round(6 * severity),
    )
    return slow, Effect("slur", amount=2 * round(8 * severity) + 1, strength=round(severity, 3)), channel


def _emotion(clip: _Clip, *, voices: Mapping[Split, tuple[str, ...]], language: str, strength: float) -> _Drawn:
    prosody = _EMOTIONS[clip.label]
    spoken = clip.speech(sentences(clip.rng, clip.split), language=language, voice=one_of(clip.rng, voices[clip.split]))
    speech = replace(
        spoken,
        pitch=clip.about(50 + strength * prosody.pitch, 9),
        range=clip.about(50 + strength * prosody.range, 12),
        rate=clip.about(170 + strength * prosody.rate, 14, low=100, high=250),
        gap=clip.about(1 + strength * prosody.gap, 1, high=12),
    )
    channel = clip.channel(snr=(15, 30))
    return (
        speech,
        Effect(),
        replace(
            channel,
            level=round(channel.level + strength * prosody.loudness, 3),
            slope=round(channel.slope + strength * prosody.slope, 3),
        ),
    )


def _emotion_a(clip: _Clip) -> _Drawn:
    return _emotion(clip, voices=VOICES, language="en-us", strength=1.0)


def _emotion_b(clip: _Clip) -> _Drawn:
    return _emotion(clip, voices=BRITISH_SPEAKERS, language="en-gb-x-rp", strength=1.0)


def _counts(train: int, validation: int, test: int) -> Mapping[Split, int]:
    return {"train": train, "validation": validation, "test": test}


def _tasks() -> Mapping[str, _Task]:
    return {
        "speaker_id": _Task(SPEAKERS, _counts(13, 4, 6), _speaker),
        "language": _Task(tuple(LANGUAGES), _counts(40, 11, 21), _language),
        "keyword": _Task((*KEYWORDS, "unknown"), _counts(24, 7, 13), _keyword),
        "spoof": _Task(("bonafide", "spoof"), _counts(116, 30, 64), _spoof),
        "dysarthria": _Task(("healthy", "slurred"), _counts(116, 30, 64), _dysarthria),
        "emotion_a": _Task(tuple(name for name in _EMOTIONS if name != "surprise"), _counts(40, 11, 21), _emotion_a),
        "emotion_b": _Task(tuple(_EMOTIONS), _counts(30, 10, 14), _emotion_b),
    }


TASKS = tuple(_tasks())
"""The tasks' names, in the order of the columns of `labels.csv`."""


def plan(spec: GeneratedCorpus) -> tuple[Utterance, ...]:
    """Returns the recipe of every clip, in the order of `labels.csv`: a pure function of seed and scale."""
    return tuple(
        _utterance(task, drawn_by=kind.draw, split=split, label=label, index=index, seed=spec.seed)
        for task, kind in _tasks().items()
        for split in SPLITS
        for label in kind.labels
        for index in range(max(_FEWEST[split], round(kind.clips[split] * spec.scale)))
    )


def _utterance(
    task: str, *, drawn_by: Callable[[_Clip], _Drawn], split: Split, label: str, index: int, seed: int
) -> Utterance:
    rng = np.random.default_rng(int(digest_of([seed, task, split, label, index]), 16))
    speech, effect, channel = drawn_by(_Clip(split, label, index, rng))
    return Utterance(
        task=task,
        split=split,
        label=label,
        index=index,
        speech=speech,
        effect=effect,
        channel=channel,
        seed=int(rng.integers(2**31)),
        extension="wav" if rng.random() < _WAV_SHARE else "flac",
    )
