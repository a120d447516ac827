"""evaluate: the embeddings of one model, probed on every task, become one `ModelResult`."""

import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import trillsson
from trillsson.bundles import Bundle, read_bundle
from trillsson.config import SAMPLE_RATE, BundleEmbedder, EmbedderSpec, Evaluation, Framing, Name, Spec, Task, TaskName
from trillsson.digests import SHORT, digest_of
from trillsson.embedder import Embedder
from trillsson.errors import InputError
from trillsson.noss.probes import evaluate_task
from trillsson.noss.results import ModelResult, Role, parse_result
from trillsson.noss.tasks import TaskData
from trillsson.pairs import DatasetPair, open_pairs, read_pair
from trillsson.progress import bar
from trillsson.records import Clip
from trillsson.storage import join, open_file, open_storage
from trillsson.teachers import open_embedder
from trillsson.teachers.hub import local_path

SCHEMA_VERSION = 2
BUNDLE = "bundle"
"""Key of a result's provenance: the digest of the bundle that was measured, which alone it may publish."""

_TIMED_WINDOWS = 32
_TIMED_REPEATS = 5


class EvaluateSpec(Spec):
    """Which model to evaluate: its embeddings of the tasks' audio, and the embedder itself, which is timed."""

    name: Name
    role: Role
    embedder: EmbedderSpec
    audio: tuple[str, ...]
    embeddings: tuple[str, ...]
    tasks: dict[TaskName, Task]
    evaluation: Evaluation
    framing: Framing
    workdir: str


@dataclass(frozen=True)
class _Corpus:
    """The clips of one corpus, and the mean of each clip's windows, `[clips, dim]` float32."""

    clips: tuple[Clip, ...]
    embeddings: NDArray[np.float32]


def run(spec: EvaluateSpec) -> str:
    """Evaluates a model and returns the URI of its result's JSON, or finds what an earlier run left.

    Raises:
        InputError: a task's data do not fit it, or the model has no embedding of one of its clips.
        IntegrityError: data do not match their manifests.
    """
    asked = {task.corpus for task in spec.tasks.values()}
    pairs = [pair for pair in open_pairs(spec.audio, spec.embeddings) if pair.corpus in asked]
    if lacking := sorted(asked - {pair.corpus for pair in pairs}):
        raise InputError(f"the tasks want corpus {lacking[0]!r}, which none of the datasets is of; give it too")
    for pair in pairs:
        _require_embeddings(pair, spec.tasks, model=spec.name)
    storage = open_storage(spec.workdir)
    path = f"results/{spec.name}/{_identity(spec, pairs)}.json"
    if storage.read(path) is None:
        corpora = {pair.corpus: _read_corpus(pair) for pair in pairs}
        scores = {}
        with bar(f"evaluate {spec.name}", len(spec.tasks), unit="tasks") as progress:
            for name, task in spec.tasks.items():
                data = _task_data(corpora, task, name=name)
                scores[name] = evaluate_task(data, task, name=name, evaluation=spec.evaluation)
                progress.update()
        embedder = open_embedder(spec.embedder, spec.framing)
        bundle = read_bundle(local_path(spec.embedder.path)) if isinstance(spec.embedder, BundleEmbedder) else None
        result = ModelResult(
            name=spec.name,
            role=spec.role,
            dim=embedder.dim,
            size_mb=_sizes(embedder, bundle.spec.size_bytes if bundle else None),
            ms_per_second=time_embedder(embedder),
            parity=bundle.spec.parity if bundle else {},
            scores=scores,
            rejects={pair.corpus: rejects for pair in pairs if (rejects := pair.embeddings.manifest.rejects)},
            provenance=_provenance(pairs, bundle),
        )
        storage.create(path, result.model_dump_json(indent=1).encode())
    return join(storage.uri, path)


def embeddings_of(corpus: str) -> str:
    """Returns the key of a result's provenance that tells which embeddings of a corpus were probed."""
    return f"embeddings of {corpus}"


def read_result(uri: str) -> ModelResult:
    """Reads the result that `run` wrote.

    Raises:
        InputError: there is none at this URI.
    """
    storage, name = open_file(uri)
    data = storage.read(name)
    if data is None:
        raise InputError(f"result {uri} does not exist; name one that a step printed, or run evaluate")
    return parse_result(data, source=uri)


