"""gs:// when requests fail: a real emulator behind a proxy that breaks what passes."""

import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trillsson.errors import InputError, TransientError
from trillsson.storage import GcsStorage, Storage, gcs

Faults = Any  # of conftest.py
Use = Callable[[Storage, Path], object]

LARGE = bytes(range(256)) * (36 << 10)  # 9 MiB: two pieces, the second of which ends the upload
USES: dict[str, tuple[Use, object]] = {
    "read": (lambda storage, _: storage.read("there"), b"one"),
    "read_many": (lambda storage, _: [*storage.read_many(["there", "gone"])], [b"one", None]),
    "list": (lambda storage, _: storage.list(), ["also", "there"]),
    "scan": (lambda storage, _: [file.size for file in storage.scan()], [3, 3]),
    "create": (lambda storage, _: storage.create("new", b"new"), True),
    "create again": (lambda storage, _: storage.create("there", b"new"), False),
    "create_from small": (lambda storage, folder: storage.create_from("new", stored(folder, b"new")), True),
    "create_from large": (lambda storage, folder: storage.create_from("new", stored(folder, LARGE)), True),
    "swap": (lambda storage, _: storage.swap("there", b"two", expected=storage.read_versioned("there")[1]), True),
    "swap a stale one": (lambda storage, _: storage.swap("there", b"two", expected=None), False),
    "delete": (lambda storage, _: storage.delete("there"), None),
    "local": (lambda storage, folder: storage.local("there", folder / "cache").read_bytes(), b"one"),
}
CALLS = [
    ("read", "download", 0),
    ("read_many", "download", 0),
    ("list", "list", 0),
    ("scan", "list", 1),
    ("create", "small", 0),
    ("create again", "look", 0),
    ("create_from small", "look", 0),
    ("create_from small", "small", 0),
    ("create_from large", "session", 0),
    ("create_from large", "piece", 0),
    ("create_from large", "piece", 1),
    ("swap", "small", 0),
    ("swap a stale one", "look", 0),
    ("delete", "delete", 0),
    ("local", "look", 0),
    ("local", "download", 0),
]
STORMS: dict[str, Callable[..., None]] = {
    "503": lambda faults, kind, **how: faults.answer(kind, 503, **how),
    "429": lambda faults, kind, **how: faults.answer(kind, 429, **how),
    "reset": lambda faults, kind, **how: faults.reset(kind, **how),
}


def stored(folder: Path, data: bytes) -> Path:
    path = folder / "source"
    path.write_bytes(data)
    return path


@pytest.fixture
def storage(direct: Storage, faults: Faults, gcs_prefix: str) -> GcsStorage:
    direct.create("also", b"two")
    direct.create("there", b"one")
    return GcsStorage(gcs_prefix)


@pytest.fixture
def hasty(gcs_prefix: str, storage: Storage) -> GcsStorage:
    """The same, but soon out of patience."""
    return GcsStorage(gcs_prefix, deadline=0.5)


class TestStorms:
    @pytest.mark.parametrize("storm", STORMS)
    @pytest.mark.parametrize(("use", "kind", "skip"), CALLS)
    def test_what_passes_is_waited_for(
        self,
        storage: GcsStorage,
        faults: Faults,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        use: str,
        kind: str,
        skip: int,
        storm: str,
    ) -> None:
        monkeypatch.setattr(gcs, "_PAGE", 1)
        STORMS[storm](faults, kind, times=2, skip=skip)
        call, expected = USES[use]
        assert call(storage, tmp_path) == expected
        assert faults.seen(kind) >= skip + 3

    @pytest.mark.parametrize(
        ("use", "kind", "skip", "storm"),
        [*((*call, "503") for call in CALLS), ("create", "small", 0, "429"), ("create", "small", 0, "reset")],
    )
    def test_what_does_not_pass_is_told(
        self,
        hasty: GcsStorage,
        faults: Faults,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        use: str,
        kind: str,
        skip: int,
        storm: str,
    ) -> None:
        monkeypatch.setattr(gcs, "_PAGE", 1)
        STORMS[storm](faults, kind, times=math.inf, skip=skip)
        with pytest.raises(TransientError, match=rf"^cannot (read|list|write|delete) {hasty.uri}.*; run again$"):
            USES[use][0](hasty, tmp_path)

    def test_nothing_is_left_of_what_was_not_written(
        self, hasty: GcsStorage, direct: Storage, faults: Faults, tmp_path: Path
    ) -> None:
        faults.answer("piece", 503, times=math.inf, skip=1)
        with pytest.raises(TransientError):
            hasty.create_from("new", stored(tmp_path, LARGE))
        assert direct.list() == ["also", "there"]


