"""What was measured on one model, a value that goes to JSON and back, and the table that sets models side by side."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from trillsson.config import Spec
from trillsson.errors import InputError, IntegrityError
from trillsson.noss.metrics import Metric, higher_is_better
from trillsson.noss.probes import TaskScore

Role = Literal["baseline", "teacher", "student"]

ROLES: tuple[Role, ...] = ("baseline", "teacher", "student")
"""The order in which models are shown: floor, ceiling, and what lies between."""

_METRICS: dict[Metric, str] = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "equal_error_rate": "equal error rate",
}

_SHORT: dict[Metric, str] = {"accuracy": "accuracy", "balanced_accuracy": "UAR", "equal_error_rate": "EER (low: good)"}


class ModelResult(Spec):
    """Everything measured on one model.

    `parity` maps an export format to its largest relative difference from Keras; a difference that is not a number is
    kept as infinite, so that no gate lets it pass. `rejects` maps the tasks' corpora to the clips, by reason, that the
    model gave no embedding of; no task needs one of these. `provenance` maps what the numbers rest on (datasets,
    bundle, code) to its digest or version.
    """

    model_config = ConfigDict(ser_json_inf_nan="strings")

    name: str = Field(min_length=1)
    role: Role
    dim: int = Field(ge=1, description="length of an embedding")
    size_mb: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] | None = Field(
        None, description="10^6 bytes of each exported format, where the model has been exported"
    )
    ms_per_second: float = Field(ge=0, allow_inf_nan=False, description="ms of compute for one second of audio")
    parity: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    scores: dict[str, TaskScore] = Field(min_length=1)
    rejects: dict[str, dict[str, int]] = Field(default_factory=dict)
    provenance: dict[str, str] = Field(default_factory=dict)

    @field_validator("parity", mode="before")
    @classmethod
    def _not_a_number_is_infinite(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        lost = {name: math.inf for name, number in value.items() if isinstance(number, float) and math.isnan(number)}
        return {**value, **lost}

    @model_validator(mode="after")
    def _scores_under_their_task(self) -> "ModelResult":
        for task, score in self.scores.items():
            if score.task != task:
                raise ValueError(f"scores.{task} holds the score of task {score.task}")
        return self


def parse_result(text: str | bytes, *, source: str) -> ModelResult:
    """Reads the JSON of a `ModelResult` (`model_dump_json`); `source` names it in errors.

    Raises:
        IntegrityError: it is not such a JSON; names the key and the reason.
    """
    try:
        return ModelResult.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise IntegrityError(f"result {source}: {key}: {first['msg']}; evaluate the model again") from error


def metric_title(metric: Metric) -> str:
    """Returns the metric's name for people, saying so where lower is better."""
    return _METRICS[metric] + ("" if higher_is_better(metric) else " (lower is better)")


def score_text(score: TaskScore, gap: str = " ") -> str:
    """Returns value and 95 % interval, like `0.84 [0.79-0.88]`, with `gap` between the two."""
    return f"{score.value:.2f}{gap}[{score.low:.2f}-{score.high:.2f}]"


def in_order(results: Sequence[ModelResult]) -> list[ModelResult]:
    """Returns baselines, teacher, students, each in the given order, after checking that they can be compared.

    Raises:
        InputError: there is no result, a name occurs twice, there are two teachers, or two models were scored on a task
            by another metric or on another number of clips or classes.
    """
    if not results:
        raise InputError("there is no result to show; evaluate at least one model")
    names = [result.name for result in results]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two results are named {name!r}; give every model its own name")
    teachers = [result.name for result in results if result.role == "teacher"]
    if len(teachers) > 1:
        raise InputError(f"results have {len(teachers)} teachers, {', '.join(teachers)}; give one")
    for task in task_names(results):
        check_comparable([result for result in results if task in result.scores], task=task)
    return sorted(results, key=lambda result: ROLES.index(result.role))


def the_teacher(results: Sequence[ModelResult]) -> ModelResult:
    """Returns the result of the one teacher.

    Raises:
        InputError: there is none, or there are several.
    """
    teachers = [result for result in results if result.role == "teacher"]
    if len(teachers) != 1:
        raise InputError(f"a report needs the result of one teacher, got {len(teachers)}; evaluate the teacher once")
    return teachers[0]


def task_names(results: Sequence[ModelResult]) -> list[str]:
    """Returns every task that any model was scored on, in the order of first mention."""
    return list(dict.fromkeys(task for result in results for task in result.scores))


def beaten_tasks(result: ModelResult, other: ModelResult) -> list[str]:
    """Returns the tasks on which another model scored better on test than this one, however close the two are."""
    shared = [task for task in result.scores if task in other.scores]
    return [task for task in shared if _goodness(other.scores[task]) > _goodness(result.scores[task])]


def _goodness(score: TaskScore) -> float:
    return score.value if higher_is_better(score.metric) else -score.value


def teacher_warnings(results: Sequence[ModelResult]) -> list[str]:
    """Returns a clause for every baseline that beats the teacher on some task: there its targets teach nothing."""
    teachers = [result for result in results if result.role == "teacher"]
    pairs = [(teacher, result) for teacher in teachers for result in results if result.role == "baseline"]
    return [
        f"the baseline {baseline.name} beats the teacher on {len(tasks)} of {len(teacher.scores)} tasks, "
        f"{', '.join(tasks)}: there the teacher carries nothing to distil"
        for teacher, baseline in pairs
        if (tasks := beaten_tasks(teacher, baseline))
    ]


def check_comparable(results: Sequence[ModelResult], *, task: str) -> None:
    """Refuses to compare scores of a task that were not measured the same way.

    Raises:
        InputError: metric, classes or clips differ; names both models.
    """
    first, *others = results
    for other in others:
        for field in ("metric", "classes", "train", "validation", "test", "carved"):
            one, two = (getattr(result.scores[task], field) for result in (first, other))
            if one != two:
                raise InputError(
                    f"task {task}: {field} is {one} for {first.name} and {two} for {other.name};"
                    " evaluate both on the same data"
                )


def formats(results: Sequence[ModelResult]) -> list[str]:
    """Returns every exported format that any model has a size for, sorted."""
    return sorted({name for result in results for name in result.size_mb or {}})


def table(results: Sequence[ModelResult]) -> str:
    """Returns a plain-text table: a row a model, a column a task, then size and speed.

    A cell is the score on test above its 95 % interval; `-` stands for what was not measured. The size is that of the
    smallest exported format.

    Raises:
        InputError: the results cannot be compared, see `in_order`.
    """
    from tabulate import tabulate

    ordered = in_order(results)
    tasks = task_names(ordered)
    metrics = [next(each.scores[task].metric for each in ordered if task in each.scores) for task in tasks]
    header = ["model", *(f"{task}\n{_SHORT[metric]}" for task, metric in zip(tasks, metrics, strict=True))]
    header += ["size\nMB", "ms per s\nof audio"]
    rows = []
    for result in ordered:
        cells = [score_text(result.scores[task], gap="\n") if task in result.scores else "-" for task in tasks]
        size = min(result.size_mb.values()) if result.size_mb else None
        numbers = [_number(size, digits=1), _number(result.ms_per_second, digits=2)]
        rows.append([result.name, *cells, *numbers])
    align = ["left"] * (1 + len(tasks)) + ["right"] * 2
    return tabulate(rows, header, colalign=align, disable_numparse=True)


def _number(value: float | None, *, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
