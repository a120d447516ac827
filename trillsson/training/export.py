"""export: a trained student becomes a bundle that answers on the teacher's scale, in formats that need no Keras.

The inverse of the standardisation is folded into the last layer. Every format is checked against the Keras model on
real audio, and the difference is recorded.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from trillsson.audio import Audio, frame
from trillsson.bundles import (
    PROBE,
    SAVED_MODEL,
    SPEC,
    TFLITE,
    WEIGHTS,
    ModelSpec,
    relative_difference,
    write_bundle_manifest,
)
from trillsson.config import SAMPLE_RATE, Framing, Name, Spec, Student, Training
from trillsson.digests import SHORT, digest_of
from trillsson.embedder import Embeddings
from trillsson.folders import commit_folder, find_folder, local_folder
from trillsson.pairs import open_pairs, read_heard
from trillsson.progress import Stopwatch, say
from trillsson.storage import join, open_storage
from trillsson.training.checkpoints import unpack_variables
from trillsson.training.exclusions import read_screened
from trillsson.training.targets import Standardiser, read_statistics
from trillsson.training.train import WEIGHTS as TRAINED
from trillsson.training.train import build_model

SCHEMA_VERSION = 1
_PARITY_CLIPS = 8


class ExportSpec(Spec):
    """Which trained student to export, and below which folder the bundle goes."""

    name: Name
    student: Student
    training: Training
    trained: str
    statistics: str
    screened: str
    audio: tuple[str, ...]
    targets: tuple[str, ...]
    framing: Framing
    provenance: dict[str, str]
    workdir: str


def run(spec: ExportSpec) -> str:
    """Exports a student and returns the URI of its bundle, or finds what an earlier run left.

    Raises:
        IntegrityError: data do not match their manifests, or an export does not answer like the model.
    """
    identity = spec.model_dump(mode="json", include={"name", "student", "framing", "provenance"})
    step = digest_of({"step": "export", "schema_version": SCHEMA_VERSION, **identity})[:SHORT]
    uri = join(open_storage(spec.workdir).uri, "bundles", spec.name, step)
    if found := find_folder(uri):
        return found
    watch = Stopwatch()
    with tempfile.TemporaryDirectory(prefix="trillsson-") as folder:
        bundle = Path(folder) / "bundle"
        made = _export(spec, bundle, cache=Path(folder) / "cache")
        stored = commit_folder(uri, bundle)
    differences = ", ".join(f"{name} {value:.1e}" for name, value in made.parity.items())
    say(f"export {spec.name}: {made.parameters / 1e6:.2f} M parameters, difference from Keras {differences} [{watch}]")
    return stored


def _export(spec: ExportSpec, bundle: Path, *, cache: Path) -> ModelSpec:
    statistics = read_statistics(local_folder(spec.statistics, cache / "statistics"))
    standardiser = statistics.standardiser
    model = build_model(spec.student, dim=standardiser.dim, framing=spec.framing, seed=spec.training.seed)
    weights = local_folder(spec.trained, cache / "trained") / TRAINED
    unpack_variables(weights.read_bytes(), model.variables, where=str(weights))
    fold_standardiser(model, standardiser)
    write_saved_model(model, bundle / SAVED_MODEL, framing=spec.framing)
    write_tflite(model, bundle / TFLITE, window=spec.framing.window)
    model.save_weights(bundle / WEIGHTS)
    probe = probe_clip()
    np.savez(bundle / PROBE, audio=probe, embedding=answer(model, probe, framing=spec.framing))
    sizes = {
        "saved_model": sum(file.stat().st_size for file in (bundle / SAVED_MODEL).rglob("*") if file.is_file()),
        "tflite": (bundle / TFLITE).stat().st_size,
    }
    made = ModelSpec(
        name=spec.name,
        architecture=spec.student.architecture,
        dim=standardiser.dim,
        sample_rate=SAMPLE_RATE,
        framing=spec.framing,
        parameters=model.count_params(),
        parity=measure_parity(model, bundle, clips=list(_real_clips(spec, cache)), framing=spec.framing),
        size_bytes=sizes,
        provenance=spec.provenance,
    )
    (bundle / SPEC).write_text(made.model_dump_json(indent=1), encoding="utf-8")
    write_bundle_manifest(bundle)
    return made


def fold_standardiser(model: Any, standardiser: Standardiser) -> None:
    """Makes the last layer undo the standardisation: `z * scale + mean`, so that the model answers as the teacher."""
    layer = model.get_layer("embedding")
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel * standardiser.scale, bias * standardiser.scale + standardiser.mean])


def answer(model: Any, audio: Audio, *, framing: Framing) -> Embeddings:
    """Returns the Keras model's embedding of a clip, `[dim]` float32: the mean over its windows."""
    rows: Embeddings = model.predict_on_batch(frame(audio, framing))
    mean: Embeddings = rows.mean(axis=0)
    return mean