class TestLostAnswers:
    def test_create_knows_its_own_write(self, storage: GcsStorage, direct: Storage, faults: Faults) -> None:
        faults.lose("small")
        assert storage.create("new", b"new") is True
        assert direct.read("new") == b"new"
        assert [status for kind, status in faults.answers if kind == "small"] == [200, 412]

    def test_create_does_not_take_anothers_equal_bytes_for_its_own(
        self, storage: GcsStorage, direct: Storage, faults: Faults
    ) -> None:
        faults.reset("small")
        faults.before("small", lambda: direct.create("new", b"new"))
        assert storage.create("new", b"new") is False

    def test_swap_knows_its_own_write(self, storage: GcsStorage, direct: Storage, faults: Faults) -> None:
        faults.lose("small", times=2)
        found = storage.read_versioned("there")
        assert found
        assert storage.swap("there", b"two", expected=found[1]) is True
        assert direct.read("there") == b"two"
        assert [status for kind, status in faults.answers if kind == "small"] == [200, 412, 412]

    def test_swap_does_not_undo_who_swapped_on_top(self, storage: GcsStorage, direct: Storage, faults: Faults) -> None:
        def on_top() -> None:
            found = direct.read_versioned("there")
            assert found
            assert found[0] == b"two"
            assert direct.swap("there", b"three", expected=found[1])

        found = storage.read_versioned("there")
        assert found
        faults.lose("small")
        faults.before("small", on_top)
        assert storage.swap("there", b"two", expected=found[1]) is False
        assert direct.read("there") == b"three"

    @pytest.mark.parametrize(("kind", "skip"), [("session", 0), ("piece", 0), ("piece", 1)])
    def test_a_large_create_is_whole(
        self, storage: GcsStorage, direct: Storage, faults: Faults, tmp_path: Path, kind: str, skip: int
    ) -> None:
        faults.lose(kind, skip=skip)
        assert storage.create_from("new", stored(tmp_path, LARGE)) is True
        assert direct.read("new") == LARGE

    def test_a_large_create_knows_its_own_write(self, storage: GcsStorage, faults: Faults, tmp_path: Path) -> None:
        faults.lose("piece", skip=1)
        assert storage.create_from("new", stored(tmp_path, LARGE)) is True
        assert faults.seen("session") == 1

    def test_delete_finds_nothing_left(self, storage: GcsStorage, direct: Storage, faults: Faults) -> None:
        faults.lose("delete")
        storage.delete("there")
        assert direct.list() == ["also"]
        assert [status for kind, status in faults.answers if kind == "delete"] == [200, 404]


class TestLargeUploads:
    @pytest.mark.parametrize("status", [404, 410])
    @pytest.mark.parametrize("skip", [0, 1])
    def test_an_expired_one_starts_again(
        self, storage: GcsStorage, direct: Storage, faults: Faults, tmp_path: Path, status: int, skip: int
    ) -> None:
        faults.answer("piece", status, skip=skip)
        assert storage.create_from("new", stored(tmp_path, LARGE)) is True
        assert direct.read("new") == LARGE
        assert faults.seen("session") == 2

    def test_one_that_always_expires_is_told(self, storage: GcsStorage, faults: Faults, tmp_path: Path) -> None:
        faults.answer("piece", 410, times=math.inf)
        with pytest.raises(TransientError) as caught:
            storage.create_from("new", stored(tmp_path, LARGE))
        assert str(caught.value) == f"cannot write {storage.uri}/new: the upload was lost 5 times; run again"

    @pytest.mark.parametrize("kind", ["session", "piece"])
    def test_another_was_first(
        self, storage: GcsStorage, direct: Storage, faults: Faults, tmp_path: Path, kind: str
    ) -> None:
        # The emulator ignores the precondition of large uploads, so the proxy answers as the service would.
        faults.before(kind, lambda: direct.create("new", b"another's"), answer=412)
        assert storage.create_from("new", stored(tmp_path, LARGE)) is False
        assert direct.read("new") == b"another's"

    def test_a_missing_bucket_is_no_expired_upload(self, storage: GcsStorage, faults: Faults, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"cannot write gs://no-such-bucket/new: .*; check the bucket's name"):
            GcsStorage("gs://no-such-bucket").create_from("new", stored(tmp_path, LARGE))
        assert faults.seen("session") == 1


