import math
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from trillsson.config import Gate
from trillsson.errors import GateError, InputError
from trillsson.noss.gate import Verdict, enforce, judge, required_gate, verdict_line
from trillsson.noss.probes import TaskScore
from trillsson.noss.results import ModelResult

MakeScore = Callable[..., TaskScore]
MakeResult = Callable[..., ModelResult]

GATE = Gate(teacher_fraction=0.9, min_tasks=2, max_size_mb=6)
TEACHER = {"one": 0.9, "two": 0.8, "three": 0.7}


@pytest.mark.parametrize(
    ("values", "changes", "failed"),
    [
        ({"one": 0.9, "two": 0.8, "three": 0.1}, {}, []),
        # Exactly the wanted share, which is 0.8999999999999999 in binary.
        ({"one": 0.1, "two": 0.72, "three": 0.63}, {}, []),
        ({"one": 0.9, "two": 0.71, "three": 0.6}, {}, ["tasks with 90% of the teacher's score: 1, wanted at least 2"]),
        ({"one": 0.9}, {}, ["tasks with 90% of the teacher's score: 1, wanted at least 2"]),
        (TEACHER, {"size_mb": {"tflite": 1.0, "saved_model": 6.0}}, []),
        (
            TEACHER,
            {"size_mb": {"tflite": 1.0, "saved_model": 6.01}},
            ["size of saved_model in MB: 6.01, wanted at most 6"],
        ),
        (TEACHER, {"size_mb": None}, ["size in MB: not measured, wanted at most 6"]),
        (TEACHER, {"parity": {"saved_model": 1e-3, "tflite": 1e-3}}, []),
        (
            TEACHER,
            {"parity": {"saved_model": 2e-3, "tflite": math.nan}},
            [
                "difference of saved_model from Keras: 0.002, wanted at most 0.001",
                "difference of tflite from Keras: infinite, wanted at most 0.001",
            ],
        ),
        (TEACHER, {"parity": {}}, ["difference of the exports from Keras: not measured, wanted at most 0.001"]),
        (
            {"one": 0.1},
            {"size_mb": {"tflite": 99}, "parity": {"tflite": 0.5}},
            [
                "tasks with 90% of the teacher's score: 0, wanted at least 2",
                "size of tflite in MB: 99, wanted at most 6",
                "difference of tflite from Keras: 0.5, wanted at most 0.001",
            ],
        ),
    ],
)
def test_judge(make_result: MakeResult, values: dict[str, float], changes: dict[str, Any], failed: list[str]) -> None:
    verdict = judge(make_result(values=values, **changes), make_result("big", "teacher", TEACHER), GATE)
    assert [check.text for check in verdict.checks if not check.passed] == failed
    assert verdict.passed is not bool(failed)
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict
    if failed:
        message = f"student nano is not publishable: {'; '.join(failed)}"
        assert verdict.message == message
        with pytest.raises(GateError) as error:
            enforce(verdict)
        assert str(error.value) == message
    else:
        assert verdict.message == "student nano passed the gate: 4 of 4 checks"
        enforce(verdict)


@pytest.mark.parametrize(
    ("values", "changes", "line"),
    [
        (
            {**TEACHER, "one": 0.1},
            {},
            "passed the gate: 90% of the teacher's score on 2 of 3 tasks, wanted on at least 2",
        ),
        (
            {"one": 0.9},  # a task that was not scored is one that is not kept
            {},
            "did not pass the gate: 90% of the teacher's score on 1 of 3 tasks, wanted on at least 2",
        ),
        (
            TEACHER,
            {"size_mb": {"tflite": 99}, "parity": {}},
            "did not pass the gate: 90% of the teacher's score on 3 of 3 tasks, wanted on at least 2; size of tflite "
            "in MB: 99, wanted at most 6; difference of the exports from Keras: not measured, wanted at most 0.001",
        ),
    ],
)
def test_a_verdict_in_one_line(
    make_result: MakeResult, values: dict[str, float], changes: dict[str, Any], line: str
) -> None:
    verdict = judge(make_result(values=values, **changes), make_result("big", "teacher", TEACHER), GATE)
    assert verdict_line(verdict, GATE, tasks=3) == f"nano {line}"


@pytest.mark.parametrize(("fraction", "told"), [(0.995, "99.5%"), (0.004, "0.4%"), (0.29, "29%"), (1.0, "100%")])
def test_the_wanted_share_is_told_as_it_was_asked_for(make_result: MakeResult, fraction: float, told: str) -> None:
    gate = Gate(teacher_fraction=fraction, min_tasks=2, max_size_mb=6)
    verdict = judge(make_result(values=TEACHER), make_result("big", "teacher", TEACHER), gate)
    assert verdict.checks[0].name == f"tasks with {told} of the teacher's score"
    line = f"nano passed the gate: {told} of the teacher's score on 3 of 3 tasks, wanted on at least 2"
    assert verdict_line(verdict, gate, tasks=3) == line


def test_kept_shares(make_result: MakeResult, make_score: MakeScore) -> None:
    def scores(accuracy: float, rate: float) -> dict[str, TaskScore]:
        spoof = make_score("spoof", rate, metric="equal_error_rate", classes=2)
        return {"emotion": make_score(value=accuracy), "spoof": spoof}

    student = make_result(scores=scores(0.6, 0.1))
    teacher = make_result("big", "teacher", scores=scores(0.8, 0.04))
    assert judge(student, teacher, GATE).kept == pytest.approx({"emotion": 0.75, "spoof": 0.9375})


def test_scores_of_other_data_are_not_judged(make_result: MakeResult, make_score: MakeScore) -> None:
    teacher = make_result("big", "teacher", scores={"emotion": make_score(test=51)})
    with pytest.raises(InputError, match=r"^task emotion: test is 50 for nano and 51 for big; evaluate both on"):
        judge(make_result(), teacher, GATE)


def test_roles_must_fit(make_result: MakeResult) -> None:
    student, teacher = make_result(), make_result("big", "teacher")
    with pytest.raises(InputError, match=r"^big is a teacher, not a student; judge a student against its teacher$"):
        judge(teacher, student, GATE)
    with pytest.raises(InputError, match=r"^log-mel is a baseline, not a teacher; judge a student against"):
        judge(student, make_result("log-mel", "baseline"), GATE)


def test_without_a_gate_nothing_is_published() -> None:
    assert required_gate(GATE) is GATE
    with pytest.raises(GateError) as error:
        required_gate(None)
    assert str(error.value) == (
        "not publishable: config has no gate; add gate with teacher_fraction, min_tasks and max_size_mb to it"
    )


def test_a_verdict_cannot_contradict_its_checks(make_result: MakeResult) -> None:
    verdict = judge(make_result(values=TEACHER), make_result("big", "teacher", TEACHER), GATE)
    with pytest.raises(ValidationError, match=r"passed is False, which is not what the checks say"):
        Verdict(**(dict(verdict) | {"passed": False}))
