"""gs:// on an emulator."""

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from trillsson.errors import InputError, TransientError
from trillsson.storage import GcsStorage, Storage, gcs, open_storage


class TestGcs:
    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            ("Forbidden('no')", InputError),
            ("Unauthorized('no')", InputError),
            ("BadRequest('bad name')", InputError),
            ("TooManyRequests('slow down')", TransientError),
            ("ServiceUnavailable('later')", TransientError),
            ("RetryError('gave up', None)", TransientError),
            ("ConnectionError('lost')", TransientError),
        ],
    )
    def test_errors_are_explained(self, monkeypatch: pytest.MonkeyPatch, error: str, expected: type[Exception]) -> None:
        from google.api_core import exceptions

        raised = eval(error, {**vars(exceptions), "ConnectionError": ConnectionError})

        class Bucket:
            def blob(self, _: str) -> object:
                raise raised

        storage = GcsStorage("gs://bucket/prefix")
        monkeypatch.setattr(storage, "_opened", Bucket())
        with pytest.raises(expected, match=r"^cannot open gs://bucket/prefix/a: .*") as caught:
            storage.read("a")
        assert "\n" not in str(caught.value)

    def test_a_lost_connection_while_signing_in_is_transient(self) -> None:
        from google.auth.exceptions import DefaultCredentialsError, RefreshError, TransportError

        unreachable = RefreshError("no token")
        unreachable.__cause__ = TransportError("lost")
        for error, expected in (
            (TransportError("lost"), TransientError),
            (unreachable, TransientError),
            (RefreshError("later", retryable=True), TransientError),
            (RefreshError("revoked"), InputError),
            (DefaultCredentialsError("x"), InputError),
        ):
            with pytest.raises(expected), GcsStorage("gs://bucket")._explained("read", "a"):
                raise error

    def test_a_missing_bucket_is_an_input_error(self, gcs_uri: str) -> None:
        storage = open_storage("gs://no-such-bucket/prefix")
        for use in (lambda: storage.create("a", b""), storage.list):
            with pytest.raises(InputError, match="check the bucket's name and your access") as caught:
                use()
            assert "\n" not in str(caught.value)

    def test_local_downloads_each_content_once(self, gcs_prefix: str, tmp_path: Path) -> None:
        storage = open_storage(gcs_prefix)
        storage.swap("a", b"one", expected=None)
        first = storage.local("a", tmp_path)
        modified = first.stat().st_mtime_ns
        assert storage.local("a", tmp_path) == first
        assert first.stat().st_mtime_ns == modified
        found = storage.read_versioned("a")
        assert found
        storage.swap("a", b"two", expected=found[1])
        second = storage.local("a", tmp_path)
        assert (first.read_bytes(), second.read_bytes()) == (b"one", b"two")

    def test_folder_markers_are_not_files(self, gcs_prefix: str) -> None:
        self.upload(gcs_prefix, "folder/")
        assert open_storage(gcs_prefix).list() == []

    def test_drafts_that_were_copied_along_are_not_files(self, gcs_prefix: str) -> None:
        self.upload(gcs_prefix, "folder/.trillsson-0123")
        assert open_storage(gcs_prefix).list() == []

    def upload(self, uri: str, name: str) -> None:
        from google.cloud import storage as gcs_client

        bucket, _, prefix = uri.removeprefix("gs://").partition("/")
        gcs_client.Client(project=None).bucket(bucket).blob(f"{prefix}/{name}").upload_from_string(b"")

    @pytest.mark.parametrize("count", [3, 4, 5])
    def test_a_listing_has_several_pages(
        self, direct: Storage, gcs_prefix: str, faults: Any, monkeypatch: pytest.MonkeyPatch, count: int
    ) -> None:
        monkeypatch.setattr(gcs, "_PAGE", 2)
        names = [f"{number}" for number in range(count)]
        for name in names:
            direct.create(name, b"")
        storage = open_storage(gcs_prefix)
        assert storage.list() == [file.path for file in storage.scan()] == names
        assert faults.seen("list") == 2 * math.ceil(count / 2)
        for url in [url for kind, url in faults.requests if kind == "list"]:
            assert parse_qs(urlsplit(url).query)["fields"] == ["items(name,size,crc32c),nextPageToken"]

    def test_pages_are_asked_for_as_they_are_read(
        self, direct: Storage, gcs_prefix: str, faults: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gcs, "_PAGE", 2)
        for number in range(5):
            direct.create(f"{number}", b"")
        files = open_storage(gcs_prefix).scan()
        assert [next(files).path, next(files).path] == ["0", "1"]
        assert faults.seen("list") == 1

    def test_more_files_than_a_page_holds(self, gcs_prefix: str) -> None:
        storage = open_storage(gcs_prefix)
        names = [f"{number:04}" for number in range(1_005)]
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(lambda name: storage.create(name, b""), names))
        assert storage.list() == names

    def test_a_whole_bucket(self, gcs_uri: str, gcs_prefix: str) -> None:
        name = gcs_prefix.removeprefix(f"{gcs_uri}/")
        open_storage(gcs_uri).create(f"{name}/a", b"one")
        assert open_storage(gcs_prefix).read("a") == b"one"
        assert f"{name}/a" in open_storage(gcs_uri).list()
