import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import product

import pytest

from trillsson.config import Gate, Release
from trillsson.errors import InputError
from trillsson.noss.audio_report import CorpusAudio, ModelRejects
from trillsson.noss.gate import judge
from trillsson.noss.probes import TaskScore
from trillsson.noss.report import render
from trillsson.noss.results import ModelResult
from trillsson.training.exclusions import Exclusion

MakeScore = Callable[..., TaskScore]
MakeResult = Callable[..., ModelResult]

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Reads a page, checks that its tags nest, and collects what the tests ask about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.children: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self.children.append((self.open[-1] if self.open else "", tag))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def values(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.elements if name in attributes]

    @property
    def tags(self) -> Counter[str]:
        return Counter(tag for tag, _ in self.elements)


@pytest.fixture
def results(make_result: MakeResult, make_score: MakeScore) -> list[ModelResult]:
    """A baseline, a teacher, a student that passes and one that does not."""

    def scores(accuracy: float, rate: float, **changes: object) -> dict[str, TaskScore]:
        spoof = make_score("spoof", rate, metric="equal_error_rate", classes=2, chance=0.5, carved="clip", **changes)
        return {"emotion": make_score(value=accuracy), "spoof": spoof}

    return [
        make_result("log-mel", "baseline", scores=scores(0.5, 0.3), ms_per_second=0.2),
        make_result("big", "teacher", scores=scores(0.8, 0.04), ms_per_second=50, size_mb={"tflite": 100}),
        make_result("nano", scores=scores(0.76, 0.06)),
        make_result("micro", scores=scores(0.48, 0.2, converged=False), size_mb={"tflite": 44.4}),
    ]


EVIL = '<script>alert("x")</script>&'
AUDIO = (
    CorpusAudio(
        name="speech",
        sources=12,
        lost=2,
        clips=40,
        hours=1.5,
        test=9,
        pool=28,
        pool_hours=1.25,
        rejects={"too_short": 2, "silent": 3},
        leaks=1,
        duplicates=2,
        no_target=3,
        named=(
            Exclusion(key="speech/copy.wav#0", reason="leak", of="noss/test.flac#0"),
            Exclusion(key="speech/twice.wav#0", reason="duplicate", of=EVIL),
        ),
    ),
)
REJECTED = (ModelRejects("big", "speech", {"non_finite_embedding": 4, "out_of_memory": 1}),)


def report(results: list[ModelResult], release: Release, context: dict[str, str] | None = None) -> str:
    teacher = next(result for result in results if result.role == "teacher")
    verdicts = [judge(result, teacher, release.gate) for result in results if result.role == "student" and release.gate]
    return render(results, release=release, verdicts=verdicts, audio=AUDIO, rejected=REJECTED, context=context or {})


def test_says_what_matters(results: list[ModelResult], release: Release) -> None:
    text = Page(report(results, release, {"code": "0.1.0"})).text
    for phrase in (
        "1 of 2 students passed the gate: nano",
        "tasks with 90% of the teacher’s score 2 of 2",  # a label stands before its figure in the source
        "Keeps 96.5% of the teacher’s score on the median task; least on emotion, 95.0%.",
        "Runs 20.0 times as fast as the teacher.",
        "Its tflite size is 1.6% of the teacher’s.",
        "Scores below the baseline log-mel on emotion.",
        "The probe stopped before its optimum on spoof.",
        "size of tflite in MB measured 44.4, wanted at most 30",
        "carved from train by speaker",
        "carved from train by clip",
        "0.001, 0.01, 0.1, 1, 10",
        "1000 bootstrap resamples",
        "windows of 2 s",
        release.digest(),
        "3f9a",
        "0.1.0",
    ):
        assert phrase in text
    assert text.count("Scores below the baseline") == 1
    assert text.index("Scores below the baseline") > text.index("measured 44.4")  # on the card of micro


def test_shares_are_not_rounded_to_what_was_asked_for(make_result: MakeResult, release: Release) -> None:
    gate = Gate(teacher_fraction=0.999, min_tasks=1, max_size_mb=30)
    results = [make_result("big", "teacher", values={"emotion": 1.0}), make_result("nano", values={"emotion": 0.996})]
    text = Page(report(results, release.model_copy(update={"gate": gate}))).text
    for phrase in (
        "tasks with 99.9% of the teacher’s score 0 of 1",
        "The gate asks for 99.9% on at least 1 task.",
        "Keeps 99.6% of the teacher’s score on the median task",
        "✗ keeps 99.6%",
    ):
        assert phrase in text


def test_warns_where_the_baseline_beats_the_teacher(
    results: list[ModelResult], release: Release, make_result: MakeResult
) -> None:
    assert "Warning:" not in Page(report(results, release)).text
    strong = make_result("strong", "baseline", {"emotion": 0.9})
    warning = (
        "the baseline strong beats the teacher on 1 of 2 tasks, emotion: there the teacher carries nothing to distil"
    )
    assert f"Warning: {warning}." in Page(report([*results, strong], release)).text


def test_tells_of_the_audio(results: list[ModelResult], release: Release) -> None:
    text = Page(report(results, release)).text
    for phrase in (
        "speech 12 2 gave no clip 40 1.50 9 28 1.25 h 5 too_short 2 silent 3 1 2 3",
        "model corpus clips why big speech 5 non_finite_embedding 4 out_of_memory 1",
        "leak speech/copy.wav#0 noss/test.flac#0",
        f"duplicate speech/twice.wav#0 {EVIL}",
    ):
        assert phrase in text


