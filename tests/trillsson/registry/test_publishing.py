"""Publishing: what is stored, publishing again, publishers that die, and publishers in a race."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from trillsson.bundles import REQUIRED, read_bundle
from trillsson.digests import file_digest
from trillsson.errors import InputError, IntegrityError
from trillsson.registry import Published, fetch, list_versions, publish, resolve
from trillsson.storage import open_storage

MakeBundle = Callable[[str], Path]
Dying = Callable[..., bool]
Race = Callable[[str, list[list[str]]], list[str]]

PAYLOAD = len(REQUIRED)
WRITES = 1 + PAYLOAD + 1 + 2
"""Of one publish after the first: the claim, the payload, the manifest, the aliases `latest` and `previous`."""


def put(registry: str, folder: Path) -> Published:
    return publish(registry, folder, model="fake", metrics={"mean": 0.5}, provenance={"commit": "abc"})


def state(registry: str) -> tuple[list[int], int, int]:
    """Returns the versions, latest and previous, after fetching every version with its digests checked."""
    versions = [version.version for version in list_versions(registry, "fake")]
    with TemporaryDirectory() as cache:
        for version in versions:
            fetch(registry, f"fake@{version}", cache=Path(cache))
    return versions, resolve(registry, "fake@latest").version, resolve(registry, "fake@previous").version


class TestOne:
    def test_first_version(self, registry: str, make_bundle: MakeBundle) -> None:
        folder = make_bundle("a")
        before = datetime.now(UTC) - timedelta(seconds=1)
        assert put(registry, folder) == Published("fake", 1, created=True)
        manifest = resolve(registry, "fake@1").manifest
        bundle = read_bundle(folder)
        assert manifest.files == bundle.files
        assert manifest.files["model.tflite"].sha256 == file_digest(folder / "model.tflite")
        assert manifest.files["model.tflite"].size == len("model.tflite of a")
        assert manifest.spec == bundle.spec
        assert (manifest.model, manifest.version, manifest.content_digest) == ("fake", 1, bundle.digest)
        assert (manifest.metrics, manifest.provenance) == ({"mean": 0.5}, {"commit": "abc"})
        assert before <= datetime.fromisoformat(manifest.created) <= datetime.now(UTC)

    def test_layout(self, registry: str, make_bundle: MakeBundle) -> None:
        put(registry, make_bundle("a"))
        put(registry, make_bundle("b"))
        storage = open_storage(registry)
        files = [f"fake/versions/{n}/{path}" for n in (1, 2) for path in (*REQUIRED, "claim.json", "manifest.json")]
        assert storage.list() == sorted([*files, "fake/aliases/latest.json", "fake/aliases/previous.json"])
        latest = {"schema_version": 1, "version": 2, "previous": 1, "published": 2}
        assert json.loads(storage.read("fake/aliases/latest.json") or b"") == latest
        assert json.loads(storage.read("fake/aliases/previous.json") or b"") == {"schema_version": 1, "version": 1}

    def test_same_content_is_the_same_version(self, registry: str, make_bundle: MakeBundle) -> None:
        put(registry, make_bundle("a"))
        put(registry, make_bundle("b"))
        storage = open_storage(registry)
        before = {path: storage.read_versioned(path) for path in storage.list()}
        again = publish(registry, make_bundle("a"), model="fake", metrics={"mean": 0.9}, provenance={})
        assert again == Published("fake", 1, created=False)
        assert {path: storage.read_versioned(path) for path in storage.list()} == before

    def test_models_do_not_share_numbers(self, local_registry: str, make_bundle: MakeBundle) -> None:
        put(local_registry, make_bundle("a"))
        other = publish(local_registry, make_bundle("b"), model="other", metrics=None, provenance={})
        assert other == Published("other", 1, created=True)


class TestRefused:
    @pytest.mark.parametrize("model", ["", "Nano", "a/b", "..", "-a", "a@1"])
    def test_model_names(self, local_registry: str, make_bundle: MakeBundle, model: str) -> None:
        with pytest.raises(InputError, match=f"^model name {re.escape(repr(model))} is not valid; use lower-case"):
            publish(local_registry, make_bundle("a"), model=model, metrics={}, provenance={})
        assert open_storage(local_registry).list() == []

    @pytest.mark.parametrize("metrics", [float("nan"), {"x": {1, 2}}, {"x": [float("inf")]}])
    def test_metrics_that_are_not_json(self, local_registry: str, make_bundle: MakeBundle, metrics: object) -> None:
        with pytest.raises(InputError, match=r"^metrics cannot be stored as JSON: .*; give plain finite values$"):
            publish(local_registry, make_bundle("a"), model="fake", metrics=metrics, provenance={})
        assert open_storage(local_registry).list() == []

    def test_a_damaged_bundle(self, local_registry: str, make_bundle: MakeBundle) -> None:
        folder = make_bundle("a")
        (folder / "model.tflite").write_bytes(b"damaged")
        with pytest.raises(IntegrityError, match=r"model\.tflite has changed: 7 bytes"):
            put(local_registry, folder)
        assert open_storage(local_registry).list() == []

    def test_a_foreign_file_in_the_version(self, registry: str, make_bundle: MakeBundle, dying: Dying) -> None:
        """A claimed version into which somebody else put another file is never committed."""
        folder = make_bundle("a")
        assert dying(lambda: put(registry, folder), dies_at=1, after=True)
        open_storage(registry).create("fake/versions/1/model.tflite", b"foreign")
        with pytest.raises(IntegrityError, match=r"versions/1/model\.tflite has sha256 .*; remove it, run again"):
            put(registry, folder)
        with pytest.raises(InputError, match="holds no models"):
            resolve(registry, "fake@1")

    def test_a_claim_that_is_not_json(self, local_registry: str, make_bundle: MakeBundle) -> None:
        open_storage(local_registry).create("fake/versions/1/claim.json", b"{")
        with pytest.raises(IntegrityError, match=r"claim\.json is not valid: Invalid JSON"):
            put(local_registry, make_bundle("a"))


class TestKilled:
    @pytest.mark.parametrize("after", [False, True])
    @pytest.mark.parametrize("dies_at", range(1, WRITES + 1))
    def test_local(self, local_registry: str, make_bundle: MakeBundle, dying: Dying, dies_at: int, after: bool) -> None:
        self.readers_see_whole_versions_and_a_rerun_converges(local_registry, make_bundle, dying, dies_at, after)

    @pytest.mark.parametrize(("dies_at", "after"), [(1, True), (4, True), (7, False), (7, True), (8, True)])
    def test_gcs(self, gcs_prefix: str, make_bundle: MakeBundle, dying: Dying, dies_at: int, after: bool) -> None:
        self.readers_see_whole_versions_and_a_rerun_converges(gcs_prefix, make_bundle, dying, dies_at, after)

    def readers_see_whole_versions_and_a_rerun_converges(
        self, registry: str, make_bundle: MakeBundle, dying: Dying, dies_at: int, after: bool
    ) -> None:
        put(registry, make_bundle("a"))
        put(registry, make_bundle("b"))
        folder = make_bundle("c")

        assert dying(lambda: put(registry, folder), dies_at=dies_at, after=after)
        versions, latest, previous = state(registry)
        committed = dies_at + after > PAYLOAD + 2
        moved = dies_at + after > PAYLOAD + 3
        assert versions == ([1, 2, 3] if committed else [1, 2])
        assert latest == (3 if moved else 2)
        assert previous == (2 if dies_at + after > WRITES else 1)

        assert put(registry, folder) == Published("fake", 3, created=not committed)
        assert state(registry) == ([1, 2, 3], 3, 2)

    def test_a_publish_makes_no_other_writes(self, registry: str, make_bundle: MakeBundle, dying: Dying) -> None:
        put(registry, make_bundle("a"))
        assert not dying(lambda: put(registry, make_bundle("b")), dies_at=WRITES + 1, after=False)

    @pytest.mark.parametrize("dies_at", range(1, WRITES - 1))
    def test_another_content_does_not_wait_for_a_dead_publisher(
        self, local_registry: str, make_bundle: MakeBundle, dying: Dying, dies_at: int
    ) -> None:
        """The dead one's number is kept for it, and finishing it late does not take `latest` back."""
        put(local_registry, make_bundle("a"))
        assert dying(lambda: put(local_registry, make_bundle("b")), dies_at=dies_at, after=True)
        committed = dies_at == WRITES - 2
        assert put(local_registry, make_bundle("c")) == Published("fake", 3, created=True)
        assert state(local_registry) == ([1, 2, 3] if committed else [1, 3], 3, 1)
        assert put(local_registry, make_bundle("b")) == Published("fake", 2, created=not committed)
        assert state(local_registry) == ([1, 2, 3], 3, 1)

    @pytest.mark.parametrize(("flush", "committed"), [(1, False), (8, False), (13, False), (15, True)])
    def test_killed_for_real_in_the_middle_of_a_write(
        self, local_registry: str, make_bundle: MakeBundle, flush: int, committed: bool
    ) -> None:
        """SIGKILL at a flush, of which each write has two: the hidden file stays, and nobody minds it."""
        put(local_registry, make_bundle("a"))
        script = """
import os, signal, sys
from pathlib import Path
from trillsson.registry import publish
left, fsync = int(sys.argv[3]), os.fsync
def flush(file):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(file)
os.fsync = flush
publish(sys.argv[1], Path(sys.argv[2]), model="fake", metrics={}, provenance={})
"""
        folder = make_bundle("b")
        killed = subprocess.run([sys.executable, "-c", script, local_registry, folder, str(flush)], check=False)
        assert killed.returncode == -signal.SIGKILL
        assert resolve(local_registry, "fake").version == 1
        assert put(local_registry, folder) == Published("fake", 2, created=not committed)
        assert state(local_registry) == ([1, 2], 2, 1)


