"""The clips of one NOSS task as plain arrays, and how they are parted into train, validation and test.

Every decision here depends on keys, labels, speakers and the seed, never on the order of the rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trillsson.config import Evaluation, Task
from trillsson.errors import InputError
from trillsson.noss.carving import Carving, Rule, carve_validation
from trillsson.splits import normalise_split
from trillsson.training.labels import check_labels, no_labels

Carved = Literal["given"] | Rule
"""Where validation comes from: the set has one, or it was carved from train by speaker or by clip."""


@dataclass(frozen=True, eq=False)
class TaskData:
    """The clips that carry a task's label; row `i` of every field is the same clip.

    Attributes:
        keys: `[n]` unique clip keys.
        embeddings: `[n, dim]` float32, one mean embedding a clip, all finite.
        labels: `[n]` class names, none empty.
        speakers: `[n]` speaker names, `""` where unknown.
        splits: `[n]` split words, see `trillsson.splits`.

    Raises:
        InputError: the fields do not fit together; names the field and, where one is at fault, the clip.
    """

    keys: tuple[str, ...]
    embeddings: NDArray[np.float32]
    labels: tuple[str, ...]
    speakers: tuple[str, ...]
    splits: tuple[str, ...]

    def __post_init__(self) -> None:
        clips = len(self.keys)
        if self.embeddings.ndim != 2 or self.embeddings.dtype != np.float32:
            shape, dtype = self.embeddings.shape, self.embeddings.dtype
            raise InputError(f"embeddings are {dtype} of shape {shape}; give float32 of shape [clips, dim]")
        for field in ("embeddings", "labels", "speakers", "splits"):
            if len(getattr(self, field)) != clips:
                raise InputError(f"{field} has {len(getattr(self, field))} rows for {clips} keys; give one a key")
        if len(set(self.keys)) != clips:
            twice = next(key for key, after in pairwise(sorted(self.keys)) if key == after)
            raise InputError(f"key {twice!r} occurs more than once; give every clip its own key")
        finite = np.isfinite(self.embeddings).all(axis=1)
        if not finite.all():
            raise InputError(
                f"the embedding of {self.keys[int(np.argmin(finite))]!r} is not finite;"
                f" {int((~finite).sum())} of {clips} are not: mend the model"
            )
        if "" in self.labels:
            raise InputError(f"clip {self.keys[self.labels.index('')]!r} has no label; leave such clips out")


@dataclass(frozen=True, eq=False)
class Partition:
    """A task ready for a probe. Rows are sorted by key; the three index arrays are disjoint and cover every row.

    Attributes:
        classes: the class names, sorted; `target` points into them. All occur in train.
        embeddings: `[n, dim]` float32.
        target: `[n]` class index.
        train: rows the probe is fitted on while its penalty is chosen.
        validation: rows the penalty is chosen on.
        test: rows that are scored once.
        carved: where validation comes from.
    """

    classes: tuple[str, ...]
    embeddings: NDArray[np.float32]
    target: NDArray[np.intp]
    train: NDArray[np.intp]
    validation: NDArray[np.intp]
    test: NDArray[np.intp]
    carved: Carved


def partition(data: TaskData, task: Task, *, name: str, evaluation: Evaluation) -> Partition:
    """Parts a task's clips, carving validation from train where the set has none.

    Args:
        data: the clips.
        task: the metric and how validation is carved.
        name: the task's name in errors.
        evaluation: the share that validation takes, and the seed.

    Raises:
        InputError: a split word is unknown, or no probe can be fitted on the clips, see `check_labels`: screening has
            refused both before.
    """
    order = sorted(range(len(data.keys)), key=data.keys.__getitem__)
    keys, labels, speakers = ([values[row] for row in order] for values in (data.keys, data.labels, data.speakers))
    splits = [normalise_split(data.splits[row], where=f"task {name}: {data.keys[row]}") for row in order]
    counts = no_labels()
    for label, split in zip(labels, splits, strict=True):
        counts[split][label] += 1
    check_labels(counts, task, name=name)
    carved: Carved = "given"
    if "validation" not in splits:
        carving = _carve(keys, labels, speakers, splits, task=task, evaluation=evaluation)
        carved = carving.rule
        splits = ["validation" if key in carving.keys else split for key, split in zip(keys, splits, strict=True)]
    classes = tuple(sorted(set(labels)))
    indices = {label: index for index, label in enumerate(classes)}
    held = np.array(splits)
    return Partition(
        classes=classes,
        embeddings=data.embeddings[order],
        target=np.array([indices[label] for label in labels], dtype=np.intp),
        train=np.flatnonzero(held == "train"),
        validation=np.flatnonzero(held == "validation"),
        test=np.flatnonzero(held == "test"),
        carved=carved,
    )


def _carve(
    keys: Sequence[str],
    labels: Sequence[str],
    speakers: Sequence[str],
    splits: Sequence[str],
    *,
    task: Task,
    evaluation: Evaluation,
) -> Carving:
    rows = [row for row, split in enumerate(splits) if split == "train"]
    return carve_validation(
        [keys[row] for row in rows],
        [labels[row] for row in rows],
        [speakers[row] for row in rows],
        by=task.carve_by,
        fraction=evaluation.validation_fraction,
        seed=evaluation.seed,
    )
