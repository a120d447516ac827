"""embed: aligned with the audio, the same in any batch, resumable, and honest about what is not finite."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.beam import embed, embed_shard
from pipelines.beam.embed import EmbedSpec, run
from pipelines.beam.plan import plan_shards
from pipelines.beam.prepare import PrepareSpec
from pipelines.beam.prepare import run as prepare
from trillsson.audio import frame
from trillsson.config import ConformerTeacher, Embedding, FolderCorpus, Framing, LogMelBaseline
from trillsson.datasets import open_dataset
from trillsson.embedder import Embedder, Embeddings, Windows
from trillsson.errors import InputError, TransientError
from trillsson.pairs import open_pair, read_heard
from trillsson.records import AudioRecord, decode_audio
from trillsson.teachers import open_embedder

RefuseWork = Callable[..., None]
TWO_THREADS = ("--direct_num_workers=2", "--direct_running_mode=multi_threading")
FRAMING = Framing(window=16_000, hop=8_000)


@pytest.fixture
def spec(tones: FolderCorpus, tmp_path: Path) -> EmbedSpec:
    audio = prepare(PrepareSpec(name="tones", corpus=tones, workdir=str(tmp_path / "work")))
    return EmbedSpec(
        audio=(audio,), embedder=LogMelBaseline(), framing=FRAMING, workdir=str(tmp_path / "work"), name="logmel"
    )


def test_every_clip_has_one_row_a_window_in_the_order_of_the_audio(spec: EmbedSpec, tmp_path: Path) -> None:
    (uri,) = run(spec)
    pair = open_pair(spec.audio[0], uri)
    embedder = open_embedder(spec.embedder, FRAMING)
    clips = [each for shard in pair.shards for each in read_heard(shard, cache=tmp_path)]
    assert len(clips) == 24
    assert pair.framing == FRAMING
    for clip, rows in clips:
        np.testing.assert_allclose(rows, embedder.embed(frame(clip.audio, FRAMING)), atol=1e-5)
    assert pair.embeddings.manifest.windows == sum(len(rows) for _, rows in clips)


def test_the_same_bytes_anywhere_and_nothing_twice(
    spec: EmbedSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuse_work: RefuseWork
) -> None:
    (first,) = run(spec)
    (second,) = run(spec.model_copy(update={"workdir": str(tmp_path / "other")}))
    assert Path(first).read_bytes() == Path(second).read_bytes()
    monkeypatch.setattr(embed, "make_shards", refuse_work)
    assert run(spec) == (first,)


def test_two_tasks_of_one_worker_share_a_model_and_make_the_same(
    tones: FolderCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[object] = []

    def counted(*args: Any) -> Embedder:
        loaded.append(args)
        return open_embedder(*args)

    monkeypatch.setattr("pipelines.beam.prepare.plan_shards", partial(plan_shards, most_items=2))
    monkeypatch.setattr(embed_shard, "open_embedder", counted)
    teacher = ConformerTeacher(kind="conformer", dim=16, layers=1, layer=1, heads=2)
    manifests = []
    for name, options in {"one": (), "two": TWO_THREADS}.items():
        workdir = str(tmp_path / name)
        audio = prepare(PrepareSpec(name="tones", corpus=tones, workdir=workdir))
        spec = EmbedSpec(audio=(audio,), embedder=teacher, framing=FRAMING, workdir=workdir, name="teacher")
        manifests.append(Path(*run(spec.model_copy(update={"beam_options": options}))).read_bytes())
    assert manifests[0] == manifests[1]
    assert len(loaded) == 2


def test_beams_options_are_looked_at_when_there_is_nothing_to_make(spec: EmbedSpec) -> None:
    run(spec)
    with pytest.raises(
        InputError, match=r"^Beam option --direct_num_workers: invalid int value: 'x'; mend it or leave"
    ):
        run(spec.model_copy(update={"beam_options": ("--direct_num_workers=x",)}))


@pytest.mark.parametrize("changes", [{"framing": Framing()}, {"embedder": LogMelBaseline(logmel={"bands": 40})}])
def test_another_framing_or_embedder_makes_other_shards(spec: EmbedSpec, changes: dict[str, object]) -> None:
    one, two = (open_dataset(run(each)[0], "embeddings") for each in (spec, spec.model_copy(update=changes)))
    assert not {shard.id for shard in one.manifest.shards} & {shard.id for shard in two.manifest.shards}


class Flawed:
    """Answers with the first sample of each window; infinite for clips that start with -1."""

    dim, window, size_bytes = 1, 16_000, 0

    def embed(self, windows: Windows) -> Embeddings:
        rows = windows[:, :1].copy()
        rows[rows == -1] = np.inf
        return rows


@pytest.fixture
def flawed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the job embed with `Flawed`, and one of the clips start with -1."""

    def decoded(data: bytes) -> AudioRecord:
        record = decode_audio(data)
        loud = np.full_like(record.audio, -1.0)
        return AudioRecord(**{**vars(record), "audio": loud if "/03" in record.key else record.audio})

    monkeypatch.setattr(embed_shard, "open_embedder", lambda spec, framing: Flawed())
    monkeypatch.setattr(embed_shard, "decode_audio", decoded)


