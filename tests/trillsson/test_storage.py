"""Storage: one contract for local folders and gs://, checked in one process, in races, and under faults."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from trillsson.errors import InputError, IntegrityError, TransientError
from trillsson.storage import GcsStorage, LocalStorage, Storage, explain_os_errors, join, open_file, open_storage

Race = Callable[[str, list[list[str]]], list[str]]


@pytest.fixture(params=["local", "gcs"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty storage of each kind."""
    return str(tmp_path / "store") if request.param == "local" else request.getfixturevalue("gcs_prefix")


@pytest.fixture
def storage(uri: str) -> Storage:
    return open_storage(uri)


class TestContract:
    def test_a_missing_file_reads_as_none(self, storage: Storage) -> None:
        assert storage.read("a/b") is None
        assert storage.read_versioned("a/b") is None

    @pytest.mark.parametrize("data", [b"", b"one", bytes(range(256))])
    def test_create_writes_once(self, storage: Storage, data: bytes) -> None:
        assert storage.create("a/b", data) is True
        assert storage.create("a/b", b"other") is False
        assert storage.read("a/b") == data

    def test_create_from_writes_once(self, storage: Storage, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.write_bytes(b"one")
        assert storage.create_from("a/b", source) is True
        source.write_bytes(b"two")
        assert storage.create_from("a/b", source) is False
        assert storage.read("a/b") == b"one"

    def test_a_file_beyond_one_request_writes_once(self, storage: Storage, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.write_bytes(bytes(9 << 20))  # Beyond 8 MiB the client sends in pieces.
        assert storage.create_from("large", source) is True
        source.write_bytes(b"two")
        assert storage.create_from("large", source) is False
        assert storage.local("large", tmp_path / "cache").stat().st_size == 9 << 20

    def test_a_missing_source_names_the_source(self, storage: Storage, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"cannot read .*/nothing: No such file or directory; give another path"):
            storage.create_from("a", tmp_path / "nothing")
        assert storage.list() == []

    def test_list_is_sorted_relative_and_of_one_folder(self, storage: Storage) -> None:
        for path in ("b", "a/2", "a/1", "ab/3", "a/deep/4"):
            storage.create(path, b"")
        assert storage.list() == ["a/1", "a/2", "a/deep/4", "ab/3", "b"]
        assert storage.list("a") == ["a/1", "a/2", "a/deep/4"]
        assert storage.list("nothing") == []
        assert storage.list("b") == []

    def test_etag_follows_the_bytes(self, storage: Storage) -> None:
        storage.create("one", b"same")
        storage.create("two", b"same")
        storage.create("three", b"other")
        assert storage.etag("one") == storage.etag("two") != storage.etag("three")

    def test_swap_wants_the_current_token(self, storage: Storage) -> None:
        assert storage.swap("a/b", b"0", expected=None) is True
        assert storage.swap("a/b", b"no", expected=None) is False
        found = storage.read_versioned("a/b")
        assert found
        assert found[0] == b"0"
        assert storage.swap("a/b", b"1", expected=found[1]) is True
        assert storage.swap("a/b", b"no", expected=found[1]) is False
        assert storage.read("a/b") == b"1"

    def test_swap_of_a_missing_file_with_a_token_fails(self, storage: Storage) -> None:
        storage.swap("a", b"0", expected=None)
        found = storage.read_versioned("a")
        assert found
        assert storage.swap("b", b"1", expected=found[1]) is False
        assert storage.list() == ["a"]

    def test_delete_removes_one_file_if_there_is_one(self, storage: Storage) -> None:
        storage.create("a/b", b"")
        storage.create("a/c", b"")
        storage.delete("a/b")
        storage.delete("a/b")
        storage.delete("nothing/at/all")
        assert storage.list() == ["a/c"]
        assert storage.create("a/b", b"again") is True

    def test_local_has_the_bytes_and_the_name(self, storage: Storage, tmp_path: Path) -> None:
        storage.create("a/b.bin", b"one")
        path = storage.local("a/b.bin", tmp_path / "cache")
        assert (path.name, path.read_bytes()) == ("b.bin", b"one")

    @pytest.mark.parametrize("ask", [lambda s: s.etag("a/b"), lambda s: s.local("a/b", Path("unused"))])
    def test_a_missing_file_is_an_input_error(self, storage: Storage, ask: Callable[[Storage], object]) -> None:
        with pytest.raises(InputError) as caught:
            ask(storage)
        assert str(caught.value) == f"{storage.uri}/a/b does not exist; restore it or run again"

    @pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", ".."])
    @pytest.mark.parametrize(
        "use",
        [
            lambda s, p: s.read(p),
            lambda s, p: s.read_versioned(p),
            lambda s, p: s.list(p),
            lambda s, p: s.etag(p),
            lambda s, p: s.create(p, b""),
            lambda s, p: s.create_from(p, Path(__file__)),
            lambda s, p: s.swap(p, b"", expected=None),
            lambda s, p: s.local(p, Path("unused")),
            lambda s, p: s.delete(p),
        ],
    )
    def test_no_path_leaves_the_storage(self, storage: Storage, path: str, use: Callable[..., object]) -> None:
        with pytest.raises(InputError) as caught:
            use(storage, path)
        assert str(caught.value) == f"path {path!r} leaves {storage.uri}; give a path below it"

    def test_behaves_as_a_dictionary(self, uri: str) -> None:
        """Any sequence of operations answers as a plain dictionary would."""
        runs = iter(range(1_000))
        examples = 30 if "://" not in uri else 8
        run_state_machine_as_test(
            lambda: DictionaryMachine(open_storage(join(uri, str(next(runs))))),
            settings=settings(max_examples=examples, stateful_step_count=20, deadline=None, database=None),
        )


class DictionaryMachine(RuleBasedStateMachine):
    """Creates and swaps at random and compares with a dictionary."""

    paths = st.sampled_from(["a", "b/c", "b/d"])
    contents = st.binary(max_size=3)

    def __init__(self, storage: Storage) -> None:
        super().__init__()
        self.storage = storage
        self.model: dict[str, bytes] = {}

    @rule(path=paths, data=contents)
    def create(self, path: str, data: bytes) -> None:
        assert self.storage.create(path, data) == (path not in self.model)
        self.model.setdefault(path, data)

    @rule(path=paths, data=contents, known=st.booleans())
    def swap(self, path: str, data: bytes, known: bool) -> None:
        found = self.storage.read_versioned(path)
        expected = found[1] if found and known else None
        swapped = self.storage.swap(path, data, expected=expected)
        assert swapped == (path not in self.model or known)
        if swapped:
            self.model[path] = data

    @invariant()
    def same_files(self) -> None:
        assert {path: self.storage.read(path) for path in self.storage.list()} == self.model


class TestRaces:
    def test_one_of_many_creators_wins(self, uri: str, race: Race) -> None:
        script = """
from trillsson.storage import open_storage
storage, name = open_storage(sys.argv[1]), sys.argv[2]
storage.read("warm up")
ready()
print(*[int(storage.create(f"f{i}", name.encode() * 1000)) for i in range(20)])
"""
        answers = race(script, [[uri, name] for name in "abcd"])
        won = [[bool(int(each)) for each in answer.split()] for answer in answers]
        for number, winners in enumerate(zip(*won, strict=True)):
            assert sum(winners) == 1
            assert open_storage(uri).read(f"f{number}") == b"abcd"[winners.index(True) :][:1] * 1000

    def test_no_increment_is_lost(self, uri: str, race: Race) -> None:
        script = """
from trillsson.storage import open_storage
storage = open_storage(sys.argv[1])
storage.read("warm up")
ready()
done = 0
while done < 10:
    data, token = storage.read_versioned("counter")
    done += storage.swap("counter", str(int(data) + 1).encode(), expected=token)
"""
        open_storage(uri).swap("counter", b"0", expected=None)
        race(script, [[uri]] * 4)
        assert open_storage(uri).read("counter") == b"40"

    def test_a_reader_never_misses_a_file_that_is_swapped(self, uri: str, race: Race) -> None:
        writer = """
from trillsson.storage import open_storage
storage = open_storage(sys.argv[1])
storage.read("warm up")
ready()
for i in range(40):
    if sys.argv[2] == "write":
        assert storage.swap("f", str(i).encode(), expected=storage.read_versioned("f")[1])
    else:
        assert storage.read("f").isdigit()
"""
        open_storage(uri).swap("f", b"0", expected=None)
        race(writer, [[uri, "write"], [uri, "read"]])


class TestLocalFaults:
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

    def test_swap_does_not_overwrite_a_file_created_meanwhile(self, tmp_path: Path) -> None:
        class Slow(LocalStorage):
            def read_versioned(self, path: str) -> tuple[bytes, str] | None:
                found = super().read_versioned(path)
                LocalStorage(tmp_path).create(path, b"first")
                return found

        assert Slow(tmp_path).swap("a", b"second", expected=None) is False
        assert LocalStorage(tmp_path).read("a") == b"first"


class TestExplained:
    @pytest.mark.parametrize(
        "number",
        [
            *(errno.EACCES, errno.EPERM, errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EROFS),
            *(errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTSUP),
        ],
    )
    def test_the_users_errors(self, number: int) -> None:
        with pytest.raises(InputError) as caught, explain_os_errors("write", Path("x")):
            raise OSError(number, os.strerror(number))
        assert str(caught.value) == f"cannot write x: {os.strerror(number)}; give another path or mend its rights"

    @pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE, errno.ETIMEDOUT])
    def test_the_surroundings_errors(self, number: int) -> None:
        with pytest.raises(TransientError) as caught, explain_os_errors("read", Path("x")):
            raise OSError(number, os.strerror(number))
        assert str(caught.value) == f"cannot read x: {os.strerror(number)}; run again"

    def test_an_error_without_a_number_keeps_its_text_on_one_line(self) -> None:
        with (
            pytest.raises(TransientError, match=r"^cannot read x: two lines; run again$"),
            explain_os_errors("read", Path("x")),
        ):
            raise OSError("two\nlines")

    @pytest.mark.parametrize("error", [InputError("a"), IntegrityError("b"), TransientError("c"), ValueError("d")])
    def test_other_errors_pass_unchanged(self, error: Exception) -> None:
        with pytest.raises(type(error)) as caught, explain_os_errors("read", Path("x")):
            raise error
        assert caught.value is error


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

    def test_a_lost_connection_while_signing_in_is_transient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from google.auth.exceptions import DefaultCredentialsError, TransportError

        for error, expected in ((TransportError("lost"), TransientError), (DefaultCredentialsError("x"), InputError)):
            storage = GcsStorage("gs://bucket")
            with pytest.raises(expected), storage._explained("read", "a"):
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
        from google.cloud import storage as gcs

        bucket, _, prefix = gcs_prefix.removeprefix("gs://").partition("/")
        gcs.Client(project=None).bucket(bucket).blob(f"{prefix}/folder/").upload_from_string(b"")
        assert open_storage(gcs_prefix).list() == []

    def test_a_whole_bucket(self, gcs_uri: str, gcs_prefix: str) -> None:
        name = gcs_prefix.removeprefix(f"{gcs_uri}/")
        open_storage(gcs_uri).create(f"{name}/a", b"one")
        assert open_storage(gcs_prefix).read("a") == b"one"
        assert f"{name}/a" in open_storage(gcs_uri).list()


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
