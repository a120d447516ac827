"""statistics: mean and variance of the teacher's targets and the vocabularies of the tasks' labels, as a transform.

tensorflow-transform computes both and saves them as SavedModels; `trillsson.training.targets` reads them back.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.beam.options import runs_elsewhere
from pipelines.beam.runner import run_pipeline
from trillsson.config import Spec, Task, TaskName, Training
from trillsson.digests import SHORT, digest_of
from trillsson.embedder import Embeddings
from trillsson.errors import InputError
from trillsson.folders import commit_folder, find_folder
from trillsson.pairs import DatasetPair, ShardPair, open_pairs, read_pair
from trillsson.progress import Stopwatch, say
from trillsson.records import Clip
from trillsson.storage import GCS_SCHEME, HIDDEN, join, open_storage
from trillsson.training.exclusions import Screened, read_screened, tasks_of
from trillsson.training.labels import label_of
from trillsson.training.pool import part_of, split_columns
from trillsson.training.targets import EMBEDDING, LABELS, TARGETS, vocabulary_name

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 3
_ROUNDING = 1e-12
"""Variance, as a share of the squared mean, that float32 rounding alone can make."""

_ROWS = 1024
"""Rows of a RecordBatch. Single dicts instead of batches cost eight times as much."""

Shards = Sequence[ShardPair]


class StatisticsSpec(Spec):
    """Whose statistics: pairs of audio and target datasets, and what training and the tasks use them for.

    `screened` is the folder that the screening of the audio left.
    """

    audio: tuple[str, ...]
    targets: tuple[str, ...]
    screened: str
    training: Training
    tasks: dict[TaskName, Task]
    workdir: str
    beam_options: tuple[str, ...] = ()


def run(spec: StatisticsSpec) -> str:
    """Computes the statistics and returns the URI of their folder, or finds what an earlier run left.

    Raises:
        InputError: the audio was not screened for this, no clip is left to learn from, or another runner is asked for
            and not all hosts see the workdir.
        IntegrityError: audio and targets do not belong together.
    """
    scratch = _seen_by_workers(spec) if runs_elsewhere(spec.beam_options) else None
    pairs = open_pairs(spec.audio, spec.targets)
    screened = read_screened(spec.screened)
    screened.check([pair.audio for pair in pairs], corpora=spec.training.corpora, tasks=spec.tasks)
    uri = join(open_storage(spec.workdir).uri, "statistics", _identity(spec, pairs, screened))
    if found := find_folder(uri):
        return found
    watch = Stopwatch()
    shards = [shard for pair in pairs for shard in pair.shards]
    with tempfile.TemporaryDirectory(prefix=HIDDEN, dir=scratch) as folder:
        learnt = [shard for shard in shards if shard.corpus in spec.training.corpora]
        dim = int(pairs[0].embeddings.manifest.content["embedder"]["dim"])
        _analyse_targets(learnt, spec, dim=dim, excluded=screened.keys, output=Path(folder) / "made" / TARGETS)
        _analyse_labels(shards, spec, output=Path(folder) / "made" / LABELS)
        stored = commit_folder(uri, Path(folder) / "made")
    say(f"statistics of {len(shards)} shards [{watch}]")
    return stored


def _seen_by_workers(spec: StatisticsSpec) -> str:
    """Returns a folder that all hosts see: workers write the transform there, which the launcher commits."""
    if spec.workdir.startswith(GCS_SCHEME):
        told = f"statistics on another runner needs a workdir that all hosts mount, not {spec.workdir}"
        raise InputError(f"{told}; without --runner it runs on this machine")
    folder = Path(join(open_storage(spec.workdir).uri, "statistics"))
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)


def _identity(spec: StatisticsSpec, pairs: Sequence[DatasetPair], screened: Screened) -> str:
    return digest_of(
        {
            "step": "statistics",
            "schema_version": SCHEMA_VERSION,
            "datasets": [(pair.audio.id, pair.embeddings.id) for pair in pairs],
            "corpora": spec.training.corpora,
            "validation_fraction": spec.training.validation_fraction,
            "seed": spec.training.seed,
            "excluded": screened.digest,
            "tasks": tasks_of(spec.tasks),
        }
    )[:SHORT]


def _analyse_targets(shards: Shards, spec: StatisticsSpec, *, dim: int, excluded: frozenset[str], output: Path) -> None:
    import pyarrow as pa

    schema = pa.schema([(EMBEDDING, pa.list_(pa.float32()))])

    def batches(element: ShardPair) -> Iterator["pa.RecordBatch"]:
        for rows in _chunks(_training_windows(element, spec, excluded=excluded)):
            offsets = np.arange(len(rows) + 1, dtype=np.int32) * dim
            values = pa.ListArray.from_arrays(pa.array(offsets), pa.array(rows.reshape(-1)))
            yield pa.RecordBatch.from_arrays([values], schema=schema)

    def preprocess(inputs: Mapping[str, Any]) -> dict[str, Any]:
        import tensorflow as tf
        import tensorflow_transform as tft

        rows = inputs[EMBEDDING]
        mean = tft.mean(rows, reduce_instance_dims=False)
        variance = tft.var(rows, reduce_instance_dims=False)
        windows = tf.cast(tft.size(rows, reduce_instance_dims=False), tf.int64)  # float32 counts to 2^24 only
        # A dimension that never varies, but for rounding, carries nothing: it is centred, and left at its scale.
        varies = variance > _ROUNDING * (tf.square(mean) + _ROUNDING)
        scale = tf.where(varies, tf.sqrt(variance), tf.ones_like(variance))
        constants = {"mean": mean, "scale": scale, "windows": windows}
        told = {name: tf.zeros_like(rows, value.dtype) + value for name, value in constants.items()}
        return {EMBEDDING: (rows - mean) / scale, **told}

    dense = f'dense_tensor {{ column_name: "{EMBEDDING}" shape {{ dim {{ size: {dim} }} }} }}'
    if not any(len(rows) for element in shards for rows in _training_windows(element, spec, excluded=excluded)):
        corpora = ", ".join(spec.training.corpora)
        raise InputError(
            f"training.corpora ({corpora}) leave no clip to learn from: every one is a test clip, is held out by "
            "training.validation_fraction, equals another or has no target; add some"
        )
    _analyse(
        shards,
        batches,
        schema=schema,
        tensors={EMBEDDING: dense},
        preprocess=preprocess,
        output=output,
        options=spec.beam_options,
    )


def _analyse_labels(shards: Shards, spec: StatisticsSpec, *, output: Path) -> None:
    """Saves one vocabulary a task: its labels in train."""
    import pyarrow as pa

    names = [vocabulary_name(name) for name in spec.tasks]
    schema = pa.schema([(name, pa.list_(pa.binary())) for name in names])

    def batches(element: ShardPair) -> Iterator["pa.RecordBatch"]:
        clips = [clip for clip, _ in _clips(element)]
        rows = [[_shown(clip, task, corpus=element.corpus) for clip in clips] for task in spec.tasks.values()]
        yield pa.RecordBatch.from_arrays([pa.array(row, pa.list_(pa.binary())) for row in rows], schema=schema)

    def preprocess(inputs: Mapping[str, Any]) -> dict[str, Any]:
        import tensorflow_transform as tft

        for name in names:
            tft.vocabulary(inputs[name], vocab_filename=name)
        return dict(inputs)

    sparse = {name: f'varlen_sparse_tensor {{ column_name: "{name}" }}' for name in names}
    options = spec.beam_options
    _analyse(shards, batches, schema=schema, tensors=sparse, preprocess=preprocess, output=output, options=options)


def _analyse(
    shards: Shards,
    batches: Callable[[ShardPair], Iterator["pa.RecordBatch"]],
    *,
    schema: "pa.Schema",
    tensors: Mapping[str, str],
    preprocess: Callable[[Mapping[str, Any]], dict[str, Any]],
    output: Path,
    options: Sequence[str],
) -> None:
    """Runs one analysis of tensorflow-transform over record batches and saves the transform below `output`."""
    # Without this, importing tensorflow-transform turns tf.keras into Keras 2 for the whole process.
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "0")
    import apache_beam as beam
    import tensorflow_transform.beam as tft_beam
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2
    from tfx_bsl.tfxio.tensor_adapter import TensorAdapterConfig

    parse = text_format.Parse
    representations = {name: parse(text, schema_pb2.TensorRepresentation()) for name, text in tensors.items()}
    config = TensorAdapterConfig(schema, representations)
    with tempfile.TemporaryDirectory(dir=output.parent.parent) as scratch, tft_beam.Context(temp_dir=scratch):

        def build(pipeline: beam.Pipeline) -> None:
            data = pipeline | beam.Create(list(shards), reshuffle=False) | beam.Reshuffle() | beam.FlatMap(batches)
            transform = (data, config) | tft_beam.AnalyzeDataset(preprocess)
            transform | tft_beam.WriteTransformFn(str(output))

        run_pipeline(build, options)


def _clips(element: ShardPair) -> Iterator[tuple[Clip, Embeddings]]:
    with tempfile.TemporaryDirectory(prefix="trillsson-") as cache:
        yield from read_pair(element, cache=Path(cache))


def _training_windows(element: ShardPair, spec: StatisticsSpec, *, excluded: frozenset[str]) -> Iterator[Embeddings]:
    columns = split_columns(element.corpus, spec.tasks)
    for clip, rows in _clips(element):
        if clip.key not in excluded and part_of(clip, columns, spec.training) == "train":
            yield rows


def _shown(clip: Clip, task: Task, *, corpus: str) -> list[bytes]:
    """Returns the clip's label for a task, if the task trains on the clip, else nothing."""
    found = label_of(clip, task) if task.corpus == corpus else None
    return [found[0].encode()] if found and found[1] == "train" else []


def _chunks(rows: Iterator[Embeddings]) -> Iterator[Embeddings]:
    """Joins the rows of many clips into arrays of about `_ROWS` rows."""
    waiting: list[Embeddings] = []
    for each in rows:
        waiting.append(each)
        if sum(map(len, waiting)) >= _ROWS:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)
