"""Local folders: faults, what lists leave out, drafts."""

import contextlib
import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trillsson.errors import InputError, TransientError
from trillsson.storage import LocalStorage

NAMES = st.text("a-.é\U0001f600", min_size=1, max_size=3).filter(lambda name: name not in {".", ".."})


class TestFaults:
    def test_a_killed_writer_leaves_nothing_visible(self, tmp_path: Path) -> None:
        script = """
import os, signal, sys
from trillsson.storage import LocalStorage
from pathlib import Path
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
LocalStorage(Path(sys.argv[1])).create("a/b", b"x" * 100_000)
"""
        killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
        assert killed.returncode == -signal.SIGKILL
        assert [path.name[:11] for path in (tmp_path / "a").iterdir()] == [".trillsson-"]
        storage = LocalStorage(tmp_path)
        assert storage.list() == []
        assert storage.read("a/b") is None
        assert storage.create("a/b", b"again") is True

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
    def test_a_full_disk_says_so_and_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        def full(_: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(TransientError) as caught:
            LocalStorage(tmp_path).create("a/b", b"data")
        expected = f"{os.strerror(number)}; free some space and run again: what is done is kept"
        assert str(caught.value) == f"cannot write {tmp_path}/a/b: {expected}"
        assert list((tmp_path / "a").iterdir()) == []

    def test_a_write_cut_in_the_middle_leaves_nothing(self, tmp_path: Path) -> None:
        """A real short write: the kernel refuses all beyond 64 KiB."""
        script = """
import resource, sys
from pathlib import Path
from trillsson.errors import TransientError
from trillsson.storage import LocalStorage
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
try:
    LocalStorage(Path(sys.argv[1])).create_from("large", Path(sys.argv[2]))
except TransientError as error:
    print(error)
"""
        source = tmp_path / "source"
        source.write_bytes(bytes(1 << 20))
        store = tmp_path / "store"
        run = subprocess.run(
            [sys.executable, "-c", script, str(store), str(source)], check=True, capture_output=True, text=True
        )
        assert run.stdout == f"cannot write {store}/large: File too large; run again\n"
        assert list(store.iterdir()) == []

    def test_a_failed_swap_keeps_the_old_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        storage = LocalStorage(tmp_path)
        storage.swap("a", b"old", expected=None)
        found = storage.read_versioned("a")
        assert found

        def fail(*_: object) -> None:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(Path, "replace", fail)
        with pytest.raises(TransientError, match="Input/output error; run again"):
            storage.swap("a", b"new", expected=found[1])
        assert storage.read("a") == b"old"
        assert storage.list() == ["a"]

    @pytest.mark.parametrize("path", ["file/below", "file/deep/below"])
    def test_a_file_where_a_folder_should_be(self, tmp_path: Path, path: str) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(InputError, match=r"cannot write .*; give another path or mend its rights"):
            LocalStorage(tmp_path).create(path, b"")

    def test_a_folder_does_not_read_as_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        with pytest.raises(InputError, match=r"cannot read .*/folder: Is a directory"):
            LocalStorage(tmp_path).read("folder")

    def test_list_does_not_leave_out_what_it_cannot_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "closed").mkdir()
        scandir = os.scandir

        def refuse(path: str) -> object:
            if str(path).endswith("closed"):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refuse)
        with pytest.raises(InputError, match=r"cannot list .*: Permission denied"):
            LocalStorage(tmp_path).list()

    def test_list_follows_links_to_folders(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "a.wav").write_bytes(b"")
        (tmp_path / "store").mkdir()
        (tmp_path / "store" / "link").symlink_to(tmp_path / "elsewhere")
        assert LocalStorage(tmp_path / "store").list() == ["link/a.wav"]

    def test_list_refuses_links_in_a_circle(self, tmp_path: Path) -> None:
        for name, other in (("a", "b"), ("b", "a")):
            (tmp_path / name).mkdir()
            (tmp_path / name / "link").symlink_to(tmp_path / other)
        with pytest.raises(InputError, match="links to a folder that it lies in; remove the link"):
            LocalStorage(tmp_path / "a").list()

    def test_list_names_a_link_to_itself(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "a/b.wav").symlink_to("b.wav")
        message = rf"^cannot read {tmp_path}/a/b\.wav: Too many levels of symbolic links; give another path or mend"
        with pytest.raises(InputError, match=message):
            LocalStorage(tmp_path).list()

    def test_list_names_a_folder_that_may_not_be_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse_private(path: Path) -> object:
            if path.name == "private":
                raise PermissionError(errno.EACCES, "Permission denied")
            return scan(path)

        scan = os.scandir
        (tmp_path / "a/private").mkdir(parents=True)
        monkeypatch.setattr(os, "scandir", refuse_private)
        message = rf"^cannot list {tmp_path}/a/private: Permission denied; give another path or mend its rights$"
        with pytest.raises(InputError, match=message):
            LocalStorage(tmp_path).list()

    def test_swap_does_not_overwrite_a_file_created_meanwhile(self, tmp_path: Path) -> None:
        class Slow(LocalStorage):
            def read_versioned(self, path: str) -> tuple[bytes, str] | None:
                found = super().read_versioned(path)
                LocalStorage(tmp_path).create(path, b"first")
                return found

        assert Slow(tmp_path).swap("a", b"second", expected=None) is False
        assert LocalStorage(tmp_path).read("a") == b"first"


