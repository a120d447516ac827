"""The scores of a probe, their 95 % intervals, and what share of the teacher's score a student keeps.

Every metric is written once, for a whole set of weighted test sets: the score itself is the test set with all weights
one, and a bootstrap resample is the same clips with the number of times each was drawn.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Metric = Literal["accuracy", "balanced_accuracy", "equal_error_rate"]

_BLOCK = 2_000_000
"""Weights held in memory at once while resampling; 16 MB."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a probe said about `n` clips.

    Attributes:
        truth: `[n]` index of each clip's class.
        predicted: `[n]` index of the class the probe chose.
        scores: `[n]` float64, higher for class 1; only where there are exactly two classes, else None.
    """

    truth: NDArray[np.intp]
    predicted: NDArray[np.intp]
    scores: NDArray[np.float64] | None = None


def higher_is_better(metric: Metric) -> bool:
    """Says whether a larger value of the metric is the better one: all but the equal error rate."""
    return metric != "equal_error_rate"


def measure(outcome: Outcome, metric: Metric) -> float:
    """Returns the metric of one test set, in [0, 1].

    - `accuracy`: share of the clips whose class was found.
    - `balanced_accuracy`: mean over the classes that occur of the share of their clips that was found; also called
      unweighted average recall.
    - `equal_error_rate`: the height at which the share of missed clips of class 1 equals the share of clips of class 0
      taken for class 1. Equal scores are one threshold, and between two neighbouring thresholds the ROC curve is the
      straight line through them (Fawcett, "An introduction to ROC analysis", 2006, section 5), so the value does not
      depend on the order of the clips. NaN where only one class occurs.
    """
    return float(_weighted(outcome, metric, np.ones((1, len(outcome.truth))))[0])


def bootstrap_interval(
    outcome: Outcome, metric: Metric, *, resamples: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Returns the 95 % percentile bootstrap interval of a metric (Efron and Tibshirani, 1993, chapter 13).

    Clips are drawn with replacement, as many as there are, so the interval covers the choice of test clips; it knows
    nothing of speakers, nor of another training set. A resample that lacks a class averages over the classes it has;
    one without both classes has no equal error rate and is left out.

    Args:
        outcome: the probe's answers on the test set.
        metric: what is measured on every resample.
        resamples: how many test sets are drawn.
        rng: the source of chance; the same seed on the same clips draws the same test sets for every model.

    Returns:
        The 2.5th and the 97.5th percentile.
    """
    clips = len(outcome.truth)
    rows = max(1, _BLOCK // clips)
    blocks = []
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        drawn = rng.integers(0, clips, size=(count, clips)) + clips * np.arange(count)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=count * clips).reshape(count, clips)
        blocks.append(_weighted(outcome, metric, weights.astype(np.float64)))
    low, high = np.nanpercentile(np.concatenate(blocks), (2.5, 97.5))
    return float(low), float(high)


def chance_level(metric: Metric, *, classes: int, majority: float) -> float:
    """Returns what a probe scores that has heard nothing.

    Args:
        metric: the metric.
        classes: how many classes there are.
        majority: share of the test clips whose class is the commonest of train: the accuracy of always saying it.
    """
    return {"accuracy": majority, "balanced_accuracy": 1 / classes, "equal_error_rate": 0.5}[metric]


def kept_fraction(student: float, teacher: float, metric: Metric) -> float:
    """Returns the share of the teacher's score that the student keeps; above 1 where it does better.

    For accuracies this is the paper's measure (arXiv 2203.00236: "over 96 % of the teacher's accuracy"),
    student / teacher. An equal error rate is turned into a share of right decisions first:
    (1 - student) / (1 - teacher). A teacher that gets nothing right leaves nothing to lose: 1.
    """
    kept, whole = (student, teacher) if higher_is_better(metric) else (1 - student, 1 - teacher)
    return kept / whole if whole > 0 else 1.0


def _weighted(outcome: Outcome, metric: Metric, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Measures `b` weighted test sets at once: weights `[b, n]` to values `[b]`."""
    if metric == "equal_error_rate":
        if outcome.scores is None:
            raise TypeError("equal_error_rate needs the scores of a probe with two classes")
        return _equal_error_rate(outcome.truth == 1, outcome.scores, weights)
    found = (outcome.truth == outcome.predicted).astype(np.float64)
    if metric == "accuracy":
        accuracy: NDArray[np.float64] = weights @ found / weights.sum(axis=1)
        return accuracy
    return _balanced_accuracy(outcome.truth, found, weights)


def _balanced_accuracy(
    truth: NDArray[np.intp], found: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    order, starts = _groups(truth)
    weights = weights[:, order]
    clips = np.add.reduceat(weights, starts, axis=1)
    hits = np.add.reduceat(weights * found[order], starts, axis=1)
    present = clips > 0
    recalls = np.divide(hits, clips, out=np.zeros_like(hits), where=present)
    values: NDArray[np.float64] = recalls.sum(axis=1) / present.sum(axis=1)
    return values


def _equal_error_rate(
    positive: NDArray[np.bool_], scores: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    order, starts = _groups(scores)
    weights, positive = weights[:, order], positive[order]
    # One column a threshold, from "accept everything" to "reject everything", a step for every distinct score.
    missed = _running_total(np.add.reduceat(weights * positive, starts, axis=1))
    rejected = _running_total(np.add.reduceat(weights * ~positive, starts, axis=1))
    with np.errstate(invalid="ignore"):
        miss_rate = missed / missed[:, -1:]
        accept_rate = 1 - rejected / rejected[:, -1:]
        gap = miss_rate - accept_rate  # climbs from -1 to 1
    rows = np.arange(len(weights))
    after = np.argmax(gap >= 0, axis=1)
    before = after - 1
    with np.errstate(invalid="ignore"):
        share = gap[rows, before] / (gap[rows, before] - gap[rows, after])
    values = miss_rate[rows, before] + share * (miss_rate[rows, after] - miss_rate[rows, before])
    # Without both classes every comparison above fails, and the value has no meaning.
    return np.where(after > 0, values, np.nan)


def _groups(values: NDArray[np.intp] | NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Returns the order that sorts the values, and where each run of equal values starts in it."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    return order, np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))


def _running_total(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums along the rows, beginning with a column of zeros."""
    return np.concatenate((np.zeros((len(steps), 1)), np.cumsum(steps, axis=1)), axis=1)
