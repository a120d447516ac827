"""Bundles: the manifest finds any change, and the SavedModel answers as the probe says."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from trillsson import bundles
from trillsson.bundles import (
    BundleEmbedder,
    ModelSpec,
    read_bundle,
    read_probe,
    read_spec,
    relative_difference,
    write_bundle_manifest,
)
from trillsson.config import Framing
from trillsson.digests import digest_of, file_digest, folder_digests
from trillsson.errors import InputError, IntegrityError


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the tiny bundle, to damage."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


class TestManifest:
    def test_a_bundle_reads_as_it_was_written(self, tiny_bundle: Path) -> None:
        bundle = read_bundle(tiny_bundle)
        digests = folder_digests(tiny_bundle, leave_out=["manifest.json"])
        assert {path: entry.sha256 for path, entry in bundle.files.items()} == digests
        assert set(bundles.REQUIRED) <= digests.keys()
        assert bundle.digest == digest_of(digests)
        assert (bundle.spec.name, bundle.spec.dim, bundle.spec.framing) == ("tiny", 8, Framing())

    def test_the_digest_is_of_the_content_alone(self, tiny_bundle: Path, bundle: Path) -> None:
        assert read_bundle(bundle).digest == read_bundle(tiny_bundle).digest
        (bundle / "manifest.json").unlink()
        (bundle / "notes.txt").write_bytes(b"")
        assert write_bundle_manifest(bundle).digest != read_bundle(tiny_bundle).digest

    @pytest.mark.parametrize("path", bundles.REQUIRED)
    def test_a_missing_file(self, bundle: Path, path: str) -> None:
        (bundle / path).unlink()
        with pytest.raises(IntegrityError) as caught:
            read_bundle(bundle)
        assert str(caught.value) == f"{bundle}: {path} is missing; restore it or export again"

    def test_an_extra_file(self, bundle: Path) -> None:
        (bundle / "saved_model" / "extra").write_bytes(b"")
        with pytest.raises(IntegrityError) as caught:
            read_bundle(bundle)
        assert str(caught.value) == f"{bundle}: saved_model/extra is not in the manifest; remove it"

    @pytest.mark.parametrize("path", bundles.REQUIRED)
    def test_a_changed_file(self, bundle: Path, path: str) -> None:
        before, size = file_digest(bundle / path), (bundle / path).stat().st_size
        (bundle / path).write_bytes(b"abc")
        with pytest.raises(IntegrityError) as caught:
            read_bundle(bundle)
        now = "3 bytes, sha256 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        expected = f"has changed: {now}; the manifest says {size} bytes, sha256 {before}; restore it or export again"
        assert str(caught.value) == f"{bundle}: {path} {expected}"

    def test_a_link_to_nothing(self, bundle: Path) -> None:
        (bundle / "model.tflite").unlink()
        (bundle / "model.tflite").symlink_to("gone")
        with pytest.raises(InputError, match=r"^cannot read .*/model\.tflite: No such file or directory; "):
            read_bundle(bundle)

    def test_no_manifest(self, tmp_path: Path) -> None:
        with pytest.raises(InputError) as caught:
            read_bundle(tmp_path)
        assert str(caught.value) == f"{tmp_path} holds no manifest.json; give the folder of a finished bundle"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "is not valid: Invalid JSON: EOF while parsing a value at line 1 column 0; restore it"),
            ('{"schema_version": 2, "files": {}}', "has schema 2; upgrade trillsson to read it"),
            ('{"schema_version": 1}', "is not valid: files: Field required; restore it"),
            ('{"files": {"a": {"sha256": "x", "size": 1}}}', "is not valid: files.a.sha256: String should match"),
        ],
    )
    def test_a_damaged_manifest(self, bundle: Path, text: str, message: str) -> None:
        (bundle / "manifest.json").write_text(text)
        with pytest.raises(IntegrityError) as caught:
            read_bundle(bundle)
        assert str(caught.value).startswith(f"{bundle}/manifest.json {message}")

    @pytest.mark.parametrize("path", bundles.REQUIRED)
    def test_an_unfinished_export_is_not_sealed(self, bundle: Path, path: str) -> None:
        (bundle / "manifest.json").unlink()
        (bundle / path).unlink()
        with pytest.raises(InputError) as caught:
            write_bundle_manifest(bundle)
        assert str(caught.value) == f"bundle {bundle} lacks {path}; export the model again into an empty folder"
        assert not (bundle / "manifest.json").exists()

    def test_finishing_twice_changes_nothing(self, bundle: Path) -> None:
        before = (bundle / "manifest.json").read_bytes()
        write_bundle_manifest(bundle)
        assert (bundle / "manifest.json").read_bytes() == before

    def test_a_finished_bundle_does_not_become_another(self, bundle: Path) -> None:
        (bundle / "model.tflite").write_bytes(b"other")
        with pytest.raises(InputError, match=r"is finished and holds another model; export into an empty folder$"):
            write_bundle_manifest(bundle)
        with pytest.raises(IntegrityError, match=r"model\.tflite has changed"):
            read_bundle(bundle)


class TestSpec:
    def test_unknown_keys_are_refused(self, tiny_bundle: Path) -> None:
        spec = read_spec(tiny_bundle).model_dump()
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            ModelSpec.model_validate({**spec, "colour": "red"})

    def test_a_damaged_spec(self, bundle: Path) -> None:
        (bundle / "spec.json").write_text('{"name": ""}')
        with pytest.raises(IntegrityError) as caught:
            read_spec(bundle)
        reason = "name: String should have at least 1 character"
        assert str(caught.value) == f"{bundle}/spec.json is not valid: {reason}; restore it"


class TestProbe:
    def test_it_holds_a_window_and_its_embedding(self, tiny_bundle: Path) -> None:
        probe = read_probe(tiny_bundle)
        assert (probe.audio.shape, probe.audio.dtype) == ((32_000,), np.float32)
        assert (probe.embedding.shape, probe.embedding.dtype) == ((8,), np.float32)

    @pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"text", b"\x93NUMPY"])
    def test_a_file_that_is_no_probe(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "probe.npz").write_bytes(data)
        with pytest.raises(IntegrityError, match=r"/probe\.npz is not a probe: .*; export the model again$"):
            read_probe(tmp_path)

    def test_a_missing_probe(self, tmp_path: Path) -> None:
        with pytest.raises(IntegrityError, match=r"/probe\.npz is not a probe: "):
            read_probe(tmp_path)

    @pytest.mark.parametrize("values", [np.zeros(0, np.float32), np.zeros((1, 2), np.float32), np.zeros(2)])
    def test_wrong_arrays(self, tmp_path: Path, values: np.ndarray) -> None:
        self.refuse(tmp_path, values)

    def test_nan(self, tmp_path: Path) -> None:
        self.refuse(tmp_path, np.array([0, np.nan], np.float32))

    def refuse(self, folder: Path, values: np.ndarray) -> None:
        np.savez(folder / "probe.npz", audio=np.ones(2, np.float32), embedding=values)
        with pytest.raises(IntegrityError, match=r"probe\.npz: embedding is not one row of finite float32 numbers; "):
            read_probe(folder)


class TestRelativeDifference:
    @pytest.mark.parametrize(
        ("answer", "reference", "expected"),
        [
            ([1.0, -4.0], [1.0, -4.0], 0.0),
            ([1.0, -3.0], [1.0, -4.0], 0.25),
            ([3.0, -4.0], [1.0, -4.0], 0.5),
            ([0.0], [0.0], 0.0),
            ([1.0], [0.0], float("inf")),
            ([float("nan")], [1.0], float("inf")),
            ([1.0], [float("inf")], float("inf")),
        ],
    )
    def test_values(self, answer: list[float], reference: list[float], expected: float) -> None:
        assert relative_difference(np.array(answer), np.array(reference)) == expected

    def test_shapes(self) -> None:
        with pytest.raises(InputError, match=r"^shapes \(2,\) and \(3,\) differ; compare embeddings of one model$"):
            relative_difference(np.zeros(2), np.zeros(3))

    @given(st.lists(st.floats(-1e3, 1e3), min_size=1), st.floats(1e-2, 1e2))
    def test_scale_does_not_matter(self, values: list[float], scale: float) -> None:
        reference = np.array([1.0, *values])
        answer = reference + 0.5
        once = relative_difference(answer, reference)
        assert relative_difference(scale * answer, scale * reference) == pytest.approx(once)


class TestEmbedder:
    @pytest.fixture(scope="class")
    def embedder(self, tiny_bundle: Path) -> BundleEmbedder:
        return BundleEmbedder(tiny_bundle)

    @pytest.fixture(scope="class")
    def windows(self) -> np.ndarray:
        return np.random.default_rng(1).uniform(-1, 1, (70, 32_000)).astype(np.float32)

    def test_it_says_what_it_takes_and_gives(self, embedder: BundleEmbedder, tiny_bundle: Path) -> None:
        size = sum(path.stat().st_size for path in (tiny_bundle / "saved_model").rglob("*") if path.is_file())
        assert (embedder.window, embedder.dim, embedder.size_bytes) == (32_000, 8, size)

    def test_it_answers_as_the_probe_says(self, embedder: BundleEmbedder, tiny_bundle: Path) -> None:
        probe = read_probe(tiny_bundle)
        np.testing.assert_allclose(embedder.embed(probe.audio[None])[0], probe.embedding, rtol=1e-5)

    @pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 70])
    def test_batches_do_not_matter(self, embedder: BundleEmbedder, windows: np.ndarray, count: int) -> None:
        whole = embedder.embed(windows[:count])
        assert (whole.shape, whole.dtype) == ((count, 8), np.float32)
        for row in {0, count // 2, count - 1} if count else ():
            np.testing.assert_allclose(whole[row], embedder.embed(windows[row : row + 1])[0], rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize(
        ("windows", "what"),
        [
            (np.zeros((1, 16_000), np.float32), r"float32 of shape \(1, 16000\)"),
            (np.zeros(32_000, np.float32), r"float32 of shape \(32000,\)"),
            (np.zeros((1, 32_000)), r"float64 of shape \(1, 32000\)"),
        ],
    )
    def test_other_arrays_are_refused(self, embedder: BundleEmbedder, windows: np.ndarray, what: str) -> None:
        with pytest.raises(InputError, match=rf"^windows are {what}; give float32 of shape \[n, 32000\], see "):
            embedder.embed(windows)

    def test_a_damaged_bundle_is_not_loaded(self, bundle: Path) -> None:
        (bundle / "weights.weights.h5").write_bytes(b"")
        with pytest.raises(IntegrityError, match=r"weights\.weights\.h5 has changed"):
            BundleEmbedder(bundle)

    def test_a_saved_model_of_another_contract(self, bundle: Path) -> None:
        import tensorflow as tf

        class Other(tf.Module):
            @tf.function(input_signature=[tf.TensorSpec([None, None], name="audio")])
            def call(self, audio: tf.Tensor) -> dict[str, tf.Tensor]:
                return {"output": audio}

        self.replace(bundle, lambda path: tf.saved_model.save(other := Other(), path, signatures=other.call))
        message = r"saved_model maps \['audio'\] to \['output'\], not waveform to embedding; export the model again$"
        with pytest.raises(IntegrityError, match=message):
            BundleEmbedder(bundle)

    def test_a_saved_model_without_a_signature(self, bundle: Path) -> None:
        import tensorflow as tf

        self.replace(bundle, lambda path: tf.saved_model.save(tf.Module(), path))
        with pytest.raises(IntegrityError, match=r"has no signature serving_default; export the model again$"):
            BundleEmbedder(bundle)

    def replace(self, bundle: Path, save: Callable[[str], object]) -> None:
        shutil.rmtree(bundle / "saved_model")
        (bundle / "manifest.json").unlink()
        save(str(bundle / "saved_model"))
        write_bundle_manifest(bundle)