class TestWalk:
    @settings(max_examples=50)
    @given(st.sets(st.lists(NAMES, min_size=1, max_size=4).map("/".join)))
    def test_files_come_in_the_order_of_their_paths(
        self, tmp_path_factory: pytest.TempPathFactory, paths: set[str]
    ) -> None:
        root = tmp_path_factory.mktemp("tree")
        made = set()
        for path in paths:
            # Not a file where a folder is wanted, nor the other way round.
            with contextlib.suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_bytes(b"")
                made.add(path)
        storage = LocalStorage(root)
        assert storage.list() == [file.path for file in storage.scan()] == sorted(made)

    def test_a_folder_of_many_is_read_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        calls = []
        scandir, stat = os.scandir, os.stat
        monkeypatch.setattr(os, "scandir", lambda path: calls.append("scandir") or scandir(path))
        for number in range(20):
            (tmp_path / f"{number:02}").write_bytes(bytes(number))
        monkeypatch.setattr(os, "stat", lambda *args, **more: calls.append("stat") or stat(*args, **more))
        assert [file.size for file in LocalStorage(tmp_path).scan()] == [*range(20)]
        assert (calls.count("scandir"), calls.count("stat")) == (1, 20)

    def test_what_is_no_regular_file_is_left_out(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "to-pipe").symlink_to("pipe")
        (tmp_path / "to-device").symlink_to("/dev/null")
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(tmp_path / "socket"))
        (tmp_path / "file").write_bytes(b"one")
        (tmp_path / "to-file").symlink_to("file")
        (tmp_path / "empty").mkdir()
        storage = LocalStorage(tmp_path)
        assert storage.list() == ["file", "to-file"]
        assert [(file.path, file.size) for file in storage.scan()] == [("file", 3), ("to-file", 3)]

    def test_what_vanishes_meanwhile_is_left_out(self, tmp_path: Path) -> None:
        for path in ("a", "b", "c/d", "e/f"):
            LocalStorage(tmp_path).create(path, b"")
        files = LocalStorage(tmp_path).scan()
        assert next(files).path == "a"
        (tmp_path / "b").unlink()
        shutil.rmtree(tmp_path / "c")
        assert [file.path for file in files] == ["e/f"]

    def test_a_link_to_nothing_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to("nothing")
        with pytest.raises(InputError) as caught:
            LocalStorage(tmp_path).list()
        fix = "restore what it links to, or remove the link"
        assert str(caught.value) == f"cannot read {tmp_path}/link: No such file or directory; {fix}"

    @pytest.mark.parametrize("prefix", ["a", "a/", "./a", "a//"])
    def test_a_prefix_may_be_spelt_otherwise(self, tmp_path: Path, prefix: str) -> None:
        LocalStorage(tmp_path).create("a/b", b"")
        assert LocalStorage(tmp_path).list(prefix) == ["a/b"]

    def test_the_root_of_the_file_system(self, tmp_path: Path) -> None:
        LocalStorage(tmp_path).create("a", b"one")
        (found,) = LocalStorage(Path("/")).scan(str(tmp_path)[1:])
        assert found.path == f"{tmp_path}/a"[1:]


