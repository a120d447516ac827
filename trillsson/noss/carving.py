"""Carving a validation set from train, so that the same clips, speakers and seed always give the same one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trillsson.digests import digest_of

Rule = Literal["speaker", "clip"]
"""What is held out as a whole: a speaker with all clips, or a clip."""


@dataclass(frozen=True)
class Carving:
    """The keys that validation takes from train, and the rule that chose them."""

    keys: frozenset[str]
    rule: Rule


def carve_validation(
    keys: Sequence[str],
    labels: Sequence[str],
    speakers: Sequence[str],
    *,
    by: Rule,
    fraction: float,
    seed: int,
) -> Carving:
    """Chooses which train clips become validation, so that every class stays in train.

    By speaker: speakers are gone through in the order of the SHA-256 of (seed, speaker). One is held out where that
    brings the clips of each class closer to `fraction` and leaves every class in train; a class not yet heard then gets
    the speaker that fits best. This needs a speaker for every clip, and is given up for clips where it would hold out
    more than half of the clips or hear less than half of the classes (as where the class *is* the speaker).

    By clip: of each class the first `fraction` in the order of the SHA-256 of (seed, key), at least one and never all.

    Args:
        keys: `[n]` unique keys of the train clips.
        labels: `[n]` class names.
        speakers: `[n]` speaker names, `""` where unknown.
        by: what is held out where it can be.
        fraction: about what share of the clips is held out.
        seed: another seed holds out others.

    Returns:
        The keys held out, and the rule that was used. No keys where every class has a single clip.
    """
    if by == "speaker" and all(speakers):
        voices = _held_speakers(labels, speakers, fraction=fraction, seed=seed)
        if voices:
            return Carving(
                frozenset(key for key, voice in zip(keys, speakers, strict=True) if voice in voices), "speaker"
            )
    members: dict[str, list[str]] = {}
    for key, label in zip(keys, labels, strict=True):
        members.setdefault(label, []).append(key)
    held: set[str] = set()
    for clips in members.values():
        wanted = max(1, math.floor(fraction * len(clips) + 0.5))
        ranked = sorted(clips, key=lambda key: digest_of([seed, key]))
        held.update(ranked[: min(wanted, len(clips) - 1)])
    return Carving(frozenset(held), "clip")


def _held_speakers(labels: Sequence[str], speakers: Sequence[str], *, fraction: float, seed: int) -> set[str]:
    """Returns the speakers to hold out, none where holding out speakers does not work."""
    voices = sorted(set(speakers), key=lambda voice: digest_of([seed, voice]))
    rows = {voice: row for row, voice in enumerate(voices)}
    columns = {label: column for column, label in enumerate(sorted(set(labels)))}
    counts = np.zeros((len(rows), len(columns)))
    np.add.at(counts, ([rows[voice] for voice in speakers], [columns[label] for label in labels]), 1)
    total = counts.sum(axis=0)
    held = np.zeros(len(columns))
    chosen: list[int] = []

    def off_target(clips: NDArray[np.float64]) -> float:
        return float(np.abs(clips - fraction * total).sum())

    def stays(row: int) -> bool:
        return row not in chosen and bool(np.all(held + counts[row] < total))

    for row in range(len(voices)):
        if stays(row) and off_target(held + counts[row]) < off_target(held):
            chosen.append(row)
            held = held + counts[row]
    for column in range(len(columns)):
        able = [row for row in range(len(voices)) if counts[row, column] and stays(row)] if not held[column] else []
        if able:
            best = min(able, key=lambda row: off_target(held + counts[row]))
            chosen.append(best)
            held = held + counts[best]
    heard = np.count_nonzero(held)
    works = heard >= max(2, len(columns) / 2) and held.sum() <= total.sum() / 2
    return {voices[row] for row in chosen} if works else set()