def time_embedder(embedder: Embedder) -> float:
    """Returns milliseconds of wall time for one second of audio: the median of some calls with 32 windows of noise."""
    noise = np.random.default_rng(0).standard_normal((_TIMED_WINDOWS, embedder.window))
    windows = (0.1 * noise).astype(np.float32)
    embedder.embed(windows)  # tracing and warm-up are not counted
    taken = []
    for _ in range(_TIMED_REPEATS):
        start = time.perf_counter()
        embedder.embed(windows)
        taken.append(time.perf_counter() - start)
    return 1000 * statistics.median(taken) / (windows.size / SAMPLE_RATE)


def _identity(spec: EvaluateSpec, pairs: Sequence[DatasetPair]) -> str:
    return digest_of(
        {
            "step": "evaluate",
            "code": [trillsson.__version__, version("scikit-learn")],
            "schema_version": SCHEMA_VERSION,
            "role": spec.role,
            "datasets": [(pair.audio.id, pair.embeddings.id) for pair in pairs],
            "rejects": [pair.embeddings.manifest.rejects for pair in pairs],
            "tasks": {name: task.model_dump(mode="json") for name, task in spec.tasks.items()},
            "evaluation": spec.evaluation.model_dump(mode="json"),
        }
    )[:SHORT]


def _provenance(pairs: Sequence[DatasetPair], bundle: Bundle | None) -> dict[str, str]:
    datasets = {embeddings_of(pair.corpus): pair.embeddings.id for pair in pairs}
    return {**datasets, BUNDLE: bundle.digest} if bundle else datasets


def _require_embeddings(pair: DatasetPair, tasks: Mapping[str, Task], *, model: str) -> None:
    """Refuses embeddings that lack a clip of some task: models are compared on the same clips only."""
    wanted = {name: task for name, task in tasks.items() if task.corpus == pair.corpus}
    for shards in pair.shards:
        rejects = {reject.key: reject.reason for reject in shards.embeddings.rejects()}
        for clip in shards.audio.clips() if rejects else ():
            needing = [name for name, task in wanted.items() if _split_word(clip, task)]
            if clip.key in rejects and needing:
                lack = f"{model} has no embedding of {clip.key} ({rejects[clip.key]}), which task {needing[0]} needs"
                raise InputError(
                    f"{lack}: models are compared on the same clips; mend the model, or take the clip out of the corpus"
                )


def _read_corpus(pair: DatasetPair) -> _Corpus:
    clips, rows = [], []
    with tempfile.TemporaryDirectory(prefix="trillsson-") as cache:
        for shards in pair.shards:
            for clip, embeddings in read_pair(shards, cache=Path(cache)):
                clips.append(clip)
                rows.append(embeddings.mean(axis=0))
    return _Corpus(tuple(clips), np.stack(rows))


def _task_data(corpora: Mapping[str, _Corpus], task: Task, *, name: str) -> TaskData:
    """Picks the clips that carry the task's label."""
    corpus = corpora[task.corpus]
    splits = [_split_word(clip, task) for clip in corpus.clips]
    rows = [row for row, split in enumerate(splits) if split]
    if not rows:
        known = sorted({label for clip in corpus.clips for label in clip.labels})
        wanted = f"label {task.label!r} and a split in column {task.split or 'split'!r}"
        raise InputError(f"task {name}: no clip of {task.corpus} has {wanted}; its columns are {', '.join(known)}")
    clips = [corpus.clips[row] for row in rows]
    return TaskData(
        keys=tuple(clip.key for clip in clips),
        embeddings=corpus.embeddings[rows],
        labels=tuple(clip.labels[task.label] for clip in clips),
        speakers=tuple(clip.speaker for clip in clips),
        splits=tuple(splits[row] for row in rows),
    )


def _split_word(clip: Clip, task: Task) -> str:
    """Returns what the data set calls the clip's split in a task; empty where the clip is not in it."""
    if task.label not in clip.labels:
        return ""
    return clip.labels.get(task.split, "") if task.split else clip.split


def _sizes(embedder: Embedder, formats: Mapping[str, int] | None) -> dict[str, float] | None:
    sizes = formats or {"weights": embedder.size_bytes}
    return {name: size / 1e6 for name, size in sizes.items() if size} or None
