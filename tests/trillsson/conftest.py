"""Fixtures for tests of the library: a small but real bundle, datasets made of literals, a race of processes."""

import hashlib
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trillsson import bundles
from trillsson.audio import to_pcm16
from trillsson.bundles import ModelSpec, write_bundle_manifest
from trillsson.config import SAMPLE_RATE, Framing
from trillsson.datasets import (
    Reject,
    Shard,
    ShardSummary,
    Source,
    commit_dataset,
    commit_shard,
    embedding_identity,
    index_path,
    shard_id,
)
from trillsson.digests import canonical_json
from trillsson.records import (
    AudioRecord,
    EmbeddingRecord,
    encode_audio,
    encode_clip,
    encode_embedding,
    encode_index,
    write_shard,
)
from trillsson.storage import LocalStorage

Race = Callable[[str, Sequence[Sequence[str]]], list[str]]

TINY_DIM = 8


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished bundle of a seeded one-layer network: 2 s windows, 8 numbers an embedding. Read-only: copy to change.

    Exported as `trillsson.bundles` says: the SavedModel with free batch and time, TFLite with the static `[1, 32000]`.
    """
    import keras
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("tiny") / "bundle"
    framing = Framing()
    waveform = keras.Input((None,), name="waveform")
    frames = keras.layers.Conv1D(
        16, 400, strides=160, activation="relu", kernel_initializer=keras.initializers.RandomNormal(stddev=0.1, seed=1)
    )(keras.layers.Reshape((-1, 1))(waveform))
    pooled = keras.layers.GlobalAveragePooling1D()(frames)
    embedding = keras.layers.Dense(TINY_DIM, kernel_initializer=keras.initializers.RandomNormal(stddev=1.0, seed=2))(
        pooled
    )
    model = keras.Model(waveform, embedding)

    def export(target: Path, shape: list[int | None]) -> None:
        archive = keras.export.ExportArchive()
        archive.track(model)
        archive.add_endpoint(
            "serving_default",
            lambda waveform: {"embedding": model(waveform, training=False)},
            input_signature=[tf.TensorSpec(shape, tf.float32, name="waveform")],
        )
        archive.write_out(str(target), verbose=False)

    export(folder / bundles.SAVED_MODEL, [None, None])
    static = folder.with_name("static")
    export(static, [1, framing.window])
    (folder / bundles.TFLITE).write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(static)).convert())
    model.save_weights(folder / bundles.WEIGHTS)
    audio = np.random.default_rng(0).uniform(-0.5, 0.5, framing.window).astype(np.float32)
    np.savez(folder / bundles.PROBE, audio=audio, embedding=np.asarray(model(audio[None]))[0])
    spec = ModelSpec(
        name="tiny",
        architecture="tiny",
        dim=TINY_DIM,
        sample_rate=SAMPLE_RATE,
        framing=framing,
        parameters=model.count_params(),
        parity={"saved_model": 0.0, "tflite": 1e-6},
        size_bytes={
            "saved_model": sum(
                path.stat().st_size for path in (folder / bundles.SAVED_MODEL).rglob("*") if path.is_file()
            ),
            "tflite": (folder / bundles.TFLITE).stat().st_size,
        },
        provenance={"note": "tests"},
    )
    (folder / bundles.SPEC).write_bytes(canonical_json(spec.model_dump(mode="json")))
    write_bundle_manifest(folder)
    return folder


@pytest.fixture
def race() -> Race:
    """Runs a script in one process for each list of arguments and returns what each printed, in that order.

    The script calls `ready()` where it is to wait for the others. A process that fails fails the test.
    """

    def run(script: str, arguments: Sequence[Sequence[str]]) -> list[str]:
        wait = "import sys\ndef ready():\n    print('ready', flush=True)\n    sys.stdin.readline()\n"
        racers = [
            subprocess.Popen(
                [sys.executable, "-c", wait + script, *each],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for each in arguments
        ]
        for racer in racers:
            assert racer.stdout
            assert racer.stdout.readline() == "ready\n"
        for racer in racers:
            assert racer.stdin
            racer.stdin.write("\n")
            racer.stdin.flush()
        answers = [racer.communicate(timeout=60) for racer in racers]
        assert [racer.returncode for racer in racers] == [0] * len(racers), answers
        return [printed.strip() for printed, _ in answers]

    return run


StorePair = Callable[..., tuple[str, str]]


def _store_shard(
    root: Path,
    name: str,
    records: Sequence[bytes],
    *,
    source: Source,
    rejects: tuple[Reject, ...] = (),
    clips: Sequence[AudioRecord] = (),
) -> Shard:
    storage = LocalStorage(root)
    written = write_shard(storage, name, records)
    items = len(records) + len(rejects)
    index = encode_index(encode_clip(clip, np.frombuffer(to_pcm16(clip.audio), "<i2"))[1] for clip in clips)
    digest = hashlib.sha256(index).hexdigest()
    storage.create(index_path(name, digest), index)
    summary = ShardSummary(
        id=name,
        sha256=written,
        index_sha256=digest,
        items=items,
        records=len(records),
        seconds=1.0,
    )
    shard = Shard(summary=summary, sources=(source,), rejects=rejects)
    commit_shard(storage, shard)
    return shard


@pytest.fixture(scope="session")
def store_pair() -> StorePair:
    """Returns a function that writes an audio dataset and an embedding dataset of it, and returns both URIs.

    It takes a folder, the clips, the embedding records, and as keywords `content` of the embeddings' manifest, `corpus`
    and `per_shard`. Clips without an embedding record are rejects; records without a clip go into the last shard.
    """

    def store(
        root: Path,
        clips: Sequence[AudioRecord],
        embedded: Sequence[EmbeddingRecord],
        *,
        content: Mapping[str, Any],
        corpus: str = "speech",
        per_shard: int = 20,
    ) -> tuple[str, str]:
        heard, answered = [], []
        keys = {clip.key for clip in clips}
        for start in range(0, len(clips), per_shard):
            chunk = [clip.key for clip in clips[start : start + per_shard]]
            name = f"a{start}"
            cut = clips[start : start + per_shard]
            audio = [encode_audio(clip) for clip in cut]
            heard.append(_store_shard(root / "audio", name, audio, source=Source(name, "1"), clips=cut))
            source = Source(heard[-1].summary.sha256, "")
            last = start + per_shard >= len(clips)
            rows = [each for each in embedded if each.key in chunk or (last and each.key not in keys)]
            lost = set(chunk) - {each.key for each in rows}
            rejects = tuple(Reject(key=key, stage="embed", reason="non_finite_embedding") for key in sorted(lost))
            name = shard_id((source,), embedding_identity(content))
            encoded = [encode_embedding(each) for each in rows]
            answered.append(_store_shard(root / "embeddings", name, encoded, source=source, rejects=rejects))
        audio_uri = commit_dataset(str(root / "audio"), heard, kind="audio", corpus=corpus, content={"corpus": corpus})
        uri = commit_dataset(str(root / "embeddings"), answered, kind="embeddings", corpus=corpus, content=content)
        return audio_uri, uri

    return store
