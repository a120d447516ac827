"""Fetch and verify: whole versions pass, and any damage is found."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trillsson import bundles
from trillsson.bundles import read_bundle, write_bundle_manifest
from trillsson.errors import InputError, IntegrityError
from trillsson.registry import VerifyReport, fetch, publish, verify
from trillsson.storage import open_storage

MakeBundle = Callable[[str], Path]


@pytest.fixture
def published(local_registry: str, make_bundle: MakeBundle) -> Path:
    """The folder of fake@1 in a local registry."""
    publish(local_registry, make_bundle("a"), model="fake", metrics={}, provenance={})
    return Path(local_registry) / "fake" / "versions" / "1"


def changed(tiny_bundle: Path, folder: Path, change: Callable[[Path], object]) -> Path:
    """Copies a bundle, changes the copy and finishes it again."""
    shutil.copytree(tiny_bundle, folder)
    change(folder)
    (folder / bundles.MANIFEST).unlink()
    write_bundle_manifest(folder)
    return folder


class TestFetch:
    def test_local_is_the_version_itself(self, local_registry: str, published: Path, tmp_path: Path) -> None:
        assert fetch(local_registry, "fake", cache=tmp_path / "cache") == published
        assert not (tmp_path / "cache").exists()

    def test_gcs_is_copied_once(self, gcs_prefix: str, make_bundle: MakeBundle, tmp_path: Path) -> None:
        folder = make_bundle("a")
        publish(gcs_prefix, folder, model="fake", metrics={}, provenance={})
        local = fetch(gcs_prefix, "fake", cache=tmp_path / "cache")
        assert [path.name for path in (tmp_path / "cache").iterdir()] == [local.name]
        assert local.name.startswith("fake-1-")
        assert read_bundle(local).files == read_bundle(folder).files
        written = (local / "model.tflite").stat().st_mtime_ns
        assert fetch(gcs_prefix, "fake@1", cache=tmp_path / "cache") == local
        assert (local / "model.tflite").stat().st_mtime_ns == written

    @pytest.mark.parametrize("path", ["../evil", "/evil", "/../../evil"])
    def test_a_registry_cannot_write_outside_the_cache(
        self, gcs_prefix: str, make_bundle: MakeBundle, tmp_path: Path, path: str
    ) -> None:
        storage = open_storage(gcs_prefix)
        publish(gcs_prefix, make_bundle("a"), model="fake", metrics={}, provenance={})
        manifest = (storage.read("fake/versions/1/manifest.json") or b"").decode()
        evil = manifest.replace("model.tflite", path).replace('"version":1', '"version":2')
        storage.create("fake/versions/2/manifest.json", evil.encode())
        with pytest.raises((InputError, IntegrityError)):
            fetch(gcs_prefix, "fake@2", cache=tmp_path / "cache")
        assert not list(tmp_path.rglob("evil"))
        assert not Path("/evil").exists()

    def test_registries_do_not_share_a_copy(self, gcs_prefix: str, make_bundle: MakeBundle, tmp_path: Path) -> None:
        for registry, content in ((f"{gcs_prefix}/1", "a"), (f"{gcs_prefix}/2", "b")):
            publish(registry, make_bundle(content), model="fake", metrics={}, provenance={})
            local = fetch(registry, "fake", cache=tmp_path)
            assert (local / "model.tflite").read_text() == f"model.tflite of {content}"

    def test_a_damaged_copy(self, gcs_prefix: str, make_bundle: MakeBundle, tmp_path: Path) -> None:
        publish(gcs_prefix, make_bundle("a"), model="fake", metrics={}, provenance={})
        local = fetch(gcs_prefix, "fake", cache=tmp_path / "cache")
        (local / "model.tflite").write_bytes(b"")
        with pytest.raises(IntegrityError) as caught:
            fetch(gcs_prefix, "fake", cache=tmp_path / "cache")
        assert str(caught.value).startswith(f"the cached copy of fake@1 is damaged: {local}: model.tflite has changed")
        assert str(caught.value).endswith(f"; delete {local}, run again")
        shutil.rmtree(local)
        assert fetch(gcs_prefix, "fake", cache=tmp_path / "cache") == local

    def test_a_damaged_gcs_version_leaves_no_copy(
        self, gcs_prefix: str, make_bundle: MakeBundle, tmp_path: Path
    ) -> None:
        from google.cloud import storage

        publish(gcs_prefix, make_bundle("a"), model="fake", metrics={}, provenance={})
        bucket, _, prefix = gcs_prefix.removeprefix("gs://").partition("/")
        blob = storage.Client(project=None).bucket(bucket).blob(f"{prefix}/fake/versions/1/model.tflite")
        blob.upload_from_string(b"changed")
        with pytest.raises(IntegrityError, match=r"^gs://.*/fake/versions/1/model\.tflite has sha256 .*; restore it$"):
            fetch(gcs_prefix, "fake", cache=tmp_path / "cache")
        blob.delete()
        with pytest.raises(IntegrityError, match=r"^gs://.*/fake/versions/1/model\.tflite is missing; restore it$"):
            fetch(gcs_prefix, "fake", cache=tmp_path / "cache")
        assert list((tmp_path / "cache").iterdir()) == []

    def test_a_cache_that_cannot_be_written(self, gcs_prefix: str, make_bundle: MakeBundle, tmp_path: Path) -> None:
        publish(gcs_prefix, make_bundle("a"), model="fake", metrics={}, provenance={})
        (tmp_path / "cache").write_bytes(b"a file")
        with pytest.raises(
            InputError, match=r"^cannot write .*/cache/fake-1-.*; give another path or mend its rights$"
        ):
            fetch(gcs_prefix, "fake", cache=tmp_path / "cache")

    @given(data=st.data())
    @settings(max_examples=60, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_any_changed_byte_is_found(self, local_registry: str, published: Path, data: st.DataObject) -> None:
        path = published / data.draw(st.sampled_from(bundles.REQUIRED))
        before = path.read_bytes()
        position, mask = data.draw(st.integers(0, len(before) - 1)), data.draw(st.integers(1, 255))
        path.write_bytes(before[:position] + bytes([before[position] ^ mask]) + before[position + 1 :])
        try:
            with pytest.raises(IntegrityError, match=f"{path.name} has changed"):
                fetch(local_registry, "fake", cache=published)
        finally:
            path.write_bytes(before)


class TestVerify:
    def test_a_whole_version(self, registry: str, tiny_bundle: Path) -> None:
        publish(registry, tiny_bundle, model="tiny", metrics={}, provenance={})
        report = verify(registry, "tiny")
        files = read_bundle(tiny_bundle).files
        assert report == VerifyReport("tiny", 1, 8, sum(each.size for each in files.values()), report.differences)
        assert sorted(report.differences) == ["saved_model", "tflite"]
        assert max(report.differences.values()) < 1e-5

    @pytest.mark.parametrize("path", bundles.REQUIRED)
    def test_a_flipped_bit(self, local_registry: str, published: Path, path: str) -> None:
        file = published / path
        file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:])
        with pytest.raises(IntegrityError, match=f"{path} has changed: "):
            verify(local_registry, "fake")

    @pytest.mark.parametrize("path", bundles.REQUIRED)
    def test_a_missing_file(self, local_registry: str, published: Path, path: str) -> None:
        (published / path).unlink()
        with pytest.raises(IntegrityError) as caught:
            verify(local_registry, "fake")
        assert str(caught.value) == f"{published}/{path} is missing; restore it"

    @pytest.mark.parametrize("path", ["extra", "saved_model/extra"])
    def test_an_extra_file(self, registry: str, make_bundle: MakeBundle, path: str) -> None:
        publish(registry, make_bundle("a"), model="fake", metrics={}, provenance={})
        open_storage(registry).create(f"fake/versions/1/{path}", b"")
        with pytest.raises(IntegrityError) as caught:
            verify(registry, "fake")
        assert str(caught.value) == f"{registry}/fake/versions/1/{path} is not in the manifest; remove it"

    @pytest.mark.parametrize(
        ("before", "after", "message"),
        [
            ('"note":"a"', '"note":"b"', "the spec is "),
            ('"content_digest":"', '"content_digest":"0', "the digest is "),
            ('"model":"fake"', '"model":"other"', "is of other@1; restore the right one"),
            ('"size":', '"size":1', "has changed: "),
            ("{", "", "is not valid: Invalid JSON"),
        ],
    )
    def test_a_changed_manifest(
        self, local_registry: str, published: Path, before: str, after: str, message: str
    ) -> None:
        manifest = published / "manifest.json"
        text = manifest.read_text()
        assert before in text
        manifest.write_text(text.replace(before, after, 1))
        with pytest.raises(IntegrityError, match=message):
            verify(local_registry, "fake")

    def test_no_such_version(self, local_registry: str, published: Path) -> None:
        with pytest.raises(InputError, match="fake has no version 2"):
            verify(local_registry, "fake@2")

    def test_a_model_that_answers_otherwise(self, local_registry: str, tiny_bundle: Path, tmp_path: Path) -> None:
        """Every digest is right, but the stored embedding is not what the model says."""

        def shift(folder: Path) -> None:
            with np.load(folder / bundles.PROBE) as probe:
                audio, embedding = probe["audio"], probe["embedding"]
            embedding[np.abs(embedding).argmin()] += 0.002 * np.abs(embedding).max()
            np.savez(folder / bundles.PROBE, audio=audio, embedding=embedding)

        folder = changed(tiny_bundle, tmp_path / "shifted", shift)
        publish(local_registry, folder, model="tiny", metrics={}, provenance={})
        expected = r"^tiny@1 as tflite differs from the stored embedding by 0\.002 of its size, more than 0\.001; "
        with pytest.raises(IntegrityError, match=expected):
            verify(local_registry, "tiny")

    def test_a_file_that_is_no_model(self, local_registry: str, tiny_bundle: Path, tmp_path: Path) -> None:
        folder = changed(tiny_bundle, tmp_path / "broken", lambda f: (f / bundles.TFLITE).write_bytes(b"no model"))
        publish(local_registry, folder, model="tiny", metrics={}, provenance={})
        with pytest.raises(IntegrityError, match=r"model\.tflite cannot be loaded: .*; restore it or export again$"):
            verify(local_registry, "tiny")

    def test_a_saved_model_that_does_not_load(self, local_registry: str, tiny_bundle: Path, tmp_path: Path) -> None:
        def damage(folder: Path) -> None:
            (folder / bundles.SAVED_MODEL / "saved_model.pb").write_bytes(b"no model")

        folder = changed(tiny_bundle, tmp_path / "broken", damage)
        publish(local_registry, folder, model="tiny", metrics={}, provenance={})
        with pytest.raises(IntegrityError, match=r"saved_model cannot be loaded: .*; export the model again$"):
            verify(local_registry, "tiny")
