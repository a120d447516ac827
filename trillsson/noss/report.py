"""The report of a release: one HTML page that stands alone, with no script and nothing to load."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from trillsson.config import SAMPLE_RATE, Gate, Release
from trillsson.errors import InputError
from trillsson.noss.audio_report import CorpusAudio, ModelRejects
from trillsson.noss.gate import Verdict, keeps, kept_by_task, kept_tasks, percent
from trillsson.noss.pictures import picture
from trillsson.noss.results import (
    ModelResult,
    beaten_tasks,
    formats,
    in_order,
    metric_title,
    task_names,
    teacher_warnings,
)
from trillsson.noss.tasks import Carved
from trillsson.pages.rendering import render_page

_CARVED: dict[Carved, str] = {
    "given": "the set’s own",
    "speaker": "carved from train by speaker",
    "clip": "carved from train by clip",
}


@dataclass(frozen=True)
class _Student:
    """One student's card."""

    result: ModelResult
    verdict: Verdict | None
    kept: dict[str, float]
    figures: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _TaskRow:
    """What one task is: the same for every model."""

    name: str
    corpus: str
    label: str
    split: str
    metric: str
    classes: int
    chance: float
    train: int
    validation: int
    test: int
    carved: str


def render(
    results: Sequence[ModelResult],
    *,
    release: Release,
    verdicts: Sequence[Verdict],
    audio: Sequence[CorpusAudio],
    rejected: Sequence[ModelRejects],
    context: Mapping[str, str],
) -> str:
    """Renders the report as one self-contained HTML page, the same bytes for the same arguments.

    Args:
        results: every model that was evaluated.
        release: the release; its tasks must be those of the results.
        verdicts: what the gate said, at most one a student; none where the release has no gate.
        audio: the corpora, in the order they are shown.
        rejected: clips that models gave no embedding of.
        context: further facts to print, such as versions and the machine, by name.

    Raises:
        InputError: the results cannot be compared, a task is not in the release, or a verdict is of no student here.
    """
    ordered = in_order(results)
    tasks = task_names(ordered)
    for task in tasks:
        if task not in release.tasks:
            raise InputError(
                f"results have task {task!r}; release {release.name} has {', '.join(sorted(release.tasks))}"
            )
    judged = {verdict.student: verdict for verdict in verdicts}
    students = [result for result in ordered if result.role == "student"]
    for name in judged:
        if name not in {student.name for student in students}:
            raise InputError(f"verdict on {name!r} has no result of a student of that name; give both")
    cards = [_student(student, ordered, gate=release.gate, verdict=judged.get(student.name)) for student in students]
    return render_page(
        "trillsson.noss",
        "report.html.j2",
        release=release,
        headline=_headline(cards, release=release),
        warnings=teacher_warnings(ordered),
        results=ordered,
        cards=cards,
        kept={card.result.name: card.kept for card in cards},
        percent=percent,
        keeps=lambda fraction: release.gate is not None and keeps(fraction, release.gate),
        pictures=[picture(ordered, task=task) for task in tasks],
        tasks=[_task_row(task, ordered, release=release) for task in tasks],
        formats=formats(ordered),
        exports=sorted({name for result in ordered for name in result.parity}),
        penalties=", ".join(f"{penalty:g}" for penalty in sorted(set(release.evaluation.penalties))),
        window_seconds=release.framing.window / SAMPLE_RATE,
        audio=audio,
        rejected=rejected,
        context=dict(context),
    )


def _headline(cards: Sequence[_Student], *, release: Release) -> str:
    if not cards:
        return "No student was evaluated"
    if release.gate is None:
        return "Nothing to publish: the release has no gate"
    passed = [card.result.name for card in cards if card.verdict and card.verdict.passed]
    if len(cards) == 1:
        return f"{cards[0].result.name} {'passed' if passed else 'did not pass'} the gate"
    if len(passed) in (0, len(cards)):
        return f"{'All' if passed else 'None of the'} {len(cards)} students passed the gate"
    return f"{len(passed)} of {len(cards)} students passed the gate: {', '.join(passed)}"


def _student(
    student: ModelResult, results: Sequence[ModelResult], *, gate: Gate | None, verdict: Verdict | None
) -> _Student:
    teacher = next((result for result in results if result.role == "teacher"), None)
    baselines = [result for result in results if result.role == "baseline"]
    kept = kept_by_task(student, teacher) if teacher else {}
    return _Student(
        result=student,
        verdict=verdict,
        kept=kept,
        figures=tuple(_figures(student, kept=kept, tasks=len(teacher.scores) if teacher else 0, gate=gate)),
        notes=tuple(_notes(student, teacher, baselines, kept=kept)),
    )


def _figures(
    student: ModelResult, *, kept: Mapping[str, float], tasks: int, gate: Gate | None
) -> Iterator[tuple[str, str]]:
    """Yields the large numbers of a card and what they are."""
    if kept and gate:
        yield (
            f"{kept_tasks(kept, gate)} of {tasks}",
            f"tasks with {percent(gate.teacher_fraction)} of the teacher’s score",
        )
    elif kept:
        yield f"{median(kept.values()):.1%}", "of the teacher’s score, on the median task"
    if student.size_mb:
        largest = max(student.size_mb, key=student.size_mb.__getitem__)
        yield f"{student.size_mb[largest]:.1f} MB", f"largest export, {largest}"
    digits = 2 if student.ms_per_second < 10 else 0
    yield f"{student.ms_per_second:.{digits}f} ms", "of compute for one second of audio"


def _notes(
    student: ModelResult, teacher: ModelResult | None, baselines: Sequence[ModelResult], *, kept: Mapping[str, float]
) -> Iterator[str]:
    """Yields sentences: the comparison with the teacher, then whatever a reader must not overlook."""
    if kept:
        least = min(kept, key=kept.__getitem__)
        typical = f"Keeps {median(kept.values()):.1%} of the teacher’s score on the median task"
        yield f"{typical}; least on {least}, {kept[least]:.1%}."
    if teacher and student.ms_per_second and teacher.ms_per_second:
        ratio = teacher.ms_per_second / student.ms_per_second
        yield f"Runs {_times(ratio, 'fast') if ratio >= 1 else _times(1 / ratio, 'slow')} as the teacher."
    for name in sorted(set(_sizes(student)) & set(_sizes(teacher))):
        if whole := _sizes(teacher)[name]:
            yield f"Its {name} size is {_sizes(student)[name] / whole:.1%} of the teacher’s."
    for baseline in baselines:
        if below := beaten_tasks(student, baseline):
            yield f"Scores below the baseline {baseline.name} on {', '.join(below)}."
    loose = [task for task, score in student.scores.items() if not score.converged]
    if loose:
        yield f"The probe stopped before its optimum on {', '.join(loose)}."


def _times(ratio: float, word: str) -> str:
    return f"{ratio:.1f} times as {word}"


def _sizes(result: ModelResult | None) -> dict[str, float]:
    return (result.size_mb if result else None) or {}


def _task_row(task: str, results: Sequence[ModelResult], *, release: Release) -> _TaskRow:
    score = next(result.scores[task] for result in results if task in result.scores)
    spec = release.tasks[task]
    return _TaskRow(
        name=task,
        corpus=spec.corpus,
        label=spec.label,
        split=spec.split or "the corpus’s own",
        metric=metric_title(score.metric),
        classes=score.classes,
        chance=score.chance,
        train=score.train,
        validation=score.validation,
        test=score.test,
        carved=_CARVED[score.carved],
    )
