from collections.abc import Callable

import numpy as np
import pytest

from trillsson.config import Evaluation, Task
from trillsson.errors import InputError
from trillsson.noss.tasks import Partition, TaskData, partition


def task(metric: str = "accuracy", carve_by: str = "speaker") -> Task:
    return Task.model_validate({"corpus": "speech", "label": "emotion", "metric": metric, "carve_by": carve_by})


def data(rows: list[tuple[str, str]]) -> TaskData:
    """A task from (label, split) pairs."""
    labels, splits = zip(*rows, strict=True)
    count = len(rows)
    embeddings = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
    return TaskData(tuple(f"clip-{row:02}" for row in range(count)), embeddings, labels, ("",) * count, splits)


def part(clips: TaskData, *, metric: str = "accuracy") -> Partition:
    return partition(clips, task(metric), name="emotion", evaluation=Evaluation())


def test_a_given_validation_split_is_used_as_it_is() -> None:
    parts = part(data([("a", "train"), ("b", "train"), ("a", "dev"), ("b", "test"), ("b", "train")]))
    assert parts.carved == "given"
    assert parts.classes == ("a", "b")
    assert parts.target.tolist() == [0, 1, 0, 1, 1]
    assert [parts.train.tolist(), parts.validation.tolist(), parts.test.tolist()] == [[0, 1, 4], [2], [3]]


def test_carving_touches_train_only(make_data: Callable[..., TaskData]) -> None:
    clips = make_data(speakers=6)
    parts = partition(clips, task(), name="emotion", evaluation=Evaluation())
    everything = np.concatenate((parts.train, parts.validation, parts.test))
    assert sorted(everything.tolist()) == list(range(72))
    assert parts.carved == "speaker"
    keys = sorted(clips.keys)
    assert {keys[row].split("-")[1] for row in parts.test} == {"0"}
    assert len({keys[row].split("-")[1] for row in parts.validation}) == 1


def test_rows_in_any_order_are_the_same_partition(make_data: Callable[..., TaskData]) -> None:
    clips = make_data(spread=1.0)
    order = np.random.default_rng(0).permutation(len(clips.keys))
    mixed = TaskData(
        embeddings=clips.embeddings[order],
        **{
            field: tuple(getattr(clips, field)[row] for row in order)
            for field in ("keys", "labels", "speakers", "splits")
        },
    )
    one, two = (partition(each, task(), name="emotion", evaluation=Evaluation()) for each in (clips, mixed))
    for field in ("embeddings", "target", "train", "validation", "test"):
        np.testing.assert_array_equal(getattr(one, field), getattr(two, field))


@pytest.mark.parametrize(
    ("rows", "metric", "message"),
    [
        (
            [("a", "train"), ("b", "holdout")],
            "accuracy",
            "task emotion: clip-01 has split 'holdout'; "
            "use one of dev, eval, test, testing, train, training, val, valid, validation",
        ),
        (
            [("a", "test"), ("b", "test")],
            "accuracy",
            "task emotion: no clip of corpus speech has label 'emotion' and split 'train' in column 'split'; "
            "mend the task or the CSV",
        ),
        (
            [("a", "train"), ("b", "train")],
            "accuracy",
            "task emotion: no clip of corpus speech has label 'emotion' and split 'test' in column 'split'; "
            "mend the task or the CSV",
        ),
        (
            [("a", "train"), ("b", "train"), ("c", "test")],
            "accuracy",
            "task emotion: label 'c' of corpus speech is in test and never in train; mend the split or remove those "
            "clips",
        ),
        (
            [("a", "train"), ("b", "train"), ("c", "dev"), ("a", "test")],
            "accuracy",
            "task emotion: label 'c' of corpus speech is in validation and never in train; mend the split or remove "
            "those clips",
        ),
        (
            [("a", "train"), ("a", "train"), ("a", "test")],
            "accuracy",
            "task emotion: train has the one class 'a'; a task needs at least two: add clips or remove it",
        ),
        (
            [("a", "train"), ("b", "train"), ("c", "train"), ("a", "test")],
            "equal_error_rate",
            "task emotion: equal_error_rate needs two classes, train has 3; use balanced_accuracy",
        ),
        (
            [("a", "train"), ("b", "train"), ("a", "val"), ("b", "val"), ("a", "test")],
            "equal_error_rate",
            "task emotion: test has clips of 'a' only; equal_error_rate needs clips of both classes, so add some",
        ),
        (
            [("a", "train"), ("b", "train"), ("b", "train"), ("a", "test"), ("b", "test")],
            "equal_error_rate",
            "task emotion: validation, which is carved from train, has clips of 'b' only; equal_error_rate needs clips "
            "of both classes, so add some",
        ),
        (
            [("a", "train"), ("b", "train"), ("a", "test")],
            "accuracy",
            "task emotion: no class has two train clips to carve validation from; add clips or a split",
        ),
    ],
)
def test_tasks_that_cannot_be_parted(rows: list[tuple[str, str]], metric: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        part(data(rows), metric=metric)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"embeddings": np.zeros((2, 3))},
            "embeddings are float64 of shape (2, 3); give float32 of shape [clips, dim]",
        ),
        (
            {"embeddings": np.zeros(2, np.float32)},
            "embeddings are float32 of shape (2,); give float32 of shape [clips, dim]",
        ),
        ({"embeddings": np.zeros((3, 3), np.float32)}, "embeddings has 3 rows for 2 keys; give one a key"),
        ({"labels": ("a",)}, "labels has 1 rows for 2 keys; give one a key"),
        ({"speakers": ()}, "speakers has 0 rows for 2 keys; give one a key"),
        ({"keys": ("x", "x")}, "key 'x' occurs more than once; give every clip its own key"),
        ({"labels": ("a", "")}, "clip 'y' has no label; leave such clips out"),
        (
            {"embeddings": np.array([[0, 1, 2], [0, np.nan, 2]], np.float32)},
            "the embedding of 'y' is not finite; 1 of 2 are not: mend the model",
        ),
    ],
)
def test_data_that_do_not_fit_together(changes: dict[str, object], message: str) -> None:
    fields: dict[str, object] = {
        "keys": ("x", "y"),
        "embeddings": np.zeros((2, 3), np.float32),
        "labels": ("a", "b"),
        "speakers": ("", ""),
        "splits": ("train", "test"),
    }
    with pytest.raises(InputError) as error:
        TaskData(**(fields | changes))  # type: ignore[arg-type]
    assert str(error.value) == message
