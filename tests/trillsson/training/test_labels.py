"""Labels of tasks: which clip counts for which task, and as what."""

from typing import Any

import pytest

from trillsson.config import Task
from trillsson.errors import InputError
from trillsson.records import Clip
from trillsson.training.labels import Labels, label_of

MOOD = Task(corpus="c", label="mood")
FOLDED = Task(corpus="c", label="mood", split="fold")


@pytest.mark.parametrize(
    ("split", "labels", "found", "folded"),
    [
        ("train", {"mood": "sad"}, ("sad", "train"), None),
        ("Training ", {"mood": "sad", "fold": "test"}, ("sad", "train"), ("sad", "test")),
        ("dev", {"mood": "sad", "fold": "train"}, ("sad", "validation"), ("sad", "train")),
        ("", {"mood": "sad", "fold": "valid"}, None, ("sad", "validation")),
        ("train", {"fold": "train"}, None, None),
    ],
)
def test_a_label_counts_where_the_clip_has_it_and_a_split(
    split: str, labels: dict[str, str], found: tuple[str, str] | None, folded: tuple[str, str] | None
) -> None:
    clip = Clip(key="c/1#0", split=split, labels=labels)
    assert (label_of(clip, MOOD), label_of(clip, FOLDED)) == (found, folded)


def test_an_unknown_word_names_clip_and_column() -> None:
    clip = Clip(key="c/1#0", labels={"mood": "sad", "fold": "7"})
    with pytest.raises(InputError, match=r"^column 'fold' of c/1#0 has split '7'; use one of dev, "):
        label_of(clip, FOLDED)


def counted(task: Task, clips: str, corpus: str = "c") -> Labels:
    """The labels of a task named `mood`, whose clips are written as `train:sad test:glad`."""
    labels = Labels({"mood": task})
    for number, (split, label) in enumerate(each.split(":") for each in clips.split()):
        labels.add(Clip(key=f"{corpus}/{number}#0", split=split, labels={"mood": label}), corpus=corpus)
    return labels


def test_labels_of_another_corpus_do_not_count() -> None:
    clips = "train:sad train:sad train:glad test:sad"
    counted(MOOD, clips).check()
    with pytest.raises(InputError, match=r"^task mood: no clip of corpus c has label 'mood' and split 'train'"):
        counted(MOOD, clips, corpus="d").check()


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "no train": (
        "test:sad test:glad",
        {},
        "no clip of corpus c has label 'mood' and split 'train' in column 'split'; mend the task or the CSV",
    ),
    "no test": (
        "train:sad train:glad dev:sad",
        {},
        "no clip of corpus c has label 'mood' and split 'test' in column 'split'; mend the task or the CSV",
    ),
    "never shown": (
        "train:sad train:glad dev:sad test:bad",
        {},
        "label 'bad' of corpus c is in test and never in train; mend the split or remove those clips",
    ),
    "one class": (
        "train:sad train:sad test:sad",
        {},
        "train has the one class 'sad'; a task needs at least two: add clips or remove it",
    ),
    "nothing to carve": (
        "train:sad train:glad test:sad",
        {},
        "no class has two train clips to carve validation from; add clips or a split",
    ),
    "three classes for a rate": (
        "train:sad train:glad train:bad dev:sad test:sad",
        {"metric": "equal_error_rate"},
        "equal_error_rate needs two classes, train has 3; use balanced_accuracy",
    ),
    "test of one class for a rate": (
        "train:sad train:glad dev:sad dev:glad test:sad",
        {"metric": "equal_error_rate"},
        "test has clips of 'sad' only; equal_error_rate needs clips of both classes, so add some",
    ),
    "validation of one class for a rate": (
        "train:sad train:glad dev:glad test:sad test:glad",
        {"metric": "equal_error_rate"},
        "validation has clips of 'glad' only; equal_error_rate needs clips of both classes, so add some",
    ),
    "one clip to carve from for a rate": (
        "train:sad train:glad train:glad test:sad test:glad",
        {"metric": "equal_error_rate"},
        "validation, which is carved from train, has clips of 'glad' only; equal_error_rate needs clips of both "
        "classes, so add some",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_labels_that_no_probe_can_be_fitted_on(case: str) -> None:
    clips, changes, message = REFUSED[case]
    with pytest.raises(InputError) as error:
        counted(MOOD.model_copy(update=changes), clips).check()
    assert str(error.value).removeprefix("task mood: ") == message


@pytest.mark.parametrize(
    ("clips", "metric"),
    [
        ("train:sad train:glad dev:sad test:sad", "accuracy"),
        ("train:sad train:glad train:bad train:bad test:sad", "accuracy"),
        ("train:sad train:glad dev:sad dev:glad test:sad test:glad", "equal_error_rate"),
        ("train:sad train:sad train:glad train:glad test:sad test:glad", "equal_error_rate"),
    ],
)
def test_labels_that_will_do(clips: str, metric: str) -> None:
    counted(MOOD.model_copy(update={"metric": metric}), clips).check()
