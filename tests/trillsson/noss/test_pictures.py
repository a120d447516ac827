from collections.abc import Callable

import pytest

from trillsson.noss.pictures import picture
from trillsson.noss.probes import TaskScore
from trillsson.noss.results import ModelResult
from trillsson.pages.shapes import PICTURE_WIDTH

MakeScore = Callable[..., TaskScore]
MakeResult = Callable[..., ModelResult]


def test_accuracy_runs_from_left_to_right(make_result: MakeResult) -> None:
    drawn = picture([make_result(values={"emotion": 0.75})], task="emotion")
    (mark,) = drawn.marks
    # The axis is 332 units long and begins at 14.
    assert (mark.left, mark.x, mark.right) == (246.4, 263.0, 279.6)
    assert (mark.value, mark.interval, mark.role) == ("0.75", "0.70–0.80", "student")
    assert [(tick.x, tick.text) for tick in drawn.ticks] == [
        (14.0, "0.0"),
        (80.4, "0.2"),
        (146.8, "0.4"),
        (213.2, "0.6"),
        (279.6, "0.8"),
        (346.0, "1.0"),
    ]
    assert (drawn.chance_x, drawn.chance_text, drawn.chance_anchor) == (97.0, "chance 0.25", "middle")
    assert drawn.summary == "accuracy, chance 0.25. nano (student) 0.75, interval 0.70 to 0.80."


def test_error_rate_runs_the_other_way_so_that_right_is_better(make_result: MakeResult, make_score: MakeScore) -> None:
    def result(name: str, value: float) -> ModelResult:
        score = make_score("spoof", value, metric="equal_error_rate", classes=2, chance=0.5)
        return make_result(name, scores={"spoof": score})

    drawn = picture([result("good", 0.1), result("poor", 0.4)], task="spoof")
    good, poor = drawn.marks
    assert poor.left < poor.x < poor.right < good.left < good.x < good.right
    assert [tick.text for tick in drawn.ticks] == ["0.0", "0.1", "0.2", "0.3", "0.4", "0.5"]
    assert (drawn.ticks[0].x, drawn.ticks[-1].x) == (346.0, 14.0)
    assert (drawn.chance_x, drawn.chance_anchor) == (14.0, "start")


@pytest.mark.parametrize(("value", "end"), [(0.1, "0.5"), (0.67, "0.8")])
def test_axis_of_an_error_rate_reaches_chance_and_the_worst_interval(
    make_result: MakeResult, make_score: MakeScore, value: float, end: str
) -> None:
    score = make_score("spoof", value, metric="equal_error_rate", classes=2, chance=0.5)
    drawn = picture([make_result(scores={"spoof": score})], task="spoof")
    assert drawn.ticks[-1].text == end


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_everything_stays_inside(make_result: MakeResult, make_score: MakeScore, value: float) -> None:
    score = make_score(value=value, low=0.0, high=1.0, chance=value)
    drawn = picture([make_result(scores={"emotion": score}) for _ in range(3)], task="emotion")
    assert all(0 < mark.left <= mark.x <= mark.right < PICTURE_WIDTH for mark in drawn.marks)
    assert [mark.y for mark in drawn.marks] == [27, 73, 119]
    assert drawn.marks[-1].y < drawn.axis_y < drawn.height
    assert drawn.chance_anchor == {0.0: "start", 0.5: "middle", 1.0: "end"}[value]


def test_models_without_a_score_are_left_out_and_long_names_cut(make_result: MakeResult) -> None:
    drawn = picture([make_result("x" * 40), make_result("y", values={"other": 0.5})], task="emotion")
    assert [mark.name for mark in drawn.marks] == ["x" * 26 + "…"]
    assert "x" * 40 in drawn.summary
