"""The gate: whether a student is good, small and exact enough to be published."""

import math
from collections.abc import Iterator, Mapping
from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator

from trillsson.config import Gate, Spec
from trillsson.errors import GateError, InputError
from trillsson.noss.metrics import kept_fraction
from trillsson.noss.results import ModelResult, check_comparable

_ROUNDING = 1e-9
"""A share this little under the wanted one is rounding, as in 0.63 / 0.7 < 0.9."""


class Check(Spec):
    """One demand of the gate: what was measured, and the bound it must keep. None stands for not measured."""

    model_config = ConfigDict(ser_json_inf_nan="strings")

    name: str
    passed: bool
    measured: float | None
    bound: Literal["at least", "at most"]
    wanted: float

    @property
    def text(self) -> str:
        """The check in words, like `size of saved_model in MB: 31.2, wanted at most 30`."""
        return f"{self.name}: {self.measured_text}, wanted {self.bound} {self.wanted:g}"

    @property
    def measured_text(self) -> str:
        """What was measured, to six digits."""
        if self.measured is None:
            return "not measured"
        return "infinite" if math.isinf(self.measured) else f"{self.measured:.6g}"


class Verdict(Spec):
    """What the gate says of one student. It passes when every check does.

    `checks` begin with the one on tasks. `kept` maps every task to the share of the teacher's score that the student
    keeps; a task it was not scored on is left out and counts as not kept.
    """

    model_config = ConfigDict(ser_json_inf_nan="strings")

    student: str
    passed: bool
    checks: tuple[Check, ...] = Field(min_length=1)
    kept: dict[str, float]

    @model_validator(mode="after")
    def _passes_with_every_check(self) -> Self:
        if self.passed != all(check.passed for check in self.checks):
            raise ValueError(f"passed is {self.passed}, which is not what the checks say")
        return self

    @property
    def message(self) -> str:
        """One line; on failure it names every failed check with its values."""
        if self.passed:
            return f"student {self.student} passed the gate: {len(self.checks)} of {len(self.checks)} checks"
        failed = "; ".join(check.text for check in self.checks if not check.passed)
        return f"student {self.student} is not publishable: {failed}"


def percent(fraction: float) -> str:
    """Writes a share as it was asked for: 0.995 is `99.5%`, not 100%."""
    return f"{100 * fraction:g}%"


def required_gate(gate: Gate | None) -> Gate:
    """Returns the gate of a release.

    Raises:
        GateError: the config has none; without one nothing can be published.
    """
    if gate is None:
        raise GateError(
            "not publishable: config has no gate; add gate with teacher_fraction, min_tasks and max_size_mb to it"
        )
    return gate


def judge(student: ModelResult, teacher: ModelResult, gate: Gate) -> Verdict:
    """Holds a student against its teacher and the gate.

    The checks: the tasks on which `kept_fraction` reaches `teacher_fraction`, the size of the largest exported format,
    and the parity of every export. A size or a parity that was not measured fails its check.

    Raises:
        InputError: the roles are wrong, or the two were not scored on the same data by the same metric.
    """
    for result, role in ((student, "student"), (teacher, "teacher")):
        if result.role != role:
            raise InputError(f"{result.name} is a {result.role}, not a {role}; judge a student against its teacher")
    kept = kept_by_task(student, teacher)
    checks = tuple(_checks(student, kept, gate))
    return Verdict(student=student.name, passed=all(check.passed for check in checks), checks=checks, kept=kept)


def kept_by_task(student: ModelResult, teacher: ModelResult) -> dict[str, float]:
    """Maps every task that both were scored on to the share of the teacher's score that the student keeps.

    Raises:
        InputError: the two were not scored on the same data by the same metric.
    """
    kept = {}
    for task, reference in teacher.scores.items():
        if task in student.scores:
            check_comparable((student, teacher), task=task)
            kept[task] = kept_fraction(student.scores[task].value, reference.value, reference.metric)
    return kept


def keeps(fraction: float, gate: Gate) -> bool:
    """Says whether a share of the teacher's score counts as kept."""
    return fraction >= gate.teacher_fraction - _ROUNDING


def kept_tasks(kept: Mapping[str, float], gate: Gate) -> int:
    """Counts the tasks on which the share of the teacher's score counts as kept."""
    return sum(keeps(fraction, gate) for fraction in kept.values())


def verdict_line(verdict: Verdict, gate: Gate, *, tasks: int) -> str:
    """Returns the verdict in one line: passed or not, on how many of the teacher's `tasks`, and what else failed."""
    said = f"{verdict.student} {'passed' if verdict.passed else 'did not pass'} the gate"
    kept = kept_tasks(verdict.kept, gate)
    reached = f"{percent(gate.teacher_fraction)} of the teacher's score on {kept} of {tasks} tasks"
    failed = [check.text for check in verdict.checks[1:] if not check.passed]
    return "; ".join([f"{said}: {reached}, wanted on at least {gate.min_tasks}", *failed])


def enforce(verdict: Verdict) -> None:
    """Lets a student through that passed.

    Raises:
        GateError: it did not; the message names every failed check.
    """
    if not verdict.passed:
        raise GateError(verdict.message)


def _checks(student: ModelResult, kept: dict[str, float], gate: Gate) -> Iterator[Check]:
    reached = kept_tasks(kept, gate)
    yield Check(
        name=f"tasks with {percent(gate.teacher_fraction)} of the teacher's score",
        passed=reached >= gate.min_tasks,
        measured=reached,
        bound="at least",
        wanted=gate.min_tasks,
    )
    sizes = student.size_mb or {}
    largest = max(sizes, key=sizes.__getitem__, default=None)
    yield _ceiling(
        "size in MB" if largest is None else f"size of {largest} in MB",
        None if largest is None else sizes[largest],
        wanted=gate.max_size_mb,
    )
    for name, difference in sorted(student.parity.items()):
        yield _ceiling(f"difference of {name} from Keras", difference, wanted=gate.max_parity)
    if not student.parity:
        yield _ceiling("difference of the exports from Keras", None, wanted=gate.max_parity)


def _ceiling(name: str, measured: float | None, *, wanted: float) -> Check:
    passed = measured is not None and measured <= wanted
    return Check(name=name, passed=passed, measured=measured, bound="at most", wanted=wanted)
