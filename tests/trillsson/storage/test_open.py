"""Which storage a URI opens, and how URIs are put together."""

from pathlib import Path

import pytest

from trillsson.errors import InputError
from trillsson.storage import join, open_file, open_storage


class TestNames:
    @pytest.mark.parametrize("uri", ["", "s3://bucket", "file:///x", "http://host/x"])
    def test_other_schemes_are_refused(self, uri: str) -> None:
        with pytest.raises(InputError) as caught:
            open_storage(uri)
        assert str(caught.value) == f"storage {uri!r} is not supported; give a local folder or gs://bucket/prefix"

    def test_a_bucket_needs_a_name(self) -> None:
        with pytest.raises(InputError, match="storage 'gs:///x' names no bucket; give gs://bucket/prefix"):
            open_storage("gs:///x")

    @pytest.mark.parametrize(
        ("uri", "expected"), [("gs://b", "gs://b"), ("gs://b/", "gs://b"), ("gs://b/a/c/", "gs://b/a/c")]
    )
    def test_gcs_uris_are_normal(self, uri: str, expected: str) -> None:
        assert open_storage(uri).uri == expected

    def test_local_uris_are_absolute(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert open_storage("a/b").uri == f"{tmp_path}/a/b"

    @pytest.mark.parametrize(
        ("uri", "folder", "name"),
        [("/a/b", "/a", "b"), ("/a", "/", "a"), ("gs://b/f", "gs://b", "f"), ("gs://b/p/f", "gs://b/p", "f")],
    )
    def test_open_file_splits(self, uri: str, folder: str, name: str) -> None:
        storage, found = open_file(uri)
        assert (storage.uri, found) == (folder, name)

    def test_open_file_in_the_current_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        storage, found = open_file("a.yaml")
        assert (storage.uri, found) == (str(tmp_path), "a.yaml")

    @pytest.mark.parametrize("uri", ["", "a/", "gs://bucket", "gs://bucket/"])
    def test_open_file_wants_a_file(self, uri: str) -> None:
        with pytest.raises(InputError) as caught:
            open_file(uri)
        assert str(caught.value) == f"{uri!r} names no file; give folder/file or gs://bucket/file"

    @pytest.mark.parametrize(
        ("parts", "expected"),
        [(("/a/", "b", "c"), "/a/b/c"), (("gs://b", "c"), "gs://b/c"), (("/", "a"), "/a"), (("a",), "a")],
    )
    def test_join(self, parts: tuple[str, ...], expected: str) -> None:
        assert join(*parts) == expected
