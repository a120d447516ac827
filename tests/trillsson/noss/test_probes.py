import dataclasses
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score

from trillsson.config import Evaluation, Task
from trillsson.noss import probes
from trillsson.noss.probes import TaskScore, evaluate_task
from trillsson.noss.tasks import TaskData, partition

MakeData = Callable[..., TaskData]
QUICK = Evaluation(bootstrap=100)


def score(data: TaskData, *, metric: str = "accuracy", evaluation: Evaluation = QUICK) -> TaskScore:
    task = Task.model_validate({"corpus": "speech", "label": "emotion", "metric": metric})
    return evaluate_task(data, task, name="emotion", evaluation=evaluation)


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy"])
def test_classes_on_axes_of_their_own_are_all_found(make_data: MakeData, metric: str) -> None:
    wanted = TaskScore.model_validate(
        {
            "task": "emotion",
            "metric": metric,
            "value": 1.0,
            "low": 1.0,
            "high": 1.0,
            "chance": 1 / 3,
            "classes": 3,
            "train": 36,
            "validation": 12,
            "test": 12,
            # Every penalty finds them all; the smallest of equals is taken.
            "penalty": 0.001,
            "validation_value": 1.0,
            "carved": "speaker",
            "converged": True,
        }
    )
    assert score(make_data(), metric=metric) == wanted


def test_equal_error_rate_of_two_classes(make_data: MakeData) -> None:
    perfect = score(make_data(classes=2), metric="equal_error_rate")
    assert (perfect.value, perfect.low, perfect.high, perfect.chance) == (0.0, 0.0, 0.0, 0.5)
    hard = score(make_data(classes=2, clips=20, spread=1.0), metric="equal_error_rate")
    assert 0.05 < hard.low < hard.value < hard.high < 0.5


def test_noise_scores_chance(make_data: MakeData) -> None:
    noise = score(make_data(clips=60, spread=1000.0))
    assert noise.low < 1 / 3 < noise.high


def test_the_same_score_for_rows_in_any_order(make_data: MakeData) -> None:
    data = make_data(spread=0.7)
    order = np.random.default_rng(1).permutation(len(data.keys))
    names = ("keys", "labels", "speakers", "splits")
    mixed = dataclasses.replace(
        data,
        embeddings=data.embeddings[order],
        **{name: tuple(getattr(data, name)[row] for row in order) for name in names},
    )
    assert score(mixed) == score(data)


def test_test_labels_take_no_part_in_the_choice(make_data: MakeData) -> None:
    data = make_data(clips=10, spread=0.7)
    rotated = {"class-0": "class-1", "class-1": "class-2", "class-2": "class-0"}
    labels = tuple(
        rotated[label] if split == "test" else label for label, split in zip(data.labels, data.splits, strict=True)
    )
    honest, cheated = score(data), score(dataclasses.replace(data, labels=labels))
    assert cheated.value < 0.5 < honest.value
    chosen = ("penalty", "validation_value", "train", "validation", "carved")
    assert [getattr(cheated, field) for field in chosen] == [getattr(honest, field) for field in chosen]


def test_the_final_probe_is_that_of_scikit_learn_on_train_and_validation(make_data: MakeData) -> None:
    data = make_data(clips=10, spread=0.7)
    result = score(data)
    task = Task(corpus="speech", label="emotion")
    parts = partition(data, task, name="emotion", evaluation=QUICK)

    def reference(fit: np.ndarray, judge: np.ndarray, penalty: float) -> float:
        mean, deviation = parts.embeddings[fit].mean(axis=0), parts.embeddings[fit].std(axis=0)
        scaled = (parts.embeddings.astype(np.float64) - mean) / deviation
        model = LogisticRegression(C=penalty, max_iter=10_000).fit(scaled[fit], parts.target[fit])
        return float(accuracy_score(parts.target[judge], model.predict(scaled[judge])))

    on_validation = {penalty: reference(parts.train, parts.validation, penalty) for penalty in QUICK.penalties}
    best = max(on_validation.values())
    assert len(set(on_validation.values())) > 1  # else the choice would prove nothing
    assert result.validation_value == best
    assert result.penalty == min(penalty for penalty, value in on_validation.items() if value == best)
    assert result.value == reference(np.concatenate((parts.train, parts.validation)), parts.test, result.penalty)


def test_chance_of_accuracy_is_always_saying_the_commonest_class(make_data: MakeData) -> None:
    data = make_data(classes=2, speakers=5, clips=4)
    # Three quarters of voice-1's first class go: class-1 is the commoner one of train, and half of test.
    rows = [row for row, key in enumerate(data.keys) if key not in {"clip-1-0-1", "clip-1-0-2", "clip-0-1-0"}]
    fewer = TaskData(
        embeddings=data.embeddings[rows],
        **{name: tuple(getattr(data, name)[row] for row in rows) for name in ("keys", "labels", "speakers", "splits")},
    )
    assert score(fewer).chance == 3 / 7


def test_a_fit_that_stops_early_is_recorded_and_does_not_warn(
    make_data: MakeData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "_MAX_ITERATIONS", 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert score(make_data(spread=0.7)).converged is False


def test_a_constant_dimension_does_no_harm(make_data: MakeData) -> None:
    data = make_data()
    data.embeddings[:, 5] = 3.0
    assert score(data).value == 1.0


def test_an_interval_the_wrong_way_round_is_refused(make_score: Callable[..., TaskScore]) -> None:
    with pytest.raises(ValidationError, match=r"low 0.9 is above high 0.8"):
        make_score(low=0.9, high=0.8)
