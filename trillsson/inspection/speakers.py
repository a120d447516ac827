"""Who speaks in which split. A speaker in two of train, validation and test is worth a warning."""

from collections import Counter
from dataclasses import dataclass

from trillsson.inspection.splits import SPLITS, Counts

MOST_SPEAKERS = 1_000_000
"""Speakers that are told apart: beyond, memory would grow with a column that is not one of speakers."""
_NAMED = 10
_KNOWN = 3
"""How many of `SPLITS`, from the first, are meant to share no speaker."""


@dataclass(frozen=True)
class Shared:
    """A speaker who is in several of train, validation and test."""

    name: str
    splits: tuple[str, ...]


@dataclass(frozen=True)
class Speakers:
    """Who speaks.

    Attributes:
        total: speakers.
        counts: speakers in each split.
        unknown: clips of unknown speakers in each split.
        shared: how many are in several of train, validation and test, by the splits' names.
        named: the first few of those.
        complete: whether all were told apart; else the counts are of the first million.
    """

    total: int
    counts: Counts
    unknown: Counts
    shared: dict[tuple[str, ...], int]
    named: tuple[Shared, ...]
    complete: bool


class SpeakerTally:
    """Counts speakers, clip by clip."""

    def __init__(self, *, most: int = MOST_SPEAKERS) -> None:
        self._most = most
        self._numbers: dict[str, int] = {}
        self._splits = bytearray()
        self._unknown = [0] * len(SPLITS)
        self._complete = True

    def add(self, name: str, split: int) -> int | None:
        """Counts a clip's speaker and returns the speaker's number; None for an unknown one, or one too many."""
        if not name:
            self._unknown[split] += 1
            return None
        number = self._numbers.get(name)
        if number is None:
            if len(self._numbers) == self._most:
                self._complete = False
                return None
            number = self._numbers[name] = len(self._numbers)
            self._splits.append(0)
        self._splits[number] |= 1 << split
        return number

    def finish(self) -> Speakers:
        """Returns what was counted."""
        combinations = Counter(self._splits)
        shared = {_names(mask): 0 for mask in sorted(combinations) if len(_names(mask)) > 1}
        for mask, count in combinations.items():
            if _names(mask) in shared:
                shared[_names(mask)] += count
        named: list[Shared] = []
        for name, number in self._numbers.items() if shared else ():
            if len(splits := _names(self._splits[number])) > 1:
                named.append(Shared(name, splits))
                if len(named) == _NAMED:
                    break
        return Speakers(
            total=len(self._numbers),
            counts=tuple(
                sum(count for mask, count in combinations.items() if mask >> split & 1) for split in range(len(SPLITS))
            ),
            unknown=tuple(self._unknown),
            shared=shared,
            named=tuple(named),
            complete=self._complete,
        )


def _names(mask: int) -> tuple[str, ...]:
    return tuple(name for split, name in enumerate(SPLITS[:_KNOWN]) if mask >> split & 1)
