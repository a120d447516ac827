import math
from collections.abc import Callable

import pytest
from pydantic import ValidationError

from trillsson.errors import InputError, IntegrityError
from trillsson.noss.probes import TaskScore
from trillsson.noss.results import (
    ModelResult,
    in_order,
    metric_title,
    parse_result,
    score_text,
    table,
    teacher_warnings,
)

MakeScore = Callable[..., TaskScore]
MakeResult = Callable[..., ModelResult]

TABLE = """\
model    emotion      spoof                size    ms per s
         accuracy     EER (low: good)        MB    of audio
-------  -----------  -----------------  ------  ----------
log-mel  0.50         0.30                    -        0.21
         [0.45-0.55]  [0.25-0.35]
big      0.90         0.04                    -       61.30
         [0.85-0.95]  [0.00-0.09]
nano     0.80         -                     1.6        2.50
         [0.75-0.85]"""


def test_json_and_back(make_result: MakeResult) -> None:
    result = make_result(values={"emotion": 0.8, "spoof": 0.1})
    assert parse_result(result.model_dump_json(), source="test") == result


@pytest.mark.parametrize("difference", [math.nan, math.inf])
def test_a_difference_that_is_no_number_survives_as_infinite(make_result: MakeResult, difference: float) -> None:
    result = make_result(parity={"saved_model": 1e-6, "tflite": difference})
    assert result.parity == {"saved_model": 1e-6, "tflite": math.inf}
    assert parse_result(result.model_dump_json(), source="test") == result


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "{",
            "result r.json: the whole: Invalid JSON: EOF while parsing an object at line 1 column 1; evaluate",
        ),
        ('{"name": "nano"}', "result r.json: role: Field required; evaluate the model again"),
    ],
)
def test_json_that_is_no_result(text: str, message: str) -> None:
    with pytest.raises(IntegrityError) as error:
        parse_result(text, source="r.json")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_score_under_the_wrong_task_is_refused(make_result: MakeResult, make_score: MakeScore) -> None:
    with pytest.raises(ValidationError, match=r"scores\.emotion holds the score of task spoof"):
        make_result(scores={"emotion": make_score("spoof")})


def test_table(make_result: MakeResult, make_score: MakeScore) -> None:
    def spoof(value: float) -> TaskScore:
        return make_score("spoof", value, metric="equal_error_rate", classes=2, chance=0.5)

    results = [
        make_result(),
        make_result(
            "big", "teacher", scores={"emotion": make_score(value=0.9), "spoof": spoof(0.04)}, ms_per_second=61.3
        ),
        make_result(
            "log-mel", "baseline", scores={"emotion": make_score(value=0.5), "spoof": spoof(0.3)}, ms_per_second=0.21
        ),
    ]
    assert table(results) == TABLE


def test_texts(make_score: MakeScore) -> None:
    assert score_text(make_score(value=0.8412, low=0.7891, high=0.88)) == "0.84 [0.79-0.88]"
    assert metric_title("accuracy") == "accuracy"
    assert metric_title("equal_error_rate") == "equal error rate (lower is better)"


def test_a_baseline_that_beats_the_teacher(make_result: MakeResult, make_score: MakeScore) -> None:
    def scored(name: str, role: str, accuracy: float, rate: float) -> ModelResult:
        spoof = make_score("spoof", rate, metric="equal_error_rate", classes=2)
        return make_result(name, role, scores={"emotion": make_score(value=accuracy), "spoof": spoof})

    teacher = scored("big", "teacher", 0.8, 0.1)
    end = "there the teacher carries nothing to distil"
    for accuracy, rate, tasks in (
        (0.9, 0.05, "2 of 2 tasks, emotion, spoof"),
        (0.81, 0.1, "1 of 2 tasks, emotion"),
        (0.8, 0.09, "1 of 2 tasks, spoof"),
    ):
        results = [teacher, make_result(), scored("log-mel", "baseline", accuracy, rate)]
        assert teacher_warnings(results) == [f"the baseline log-mel beats the teacher on {tasks}: {end}"]
    assert teacher_warnings([teacher, scored("log-mel", "baseline", 0.8, 0.1)]) == []
    assert teacher_warnings([teacher, make_result("log-mel", "baseline", {"age": 1.0})]) == []
    assert teacher_warnings([make_result(), make_result("log-mel", "baseline", {"emotion": 1.0})]) == []


def test_order_is_by_role_then_as_given(make_result: MakeResult) -> None:
    given = [make_result("z"), make_result("a"), make_result("t", "teacher"), make_result("b", "baseline")]
    assert [result.name for result in in_order(given)] == ["b", "t", "z", "a"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"metric": "balanced_accuracy"},
            "metric is accuracy for one and balanced_accuracy for two; evaluate both on the same data",
        ),
        ({"test": 49}, "test is 50 for one and 49 for two; evaluate both on the same data"),
        ({"train": 79}, "train is 80 for one and 79 for two; evaluate both on the same data"),
        ({"carved": "clip"}, "carved is speaker for one and clip for two; evaluate both on the same data"),
    ],
)
def test_scores_of_other_data_are_not_compared(
    make_result: MakeResult, make_score: MakeScore, changes: dict[str, object], message: str
) -> None:
    other = make_result("two", scores={"emotion": make_score(**changes)})
    with pytest.raises(InputError) as error:
        table([make_result("one"), other])
    assert str(error.value) == f"task emotion: {message}"


def test_results_that_make_no_table(make_result: MakeResult) -> None:
    with pytest.raises(InputError, match=r"^there is no result to show; evaluate at least one model$"):
        table([])
    with pytest.raises(InputError, match=r"^two results are named 'nano'; give every model its own name$"):
        table([make_result(), make_result()])
    with pytest.raises(InputError, match=r"^results have 2 teachers, one, two; give one$"):
        table([make_result("one", "teacher"), make_result("two", "teacher")])