class TestDownloads:
    @pytest.mark.parametrize("fault", ["cut", "garble"])
    def test_what_comes_damaged_is_asked_for_again(
        self, storage: GcsStorage, faults: Faults, tmp_path: Path, fault: str
    ) -> None:
        getattr(faults, fault)("download", times=2)
        path = storage.local("there", tmp_path)
        assert path.read_bytes() == b"one"
        assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]
        getattr(faults, fault)("download", times=2)
        assert storage.read("there") == b"one"
        assert faults.seen("download") == 6

    @pytest.mark.parametrize("fault", ["cut", "garble"])
    def test_nothing_damaged_stays(self, hasty: GcsStorage, faults: Faults, tmp_path: Path, fault: str) -> None:
        getattr(faults, fault)("download", times=math.inf)
        with pytest.raises(TransientError, match=rf"^cannot read {hasty.uri}/there: .*; run again$"):
            hasty.local("there", tmp_path)
        assert [file for file in tmp_path.rglob("*") if file.is_file()] == []
        with pytest.raises(TransientError, match=rf"^cannot read {hasty.uri}/there: .*; run again$"):
            hasty.read("there")

    @pytest.mark.parametrize("use", ["read", "local"])
    def test_a_cut_one_is_not_pieced_together(
        self, storage: GcsStorage, direct: Storage, faults: Faults, tmp_path: Path, use: str
    ) -> None:
        """The client alone would ask for the rest, and not check what it got."""
        direct.create("large", LARGE)
        faults.cut("download")
        faults.garble("download")
        found = storage.read("large") if use == "read" else storage.local("large", tmp_path).read_bytes()
        assert found == LARGE
        assert faults.seen("download") == 3

    @pytest.mark.parametrize("answer", [None, 404, 412])
    def test_a_changed_object_is_resolved_again(
        self, storage: GcsStorage, direct: Storage, faults: Faults, tmp_path: Path, answer: int | None
    ) -> None:
        def change() -> None:
            found = direct.read_versioned("there")
            assert found
            assert direct.swap("there", b"two", expected=found[1])

        faults.before("download", change, answer=answer)
        path = storage.local("there", tmp_path)
        assert path.read_bytes() == b"two"
        assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]
        assert storage.local("there", tmp_path) == path

    def test_an_object_that_goes_meanwhile_is_missing(
        self, storage: GcsStorage, direct: Storage, faults: Faults, tmp_path: Path
    ) -> None:
        faults.before("download", lambda: direct.delete("there"))
        with pytest.raises(InputError) as caught:
            storage.local("there", tmp_path)
        assert str(caught.value) == f"{storage.uri}/there does not exist; restore it or run again"

    def test_one_that_always_changes_is_told(self, storage: GcsStorage, faults: Faults, tmp_path: Path) -> None:
        faults.answer("download", 412, times=math.inf)
        with pytest.raises(TransientError) as caught:
            storage.local("there", tmp_path)
        assert str(caught.value) == f"cannot read {storage.uri}/there: it changed 5 times meanwhile; run again"

    def test_an_unusable_cache_is_named(self, storage: GcsStorage, tmp_path: Path) -> None:
        (tmp_path / "cache").write_bytes(b"a file")
        with pytest.raises(
            InputError,
            match=rf"^cannot read {tmp_path}/cache/.*/there: (File exists|Not a directory); give another path",
        ):
            storage.local("there", tmp_path / "cache")


class TestReadMany:
    def test_several_are_read_at_once(self, storage: GcsStorage, faults: Faults) -> None:
        together = threading.Barrier(gcs._AHEAD, timeout=10)
        faults.before("download", together.wait, times=gcs._AHEAD)
        assert [*storage.read_many(["there", "gone"] * 10)] == [b"one", None] * 10
        assert not together.broken

    def test_an_error_ends_it(self, hasty: GcsStorage, faults: Faults) -> None:
        faults.answer("download", 503, times=math.inf, skip=1)
        reads = hasty.read_many(["there"] * 3)
        with pytest.raises(TransientError, match=r"; run again$"):
            list(reads)
