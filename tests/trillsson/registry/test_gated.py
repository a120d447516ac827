"""publish: what passes the gate is published, what does not is told, and without a gate nothing is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trillsson.bundles import read_bundle
from trillsson.config import Release, parse_release
from trillsson.errors import GateError, InputError
from trillsson.folders import commit_folder
from trillsson.noss import release_report
from trillsson.noss.probes import TaskScore
from trillsson.noss.release_report import ReportSpec
from trillsson.noss.results import ModelResult
from trillsson.records import AudioRecord, EmbeddingRecord
from trillsson.registry import gated, list_versions
from trillsson.registry.gated import PublishSpec
from trillsson.training import screen
from trillsson.training.screen import ScreenSpec

GATE = {"teacher_fraction": 0.9, "min_tasks": 1, "max_size_mb": 50}


def result(name: str, role: str, value: float, bundle: str = "") -> ModelResult:
    score = TaskScore(
        task="mood",
        metric="accuracy",
        value=value,
        low=value,
        high=value,
        chance=0.5,
        classes=2,
        train=8,
        validation=2,
        test=10,
        penalty=1.0,
        validation_value=value,
        carved="clip",
        converged=True,
    )
    student = role == "student"
    return ModelResult(
        name=name,
        role=role,  # type: ignore[arg-type]
        dim=8,
        size_mb={"tflite": 0.1} if student else None,
        ms_per_second=1.0,
        parity={"tflite": 1e-6} if student else {},
        scores={"mood": score},
        provenance={"bundle": bundle} if bundle else {},
    )


@pytest.fixture
def make_spec(tiny_bundle: Path, tmp_path: Path) -> Callable[..., PublishSpec]:
    """Makes the publishing of the tiny student, with its score, the baseline's, and the gate of the release."""

    def make(
        score: float = 0.9, gate: dict[str, Any] | None = GATE, bundle: str = "", floor: float = 0.6
    ) -> PublishSpec:
        release: Release = parse_release(
            {
                "name": "small",
                "workdir": str(tmp_path / "work"),
                "registry": str(tmp_path / "registry"),
                "corpora": {"speech": {"kind": "folder", "path": "audio"}},
                "teacher": {"kind": "conformer"},
                "students": {"tiny": {"architecture": "nano"}},
                "training": {"corpora": ["speech"], "steps": 1},
                "tasks": {"mood": {"corpus": "speech", "label": "mood"}},
                "gate": gate,
            },
            source="test",
        )
        results = [
            result("teacher", "teacher", 0.95),
            result("tiny", "student", score, bundle or read_bundle(tiny_bundle).digest),
            result("logmel", "baseline", floor),
        ]
        uris = []
        for each in results:
            path = tmp_path / f"{each.name}.json"
            path.write_text(each.model_dump_json())
            uris.append(str(path))
        bundle = commit_folder(str(tmp_path / "bundle"), tiny_bundle)
        return PublishSpec(release=release, results=tuple(uris), bundles=(bundle,))

    return make


def test_a_student_that_passes_is_published_with_what_it_scored(
    make_spec: Callable[..., PublishSpec], capsys: pytest.CaptureFixture[str]
) -> None:
    spec = make_spec()
    assert gated.run(spec) == ("tiny@1",)
    assert gated.run(spec) == ("tiny@1",)
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "» published tiny@1"
    assert told[2] == "»     import trillsson"
    assert (
        told[3] == f'»     embedding = trillsson.load("tiny@latest", registry="{spec.release.registry}").embed(audio)'
    )
    assert "» published tiny@1: the same content as before" in told
    (version,) = list_versions(spec.release.registry, "tiny")
    assert version.manifest.metrics["scores"]["mood"]["value"] == 0.9  # type: ignore[index,call-overload]
    assert version.manifest.provenance["release"] == spec.release.digest()


def test_a_student_that_does_not_pass_is_not_published(make_spec: Callable[..., PublishSpec]) -> None:
    spec = make_spec(score=0.7)
    with pytest.raises(GateError, match=r"^student tiny is not publishable: .*: 0, wanted at least 1$"):
        gated.run(spec)
    assert not Path(spec.release.registry).exists()


def test_the_result_of_another_bundle_publishes_nothing(make_spec: Callable[..., PublishSpec]) -> None:
    spec = make_spec(bundle="0" * 64)
    with pytest.raises(InputError, match=r"^bundle .* of 'tiny' has no result of its own; evaluate it"):
        gated.run(spec)
    assert not Path(spec.release.registry).exists()


def test_without_a_gate_nothing_is_published(make_spec: Callable[..., PublishSpec]) -> None:
    with pytest.raises(GateError, match=r"^not publishable: config has no gate; add gate with "):
        gated.run(make_spec(gate=None))


@pytest.fixture
def make_report(
    make_spec: Callable[..., PublishSpec], store_pair: Callable[..., tuple[str, str]], tmp_path: Path
) -> Callable[..., ReportSpec]:
    """Makes the report on the same results, and on four clips, of the first of which there is no target."""
    said = [("train", "sad"), ("train", "sad"), ("train", "glad"), ("test", "sad")]
    clips = [
        AudioRecord(
            key=f"speech/{number}#0", audio=np.zeros(800 + number, np.float32), split=split, labels={"mood": mood}
        )
        for number, (split, mood) in enumerate(said)
    ]
    rows = [EmbeddingRecord(key=clip.key, embeddings=np.zeros((1, 8), np.float32)) for clip in clips[1:]]
    audio, targets = store_pair(tmp_path / "data", clips, rows, content={})

    def make(**changes: Any) -> ReportSpec:
        spec = make_spec(**changes)
        release = spec.release
        uses = {"training": release.training, "tasks": release.tasks, "workdir": release.workdir}
        screened = screen.run(ScreenSpec(audio=(audio,), **uses))
        return ReportSpec(release=release, results=spec.results, audio=(audio,), targets=(targets,), screened=screened)

    return make


def test_the_report_tells_the_same_each_time(
    make_report: Callable[..., ReportSpec], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = make_report()
    capsys.readouterr()
    uri = release_report.run(asked)
    first = capsys.readouterr().err
    assert release_report.run(asked) == uri
    assert capsys.readouterr().err == first
    lines = first.splitlines()
    assert [line.split()[1] for line in lines if line[2:3].isalpha()][:4] == ["model", "logmel", "teacher", "tiny"]
    assert lines[-6:] == [
        "» ",
        "» tiny passed the gate: 90% of the teacher's score on 1 of 1 tasks, wanted on at least 1",
        "» ",
        "» audio speech: 4 clips, 0.00 h; 0 rejects, 0 leaks, 0 duplicates, 1 without a target; "
        "2 learnt from or validated on",
        "» embeddings of speech by teacher: 1 rejects (non_finite_embedding 1)",
        f"» report: {uri}/report.html",
    ]
    assert "<svg" in (Path(uri) / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        (
            {"score": 0.7, "floor": 0.96},
            [
                "tiny did not pass the gate: 90% of the teacher's score on 0 of 1 tasks, wanted on at least 1",
                "warning: the baseline logmel beats the teacher on 1 of 1 tasks, mood: there the teacher carries "
                "nothing to distil",
            ],
        ),
        ({"gate": None}, ["no student was judged: the config has no gate, so nothing can be published"]),
    ],
)
def test_the_report_says_what_came_of_it(
    make_report: Callable[..., ReportSpec], changes: dict[str, Any], lines: list[str]
) -> None:
    told = (Path(release_report.run(make_report(**changes))) / release_report.TABLE).read_text(encoding="utf-8")
    assert told.split("\n\n")[1].splitlines() == lines
