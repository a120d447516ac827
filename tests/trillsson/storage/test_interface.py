"""The contract of both kinds of storage, in one process and in races."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from trillsson.errors import InputError
from trillsson.storage import Storage, join, open_storage

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

    def test_scan_shows_what_list_lists(self, storage: Storage) -> None:
        for path in ("b", "a/2", "a-b", "a.wav", "ab", "a/deep/4", "é", "\U0001f600", "\uffff"):
            storage.create(path, path.encode())
        assert storage.list() == ["a-b", "a.wav", "a/2", "a/deep/4", "ab", "b", "é", "\uffff", "\U0001f600"]
        assert [(path, size) for path, size, _ in storage.scan()] == [(p, len(p.encode())) for p in storage.list()]
        assert [file.path for file in storage.scan("a")] == storage.list("a") == ["a/2", "a/deep/4"]
        assert [*storage.scan("nothing")] == []

    def test_stat_many_tells_what_scan_tells(self, storage: Storage) -> None:
        for path in ("b", "a/2", "c"):
            storage.create(path, path.encode())
        seen = {file.path: file for file in storage.scan()}
        assert [*storage.stat_many(["c", "gone", "a/2", "b/under-a-file"])] == [seen["c"], None, seen["a/2"], None]

    def test_when_each_file_was_written(self, storage: Storage) -> None:
        before = datetime.now(UTC) - timedelta(seconds=2)  # A file system's clock may be coarse.
        for path in ("b", "a/2", "a/1"):
            storage.create(path, b"")
        assert [*storage.written()] == ["a/1", "a/2", "b"]
        written = storage.written("a")
        assert [*written] == ["a/1", "a/2"]
        assert all(before < when < datetime.now(UTC) + timedelta(seconds=2) for when in written.values())
        assert storage.written("nothing") == {}

    def test_a_stamp_changes_with_the_bytes(self, storage: Storage) -> None:
        storage.swap("a", b"one", expected=None)
        (first,), (again,) = storage.scan(), storage.scan()
        found = storage.read_versioned("a")
        assert found
        storage.swap("a", b"two", expected=found[1])
        (second,) = storage.scan()
        assert first == again != second

    def test_read_many_keeps_the_order(self, storage: Storage) -> None:
        for number in range(30):
            storage.create(f"{number}", f"{number}".encode())
        paths = [f"{number}" for number in reversed(range(31))]
        assert [*storage.read_many(paths)] == [None, *(f"{number}".encode() for number in reversed(range(30)))]
        assert [*storage.read_many([])] == []

    def test_read_many_reads_little_ahead(self, storage: Storage) -> None:
        paths = (f"{number}" for number in itertools.count())
        reads = storage.read_many(paths)
        assert next(reads) is None
        assert int(next(paths)) <= 16

    def test_a_draft_becomes_the_file(self, storage: Storage) -> None:
        with storage.draft("a/b") as draft:
            draft.write_bytes(b"one")
            assert storage.list() == []
            assert storage.create_from("a/b", draft) is True
        assert not draft.exists()
        assert (storage.list(), storage.read("a/b")) == (["a/b"], b"one")
        with storage.draft("a/b") as draft:
            draft.write_bytes(b"two")
            assert storage.create_from("a/b", draft) is False
        assert storage.read("a/b") == b"one"

    def test_a_draft_that_is_not_used_goes(self, storage: Storage) -> None:
        draft = None

        def fail() -> None:
            nonlocal draft
            with storage.draft("a/b") as draft:
                draft.write_bytes(b"one")
                raise ValueError("no good")

        with pytest.raises(ValueError, match="no good"):
            fail()
        assert draft
        assert not draft.exists()
        assert storage.list() == []

    def test_a_draft_that_was_not_written_is_named(self, storage: Storage) -> None:
        with storage.draft("a/b") as draft, pytest.raises(InputError) as caught:
            storage.create_from("a/b", draft)
        expected = f"cannot read {draft}: No such file or directory; give another path or mend its rights"
        assert str(caught.value) == expected

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

    def test_a_missing_file_has_no_local_path(self, storage: Storage) -> None:
        with pytest.raises(InputError) as caught:
            storage.local("a/b", Path("unused"))
        assert str(caught.value) == f"{storage.uri}/a/b does not exist; restore it or run again"

    def test_no_name_holds_a_nul_character(self, storage: Storage) -> None:
        fault = "holds a NUL character, which no file's name can; give another path"
        for use in (storage.read, storage.list, storage.delete):
            with pytest.raises(InputError) as caught:
                use("a\0b")
            assert str(caught.value) == f"path 'a\\x00b' {fault}"
        with pytest.raises(InputError) as caught:
            open_storage("a\0b")
        assert str(caught.value) == f"storage 'a\\x00b' {fault}"

    @pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", ".."])
    @pytest.mark.parametrize(
        "use",
        [
            lambda s, p: s.read(p),
            lambda s, p: s.read_versioned(p),
            lambda s, p: s.list(p),
            lambda s, p: list(s.scan(p)),
            lambda s, p: s.written(p),
            lambda s, p: list(s.read_many([p])),
            lambda s, p: s.draft(p).__enter__(),
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
            settings=settings(max_examples=examples, stateful_step_count=20, database=None),
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
