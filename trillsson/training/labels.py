"""Which labels each task has in which split, and which of that no probe can be fitted on or scored with.

The rules stand here once: screening holds every task against them before any model has run, and so does every probe.
"""

from collections import Counter
from collections.abc import Mapping
from typing import get_args

from trillsson.config import Task
from trillsson.errors import InputError
from trillsson.records import Clip
from trillsson.splits import Split, normalise_split

LabelCounts = Mapping[Split, Counter[str]]
"""Every split -> label -> clips of one task."""


def label_of(clip: Clip, task: Task) -> tuple[str, Split] | None:
    """Returns a clip's label for a task of its corpus, and the clip's split there; None where it has not both.

    Raises:
        InputError: the split is called by a word that is not known.
    """
    split = clip.labels.get(task.split, "") if task.split else clip.split
    label = clip.labels.get(task.label, "")
    if not (label and split):
        return None
    return label, normalise_split(split, where=f"column {task.split or 'split'!r} of {clip.key}")


class Labels:
    """Counts the labels of all tasks, clip by clip."""

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        """Starts with no clip.

        Args:
            tasks: whose labels count.
        """
        self._tasks = dict(tasks)
        self._counts = {name: no_labels() for name in tasks}

    def add(self, clip: Clip, *, corpus: str) -> None:
        """Notes a clip of a corpus.

        Raises:
            InputError: its split is called by a word that is not known.
        """
        for name, task in self._tasks.items():
            if task.corpus == corpus and (found := label_of(clip, task)):
                label, split = found
                self._counts[name][split][label] += 1

    def check(self) -> None:
        """Refuses a task that no probe can be fitted on or scored with, see `check_labels`."""
        for name, task in self._tasks.items():
            check_labels(self._counts[name], task, name=name)


def no_labels() -> dict[Split, Counter[str]]:
    """Returns the counts of a task without clips."""
    return {split: Counter() for split in get_args(Split)}


def check_labels(counts: LabelCounts, task: Task, *, name: str) -> None:
    """Refuses a task that no probe can be fitted on or scored with, whatever the model.

    Args:
        counts: the clips that have a label and a split.
        task: where they come from, and the metric.
        name: the task's name in errors.

    Raises:
        InputError: train or test is empty; a label of validation or test never occurs in train; train has one class;
            there is no validation and nothing to carve it from; the equal error rate lacks one of its two classes.
    """
    train, validation, test = counts["train"], counts["validation"], counts["test"]
    column = f"column {task.split or 'split'!r}"
    for split, clips in (("train", train), ("test", test)):
        if not clips:
            wanted = f"label {task.label!r} and split {split!r} in {column}"
            raise InputError(f"task {name}: no clip of corpus {task.corpus} has {wanted}; mend the task or the CSV")
    for split, clips in (("validation", validation), ("test", test)):
        if unknown := sorted(clips.keys() - train.keys()):
            where = f"of corpus {task.corpus} is in {split} and never in train"
            raise InputError(f"task {name}: label {unknown[0]!r} {where}; mend the split or remove those clips")
    if len(train) < 2:
        raise InputError(
            f"task {name}: train has the one class {min(train)!r}; a task needs at least two: add clips or remove it"
        )
    by_rate = task.metric == "equal_error_rate"
    if by_rate and len(train) != 2:
        raise InputError(
            f"task {name}: equal_error_rate needs two classes, train has {len(train)}; use balanced_accuracy"
        )
    # What `carve_validation` takes from, one clip at least, where there are two classes; of more it may leave some out.
    carved = {label for label, clips in train.items() if clips > 1}
    if not (validation or carved):
        raise InputError(f"task {name}: no class has two train clips to carve validation from; add clips or a split")
    if by_rate:
        held = ("validation", validation) if validation else ("validation, which is carved from train,", carved)
        for split, heard in (held, ("test", test)):
            if len(heard) < 2:
                only = f"{split} has clips of {min(heard)!r} only"
                raise InputError(f"task {name}: {only}; equal_error_rate needs clips of both classes, so add some")
