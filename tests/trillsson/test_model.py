"""The model that `load` returns: its answers, what it refuses, and what it does not import."""

import importlib.metadata
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trillsson
from trillsson.audio import to_pcm16
from trillsson.bundles import read_probe, read_spec
from trillsson.config import Framing
from trillsson.digests import canonical_json
from trillsson.errors import InputError, IntegrityError
from trillsson.model import LiteRTEmbedder, Model
from trillsson.registry import publish


@pytest.fixture(scope="module")
def model(tiny_bundle: Path) -> Model:
    return Model(tiny_bundle)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


class TestEmbed:
    def test_what_it_says_of_itself(self, model: Model) -> None:
        assert (model.dim, model.sample_rate, model.version, model.spec.name) == (8, 16_000, None, "tiny")
        assert repr(model) == "Model('tiny', version=None, dim=8)"

    @pytest.mark.parametrize("form", ["tflite", "saved_model"])
    def test_both_formats_answer_as_keras_did(self, tiny_bundle: Path, form: str) -> None:
        probe = read_probe(tiny_bundle)
        answer = Model(tiny_bundle, format=form).embed(probe.audio)
        assert (answer.shape, answer.dtype) == ((8,), np.float32)
        np.testing.assert_allclose(answer, probe.embedding, rtol=1e-4, atol=1e-5)

    def test_formats_agree_on_long_clips(self, tiny_bundle: Path) -> None:
        clips = noise(2, 100_000)
        expected = Model(tiny_bundle, format="saved_model").embed(clips)
        np.testing.assert_allclose(Model(tiny_bundle).embed(clips), expected, rtol=1e-4, atol=1e-5)

    def test_a_clip_is_the_mean_of_its_windows(self, model: Model) -> None:
        """Against windows cut by hand: 2 s, 2 s, and the last 0.5 s with the clip mirrored at its end."""
        clip = noise(72_000)
        windows = np.concatenate([clip, clip[::-1][:24_000]]).reshape(3, 32_000)
        each = np.stack([model.embed(window) for window in windows])
        np.testing.assert_array_equal(model.embed_windows(clip), each)
        np.testing.assert_allclose(model.embed(clip), each.mean(axis=0), rtol=1e-5)

    @pytest.mark.parametrize("samples", [1, 31_999, 32_000, 32_001, 80_000])
    def test_a_batch_is_its_clips(self, model: Model, samples: int) -> None:
        clips = noise(3, samples)
        answer = model.embed(clips)
        assert answer.shape == (3, 8)
        for row, clip in zip(answer, clips, strict=True):
            np.testing.assert_array_equal(row, model.embed(clip))

    def test_int16_is_scaled(self, model: Model) -> None:
        clip = noise(40_000)
        pcm = np.frombuffer(to_pcm16(clip), "<i2")
        np.testing.assert_array_equal(model.embed(pcm), model.embed(pcm / 32_768))
        np.testing.assert_array_equal(model.embed(np.stack([pcm, pcm])), np.stack([model.embed(pcm)] * 2))

    @pytest.mark.parametrize("dtype", ["float64", ">f4", "float16"])
    def test_floats_of_other_kinds(self, model: Model, dtype: str) -> None:
        clip = (np.arange(32_000) % 256 / 256).astype(dtype)
        np.testing.assert_array_equal(model.embed(clip), model.embed(clip.astype(np.float32)))

    def test_arrays_need_not_be_contiguous(self, model: Model) -> None:
        clips = noise(32_000, 2)
        np.testing.assert_array_equal(model.embed(clips.T), model.embed(np.ascontiguousarray(clips.T)))
        pcm = (clips * 30_000).astype(np.int16)
        np.testing.assert_array_equal(model.embed(pcm.T), model.embed(np.ascontiguousarray(pcm.T)))

    def test_what_is_a_little_too_loud_is_clipped(self, model: Model) -> None:
        clip = 1.5 * noise(32_000)
        before = clip.copy()
        np.testing.assert_array_equal(model.embed(clip), model.embed(np.clip(clip, -1, 1)))
        np.testing.assert_array_equal(clip, before)

    def test_framing_of_the_spec_is_used(self, tiny_bundle: Path, tmp_path: Path, model: Model) -> None:
        folder = Path(shutil.copytree(tiny_bundle, tmp_path / "hop"))
        spec = read_spec(folder).model_copy(update={"framing": Framing(hop=16_000, tail="drop")})
        (folder / "spec.json").write_bytes(canonical_json(spec.model_dump(mode="json")))
        clip = noise(70_000)
        expected = np.stack([model.embed(clip[start : start + 32_000]) for start in (0, 16_000, 32_000)])
        np.testing.assert_array_equal(Model(folder).embed_windows(clip), expected)

    @given(st.integers(1, 100_000))
    @settings(max_examples=20)
    def test_any_length(self, model: Model, samples: int) -> None:
        windows = model.embed_windows(noise(samples))
        assert windows.shape == (-(-samples // 32_000), 8)
        assert np.isfinite(windows).all()

    def test_threads_do_not_mix_their_answers(self, model: Model) -> None:
        clips = [noise(64_000, seed=seed) for seed in range(4)]
        expected = [model.embed(clip) for clip in clips]
        answers: list[list[np.ndarray]] = [[] for _ in clips]

        def work(index: int) -> None:
            for _ in range(10):
                answers[index].append(model.embed(clips[index]))

        threads = [threading.Thread(target=work, args=(index,)) for index in range(len(clips))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for got, wanted in zip(answers, expected, strict=True):
            np.testing.assert_array_equal(got, np.stack([wanted] * 10))


def test_litert_says_what_it_takes_and_gives(tiny_bundle: Path) -> None:
    path = tiny_bundle / "model.tflite"
    embedder = LiteRTEmbedder(path, read_spec(tiny_bundle))
    assert (embedder.window, embedder.dim, embedder.size_bytes) == (32_000, 8, path.stat().st_size)
    assert embedder.embed(np.zeros((0, 32_000), np.float32)).shape == (0, 8)


class TestRefused:
    @pytest.mark.parametrize(
        ("audio", "message"),
        [
            (np.zeros(0, np.float32), "audio has shape (0,); give non-empty [samples] or [batch, samples]"),
            (np.zeros((2, 0)), "audio has shape (2, 0); give non-empty [samples] or [batch, samples]"),
            (np.float32(0) + np.zeros(()), "audio is a float64; give a numpy array"),
            (np.zeros((1, 2, 3)), "audio has shape (1, 2, 3); give non-empty [samples] or [batch, samples]"),
            (np.zeros(9, np.int32), "audio is int32; give float32 in [-1, 1] or int16"),
            (np.zeros(9, np.uint8), "audio is uint8; give float32 in [-1, 1] or int16"),
            (np.zeros(9, bool), "audio is bool; give float32 in [-1, 1] or int16"),
            (np.zeros(9, np.complex64), "audio is complex64; give float32 in [-1, 1] or int16"),
            (np.array(["a"]), "audio is <U1; give float32 in [-1, 1] or int16"),
            (np.array([0, np.nan]), "audio holds NaN or infinity; remove those samples"),
            (np.array([0, -np.inf]), "audio holds NaN or infinity; remove those samples"),
            (
                np.array([0, -12_345.0]),
                "audio reaches 12345; scale it to [-1, 1], for 16-bit samples divide by 32768",
            ),
            ([0.0, 0.1], "audio is a list; give a numpy array"),
        ],
    )
    def test_audio(self, model: Model, audio: np.ndarray, message: str) -> None:
        with pytest.raises(InputError) as caught:
            model.embed(audio)
        assert str(caught.value) == message

    def test_windows_of_a_batch(self, model: Model) -> None:
        with pytest.raises(InputError, match=r"^audio has shape \(2, 9\); give non-empty \[samples\]$"):
            model.embed_windows(np.zeros((2, 9), np.float32))

    def test_format(self, tiny_bundle: Path) -> None:
        with pytest.raises(InputError, match=r"^format 'onnx' does not exist; give one of tflite, saved_model$"):
            Model(tiny_bundle, format="onnx")

    def test_a_folder_without_a_model(self, tmp_path: Path) -> None:
        with pytest.raises(IntegrityError, match=r"spec\.json is missing"):
            Model(tmp_path)

    @pytest.mark.parametrize("data", [b"", b"not a model", bytes(1_000)])
    def test_a_damaged_file(self, tiny_bundle: Path, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "model.tflite").write_bytes(data)
        with pytest.raises(IntegrityError, match=r"/model\.tflite cannot be loaded: .*; restore it or export again$"):
            LiteRTEmbedder(tmp_path / "model.tflite", read_spec(tiny_bundle))

    def test_a_file_that_is_not_as_its_spec_says(self, tiny_bundle: Path) -> None:
        spec = read_spec(tiny_bundle).model_copy(update={"dim": 9})
        with pytest.raises(IntegrityError) as caught:
            LiteRTEmbedder(tiny_bundle / "model.tflite", spec)
        given = "maps [((1, 32000), 'float32')] to [((1, 8), 'float32')]"
        wanted = "its spec [((1, 32000), 'float32')] to [((1, 9), 'float32')]"
        assert str(caught.value) == f"{tiny_bundle}/model.tflite {given}, {wanted}"


class TestLoad:
    @pytest.fixture
    def registry(self, tiny_bundle: Path, tmp_path: Path) -> Path:
        publish(str(tmp_path / "registry"), tiny_bundle, model="tiny", metrics={}, provenance={})
        return tmp_path / "registry"

    @pytest.mark.parametrize("reference", ["tiny", "tiny@1", "tiny@latest"])
    def test_a_registry_given(self, registry: Path, reference: str, model: Model) -> None:
        loaded = trillsson.load(reference, str(registry))
        assert loaded.version == 1
        np.testing.assert_array_equal(loaded.embed(noise(9)), model.embed(noise(9)))

    def test_a_registry_in_the_environment(self, registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TRILLSSON_REGISTRY", str(registry))
        assert trillsson.load("tiny").version == 1

    def test_the_registry_here(self, registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("TRILLSSON_REGISTRY", raising=False)
        monkeypatch.chdir(registry.parent)
        assert trillsson.load("tiny").version == 1

    def test_a_registry_on_gcs(
        self, gcs_prefix: str, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        publish(gcs_prefix, tiny_bundle, model="tiny", metrics={}, provenance={})
        monkeypatch.setenv("TRILLSSON_CACHE", str(tmp_path / "cache"))
        assert trillsson.load("tiny", gcs_prefix, format="saved_model").embed(noise(9)).shape == (8,)
        assert len(list((tmp_path / "cache").iterdir())) == 1

    def test_a_model_that_does_not_exist(self, registry: Path) -> None:
        with pytest.raises(InputError) as caught:
            trillsson.load("nano", str(registry))
        assert str(caught.value) == f"registry {registry} has no model 'nano'; it has tiny"

    def test_a_damaged_version(self, registry: Path) -> None:
        (registry / "tiny/versions/1/model.tflite").write_bytes(b"")
        with pytest.raises(IntegrityError, match=r"model\.tflite has changed: 0 bytes"):
            trillsson.load("tiny", str(registry))


class TestImports:
    def test_the_package_imports_nothing_heavy(self) -> None:
        script = "import sys, trillsson; print(*{'numpy', 'pydantic', 'yaml', 'tensorflow'} & set(sys.modules))"
        assert self.run(script) == ""

    def test_tflite_needs_no_tensorflow(self, tiny_bundle: Path, tmp_path: Path) -> None:
        publish(str(tmp_path), tiny_bundle, model="tiny", metrics={}, provenance={})
        script = """
import sys
import trillsson, numpy
print(trillsson.load("tiny", sys.argv[1]).embed(numpy.zeros(9, "float32")).shape)
print(*{"tensorflow", "keras", "google.cloud.storage"} & set(sys.modules))
"""
        assert self.run(script, str(tmp_path)) == "(8,)"

    def test_version(self) -> None:
        assert trillsson.__version__ == importlib.metadata.version("trillsson")

    def run(self, script: str, *arguments: str) -> str:
        done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()
