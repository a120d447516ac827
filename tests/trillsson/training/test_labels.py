"""Labels of tasks: which clip counts for which task, and as what."""

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
        ("train", {"mood": "sad"}, ("sad", True), None),
        ("Training ", {"mood": "sad", "fold": "test"}, ("sad", True), ("sad", False)),
        ("dev", {"mood": "sad", "fold": "train"}, ("sad", False), ("sad", True)),
        ("", {"mood": "sad", "fold": "valid"}, None, ("sad", False)),
        ("train", {"fold": "train"}, None, None),
    ],
)
def test_a_label_counts_where_the_clip_has_it_and_a_split(
    split: str, labels: dict[str, str], found: tuple[str, bool] | None, folded: tuple[str, bool] | None
) -> None:
    clip = Clip(key="c/1#0", split=split, labels=labels)
    assert (label_of(clip, MOOD), label_of(clip, FOLDED)) == (found, folded)


def test_an_unknown_word_names_clip_and_column() -> None:
    clip = Clip(key="c/1#0", labels={"mood": "sad", "fold": "7"})
    with pytest.raises(InputError, match=r"^column 'fold' of c/1#0 has split '7'; use one of dev, "):
        label_of(clip, FOLDED)


def test_labels_of_another_corpus_do_not_count() -> None:
    labels = Labels({"mood": MOOD})
    labels.add(Clip(key="d/1#0", split="train", labels={"mood": "sad"}), corpus="d")
    with pytest.raises(InputError, match=r"^task mood: no clip of corpus c has label 'mood' and split 'train'"):
        labels.check()
    labels.add(Clip(key="c/1#0", split="train", labels={"mood": "sad"}), corpus="c")
    labels.check()
