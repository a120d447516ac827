"""Folders exist whole or not at all."""

from pathlib import Path

import pytest

from trillsson.errors import InputError, IntegrityError
from trillsson.folders import commit_folder, find_folder, local_folder
from trillsson.storage import LocalStorage


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "sub/b.txt").write_text("b")
    return folder


@pytest.fixture(params=["local", "gcs"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "stored") if request.param == "local" else str(request.getfixturevalue("gcs_prefix"))


def test_a_committed_folder_is_found_and_read(source: Path, uri: str, tmp_path: Path) -> None:
    assert find_folder(uri) is None
    stored = commit_folder(uri, source)
    assert find_folder(uri) == stored
    local = local_folder(stored, tmp_path / "cache")
    assert {path.relative_to(local).as_posix() for path in local.rglob("*.txt")} == {"a.txt", "sub/b.txt"}
    assert (local / "sub/b.txt").read_text() == "b"


def test_the_first_commit_wins(source: Path, uri: str) -> None:
    first = commit_folder(uri, source)
    (source / "a.txt").write_text("other")
    assert commit_folder(uri, source) == first


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_killed_after_any_write_nothing_is_seen_and_the_rerun_converges(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    place, made = LocalStorage._place, []

    def dies(self: LocalStorage, *args: object, **kwargs: object) -> bool:
        if len(made) == writes:
            raise KeyboardInterrupt
        made.append(args)
        return place(self, *args, **kwargs)  # type: ignore[arg-type]

    uri = str(tmp_path / "stored")
    monkeypatch.setattr(LocalStorage, "_place", dies)
    with pytest.raises(KeyboardInterrupt):
        commit_folder(uri, source)
    assert find_folder(uri) is None
    monkeypatch.setattr(LocalStorage, "_place", place)
    (source / "a.txt").write_text("made anew, and not the same")
    assert (Path(commit_folder(uri, source)) / "a.txt").read_text() == "made anew, and not the same"


def test_a_changed_file_is_noticed(source: Path, tmp_path: Path) -> None:
    stored = commit_folder(str(tmp_path / "stored"), source)
    (Path(stored) / "a.txt").write_text("x")
    with pytest.raises(
        IntegrityError, match=r"stored/\w+/a\.txt does not match its digest; delete .*stored and run again"
    ):
        local_folder(stored, tmp_path)


def test_a_folder_that_was_never_committed(source: Path) -> None:
    with pytest.raises(
        InputError, match=r"folder .*source does not exist; name one that a step printed, or run that step"
    ):
        local_folder(str(source), source)


def test_a_damaged_commit(source: Path, tmp_path: Path) -> None:
    commit_folder(str(tmp_path / "stored"), source)
    (tmp_path / "stored/commit.json").write_text("{}")
    with pytest.raises(IntegrityError, match=r"stored/commit\.json is damaged; delete .*stored and run again"):
        find_folder(str(tmp_path / "stored"))
