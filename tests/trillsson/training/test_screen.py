"""screen: which clips are not learnt from, and what is refused before any model has run."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trillsson.audio import from_pcm16
from trillsson.config import Task, Training
from trillsson.errors import InputError, IntegrityError
from trillsson.records import AudioRecord
from trillsson.training.exclusions import EXCLUDED, SCREENING, Exclusion, Screened, read_screened
from trillsson.training.screen import ScreenSpec, run

StorePair = Callable[..., tuple[str, str]]
MakeSpec = Callable[..., ScreenSpec]


def clip(name: str, sound: int, split: str = "train", **labels: str) -> AudioRecord:
    """Half a second of a sound: clips of the same number are equal."""
    audio = from_pcm16(np.random.default_rng(sound).integers(-99, 99, 8_000).astype("<i2").tobytes())
    return AudioRecord(key=f"{name}#0", audio=audio, split=split, labels=labels)


@pytest.fixture
def make_spec(store_pair: StorePair, tmp_path: Path) -> MakeSpec:
    """Stores corpora, given as keywords, and returns their screening; the first is the training corpus."""

    def make(
        corpora: Mapping[str, list[AudioRecord]], tasks: dict[str, Task], learnt: tuple[str, ...] = ()
    ) -> ScreenSpec:
        stored = [
            store_pair(tmp_path / name, clips, [], content={}, corpus=name, per_shard=2)[0]
            for name, clips in corpora.items()
        ]
        training = Training(corpora=learnt or tuple(corpora)[:1], steps=1)
        return ScreenSpec(audio=tuple(stored), training=training, tasks=tasks, workdir=str(tmp_path / "work"))

    return make


def excluded(uri: str) -> list[tuple[str, str, str]]:
    return [(each.key, each.reason, each.of) for each in read_screened(uri).exclusions]


TASKS = {"mood": Task(corpus="noss", label="mood"), "age": Task(corpus="noss", label="age", split="fold")}


def labelled(name: str, sound: int, split: str, fold: str = "", *, mood: str = "glad", age: str = "old") -> AudioRecord:
    return clip(f"noss/{name}", sound, split, mood=mood, age=age, **({"fold": fold} if fold else {}))


NOSS = [
    labelled("a", 1, "train", "train"),
    labelled("b", 2, "dev", "train", age="young"),
    labelled("c", 3, "eval", "train"),
    labelled("d", 4, "train", "test", mood="sad", age="young"),
]


def test_leaks_and_duplicates_within_and_across_corpora(
    make_spec: MakeSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    speech = [
        clip("speech/0", 10),
        clip("speech/1", 3),  # test by the corpus's own split
        clip("speech/2", 10),
        clip("speech/3", 4),  # test by the split of one task
        clip("speech/4", 2),  # of validation, which is no leak, and the first of its kind in the training corpora
        clip("speech/5", 3, split="test"),  # a test clip itself
        clip("speech/6", 3),
    ]
    more = [clip("more/0", 10), clip("more/1", 11), clip("more/2", 2, split="dev")]
    other = [clip("other/0", 11), clip("other/1", 11)]  # learnt from by nobody
    corpora = {"speech": speech, "more": more, "other": other, "noss": NOSS}
    uri = run(make_spec(corpora, TASKS, learnt=("speech", "noss", "more")))
    assert excluded(uri) == [
        ("speech/1#0", "leak", "speech/5#0"),
        ("speech/2#0", "duplicate", "speech/0#0"),
        ("speech/3#0", "leak", "noss/d#0"),
        ("speech/6#0", "leak", "speech/5#0"),
        ("noss/b#0", "duplicate", "speech/4#0"),
        ("more/0#0", "duplicate", "speech/0#0"),
        ("more/2#0", "duplicate", "speech/4#0"),
    ]
    told = json.loads((Path(uri) / SCREENING).read_text())
    assert told["counts"] == {
        "speech": counts(clips=7, test=1, pool=2, leaks=3, duplicates=1),
        "noss": counts(clips=4, test=2, pool=1, duplicates=1),
        "more": counts(clips=3, pool=1, duplicates=2),
        "other": counts(clips=2),
    }
    assert told["total"] == counts(clips=16, test=3, pool=4, leaks=3, duplicates=4)
    assert (
        "» screen: of 16 clips 4 are learnt from or validated on (0.00 h); 4 duplicates, 3 leaks ["
        in capsys.readouterr().err
    )


def counts(*, clips: int, test: int = 0, pool: int = 0, leaks: int = 0, duplicates: int = 0) -> dict[str, float]:
    return {
        "clips": clips,
        "seconds": clips / 2,
        "test": test,
        "pool": pool,
        "pool_seconds": pool / 2,
        "leaks": leaks,
        "duplicates": duplicates,
    }


def test_the_order_of_the_training_corpora_says_which_of_two_is_kept(make_spec: MakeSpec) -> None:
    corpora = {"one": [clip("one/0", 1)], "two": [clip("two/0", 1)], "noss": NOSS}
    tasks = {"mood": TASKS["mood"]}
    first = make_spec(corpora, tasks, learnt=("one", "two"))
    assert excluded(run(first)) == [("two/0#0", "duplicate", "one/0#0")]
    swapped = first.model_copy(update={"training": Training(corpora=("two", "one"), steps=1)})
    assert excluded(run(swapped)) == [("one/0#0", "duplicate", "two/0#0")]


SOUNDS = st.tuples(st.integers(0, 4), st.sampled_from(["train", "dev", "test"]))


@settings(max_examples=40)
@given(sounds=st.lists(SOUNDS, min_size=1, max_size=12))
def test_whatever_is_learnt_from_is_there_once_and_in_no_test(
    sounds: list[tuple[int, str]], store_pair: StorePair, tmp_path_factory: pytest.TempPathFactory
) -> None:
    clips = [clip(f"c/{number:02d}", sound, split, x="y") for number, (sound, split) in enumerate(sounds)]
    more = {96: ("test", "y"), 97: ("train", "y"), 98: ("train", "y"), 99: ("train", "z")}  # so that `x` is a task
    clips += [clip(f"c/{sound}", sound, split, x=label) for sound, (split, label) in more.items()]
    root = tmp_path_factory.mktemp("any")
    audio, _ = store_pair(root, clips, [], content={}, corpus="c", per_shard=3)
    tasks = {"x": Task(corpus="c", label="x")}
    spec = ScreenSpec(audio=(audio,), training=Training(corpora=("c",), steps=1), tasks=tasks, workdir=str(root / "w"))
    kept = {key.key for key in clips if key.split != "test"} - read_screened(run(spec)).keys
    learnt = [sound for number, (sound, _) in enumerate(sounds) if f"c/{number:02d}#0" in kept]
    tested = {sound for sound, split in sounds if split == "test"}
    assert sorted(learnt) == sorted({sound for sound, _ in sounds} - tested)


def test_a_screening_is_found_again_and_scoring_does_not_matter(make_spec: MakeSpec) -> None:
    spec = make_spec({"noss": NOSS}, TASKS)
    uri = run(spec)
    scored = {name: task.model_copy(update={"metric": "balanced_accuracy"}) for name, task in TASKS.items()}
    assert run(spec.model_copy(update={"tasks": scored})) == uri
    relabelled = {"mood": Task(corpus="noss", label="age")}
    assert run(spec.model_copy(update={"tasks": relabelled})) != uri
    rates = {**TASKS, "mood": TASKS["mood"].model_copy(update={"metric": "equal_error_rate"})}
    for _ in range(2):  # the one metric that asks for more of the labels
        with pytest.raises(
            InputError, match=r"^task mood: validation has clips of 'glad' only; equal_error_rate needs"
        ):
            run(spec.model_copy(update={"tasks": rates}))


REFUSED = {
    "unknown word": (
        [labelled("e", 5, "3")],
        r"^column 'split' of noss/e#0 has split '3'; use one of dev, eval, test, testing, train, training, val, ",
    ),
    "unknown word of a task": (
        [labelled("e", 5, "train", "third")],
        r"^column 'fold' of noss/e#0 has split 'third'; use one of dev, ",
    ),
    "label that train never shows": (
        [clip("noss/e", 5, "test", mood="bad")],
        r"^task mood: label 'bad' of corpus noss is in test and never in train; mend the split or remove those clips$",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_fail_late_is_refused(make_spec: MakeSpec, case: str) -> None:
    more, message = REFUSED[case]
    spec = make_spec({"noss": NOSS + more}, TASKS)
    for _ in range(2):  # nothing is stored that a second run would find
        with pytest.raises(InputError, match=message):
            run(spec)


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ([], "no clip of corpus noss has label 'accent' and split 'train' in column 'fold'; mend the task or the CSV"),
        (
            ["train", "train", "dev"],
            "no clip of corpus noss has label 'accent' and split 'test' in column 'fold'; mend the task or the CSV",
        ),
        (["train", "test"], "train has the one class 'one'; a task needs at least two: add clips or remove it"),
    ],
)
def test_a_task_that_no_probe_can_be_fitted_on(make_spec: MakeSpec, folds: list[str], message: str) -> None:
    accented = [clip(f"noss/{number}", 10 + number, fold=fold, accent="one") for number, fold in enumerate(folds)]
    spec = make_spec({"noss": NOSS + accented}, {"accent": Task(corpus="noss", label="accent", split="fold")})
    with pytest.raises(InputError) as error:
        run(spec)
    assert str(error.value) == f"task accent: {message}"


@pytest.mark.parametrize(
    ("sound", "split", "why"),
    [(7, "test", "every one is a test clip"), (3, "train", "every one is a test clip, or equal to one")],
)
def test_no_clip_is_left(make_spec: MakeSpec, sound: int, split: str, why: str) -> None:
    spec = make_spec({"speech": [clip("speech/0", sound, split)], "noss": NOSS}, TASKS)
    with pytest.raises(
        InputError, match=rf"^training\.corpora \(speech\) leave no clip to learn from: {why}; add some$"
    ):
        run(spec)


def test_every_corpus_once(make_spec: MakeSpec) -> None:
    spec = make_spec({"speech": [clip("speech/0", 0)], "noss": NOSS}, TASKS)
    speech, noss = spec.audio
    with pytest.raises(
        InputError, match=r"^task mood wants corpus 'noss', which none of the audio datasets is of; give"
    ):
        run(spec.model_copy(update={"audio": (speech,)}))
    with pytest.raises(InputError, match=r"^training\.corpora\[0\] wants corpus 'speech', which none of the audio"):
        run(spec.model_copy(update={"audio": (noss,)}))
    with pytest.raises(InputError, match=r"are both of corpus 'noss'; give one$"):
        run(spec.model_copy(update={"audio": (*spec.audio, noss)}))


def test_a_changed_index_is_refused(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec({"noss": NOSS}, TASKS)
    index = next((tmp_path / "noss").rglob("*.clips.jsonl"))
    index.write_bytes(index.read_bytes().replace(b"glad", b"sad"))
    with pytest.raises(
        IntegrityError, match=r"^index .*\.clips\.jsonl is missing or not as its manifest says; delete "
    ):
        run(spec)


def test_no_exclusion_is_an_empty_file(make_spec: MakeSpec) -> None:
    screened = read_screened(run(make_spec({"noss": NOSS}, TASKS)))
    assert (Path(screened.uri) / EXCLUDED).read_bytes() == b""
    assert screened.keys == frozenset()


def test_the_digest_is_of_the_excluded_clips_alone(make_spec: MakeSpec) -> None:
    screened = read_screened(run(make_spec({"noss": NOSS}, TASKS)))

    def digest(*keys: str, of: str = "c/9#0") -> str:
        exclusions = tuple(Exclusion(key=key, reason="leak", of=of) for key in keys)
        return Screened(screened.uri, screened.screening, exclusions).digest

    assert digest("c/0#0", "c/1#0") == digest("c/1#0", "c/0#0", of="c/8#0")
    assert len({digest(), digest("c/0#0"), digest("c/0#0", "c/1#0")}) == 3
