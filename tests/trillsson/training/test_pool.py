"""Who is learnt from, who validates, and who is kept for the tests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trillsson.config import Task, Training
from trillsson.errors import InputError
from trillsson.records import Clip
from trillsson.training.pool import part_of, split_columns

WORDS = st.sampled_from(["", "train", "Train ", "dev", "validation", "test", "TEST", "eval"])


def training(seed: int = 0) -> Training:
    return Training(corpora=("c",), steps=1, validation_fraction=0.3, seed=seed)


@given(key=st.text(st.characters(exclude_categories=["Cs"]), max_size=9), split=WORDS, other=WORDS)
def test_what_is_test_nowhere_is_trained_or_validated_on_whatever_its_split(key: str, split: str, other: str) -> None:
    decided = part_of(Clip(key=key, split=split, labels={"other": other}), ("other",), training())
    if {split.lower(), other.lower()} & {"test", "eval"}:
        assert decided == "test"
    else:
        assert decided == part_of(Clip(key=key), (), training())


def test_the_choice_is_the_same_on_every_machine() -> None:
    parts = [part_of(Clip(key=f"c/{number}#0"), (), training()) for number in range(12)]
    assert [number for number, part in enumerate(parts) if part == "validation"] == [0, 6]


def test_a_test_clip_of_any_task_is_never_learnt_from() -> None:
    clip = Clip(key="c/1#0", split="train", labels={"by_speaker": "test"})
    assert part_of(clip, ("by_speaker",), training()) == "test"
    assert part_of(clip, (), training()) != "test"


@pytest.mark.parametrize(("own", "column"), [("test", "train"), ("train", "test")])
def test_a_column_called_split_does_not_hide_the_corpus_own(own: str, column: str) -> None:
    clip = Clip(key="c/1#0", split=own, labels={"split": column})
    assert part_of(clip, ("split",), training()) == "test"


def test_the_share_held_out() -> None:
    parts = [part_of(Clip(key=f"c/{number}#0"), (), training()) for number in range(2_000)]
    assert parts.count("validation") == pytest.approx(600, abs=80)
    assert "test" not in parts


def test_another_seed_holds_out_others() -> None:
    clips = [Clip(key=f"c/{number}#0") for number in range(50)]
    assert [part_of(clip, (), training(0)) for clip in clips] != [part_of(clip, (), training(1)) for clip in clips]


def test_an_unknown_word_is_told_by_clip_and_column() -> None:
    with pytest.raises(InputError, match=r"column 'fold' of c/1#0 has split '3'; use one of dev, eval, test, "):
        part_of(Clip(key="c/1#0", labels={"fold": "3"}), ("fold",), training())


def test_split_columns_are_those_of_the_corpus() -> None:
    tasks = {
        "a": Task(corpus="c", label="x", split="two"),
        "b": Task(corpus="c", label="x", split="one"),
        "d": Task(corpus="c", label="x"),
        "e": Task(corpus="other", label="x", split="three"),
    }
    assert split_columns("c", tasks) == ("one", "two")