def write_saved_model(model: Any, path: Path, *, framing: Framing) -> None:
    """Writes a SavedModel that maps `waveform` `[batch, time]` to `{"embedding": [batch, dim]}`, for any time."""
    import tensorflow as tf

    from trillsson.windows import frame_batch

    def serve(waveform: tf.Tensor) -> tf.Tensor:
        windows = frame_batch(waveform, framing)
        batch, count = tf.shape(windows)[0], tf.shape(windows)[1]
        rows = model(tf.reshape(windows, [-1, framing.window]), training=False)
        return tf.reduce_mean(tf.reshape(rows, [batch, count, rows.shape[-1]]), axis=1)

    save_model(model, path, serve, shape=[None, None])


def write_tflite(model: Any, path: Path, *, window: int) -> None:
    """Writes a TFLite file that maps one window `[1, window]` to `[1, dim]`, front end included, built-in ops only.

    It goes through a SavedModel of static shape: `from_concrete_functions` leaves a Keras 3 model's weights out.
    """
    import tensorflow as tf

    with tempfile.TemporaryDirectory(prefix="trillsson-") as folder:
        save_model(model, Path(folder), lambda waveform: model(waveform, training=False), shape=[1, window])
        path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(folder).convert())


def save_model(model: Any, path: Path, serve: Callable[[Any], Any], *, shape: list[int | None]) -> None:
    """Saves a function of a model's as a SavedModel with one signature, `serving_default`.

    A plain `tf.Module` holds the variables: Keras' `ExportArchive` (3.15) writes every one of them twice.
    """
    import tensorflow as tf

    signature = [tf.TensorSpec(shape, tf.float32, name="waveform")]
    serving = tf.function(lambda waveform: {"embedding": serve(waveform)}, input_signature=signature, autograph=False)
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    module.serving_default = serving
    tf.saved_model.save(module, str(path), signatures={"serving_default": serving})


def measure_parity(model: Any, bundle: Path, *, clips: Sequence[Audio], framing: Framing) -> dict[str, float]:
    """Returns the largest relative difference between each format and the Keras model over some clips."""
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    loaded = tf.saved_model.load(str(bundle / SAVED_MODEL))
    serve = loaded.signatures["serving_default"]
    interpreter = Interpreter(str(bundle / TFLITE), num_threads=1)
    interpreter.allocate_tensors()
    (given,), (got,) = interpreter.get_input_details(), interpreter.get_output_details()

    def saved_model(audio: Audio) -> Embeddings:
        row: Embeddings = serve(waveform=tf.constant(audio[None]))["embedding"].numpy()[0]
        return row

    def tflite(audio: Audio) -> Embeddings:
        rows = []
        for window in frame(audio, framing):
            interpreter.set_tensor(given["index"], window[None])
            interpreter.invoke()
            rows.append(interpreter.get_tensor(got["index"])[0])
        mean: Embeddings = np.mean(rows, axis=0)
        return mean

    wanted = [answer(model, audio, framing=framing) for audio in clips]
    return {
        name: max(relative_difference(embed(audio), row) for audio, row in zip(clips, wanted, strict=True))
        for name, embed in (("saved_model", saved_model), ("tflite", tflite))
    }


def probe_clip() -> Audio:
    """Returns the clip that every bundle carries for `verify`: 3 s of a gliding voice-like tone in noise.

    It is synthetic on purpose: a published model must not give away a recording of the people it learnt from.
    """
    time = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    phase = 2 * np.pi * np.cumsum(140 + 40 * np.sin(2 * np.pi * 0.7 * time)) / SAMPLE_RATE
    voice = sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 20))
    syllables = 0.5 - 0.5 * np.cos(2 * np.pi * 3 * time)
    noise = np.random.default_rng(0).standard_normal(time.size)
    return (0.1 * syllables * voice + 0.005 * noise).astype(np.float32)


def _real_clips(spec: ExportSpec, cache: Path) -> Iterator[Audio]:
    """Yields the first clips of the first training corpus, but for those that screening excluded."""
    excluded = read_screened(spec.screened).keys
    for pair in open_pairs(spec.audio, spec.targets):
        if pair.corpus in spec.training.corpora:
            shards = (read_heard(shard, cache=cache) for shard in pair.shards)
            learnt = (clip for clip, _ in chain.from_iterable(shards) if clip.key not in excluded)
            for clip in islice(learnt, _PARITY_CLIPS):
                yield clip.audio
            return
