from collections import Counter, defaultdict

import pytest

from trillsson.config import GeneratedCorpus
from trillsson.generated.espeak import Speech
from trillsson.generated.recipes import Channel, Effect, Utterance
from trillsson.generated.tasks import TASKS, plan
from trillsson.generated.voices import BRITISH_SPEAKERS, SPEAKERS, VOICES


def recipes(scale, seed=0):
    return plan(GeneratedCorpus(kind="generated", scale=scale, seed=seed))


def test_classes_of_each_task():
    labels = defaultdict(set)
    for utterance in recipes(0.01):
        labels[utterance.task].add(utterance.label)
    assert {task: len(names) for task, names in labels.items()} == {
        "speaker_id": 20,
        "language": 6,
        "keyword": 11,
        "spoof": 2,
        "dysarthria": 2,
        "emotion_a": 6,
        "emotion_b": 7,
    }
    assert tuple(labels) == TASKS
    assert labels["language"] == {"english", "french", "german", "italian", "russian", "spanish"}
    assert labels["spoof"] == {"bonafide", "spoof"}
    assert labels["dysarthria"] == {"healthy", "slurred"}
    assert labels["emotion_b"] - labels["emotion_a"] == {"surprise"}


@pytest.mark.parametrize(("scale", "clips"), [(0.01, 270), (0.1, 365), (0.2, 632), (1.0, 3026)])
def test_number_of_clips(scale, clips):
    assert len(recipes(scale)) == clips


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        (1e-9, {"train": 2, "validation": 1, "test": 2}),
        (0.1, {"train": 2, "validation": 1, "test": 2}),
        (0.2, {"train": 3, "validation": 1, "test": 2}),
        (1.0, {"train": 13, "validation": 4, "test": 6}),
    ],
)
def test_every_class_is_in_every_split(scale, expected):
    counts = Counter((u.task, u.label, u.split) for u in recipes(scale))
    assert len(counts) == 54 * 3
    assert {split: min(n for key, n in counts.items() if key[2] == split) for split in VOICES} == expected


def test_recipes_depend_on_seed_and_name_alone():
    small, large = ({u.path: u for u in recipes(scale)} for scale in (0.1, 0.3))
    assert small.items() <= large.items()
    assert recipes(0.1) == recipes(0.1)
    assert not {u.speech for u in recipes(0.1)} & {u.speech for u in recipes(0.1, seed=1)}


def test_paths_are_unique_and_readable():
    paths = [u.path for u in recipes(0.5)]
    assert len(set(paths)) == len(paths)
    assert paths[0] == "speaker_id/train/Andrea-000.flac"
    endings = Counter(path.rpartition(".")[2] for path in paths)
    assert set(endings) == {"flac", "wav"}
    assert endings["wav"] / len(paths) == pytest.approx(0.1, abs=0.03)


def test_first_recipe():
    text = (
        "The broken horse forgot the gentle rabbit once again. "
        "The happy camera watched the secret teacher every Sunday."
    )
    assert recipes(0.05)[0] == Utterance(
        task="speaker_id",
        split="train",
        label="Andrea",
        index=0,
        speech=Speech("en-us", "Andrea", text, rate=157, pitch=22, range=69, gap=0, seed=2073552016),
        effect=Effect(),
        channel=Channel(2.059, position=0.353091, slope=-0.279, snr=24.616, noise_slope=-3.055, level=-24.032),
        seed=691877654,
        extension="flac",
    )


def test_no_voice_is_in_two_splits_but_for_the_speakers_to_tell_apart():
    voices = defaultdict(set)
    for u in recipes(1.0):
        voices[u.task == "speaker_id", u.task == "emotion_b", u.split].add(u.speech.voice)
    for split, pool in VOICES.items():
        assert voices[False, False, split] == set(pool)
        assert voices[False, True, split] == set(BRITISH_SPEAKERS[split])
        assert voices[True, False, split] == set(SPEAKERS)
    for pools in (VOICES, BRITISH_SPEAKERS):
        assert sum(map(len, pools.values())) == len(set().union(*pools.values()))


def test_no_sentence_is_in_two_splits():
    texts = defaultdict(set)
    for u in recipes(1.0):
        if u.task not in ("keyword", "language"):
            texts[u.split].update(sentence.strip() for sentence in u.speech.text.split(".") if sentence.strip())
    assert not texts["train"] & texts["test"]
    assert not texts["train"] & texts["validation"]
    assert not texts["validation"] & texts["test"]


@pytest.mark.parametrize("scale", [0.01, 1.0])
def test_one_attack_is_only_in_the_test_split(scale):
    attacks = defaultdict(set)
    for u in recipes(scale):
        attacks[u.task, u.split, u.label].add(u.effect.kind)
    assert attacks["spoof", "train", "spoof"] == {"griffin_lim", "lpc_vocoder"}
    assert attacks["spoof", "validation", "spoof"] <= {"griffin_lim", "lpc_vocoder"}
    assert "smear" in attacks["spoof", "test", "spoof"]
    assert attacks["spoof", "test", "bonafide"] == attacks["dysarthria", "test", "healthy"] == {"none"}
    assert attacks["dysarthria", "test", "slurred"] == {"slur"}


def test_length_and_loudness_do_not_tell_the_class():
    # Level and length are uniform, so the mean of n clips strays by range / sqrt(12 n): allow four times that.
    groups = defaultdict(list)
    for u in recipes(2.0):
        if not u.task.startswith("emotion"):
            groups[u.task, u.label].append(u.channel)
    for (task, label), channels in groups.items():
        tolerance = 4 / (12 * len(channels)) ** 0.5
        level = sum(c.level for c in channels) / len(channels)
        seconds = sum(c.seconds for c in channels) / len(channels)
        assert level == pytest.approx(-27, abs=10 * tolerance), (task, label)
        assert seconds == pytest.approx(1.0 if task == "keyword" else 2.2, abs=1.2 * tolerance), (task, label)


def test_parameters_stay_within_what_espeak_takes():
    for u in recipes(1.0):
        assert 80 <= u.speech.rate <= 450
        assert 0 <= u.speech.pitch <= 99
        assert 0 <= u.speech.range <= 99
        assert 0 <= u.speech.gap <= 20


def test_no_test_voice_is_heard_in_training_but_the_speaker_tasks_own():
    train = {u.speech.voice for u in recipes(0.5) if u.split == "train"}
    tested = {u.speech.voice for u in recipes(0.5) if u.split == "test" and u.task != "speaker_id"}
    assert tested
    assert not train & tested
