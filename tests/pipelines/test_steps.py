"""The steps by themselves, one after the other, with everything on gs://."""

from collections.abc import Callable
from pathlib import Path

import pytest

import trillsson
from pipelines import steps
from pipelines.beam import prepare
from trillsson.config import Release
from trillsson.errors import InputError
from trillsson.storage import open_storage

MakeRelease = Callable[..., tuple[Path, Release]]


def test_a_release_with_workdir_and_registry_on_gcs(
    make_release: MakeRelease, gcs_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRILLSSON_CACHE", str(tmp_path / "cache"))
    _, config = make_release(workdir=f"{gcs_prefix}/work", registry=f"{gcs_prefix}/registry")
    release = config.model_dump_json()
    prepared = [steps.prepare(release, "tones")]
    screened = steps.screen(release, prepared)
    audio, targets = steps.embed(release, steps.TEACHER, prepared)
    told = steps.statistics(release, audio, targets=targets, screened=screened)
    learnt_from = {"audio": audio, "targets": targets, "statistics": told, "screened": screened}
    bundle = steps.export(release, "nano", trained=steps.train(release, "nano", **learnt_from), **learnt_from)  # type: ignore[arg-type]
    results = [steps.evaluate(release, steps.TEACHER, audio=audio, embeddings=targets)]
    for model, made in ((steps.BASELINE, ""), ("nano", bundle)):
        heard, rows = steps.embed(release, model, audio, bundle=made)
        results.append(steps.evaluate(release, model, audio=heard, embeddings=rows, bundle=made))
    page = steps.report(release, results, audio=audio, targets=targets, screened=screened)
    assert "<svg" in (open_storage(page).read("report.html") or b"").decode()
    assert steps.publish(release, results, bundles=[bundle]) == ["nano@1"]
    assert trillsson.load("nano", registry=config.registry).dim == 16
    assert steps.export(release, "nano", trained=steps.train(release, "nano", **learnt_from), **learnt_from) == bundle  # type: ignore[arg-type]


def test_names_that_are_not_in_the_config(make_release: MakeRelease) -> None:
    release = make_release()[1].model_dump_json()
    with pytest.raises(InputError, match=r"^corpus 'tv' is not in the config; it has tones$"):
        steps.prepare(release, "tv")
    with pytest.raises(InputError, match=r"^student 'big' is not in the config; it has nano$"):
        steps.train(release, "big", audio=["a"], targets=["b"], statistics="c", screened="d")


def test_options_given_now_take_the_place_of_the_configs(
    make_release: MakeRelease, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, config = make_release(beam=["--direct_num_workers=2", "--direct_running_mode=multi_processing"])
    specs: list[prepare.PrepareSpec] = []
    monkeypatch.setattr(prepare, "run", lambda spec: specs.append(spec) or "")
    steps.prepare(config.model_dump_json(), "tones", beam=["--direct_num_workers=3"])
    assert specs[0].beam_options == ("--direct_running_mode=multi_processing", "--direct_num_workers=3")


def test_a_generated_corpus_needs_a_folder(make_release: MakeRelease) -> None:
    _, config = make_release(workdir="gs://bucket/work", corpora={"tones": {"kind": "generated", "scale": 0.01}})
    with pytest.raises(
        InputError, match=r"^a generated corpus needs a local workdir, not gs://bucket/work; give a folder$"
    ):
        steps.prepare(config.model_dump_json(), "tones")
