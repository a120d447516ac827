"""report: a release's audio and its models' results become one page, one table, and a verdict for every student."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from trillsson.config import Release, Spec
from trillsson.datasets import tool_versions
from trillsson.digests import SHORT, digest_of
from trillsson.folders import commit_folder, find_folder, local_folder
from trillsson.noss.audio_report import audio_lines, embedding_rejects, read_audio, reject_lines
from trillsson.noss.evaluate import read_result
from trillsson.noss.gate import Verdict, judge, verdict_line
from trillsson.noss.report import render
from trillsson.noss.results import ModelResult, table, teacher_warnings, the_teacher
from trillsson.pairs import open_pairs
from trillsson.progress import say
from trillsson.storage import join, open_storage
from trillsson.training.exclusions import read_screened

SCHEMA_VERSION = 3
PAGE = "report.html"
TABLE = "table.txt"


class ReportSpec(Spec):
    """Which results to report on, of which release, and the audio and the teacher's embeddings of it they rest on."""

    release: Release
    results: tuple[str, ...]
    audio: tuple[str, ...]
    targets: tuple[str, ...]
    screened: str


def run(spec: ReportSpec) -> str:
    """Writes the report, prints its table and what came of it, and returns the URI of its folder.

    Raises:
        InputError: the results are not those of one teacher and some students, other audio was screened, or for other
            uses, or the targets are not what the teacher was evaluated on.
        IntegrityError: the targets are not those of the audio.
    """
    results = [read_result(uri) for uri in spec.results]
    release = spec.release
    screened = read_screened(spec.screened)
    pairs = open_pairs(spec.audio, spec.targets)
    audio = read_audio(pairs, screened, corpora=release.training.corpora, tasks=release.tasks)
    rejected = embedding_rejects(results, pairs)
    uri = join(open_storage(release.workdir).uri, "reports", _identity(spec))
    stored = find_folder(uri)
    if stored is None:
        with tempfile.TemporaryDirectory(prefix="trillsson-") as folder:
            verdicts = judge_students(results, release)
            page = render(
                results,
                release=release,
                verdicts=verdicts,
                audio=audio,
                rejected=rejected,
                context=tool_versions(),
            )
            made = Path(folder)
            (made / PAGE).write_text(page, encoding="utf-8")
            lines = [table(results), "", *outcome_lines(results, release, verdicts), ""]
            text = "\n".join([*lines, *audio_lines(audio), *reject_lines(rejected)])
            (made / TABLE).write_text(text, encoding="utf-8")
            stored = commit_folder(uri, made)
    with tempfile.TemporaryDirectory(prefix="trillsson-") as cache:
        for line in (local_folder(stored, Path(cache)) / TABLE).read_text(encoding="utf-8").splitlines():
            say(line)
    say(f"report: {join(stored, PAGE)}")
    return stored


def _identity(spec: ReportSpec) -> str:
    told = spec.model_dump(mode="json", include={"audio", "targets", "screened"})
    told |= {"release": spec.release.digest(), "results": sorted(spec.results)}
    return digest_of({"step": "report", "schema_version": SCHEMA_VERSION, **told})[:SHORT]


def outcome_lines(results: Sequence[ModelResult], release: Release, verdicts: Sequence[Verdict]) -> list[str]:
    """Returns what the gate says, a line a student, then a warning for every baseline that beats the teacher."""
    if release.gate is None:
        said = ["no student was judged: the config has no gate, so nothing can be published"]
    else:
        tasks = len(the_teacher(results).scores)
        said = [verdict_line(verdict, release.gate, tasks=tasks) for verdict in verdicts]
    return [*said, *(f"warning: {warning}" for warning in teacher_warnings(results))]


def judge_students(results: Sequence[ModelResult], release: Release) -> tuple[Verdict, ...]:
    """Returns the gate's verdict on every student; none where the release has no gate.

    Raises:
        InputError: there is no teacher among the results, or there are several.
    """
    teacher = the_teacher(results)
    if release.gate is None:
        return ()
    return tuple(judge(result, teacher, release.gate) for result in results if result.role == "student")
