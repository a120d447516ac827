"""Which labels each task shows in training and which it tests: what can be refused before any model has run."""

from collections.abc import Mapping

from trillsson.config import Task
from trillsson.errors import InputError
from trillsson.records import Clip
from trillsson.splits import normalise_split


def label_of(clip: Clip, task: Task) -> tuple[str, bool] | None:
    """Returns a clip's label for a task of its corpus, and whether the task trains on it; None where it has none.

    Raises:
        InputError: the split is called by a word that is not known.
    """
    split = clip.labels.get(task.split, "") if task.split else clip.split
    label = clip.labels.get(task.label, "")
    if not (label and split):
        return None
    where = f"column {task.split or 'split'!r} of {clip.key}"
    return label, normalise_split(split, where=where) == "train"


class Labels:
    """Collects the labels of all tasks, clip by clip."""

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        """Starts with no clip.

        Args:
            tasks: whose labels count.
        """
        self._tasks = dict(tasks)
        self._shown: dict[str, set[str]] = {name: set() for name in tasks}
        self._tested: dict[str, set[str]] = {name: set() for name in tasks}

    def add(self, clip: Clip, *, corpus: str) -> None:
        """Notes a clip of a corpus.

        Raises:
            InputError: its split is called by a word that is not known.
        """
        for name, task in self._tasks.items():
            if task.corpus == corpus and (found := label_of(clip, task)):
                label, shown = found
                (self._shown if shown else self._tested)[name].add(label)

    def check(self) -> None:
        """Refuses a task without labels in train, and a label that is tested and never shown.

        Raises:
            InputError: there is one; names the task, and the label.
        """
        for name, task in self._tasks.items():
            if not self._shown[name]:
                wanted = f"label {task.label!r} and split 'train' in column {task.split or 'split'!r}"
                raise InputError(f"task {name}: no clip of corpus {task.corpus} has {wanted}; mend the task or the CSV")
            if unknown := sorted(self._tested[name] - self._shown[name]):
                raise InputError(
                    f"task {name}: label {unknown[0]!r} of corpus {task.corpus} is in validation or test and never in "
                    f"train; mend the split or remove those clips"
                )
