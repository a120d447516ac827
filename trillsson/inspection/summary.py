"""What an audio dataset holds, from its manifest and its shards' indexes: one pass, and no audio is read."""

from collections.abc import Sequence
from dataclasses import dataclass

from trillsson.config import SAMPLE_RATE
from trillsson.datasets import Dataset, Reject
from trillsson.errors import InputError
from trillsson.inspection.duplicates import ClipTable, Duplicates, find_duplicates, read_table
from trillsson.inspection.histograms import Durations, durations
from trillsson.inspection.labels import Column, ColumnTally
from trillsson.inspection.speakers import Speakers, SpeakerTally
from trillsson.inspection.splits import SPLITS, Counts, split_index
from trillsson.storage import open_storage

_NAMED = 3
_WORDS = 5


@dataclass(frozen=True)
class RejectReason:
    """Why inputs were refused: how many, and the first few."""

    reason: str
    count: int
    first: tuple[Reject, ...]


@dataclass(frozen=True)
class SplitTotals:
    """What each split holds, and words for splits that are not known (the first five)."""

    clips: Counts
    hours: tuple[float, ...]
    unknown_words: tuple[str, ...]


@dataclass(frozen=True)
class Summary:
    """All that is told of an audio dataset.

    Attributes:
        dataset: the dataset; its manifest has the totals.
        bytes: size of the records and indexes.
        rejects: by reason, the most frequent first.
        durations: lengths of clips.
        splits: clips and hours of each split.
        speakers: who speaks in which.
        columns: the label columns by name, but for one that repeats every clip's split.
        compared: the datasets that duplicates were looked for in as well.
        duplicates: clips that occur more than once, and leaks.
    """

    dataset: Dataset
    bytes: int
    rejects: tuple[RejectReason, ...]
    durations: Durations
    splits: SplitTotals
    speakers: Speakers
    columns: tuple[Column, ...]
    compared: tuple[Dataset, ...]
    duplicates: Duplicates


def summarise(dataset: Dataset, against: Sequence[Dataset] = ()) -> Summary:
    """Reads the manifest and the indexes of an audio dataset and says what is in it.

    Memory grows by 21 bytes a clip; what else is kept has bounds.

    Args:
        dataset: the dataset.
        against: other audio datasets to look for copies of its clips in.

    Raises:
        InputError: a dataset is given twice, or a copy of it.
        IntegrityError: an index is missing or changed.
    """
    given = {dataset.id: dataset.uri}
    for other in against:
        if other.id in given:  # by its records, so that no other spelling of its path, and no copy, passes
            known = given[other.id]
            raise InputError(f"--against: {other.uri} holds the same records as {known}; name each dataset once")
        given[other.id] = other.uri
    table, speakers = ClipTable(), SpeakerTally()
    columns: dict[str, ColumnTally] = {}
    clips, samples = [0] * len(SPLITS), [0] * len(SPLITS)
    unknown_words: dict[str, None] = {}
    differing: set[str] = set()
    for clip in dataset.clips():
        split = split_index(clip.split)
        table.add(clip, split)
        clips[split] += 1
        samples[split] += clip.samples
        if SPLITS[split] == "other" and len(unknown_words) < _WORDS:
            unknown_words[clip.split] = None
        speaker = speakers.add(clip.speaker, split)
        for name, value in clip.labels.items():
            if value != clip.split:
                differing.add(name)
            if value:
                columns.setdefault(name, ColumnTally(name)).add(value, split, speaker=speaker)
    counts = tuple(clips)
    return Summary(
        dataset=dataset,
        bytes=stored_bytes(dataset),
        rejects=reject_reasons(dataset),
        durations=durations(table.samples),
        splits=SplitTotals(counts, tuple(each / SAMPLE_RATE / 3600 for each in samples), tuple(unknown_words)),
        speakers=speakers.finish(),
        columns=tuple(columns[name].finish(counts) for name in sorted(columns) if name in differing),
        compared=tuple(against),
        duplicates=find_duplicates((dataset, *against), (table, *map(read_table, against))),
    )


def reject_reasons(dataset: Dataset) -> tuple[RejectReason, ...]:
    """Returns a dataset's rejects by reason, the most frequent first; reads no more entries than it needs."""
    counts = dataset.manifest.rejects
    first: dict[str, list[Reject]] = {reason: [] for reason in counts}
    for shard in dataset.shards:
        if all(len(first[reason]) == min(_NAMED, count) for reason, count in counts.items()):
            break
        for reject in shard.rejects():
            if len(named := first.setdefault(reject.reason, [])) < _NAMED:
                named.append(reject)
    ordered = sorted(counts, key=lambda reason: (-counts[reason], reason))
    return tuple(RejectReason(reason, counts[reason], tuple(first[reason])) for reason in ordered)


def stored_bytes(dataset: Dataset) -> int:
    """Returns the size of a dataset's records and indexes; one listing, no file is opened."""
    held = {path for shard in dataset.manifest.shards for path in shard.files[:-1]}
    return sum(file.size for file in open_storage(dataset.root).scan("shards") if file.path in held)