@pytest.mark.usefixtures("flawed")
def test_embeddings_that_are_not_finite_stop_the_step_by_their_clip(spec: EmbedSpec) -> None:
    message = (
        r"^logmel gave no embedding for 1 of 24 clips of tones \(1 non_finite_embedding\), more than "
        r"embedding\.max_reject_fraction 0; first tones/dov/03\.flac#0; mend the model, remove those files, or lower "
        r"embedding\.batch_seconds if memory was short$"
    )
    with pytest.raises(InputError, match=message):
        run(spec)
    assert not list(Path(spec.workdir).glob("embeddings/*/tones/manifests"))


@pytest.mark.usefixtures("flawed")
def test_clips_may_go_without_an_embedding_where_that_is_allowed(spec: EmbedSpec, tmp_path: Path) -> None:
    (uri,) = run(spec.model_copy(update={"embedding": Embedding(max_reject_fraction=0.05)}))
    pair = open_pair(spec.audio[0], uri)
    assert pair.embeddings.manifest.rejects == {"non_finite_embedding": 1}
    assert pair.rejected() == {"tones/dov/03.flac#0"}
    assert sum(1 for shard in pair.shards for _ in read_heard(shard, cache=tmp_path)) == 23


def test_short_memory_is_an_error_that_passes(spec: EmbedSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    class Short(Flawed):
        def embed(self, windows: Windows) -> Embeddings:
            if len(windows) > 1:
                raise MemoryError
            return super().embed(windows)

    message = (
        r"^memory was short for clip tones/\w+/\d+\.\w+#0, with half a batch too; lower embedding\.batch_seconds from "
        r"64, or give workers more memory, and run again$"
    )
    with monkeypatch.context() as patch:
        patch.setattr(embed_shard, "open_embedder", lambda spec, framing: Short())
        with pytest.raises(TransientError, match=message):
            run(spec)
        run(spec.model_copy(update={"embedding": Embedding(batch_seconds=1.0)}))


def test_an_embedder_that_changes_meanwhile(spec: EmbedSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed_shard, "fingerprint", lambda spec: "another")
    with pytest.raises(TransientError, match=r"^the logmel embedder changed while the job ran; run again$"):
        run(spec)


def test_audio_of_the_same_bytes_is_embedded_once(
    spec: EmbedSpec, tones: FolderCorpus, monkeypatch: pytest.MonkeyPatch, refuse_work: RefuseWork
) -> None:
    (first,) = run(spec)
    for path in Path(tones.path).rglob("*.*"):
        path.touch()
    audio = prepare(PrepareSpec(name="tones", corpus=tones, workdir=spec.workdir))
    monkeypatch.setattr(embed, "make_shards", refuse_work)
    assert run(spec.model_copy(update={"audio": (audio,)})) == (first,)


@pytest.mark.parametrize("seconds", [0.5, 1.0, 3.0, 1000.0])
def test_the_size_of_batches_changes_no_embedding(spec: EmbedSpec, seconds: float, tmp_path: Path) -> None:
    other = spec.model_copy(update={"embedding": Embedding(batch_seconds=seconds), "workdir": str(tmp_path / "other")})
    pairs = [open_pair(spec.audio[0], run(each)[0]) for each in (spec, other)]
    one, two = ([rows for shard in pair.shards for _, rows in read_heard(shard, cache=tmp_path)] for pair in pairs)
    for left, right in zip(one, two, strict=True):
        np.testing.assert_allclose(left, right, rtol=0, atol=1e-5 * np.abs(left).max())
    assert pairs[0].embeddings.manifest.content["batch_tolerance"] == 1e-3


def test_a_missing_dataset_is_told(spec: EmbedSpec) -> None:
    with pytest.raises(InputError, match=r"dataset .*none\.json does not exist"):
        run(spec.model_copy(update={"audio": (spec.audio[0].rpartition("/")[0] + "/none.json",)}))
