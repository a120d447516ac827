"""What an audio dataset holds, from its manifest and its shards' indexes: one pass, and no audio is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trillsson.config import Task
from trillsson.datasets import Dataset, Reject
from trillsson.errors import InputError
from trillsson.inspection.duplicates import ClipTable, Duplicates, find_duplicates, read_table
from trillsson.inspection.histograms import Durations, durations
from trillsson.inspection.labels import Column, ColumnTally
from trillsson.inspection.splitting import Splits, SplitsTally
from trillsson.storage import open_storage
from trillsson.training.pool import split_columns

_NAMED = 3


@dataclass(frozen=True)
class RejectReason:
    """Why inputs were refused: how many, and the first few."""

    reason: str
    count: int
    first: tuple[Reject, ...]


@dataclass(frozen=True)
class Summary:
    """All that is told of an audio dataset.

    Attributes:
        dataset: the dataset; its manifest has the totals.
        bytes: size of the records and indexes.
        rejects: by reason, the most frequent first.
        durations: lengths of clips.
        splits: what each split of the corpus's own holds.
        task_splits: the same for every column that a task takes its split from.
        tests: clips that are test by any of these.
        columns: the label columns by name, but for one that repeats every clip's split.
        compared: the datasets that duplicates were looked for in as well.
        learnt_from: the training corpora; None where it is not known which these are, and any may be.
        test_columns: columns by which a clip of any of these datasets is test, beside its own split.
        duplicates: clips that occur more than once, and leaks.
    """

    dataset: Dataset
    bytes: int
    rejects: tuple[RejectReason, ...]
    durations: Durations
    splits: Splits
    task_splits: tuple[Splits, ...]
    tests: int
    columns: tuple[Column, ...]
    compared: tuple[Dataset, ...]
    learnt_from: tuple[str, ...] | None
    test_columns: tuple[str, ...]
    duplicates: Duplicates


def summarise(
    dataset: Dataset,
    against: Sequence[Dataset] = (),
    *,
    tasks: Mapping[str, Task] | None = None,
    learnt_from: Sequence[str] | None = None,
) -> Summary:
    """Reads the manifest and the indexes of an audio dataset and says what is in it.

    Memory grows by 21 bytes a clip; what else is kept has bounds.

    Args:
        dataset: the dataset.
        against: other audio datasets to look for copies of its clips in.
        tasks: a release's tasks: a clip that is test by the split column of any is test.
        learnt_from: a release's training corpora: a test clip leaks only into these. None: into any.

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
    tasks = tasks or {}
    corpus = dataset.manifest.corpus
    table = ClipTable(split_columns(corpus, tasks))
    own = SplitsTally()
    others = [SplitsTally(column, _tasks_of(column, corpus, tasks=tasks)) for column in table.columns]
    columns: dict[str, ColumnTally] = {}
    not_split, not_speaker = set[str](), set[str]()
    for clip in dataset.clips():
        table.add(clip)
        split, speaker = own.add(clip)
        for tally in others:
            tally.add(clip)
        for name, value in clip.labels.items():
            if value != clip.split:
                not_split.add(name)
            if value != clip.speaker:
                not_speaker.add(name)
            if value and name not in columns:
                columns[name] = ColumnTally(name)
            if value:
                columns[name].add(value, split, speaker=speaker)
    splits = own.finish()
    tables = (table, *(read_table(other, split_columns(other.manifest.corpus, tasks)) for other in against))
    return Summary(
        dataset=dataset,
        bytes=stored_bytes(dataset),
        rejects=reject_reasons(dataset),
        durations=durations(table.samples),
        splits=splits,
        task_splits=tuple(tally.finish() for tally in others),
        tests=int(table.tests.sum()),
        columns=tuple(
            columns[name].finish(splits.clips, is_speaker=name not in not_speaker)
            for name in sorted(columns)
            if name in not_split
        ),
        compared=tuple(against),
        learnt_from=None if learnt_from is None else tuple(learnt_from),
        test_columns=tuple(sorted({column for each in tables for column in each.columns})),
        duplicates=find_duplicates((dataset, *against), tables, learnt_from=learnt_from),
    )


def _tasks_of(column: str, corpus: str, *, tasks: Mapping[str, Task]) -> tuple[str, ...]:
    return tuple(name for name, task in tasks.items() if (task.corpus, task.split) == (corpus, column))


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