class TestRaces:
    SCRIPT = """
from pathlib import Path
from trillsson.registry import publish
from trillsson.storage import open_storage
open_storage(sys.argv[1]).read("warm up")
ready()
done = publish(sys.argv[1], Path(sys.argv[2]), model="fake", metrics={}, provenance={})
print(done.version, done.created)
"""

    def test_same_content(self, registry: str, make_bundle: MakeBundle, race: Race) -> None:
        put(registry, make_bundle("a"))
        folder = make_bundle("b")
        answers = race(self.SCRIPT, [[registry, str(folder)]] * 4)
        assert sorted(answers) == ["2 False", "2 False", "2 False", "2 True"]
        assert state(registry) == ([1, 2], 2, 1)

    def test_different_contents(self, registry: str, make_bundle: MakeBundle, race: Race) -> None:
        folders = {name: make_bundle(name) for name in "abcd"}
        answers = race(self.SCRIPT, [[registry, str(folder)] for folder in folders.values()])
        assert sorted(answers) == ["1 True", "2 True", "3 True", "4 True"]
        versions, latest, previous = state(registry)
        assert (versions, latest) == ([1, 2, 3, 4], 4)
        recorded = json.loads(open_storage(registry).read("fake/aliases/latest.json") or b"")
        assert recorded == {"schema_version": 1, "version": 4, "previous": previous, "published": 4}
        for answer, name in zip(answers, folders, strict=True):
            assert resolve(registry, f"fake@{answer.split()[0]}").manifest.spec.provenance == {"note": name}
