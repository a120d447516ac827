"""Fixtures of the storage's tests: a proxy before the emulator that breaks requests as it is told."""

import os
from collections.abc import Iterator

import pytest

from tests.http_faults import Faults, serve
from trillsson.storage import Storage, open_storage


@pytest.fixture
def direct(gcs_prefix: str) -> Storage:
    """The storage of `gcs_prefix`, as somebody else uses it: not through the proxy."""
    storage = open_storage(gcs_prefix)
    storage.read("connect")
    return storage


@pytest.fixture
def faults(direct: Storage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """A proxy that every storage passes that is first used after this."""
    found = Faults(os.environ["STORAGE_EMULATOR_HOST"])
    with serve(found) as url:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        yield found
