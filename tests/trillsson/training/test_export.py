"""Export: the bundle answers on the teacher's scale, in every format, like the Keras model it was made from."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trillsson
from trillsson.audio import frame, from_pcm16, to_pcm16
from trillsson.bundles import read_bundle, read_probe
from trillsson.registry import publish, verify
from trillsson.training import export, train
from trillsson.training.export import ExportSpec, build_model, fold_standardiser, probe_clip
from trillsson.training.targets import Standardiser
from trillsson.training.train import TrainSpec


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the first test made, for the others: exporting takes seconds."""
    return {"workdir": str(tmp_path_factory.mktemp("export"))}


@pytest.fixture
def export_spec(train_spec: TrainSpec, shared: dict[str, str]) -> ExportSpec:
    short = train_spec.model_copy(
        update={"workdir": shared["workdir"], "training": train_spec.training.model_copy(update={"steps": 2})}
    )
    return ExportSpec(
        name="nano",
        student=short.student,
        training=short.training,
        trained=train.run(short),
        statistics=short.statistics,
        screened=short.screened,
        audio=short.audio,
        targets=short.targets,
        framing=short.framing,
        provenance={"teacher": "abc"},
        workdir=shared["workdir"],
    )


def test_a_student_becomes_a_bundle_that_is_found_again(export_spec: ExportSpec) -> None:
    uri = export.run(export_spec)
    spec = read_bundle(Path(uri)).spec
    assert (spec.name, spec.dim, spec.sample_rate, spec.framing) == ("nano", 4, 16_000, export_spec.framing)
    assert spec.provenance == {"teacher": "abc"}
    assert set(spec.parity) == {"saved_model", "tflite"}
    assert max(spec.parity.values()) < 1e-5
    assert spec.size_bytes["tflite"] == (Path(uri) / "model.tflite").stat().st_size
    assert export.run(export_spec) == uri


def test_a_published_student_answers_like_keras_on_any_length(export_spec: ExportSpec, tmp_path: Path) -> None:
    bundle = Path(export.run(export_spec))
    publish(str(tmp_path), bundle, model="nano", metrics={}, provenance={})
    probe = read_probe(bundle)
    for form in ("tflite", "saved_model"):
        model = trillsson.load("nano@latest", str(tmp_path), format=form)  # type: ignore[arg-type]
        np.testing.assert_allclose(model.embed(probe.audio), probe.embedding, rtol=1e-4)
        assert model.embed(probe.audio[:500]).shape == (4,)
    assert verify(str(tmp_path), "nano").differences["tflite"] < 1e-4


def test_answers_are_on_the_teachers_scale(export_spec: ExportSpec, speech: Any) -> None:
    embedded = read_probe(Path(export.run(export_spec))).embedding
    assert np.abs(embedded - 100).max() < 60  # targets are 100 + 5 * log energies, the standardised ones near 0


def test_an_excluded_clip_takes_no_part_in_the_check(
    export_spec: ExportSpec,
    speech: Any,
    exclude: Callable[[Path, Sequence[str]], str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    heard = []

    def keep(model: Any, bundle: Path, *, clips: Sequence[np.ndarray], framing: Any) -> dict[str, float]:
        heard.extend(clips)
        return {"tflite": 0.0}

    monkeypatch.setattr(export, "measure_parity", keep)
    screened = exclude(tmp_path, [speech.records[0].key])
    export.run(export_spec.model_copy(update={"screened": screened, "workdir": str(tmp_path / "work")}))
    assert len(heard) == 8
    for clip, record in zip(heard, speech.records[1:], strict=False):
        np.testing.assert_array_equal(clip, from_pcm16(to_pcm16(record.audio)))


def test_the_folded_layer_undoes_the_standardisation(export_spec: ExportSpec) -> None:
    framing = export_spec.framing
    model = build_model(export_spec.student, dim=3, framing=framing, seed=0)
    windows = frame(probe_clip(), framing)
    before = model.predict_on_batch(windows)
    standardiser = Standardiser(np.float32([5, -100, 0]), np.float32([2, 0.1, 30]))
    fold_standardiser(model, standardiser)
    np.testing.assert_allclose(standardiser.apply(model.predict_on_batch(windows)), before, rtol=1e-3, atol=1e-3)


def test_the_probe_is_nobodys_voice_and_always_the_same() -> None:
    probe = probe_clip()
    assert probe.shape == (48_000,)
    assert np.abs(probe).max() <= 1
    np.testing.assert_array_equal(probe, probe_clip())
