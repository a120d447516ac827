"""embed: aligned with the audio, the same in any batch, resumable, and honest about what is not finite."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.beam import embed
from pipelines.beam.embed import EmbedSpec, embed_clips, run
from pipelines.beam.prepare import PrepareSpec
from pipelines.beam.prepare import run as prepare
from trillsson.audio import frame
from trillsson.config import FolderCorpus, Framing, LogMelBaseline
from trillsson.datasets import open_dataset
from trillsson.embedder import Embeddings, Windows
from trillsson.errors import InputError
from trillsson.pairs import open_pair, read_pair
from trillsson.records import AudioRecord, decode_audio
from trillsson.teachers import open_embedder

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
    clips = [each for shard in pair.shards for each in read_pair(shard, decode_audio, cache=tmp_path)]
    assert len(clips) == 24
    assert pair.framing == FRAMING
    for clip, rows in clips:
        np.testing.assert_allclose(rows, embedder.embed(frame(clip.audio, FRAMING)), atol=1e-5)
    assert pair.embeddings.manifest.windows == sum(len(rows) for _, rows in clips)


def test_the_same_bytes_anywhere_and_nothing_twice(
    spec: EmbedSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = run(spec)
    (second,) = run(spec.model_copy(update={"workdir": str(tmp_path / "other")}))
    assert Path(first).read_bytes() == Path(second).read_bytes()
    monkeypatch.setattr(embed, "embed_shard", None)
    assert run(spec) == (first,)


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


def test_embeddings_that_are_not_finite_stop_the_step_by_their_clip(
    spec: EmbedSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed, "open_embedder", lambda spec, framing: Flawed())

    def decoded(data: bytes) -> AudioRecord:
        record = decode_audio(data)
        loud = np.full_like(record.audio, -1.0)
        return AudioRecord(**{**vars(record), "audio": loud if "/03" in record.key else record.audio})

    monkeypatch.setattr(embed, "decode_audio", decoded)
    message = (
        r"^logmel gives embeddings that are not finite on 1 of 24 clips of tones, first tones/dov/03\.flac#0; "
        r"mend the model, or remove those files$"
    )
    with pytest.raises(InputError, match=message):
        run(spec)
    assert not list(Path(spec.workdir).glob("embeddings/*/tones/manifests"))


def test_batches_mix_clips_and_change_nothing() -> None:
    clips = [AudioRecord(key=str(n), audio=np.full(16_000 * (1 + n % 5), n / 100, np.float32)) for n in range(40)]
    framing = Framing(window=16_000, hop=16_000)
    found = list(embed_clips(clips, Flawed(), framing=framing))
    assert [record.key for record in found] == [clip.key for clip in clips]
    for number, record in enumerate(found):
        np.testing.assert_array_equal(record.embeddings, np.full((1 + number % 5, 1), number / 100, np.float32))


def test_a_missing_dataset_is_told(spec: EmbedSpec) -> None:
    with pytest.raises(InputError, match=r"dataset .*none\.json does not exist"):
        run(spec.model_copy(update={"audio": (spec.audio[0].rpartition("/")[0] + "/none.json",)}))
