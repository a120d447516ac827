"""The steps of a release, each a plain function from strings to strings: what a component, the CLI and a test call.

A step takes the release as the JSON of its config, names, and what earlier steps returned; it works out its spec and
runs it. Everything it makes lies below the release's `workdir`, named by digests, and what is there is not made again.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from trillsson.config import (
    RESERVED,
    BundleEmbedder,
    Corpus,
    CorpusSpec,
    EmbedderSpec,
    GeneratedCorpus,
    LogMelBaseline,
    Preparation,
    Release,
    parse_preparation,
    parse_release,
)
from trillsson.datasets import open_dataset
from trillsson.errors import InputError
from trillsson.storage import GCS_SCHEME, open_storage

TEACHER, BASELINE = RESERVED
_SOURCE = "of this release"


def read_release(text: str) -> Release:
    """Parses the release that a step was given, as `Release.model_dump_json` wrote it."""
    return parse_release(json.loads(text), source=_SOURCE)


def prepare(release: str, corpus: str, *, rehash: bool = False, beam: Sequence[str] = ()) -> str:
    """Prepares one corpus; returns the manifest of its audio dataset.

    Args:
        release: the release, or what of it is needed here, the JSON of a `Preparation`.
        corpus: name of the corpus.
        rehash: find changed files by their bytes, not by their size and time.
        beam: further options of Beam's; one that the config names too takes its place.
    """
    from pipelines.beam import prepare as step

    config = parse_preparation(json.loads(release), source=_SOURCE)
    if corpus not in config.corpora:
        raise InputError(f"corpus {corpus!r} is not in the config; it has {', '.join(config.corpora)}")
    spec = config.corpora[corpus]
    return step.run(
        step.PrepareSpec(
            name=corpus,
            corpus=_readable(spec, config),
            workdir=config.workdir,
            beam_options=_beam_options(config.beam, beam),
            rehash=rehash,
        )
    )


def embed(
    release: str, model: str, audio: Sequence[str], *, bundle: str = "", beam: Sequence[str] = ()
) -> tuple[list[str], list[str]]:
    """Embeds audio datasets; returns the manifests of those embedded and of their embeddings, in the same order.

    Args:
        release: the release.
        model: `teacher`, `logmel` or a student; all but the teacher embed only what tasks ask for.
        audio: manifests of audio datasets.
        bundle: the student's bundle.
        beam: further options of Beam's; one that the config names too takes its place.
    """
    from pipelines.beam import embed as step

    config = read_release(release)
    wanted = list(audio) if model == TEACHER else _task_audio(config, audio)
    spec = step.EmbedSpec(
        audio=tuple(wanted),
        embedder=_embedder(config, model, bundle),
        framing=config.framing,
        embedding=config.embedding,
        workdir=config.workdir,
        name=model,
        beam_options=_beam_options(config.beam, beam),
    )
    return wanted, list(step.run(spec))


def screen(release: str, audio: Sequence[str]) -> str:
    """Decides which clips of the audio datasets are learnt from; returns the folder that says so.

    Args:
        release: the release.
        audio: manifests of the audio datasets of every corpus.
    """
    from trillsson.training import screen as step

    config = read_release(release)
    spec = step.ScreenSpec(audio=tuple(audio), training=config.training, tasks=config.tasks, workdir=config.workdir)
    return step.run(spec)


def statistics(
    release: str, audio: Sequence[str], *, targets: Sequence[str], screened: str, beam: Sequence[str] = ()
) -> str:
    """Computes the statistics of targets and labels; returns the folder of the saved transform.

    It runs on this machine, whatever runner the config names for the other jobs.
    """
    from pipelines.beam import statistics as step

    config = read_release(release)
    spec = step.StatisticsSpec(
        audio=tuple(audio),
        targets=tuple(targets),
        screened=screened,
        training=config.training,
        tasks=config.tasks,
        workdir=config.workdir,
        beam_options=tuple(beam),
    )
    return step.run(spec)


def train(
    release: str, student: str, *, audio: Sequence[str], targets: Sequence[str], statistics: str, screened: str
) -> str:
    """Trains one student; returns the folder of its weights."""
    from trillsson.training import train as step

    config = read_release(release)
    _require_student(config, student)
    spec = step.TrainSpec(
        name=student,
        student=config.students[student],
        training=config.training_of(student),
        tasks=config.tasks,
        audio=tuple(audio),
        targets=tuple(targets),
        statistics=statistics,
        screened=screened,
        framing=config.framing,
        workdir=config.workdir,
    )
    return step.run(spec)


def export(
    release: str,
    student: str,
    *,
    trained: str,
    audio: Sequence[str],
    targets: Sequence[str],
    statistics: str,
    screened: str,
) -> str:
    """Exports one student; returns the folder of its bundle."""
    import trillsson
    from trillsson.teachers import fingerprint
    from trillsson.training import export as step

    config = read_release(release)
    _require_student(config, student)
    provenance = {
        "code": trillsson.__version__,
        "statistics": Path(statistics).parent.name,
        "teacher": fingerprint(config.teacher),
        "training": Path(trained).parent.name,
    }
    spec = step.ExportSpec(
        name=student,
        student=config.students[student],
        training=config.training_of(student),
        trained=trained,
        statistics=statistics,
        screened=screened,
        audio=tuple(audio),
        targets=tuple(targets),
        framing=config.framing,
        provenance=provenance,
        workdir=config.workdir,
    )
    return step.run(spec)


def evaluate(release: str, model: str, *, audio: Sequence[str], embeddings: Sequence[str], bundle: str = "") -> str:
    """Probes one model's embeddings on every task; returns the JSON file of its result."""
    from trillsson.noss import evaluate as step

    config = read_release(release)
    spec = step.EvaluateSpec(
        name=model,
        role={TEACHER: "teacher", BASELINE: "baseline"}.get(model, "student"),
        embedder=_embedder(config, model, bundle),
        audio=tuple(audio),
        embeddings=tuple(embeddings),
        tasks=config.tasks,
        evaluation=config.evaluation,
        framing=config.framing,
        workdir=config.workdir,
    )
    return step.run(spec)