class TestDrafts:
    def test_a_draft_is_not_copied(self, tmp_path: Path) -> None:
        storage = LocalStorage(tmp_path)
        with storage.draft("a/b") as draft:
            draft.write_bytes(b"one")
            number = draft.stat().st_ino
            storage.create_from("a/b", draft)
        assert (tmp_path / "a" / "b").stat().st_ino == number

    @pytest.mark.parametrize("line", ["draft.write_bytes(b'half')", "storage.create_from('a/b', draft)"])
    def test_a_killed_writer_leaves_nothing_visible(self, tmp_path: Path, line: str) -> None:
        script = f"""
import os, signal, sys
from pathlib import Path
from trillsson.storage import LocalStorage
storage = LocalStorage(Path(sys.argv[1]))
with storage.draft("a/b") as draft:
    draft.write_bytes(b"whole")
    os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
    {line}
    os.fsync(0)
"""
        killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
        assert killed.returncode == -signal.SIGKILL
        assert sorted(path.name[:11] for path in (tmp_path / "a").iterdir()) == [".trillsson-"] * 2
        storage = LocalStorage(tmp_path)
        assert storage.list() == [*storage.scan()] == []
        assert storage.create("a/b", b"again") is True

    def test_missing_rights_are_told_before_anything_is_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(Path, "touch", refuse)
        with pytest.raises(InputError) as caught, LocalStorage(tmp_path).draft("a/b"):
            pytest.fail("there is nothing to write to")
        expected = "Permission denied; give another path or mend its rights"
        assert str(caught.value) == f"cannot write {tmp_path}/a/b: {expected}"

    def test_a_full_disk_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        storage = LocalStorage(tmp_path)
        with storage.draft("a/b") as draft:
            draft.write_bytes(b"one")
            monkeypatch.setattr(os, "fsync", full)
            with pytest.raises(TransientError) as caught:
                storage.create_from("a/b", draft)
        expected = "No space left on device; free some space and run again: what is done is kept"
        assert str(caught.value) == f"cannot write {tmp_path}/a/b: {expected}"
        assert storage.list() == []


class TestSweep:
    OLD = ".trillsson-" + "0" * 32
    OTHERS = (".trillsson-lock-a", ".trillsson-" + "g" * 32, ".trillsson-notes", "a", "0" * 32)

    def leave(self, folder: Path, *, days: float) -> None:
        """Leaves files of that age, and the marker of a sweep of that age."""
        then = time.time() - days * 86_400
        for name in (self.OLD, *self.OTHERS, ".trillsson-swept"):
            (folder / name).write_bytes(b"")
            os.utime(folder / name, (then, then))

    def left(self, folder: Path) -> set[str]:
        return {path.name for path in folder.iterdir()} - {".trillsson-swept"}

    def draft(self, folder: Path) -> None:
        with LocalStorage(folder).draft("b"):
            pass

    def test_only_drafts_older_than_a_day_go(self, tmp_path: Path) -> None:
        self.leave(tmp_path, days=1.1)
        young = tmp_path / (".trillsson-" + "1" * 32)
        young.write_bytes(b"")
        self.draft(tmp_path)
        assert self.left(tmp_path) == {*self.OTHERS, young.name}

    def test_younger_ones_stay(self, tmp_path: Path) -> None:
        self.leave(tmp_path, days=0.9)
        (tmp_path / ".trillsson-swept").unlink()
        self.draft(tmp_path)
        assert self.left(tmp_path) == {self.OLD, *self.OTHERS}

    def test_a_folder_is_looked_through_once_a_day(self, tmp_path: Path) -> None:
        self.draft(tmp_path)
        swept = (tmp_path / ".trillsson-swept").stat().st_mtime_ns
        self.leave(tmp_path, days=2)
        os.utime(tmp_path / ".trillsson-swept", ns=(swept, swept))
        self.draft(tmp_path)
        assert self.left(tmp_path) == {self.OLD, *self.OTHERS}
        assert (tmp_path / ".trillsson-swept").stat().st_mtime_ns == swept

    def test_what_may_not_be_removed_stops_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.leave(tmp_path, days=2)
        for digit in "123":
            (tmp_path / (".trillsson-" + digit * 32)).write_bytes(b"")
            os.utime(tmp_path / (".trillsson-" + digit * 32), (0, 0))
        unlink, refused = Path.unlink, set[str]()

        def refuse_the_first(path: Path, **more: bool) -> None:
            if not refused and (tmp_path / path).stat().st_mtime < time.time() - 86_400:
                refused.add(path.name)
                raise PermissionError(errno.EPERM, "Operation not permitted")
            unlink(path, **more)

        monkeypatch.setattr(Path, "unlink", refuse_the_first)
        self.draft(tmp_path)
        assert len(refused) == 1
        assert self.left(tmp_path) == {*self.OTHERS, *refused}
