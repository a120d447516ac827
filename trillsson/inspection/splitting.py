"""What a split column makes of the clips: how many clips, hours and speakers each split holds."""

from dataclasses import dataclass

from trillsson.config import SAMPLE_RATE
from trillsson.inspection.speakers import Speakers, SpeakerTally
from trillsson.inspection.splits import SPLITS, Counts, split_index
from trillsson.records import IndexedClip

_WORDS = 5


@dataclass(frozen=True)
class Splits:
    """What each split holds, by the corpus's own split or by a column that tasks take theirs from.

    Attributes:
        column: the column; empty for the corpus's own split.
        tasks: the tasks that take their split from it; none for the corpus's own.
        clips: clips of each split.
        hours: hours of each split.
        unknown_words: words for splits that are not known: the first five.
        speakers: who speaks in which.
    """

    column: str
    tasks: tuple[str, ...]
    clips: Counts
    hours: tuple[float, ...]
    unknown_words: tuple[str, ...]
    speakers: Speakers

    @property
    def empty(self) -> bool:
        """Whether there are clips, and the column says nothing of any."""
        return sum(self.clips) == self.clips[SPLITS.index("no split")] > 0


class SplitsTally:
    """Counts what a column says of splits, clip by clip."""

    def __init__(self, column: str = "", tasks: tuple[str, ...] = ()) -> None:
        self._column = column
        self._tasks = tasks
        self._clips = [0] * len(SPLITS)
        self._samples = [0] * len(SPLITS)
        self._unknown_words: dict[str, None] = {}
        self._speakers = SpeakerTally()

    def add(self, clip: IndexedClip) -> tuple[int, int | None]:
        """Counts a clip; returns its split's place in `SPLITS`, and its speaker's number, if known."""
        word = clip.labels.get(self._column, "") if self._column else clip.split
        split = split_index(word)
        self._clips[split] += 1
        self._samples[split] += clip.samples
        if SPLITS[split] == "other" and len(self._unknown_words) < _WORDS:
            self._unknown_words[word] = None
        return split, self._speakers.add(clip.speaker, split)

    def finish(self) -> Splits:
        """Returns what was counted."""
        return Splits(
            column=self._column,
            tasks=self._tasks,
            clips=tuple(self._clips),
            hours=tuple(samples / SAMPLE_RATE / 3600 for samples in self._samples),
            unknown_words=tuple(self._unknown_words),
            speakers=self._speakers.finish(),
        )
