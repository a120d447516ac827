"""report: a release's audio and its models' results become one page, one table, and a verdict for every student."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from trillsson.config import Release, Spec
from trillsson.datasets import open_dataset, tool_versions
from trillsson.digests import SHORT, digest_of
from trillsson.errors import InputError
from trillsson.folders import commit_folder, find_folder, local_folder
from trillsson.noss.audio_report import audio_lines, read_audio
from trillsson.noss.evaluate import read_result
from trillsson.noss.gate import Verdict, judge
from trillsson.noss.report import render
from trillsson.noss.results import ModelResult, table
from trillsson.progress import say
from trillsson.storage import join, open_storage
from trillsson.training.exclusions import read_screened

SCHEMA_VERSION = 2
PAGE = "report.html"
TABLE = "table.txt"


class ReportSpec(Spec):
    """Which results to report on, of which release, and the audio they rest on."""

    release: Release
    results: tuple[str, ...]
    audio: tuple[str, ...]
    screened: str


def run(spec: ReportSpec) -> str:
    """Writes the report, prints its table, and returns the URI of its folder.

    Raises:
        InputError: the results are not those of one teacher and some students, or other audio was screened.
    """
    results = [read_result(uri) for uri in spec.results]
    release = spec.release
    screened = read_screened(spec.screened)
    audio = read_audio([open_dataset(uri, "audio") for uri in spec.audio], screened)
    uri = join(open_storage(release.workdir).uri, "reports", _identity(spec))
    stored = find_folder(uri)
    if stored is None:
        with tempfile.TemporaryDirectory(prefix="trillsson-") as folder:
            verdicts = judge_students(results, release)
            page = render(results, release=release, verdicts=verdicts, audio=audio, context=tool_versions())
            made = Path(folder)
            (made / PAGE).write_text(page, encoding="utf-8")
            text = "\n".join([table(results), "", *audio_lines(audio)])
            (made / TABLE).write_text(text, encoding="utf-8")
            stored = commit_folder(uri, made)
    with tempfile.TemporaryDirectory(prefix="trillsson-") as cache:
        for line in (local_folder(stored, Path(cache)) / TABLE).read_text(encoding="utf-8").splitlines():
            say(line)
    say(f"report: {join(stored, PAGE)}")
    return stored


def _identity(spec: ReportSpec) -> str:
    told = {"release": spec.release.digest(), "results": sorted(spec.results), "audio": spec.audio}
    return digest_of({"step": "report", "schema_version": SCHEMA_VERSION, "screened": spec.screened, **told})[:SHORT]


def judge_students(results: Sequence[ModelResult], release: Release) -> tuple[Verdict, ...]:
    """Returns the gate's verdict on every student; none where the release has no gate."""
    teachers = [result for result in results if result.role == "teacher"]
    if len(teachers) != 1:
        raise InputError(f"a report needs the result of one teacher, got {len(teachers)}; evaluate the teacher once")
    if release.gate is None:
        return ()
    return tuple(judge(result, teachers[0], release.gate) for result in results if result.role == "student")
