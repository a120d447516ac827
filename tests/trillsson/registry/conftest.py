"""Fixtures for tests of the registry: cheap bundles, registries of both kinds, and storage that dies on purpose."""

from collections.abc import Callable
from pathlib import Path

import pytest

from trillsson import bundles
from trillsson.bundles import ModelSpec, write_bundle_manifest
from trillsson.config import Framing
from trillsson.digests import canonical_json
from trillsson.registry import aliases, publishing
from trillsson.storage import Storage, open_storage

MakeBundle = Callable[[str], Path]


class KilledError(Exception):
    """Stands for the end of the process."""


class DyingStorage:
    """A storage in which the n-th write, from 1, is the last thing that happens: before it, or after it is done."""

    def __init__(self, storage: Storage, *, dies_at: int, after: bool) -> None:
        self._storage = storage
        self._left = dies_at
        self._after = after

    def __getattr__(self, name: str) -> object:
        method = getattr(self._storage, name)
        if name not in ("create", "create_from", "swap"):
            return method

        def write(*args: object, **named: object) -> object:
            self._left -= 1
            if self._left < 0 or (self._left == 0 and not self._after):
                raise KilledError
            answer = method(*args, **named)
            if self._left == 0:
                raise KilledError
            return answer

        return write


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> Callable[..., bool]:
    """Calls a function of the registry so that it dies at the n-th write. Returns whether it did."""

    def run(call: Callable[[], object], *, dies_at: int, after: bool) -> bool:
        with monkeypatch.context() as patched:
            for module in (aliases, publishing):
                patched.setattr(
                    module, "open_storage", lambda uri: DyingStorage(open_storage(uri), dies_at=dies_at, after=after)
                )
            try:
                call()
            except KilledError:
                return True
            return False

    return run


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    """Makes a bundle whose content depends on the name given. It has the files of a model, but is none."""

    def make(name: str) -> Path:
        folder = tmp_path / "bundles" / name
        spec = ModelSpec(
            name="fake",
            architecture="fake",
            dim=1,
            sample_rate=16_000,
            framing=Framing(),
            parameters=0,
            parity={},
            size_bytes={},
            provenance={"note": name},
        )
        for path in bundles.REQUIRED:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(f"{path} of {name}".encode())
        (folder / bundles.SPEC).write_bytes(canonical_json(spec.model_dump(mode="json")))
        write_bundle_manifest(folder)
        return folder

    return make


@pytest.fixture(params=["local", "gcs"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty registry of each kind."""
    return str(tmp_path / "registry") if request.param == "local" else request.getfixturevalue("gcs_prefix")


@pytest.fixture
def local_registry(tmp_path: Path) -> str:
    """An empty local registry."""
    return str(tmp_path / "registry")
