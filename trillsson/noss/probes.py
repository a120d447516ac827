"""Linear probes: how well a task's classes can be read off frozen embeddings.

A probe standardises every dimension with train's mean and deviation and fits a logistic regression. Its penalty is
chosen on validation by the task's own metric, never on test; the chosen probe is then fitted once on train and
validation together and scored once on test.
"""

import warnings
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from trillsson.config import Evaluation, Spec, Task
from trillsson.noss.metrics import Metric, Outcome, bootstrap_interval, chance_level, higher_is_better, measure
from trillsson.noss.tasks import Carved, Partition, TaskData, partition

_MAX_ITERATIONS = 5_000
"""Far above what standardised embeddings take (at most some hundreds here); reaching it is recorded."""

_SMALL = 1e9
"""Multiply-adds of one iteration below which linear algebra on one thread is faster than on several."""


class TaskScore(Spec):
    """What one model's probe scored on one task.

    `converged` is false where any of the fits behind the score stopped before its optimum; the score then stands, but
    a little less sure. `low` and `high` bound the 95 % bootstrap interval of `value` over the test clips.
    """

    task: str
    metric: Metric
    value: float = Field(ge=0, le=1, allow_inf_nan=False, description="on test")
    low: float = Field(ge=0, le=1, allow_inf_nan=False)
    high: float = Field(ge=0, le=1, allow_inf_nan=False)
    chance: float = Field(ge=0, le=1, description="what a probe scores that has heard nothing")
    classes: int = Field(ge=2)
    train: int = Field(ge=1, description="clips left in train after carving")
    validation: int = Field(ge=1, description="clips")
    test: int = Field(ge=1, description="clips")
    penalty: float = Field(gt=0, description="C of the probe, chosen on validation")
    validation_value: float = Field(ge=0, le=1, description="the metric on validation at that penalty")
    carved: Carved = Field(description="where validation comes from")
    converged: bool

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


def evaluate_task(data: TaskData, task: Task, *, name: str, evaluation: Evaluation) -> TaskScore:
    """Fits and scores one model's probe on one task. The same data in any order of rows gives the same score.

    Args:
        data: the task's clips with the model's embeddings.
        task: metric and carving.
        name: the task's name, in the score and in errors.
        evaluation: penalties, resamples, share of validation, seed.

    Raises:
        InputError: the clips cannot be parted, see `trillsson.noss.tasks.partition`.
    """
    parts = partition(data, task, name=name, evaluation=evaluation)
    penalty, validation_value, path_converged = _choose_penalty(
        parts, metric=task.metric, penalties=evaluation.penalties
    )
    probe = _probe()
    fitted_on = np.sort(np.concatenate((parts.train, parts.validation)))
    final_converged = _fit(probe, parts, fitted_on, penalty=penalty)
    outcome = _outcome(probe, parts, parts.test)
    low, high = bootstrap_interval(
        outcome, task.metric, resamples=evaluation.bootstrap, rng=np.random.default_rng(evaluation.seed)
    )
    commonest = np.argmax(np.bincount(parts.target[fitted_on]))
    majority = float(np.mean(outcome.truth == commonest))
    return TaskScore(
        task=name,
        metric=task.metric,
        value=measure(outcome, task.metric),
        low=low,
        high=high,
        chance=chance_level(task.metric, classes=len(parts.classes), majority=majority),
        classes=len(parts.classes),
        train=len(parts.train),
        validation=len(parts.validation),
        test=len(parts.test),
        penalty=penalty,
        validation_value=validation_value,
        carved=parts.carved,
        converged=path_converged and final_converged,
    )


def _choose_penalty(parts: Partition, *, metric: Metric, penalties: tuple[float, ...]) -> tuple[float, float, bool]:
    """Returns the best C on validation, the smallest of equals, its metric there, and whether every fit converged."""
    sign = 1 if higher_is_better(metric) else -1
    probe = _probe()
    tried: list[tuple[float, float]] = []
    converged = True
    # From the strongest penalty to the weakest: each fit starts where the last one ended, which halves the time.
    for penalty in sorted(set(penalties)):
        converged &= _fit(probe, parts, parts.train, penalty=penalty)
        tried.append((penalty, measure(_outcome(probe, parts, parts.validation), metric)))
    penalty, value = max(tried, key=lambda pair: sign * pair[1])
    return penalty, value, converged


def _probe() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=_MAX_ITERATIONS, warm_start=True))


def _fit(probe: Any, parts: Partition, rows: NDArray[np.intp], *, penalty: float) -> bool:
    """Fits the probe in place and returns whether it converged."""
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    features = parts.embeddings[rows].astype(np.float64)
    threads = 1 if features.size * len(parts.classes) < _SMALL else None
    with threadpool_limits(limits=threads, user_api="blas"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        probe.set_params(logisticregression__C=penalty).fit(features, parts.target[rows])
    stopped = [entry for entry in caught if issubclass(entry.category, ConvergenceWarning)]
    for entry in caught:
        if entry not in stopped:
            warnings.warn_explicit(entry.message, entry.category, entry.filename, entry.lineno)
    return not stopped


def _outcome(probe: Any, parts: Partition, rows: NDArray[np.intp]) -> Outcome:
    features = parts.embeddings[rows].astype(np.float64)
    scores = probe.decision_function(features) if len(parts.classes) == 2 else None
    return Outcome(truth=parts.target[rows], predicted=probe.predict(features), scores=scores)