def test_no_clip_is_named_where_none_is_excluded(results: list[ModelResult], release: Release) -> None:
    clean = replace(AUDIO[0], leaks=0, duplicates=0, named=())
    text = Page(render(results, release=release, verdicts=[], audio=[clean], rejected=[], context={})).text
    assert "Clips that are not learnt from" not in text
    assert "Every model gave an embedding of every clip that it was given." in text
    assert "Clips that a model gave no embedding of" not in text


def test_stands_alone(results: list[ModelResult], release: Release) -> None:
    html = report(results, release)
    page = Page(html)
    assert not {"script", "link", "img", "iframe", "object", "embed", "base"} & set(page.tags)
    assert not {"src", "href", "srcset", "action", "onload", "onclick", "style"} & {
        name for _, attributes in page.elements for name in attributes
    }
    assert not re.search(r"https?:|//|url\(|@import", html)
    assert "default-src 'none'; style-src 'unsafe-inline'" in page.values("content")


def test_names_are_escaped(make_result: MakeResult, results: list[ModelResult], release: Release) -> None:
    student = make_result(EVIL, scores=results[2].scores, provenance={EVIL: EVIL}, parity={EVIL: 0.0})
    html = report([*results, student], release, {EVIL: EVIL})
    page = Page(html)
    assert "script" not in page.tags
    assert "<script" not in html
    assert EVIL in page.text


def test_pictures_and_tables_can_be_heard(results: list[ModelResult], release: Release) -> None:
    page = Page(report(results, release))
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    wanted = {name for value in page.values("aria-labelledby") for name in value.split()}
    assert wanted <= set(ids)
    assert page.values("role").count("img") == 2
    assert page.children.count(("svg", "title")) == page.children.count(("svg", "desc")) == 2
    drawings = [attributes for tag, attributes in page.elements if tag == "svg"]
    assert all(drawing.get("role") == "img" or drawing.get("aria-hidden") == "true" for drawing in drawings)
    assert page.children.count(("table", "caption")) == page.tags["table"]
    assert all(value in {"col", "row"} for value in page.values("scope"))
    assert len(page.values("scope")) == page.tags["th"]
    assert "log-mel (baseline) 0.50, interval 0.45 to 0.55" in page.text


def test_text_stands_out_in_light_and_dark(results: list[ModelResult], release: Release) -> None:
    """WCAG 2.2 asks for a contrast of 4.5 for text, and of 3 for marks."""
    html = report(results, release)
    themes = [
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{(.*?)\}", html, re.S)
    ]
    light, dark = ({name: luminance(colour) for name, colour in theme.items()} for theme in themes)
    assert light["page"] > 0.8
    assert dark["page"] < 0.05
    for theme in (light, dark):
        for text, back in product(("ink", "muted", "good", "bad", "chance"), ("page", "card")):
            assert contrast(theme[text], theme[back]) >= 4.5, (text, back)
        assert contrast(theme["good"], theme["good-back"]) >= 4.5
        assert contrast(theme["bad"], theme["bad-back"]) >= 4.5
        for mark in ("baseline", "teacher", "student"):
            assert contrast(theme[mark], theme["card"]) >= 3


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: float, two: float) -> float:
    return (max(one, two) + 0.05) / (min(one, two) + 0.05)


def test_the_same_bytes_every_time(results: list[ModelResult], release: Release) -> None:
    assert report(results, release) == report(results, release)


@pytest.mark.parametrize(
    ("chosen", "headline"),
    [
        ([0, 1], "No student was evaluated"),
        ([0, 1, 2], "nano passed the gate"),
        ([1, 3], "micro did not pass the gate"),
        ([1, 2, 3], "1 of 2 students passed the gate: nano"),
    ],
)
def test_headline(results: list[ModelResult], release: Release, chosen: list[int], headline: str) -> None:
    assert f"<h1>{headline}</h1>" in report([results[row] for row in chosen], release)


def test_without_a_gate(results: list[ModelResult], release: Release) -> None:
    html = report(results, release.model_copy(update={"gate": None}))
    assert "<h1>Nothing to publish: the release has no gate</h1>" in html
    assert Page(html).text.count("not judged") == 2


def test_a_task_that_one_model_lacks(
    results: list[ModelResult], release: Release, make_result: MakeResult, make_score: MakeScore
) -> None:
    short = make_result("short", scores={"emotion": make_score(value=0.7)}, size_mb=None, parity={})
    text = Page(report([*results, short], release)).text
    assert "not scored" in text
    assert "size in MB measured nothing, wanted at most 30" in text


def test_results_that_do_not_belong_here(results: list[ModelResult], release: Release, make_result: MakeResult) -> None:
    with pytest.raises(InputError, match=r"^results have task 'age'; release sample has emotion, spoof$"):
        report([make_result("big", "teacher", values={"age": 0.5})], release)
    assert release.gate
    verdict = judge(results[2], results[1], release.gate)
    with pytest.raises(InputError, match=r"^verdict on 'nano' has no result of a student of that name; give both$"):
        render(results[:2], release=release, verdicts=[verdict], audio=(), rejected=(), context={})
