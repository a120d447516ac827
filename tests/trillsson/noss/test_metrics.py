import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_curve

from trillsson.noss import metrics
from trillsson.noss.metrics import (
    Outcome,
    bootstrap_interval,
    chance_level,
    higher_is_better,
    kept_fraction,
    measure,
)

METRICS = ("accuracy", "balanced_accuracy", "equal_error_rate")


def classified(truth: list[int], predicted: list[int]) -> Outcome:
    return Outcome(truth=np.array(truth), predicted=np.array(predicted))


def scored(truth: list[int], scores: list[float]) -> Outcome:
    values = np.array(scores, dtype=np.float64)
    return Outcome(truth=np.array(truth), predicted=(values > 0).astype(np.intp), scores=values)


# Whole scores in a narrow range, so that ties are common; both classes always occur.
trials = st.lists(st.tuples(st.integers(0, 1), st.integers(-6, 6)), min_size=2, max_size=40).filter(
    lambda pairs: len({truth for truth, _ in pairs}) == 2
)
answers = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60)


def test_accuracies_by_hand() -> None:
    outcome = classified([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 0])
    assert measure(outcome, "accuracy") == pytest.approx(4 / 6)
    assert measure(outcome, "balanced_accuracy") == pytest.approx((3 / 4 + 1 / 2) / 2)


@pytest.mark.parametrize(
    ("positive", "negative", "wanted"),
    [
        ([3.0, 2.0], [1.0, 0.0], 0.0),
        ([1.0, 0.0], [3.0, 2.0], 1.0),
        ([3.0, 1.0], [2.0, 0.0], 0.5),
        # One threshold only: the straight line from (0, 1) to (1, 0) crosses at a half.
        ([5.0, 5.0, 5.0], [5.0], 0.5),
        # Rejecting 0 gives misses 0 and alarms 1/2, rejecting 1 as well 1/4 and 0: they meet at 2/3 of the way, 1/6.
        ([2.0, 2.0, 2.0, 1.0], [1.0, 1.0, 0.0, 0.0], 1 / 6),
        # Misses step up to 1/3 while alarms stay at 1/3.
        ([4.0, 3.0, 1.0], [2.0, 0.5, 0.0], 1 / 3),
    ],
)
def test_equal_error_rate_by_hand(positive: list[float], negative: list[float], wanted: float) -> None:
    outcome = scored([1] * len(positive) + [0] * len(negative), positive + negative)
    assert measure(outcome, "equal_error_rate") == pytest.approx(wanted)


def test_equal_error_rate_of_one_class_is_not_a_number() -> None:
    assert math.isnan(measure(scored([1, 1], [0.5, 0.2]), "equal_error_rate"))


def test_equal_error_rate_without_scores_is_a_bug() -> None:
    with pytest.raises(TypeError, match="needs the scores of a probe with two classes"):
        measure(classified([0, 1, 2], [0, 1, 2]), "equal_error_rate")


@given(answers)
def test_accuracies_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = (list(values) for values in zip(*pairs, strict=True))
    outcome = classified(truth, predicted)
    assert measure(outcome, "accuracy") == pytest.approx(accuracy_score(truth, predicted))
    recalls = [np.mean([guess == label for own, guess in pairs if own == label]) for label in set(truth)]
    assert measure(outcome, "balanced_accuracy") == pytest.approx(np.mean(recalls))
    if len(set(truth)) > 1 and set(predicted) <= set(truth):  # else scikit-learn warns
        assert measure(outcome, "balanced_accuracy") == pytest.approx(balanced_accuracy_score(truth, predicted))


@given(trials)
def test_equal_error_rate_is_where_the_roc_curve_meets_the_diagonal(pairs: list[tuple[int, int]]) -> None:
    truth, scores = zip(*pairs, strict=True)
    false_alarms, hits, _ = roc_curve(truth, scores, drop_intermediate=False)
    # The usual recipe: the root of 1 - x - ROC(x).
    reference = brentq(lambda x: 1 - x - float(interp1d(false_alarms, hits)(x)), 0, 1)
    assert measure(scored(list(truth), list(scores)), "equal_error_rate") == pytest.approx(reference, abs=1e-6)