def report(
    release: str,
    results: Sequence[str],
    *,
    audio: Sequence[str],
    targets: Sequence[str],
    screened: str,
    page: str = "",
) -> str:
    """Writes the report over all results, prints the table, and returns the report's folder.

    Args:
        release: the release.
        results: JSON files that `evaluate` wrote.
        audio: manifests of the audio datasets of every corpus.
        targets: manifests of the teacher's embeddings of them, in the same order.
        screened: folder that `screen` returned.
        page: where to put a copy of the page, if anywhere.
    """
    from trillsson.noss import release_report as step

    config = read_release(release)
    spec = step.ReportSpec(
        release=config, results=tuple(results), audio=tuple(audio), targets=tuple(targets), screened=screened
    )
    stored = step.run(spec)
    if page:
        html = open_storage(stored).read(step.PAGE) or b""
        Path(page).parent.mkdir(parents=True, exist_ok=True)
        Path(page).write_bytes(html)
    return stored


def publish(release: str, results: Sequence[str], *, bundles: Sequence[str]) -> list[str]:
    """Publishes every student that passes the gate; returns `student@version` of each, and raises if any failed."""
    from trillsson.registry import gated as step

    config = read_release(release)
    return list(step.run(step.PublishSpec(release=config, results=tuple(results), bundles=tuple(bundles))))


def _beam_options(configured: Sequence[str], beam: Sequence[str]) -> tuple[str, ...]:
    """Joins the config's options of Beam's with those given now, which win."""
    given = {option.partition("=")[0] for option in beam}
    return (*(option for option in configured if option.partition("=")[0] not in given), *beam)


def _task_audio(config: Release, audio: Sequence[str]) -> list[str]:
    """Picks the audio datasets that some task is about."""
    wanted = {task.corpus for task in config.tasks.values()}
    return [uri for uri in audio if open_dataset(uri, "audio").manifest.corpus in wanted]


def _readable(spec: Corpus, config: Preparation) -> CorpusSpec:
    """Returns the corpus that a reader reads; a generated one is made first."""
    if not isinstance(spec, GeneratedCorpus):
        return spec
    if config.workdir.startswith(GCS_SCHEME):
        raise InputError(f"a generated corpus needs a local workdir, not {config.workdir}; give a folder")
    from pipelines.beam.corpora.generated import materialise

    return materialise(spec, Path(config.workdir))


def _embedder(config: Release, model: str, bundle: str) -> EmbedderSpec:
    if model == TEACHER:
        return config.teacher
    if model == BASELINE:
        return LogMelBaseline()
    _require_student(config, model)
    if not bundle:
        raise InputError(f"student {model!r} needs its bundle; give the folder that `trillsson export` printed")
    return BundleEmbedder(kind="bundle", path=bundle)


def _require_student(config: Release, student: str) -> None:
    if student not in config.students:
        raise InputError(f"student {student!r} is not in the config; it has {', '.join(config.students)}")