@given(trials)
def test_equal_error_rate_looks_at_the_order_of_scores_only(pairs: list[tuple[int, int]]) -> None:
    truth, scores = (list(values) for values in zip(*pairs, strict=True))
    value = measure(scored(truth, scores), "equal_error_rate")
    assert 0 <= value <= 1
    assert measure(scored(truth, [math.exp(score / 3) for score in scores]), "equal_error_rate") == value
    assert measure(scored(truth, [score**3 - 100 for score in scores]), "equal_error_rate") == value
    assert measure(scored(truth[::-1], scores[::-1]), "equal_error_rate") == value
    other_side = scored([1 - label for label in truth], [-score for score in scores])
    assert measure(other_side, "equal_error_rate") == pytest.approx(value)


def test_interval_of_an_accuracy_is_the_binomial_one() -> None:
    outcome = classified([0] * 400, [0] * 320 + [1] * 80)
    low, high = bootstrap_interval(outcome, "accuracy", resamples=4000, rng=np.random.default_rng(0))
    margin = 1.96 * math.sqrt(0.8 * 0.2 / 400)
    assert low == pytest.approx(0.8 - margin, abs=0.004)
    assert high == pytest.approx(0.8 + margin, abs=0.004)


@pytest.mark.parametrize("metric", METRICS)
def test_interval_is_that_of_resampled_test_sets(metric: metrics.Metric) -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 2, 40)
    scores = np.round(truth + rng.standard_normal(40), 1)
    outcome = Outcome(truth=truth, predicted=(scores > 0.5).astype(np.intp), scores=scores)
    draws = np.random.default_rng(5).integers(0, 40, size=(200, 40))
    values = [measure(Outcome(truth[rows], outcome.predicted[rows], scores[rows]), metric) for rows in draws]
    interval = bootstrap_interval(outcome, metric, resamples=200, rng=np.random.default_rng(5))
    assert interval == pytest.approx(tuple(np.percentile(values, (2.5, 97.5))))
    assert interval[0] < measure(outcome, metric) < interval[1]


def test_interval_does_not_depend_on_the_size_of_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = classified([0, 1, 2] * 10, [0, 1, 1] * 10)
    whole = bootstrap_interval(outcome, "balanced_accuracy", resamples=100, rng=np.random.default_rng(1))
    monkeypatch.setattr(metrics, "_BLOCK", 7 * 30)
    assert bootstrap_interval(outcome, "balanced_accuracy", resamples=100, rng=np.random.default_rng(1)) == whole


@given(answers, st.sampled_from(["accuracy", "balanced_accuracy"]))
def test_interval_is_ordered_and_holds_the_score(pairs: list[tuple[int, int]], metric: metrics.Metric) -> None:
    outcome = classified([truth for truth, _ in pairs], [guess for _, guess in pairs])
    low, high = bootstrap_interval(outcome, metric, resamples=100, rng=np.random.default_rng(0))
    assert 0 <= low <= high <= 1
    assert low <= measure(outcome, "accuracy") <= high or metric != "accuracy"
    if all(truth == guess for truth, guess in pairs):
        assert (low, high) == (1, 1)


def test_interval_leaves_out_resamples_of_one_class() -> None:
    # With two clips half of the resamples have one class, and no equal error rate.
    interval = bootstrap_interval(
        scored([0, 1], [-1.0, 1.0]), "equal_error_rate", resamples=100, rng=np.random.default_rng(0)
    )
    assert interval == (0.0, 0.0)


@pytest.mark.parametrize(
    ("metric", "higher"), [("accuracy", True), ("balanced_accuracy", True), ("equal_error_rate", False)]
)
def test_which_way_is_better(metric: metrics.Metric, higher: bool) -> None:
    assert higher_is_better(metric) is higher


@pytest.mark.parametrize(
    ("student", "teacher", "metric", "wanted"),
    [
        (0.72, 0.8, "accuracy", 0.9),
        (0.84, 0.8, "balanced_accuracy", 1.05),
        (0.1, 0.04, "equal_error_rate", 0.9375),
        (0.02, 0.04, "equal_error_rate", 0.98 / 0.96),
        (0.3, 0.0, "accuracy", 1.0),
        (0.3, 1.0, "equal_error_rate", 1.0),
    ],
)
def test_kept_fraction(student: float, teacher: float, metric: metrics.Metric, wanted: float) -> None:
    assert kept_fraction(student, teacher, metric) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("metric", "wanted"), [("accuracy", 0.4), ("balanced_accuracy", 0.2), ("equal_error_rate", 0.5)]
)
def test_chance(metric: metrics.Metric, wanted: float) -> None:
    assert chance_level(metric, classes=5, majority=0.4) == wanted
