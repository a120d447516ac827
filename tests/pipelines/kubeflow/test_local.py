"""The local runner: what it shows, what it logs, and how a step's end reaches the caller."""

from pathlib import Path

import pytest
from kfp import compiler, dsl

from pipelines.kubeflow.local import run_local
from trillsson.errors import InputError, TrillssonError


def package_of(body: object, folder: Path) -> Path:
    step = dsl.component(body, base_image="python:3.11", install_kfp_package=False)

    @dsl.pipeline(name="small")
    def small(word: str = "hello") -> None:
        step(word=word)

    compiler.Compiler().compile(small, str(folder / "small.yaml"))
    return folder / "small.yaml"


def speaks(word: str) -> None:
    from trillsson.progress import say

    print("not for people")  # noqa: T201  # the log's business
    say(f"{word} one")
    say(f"{word} two")


def refuses(word: str) -> None:
    from pipelines.process import as_task
    from trillsson.errors import InputError

    def step() -> None:
        raise InputError(f"{word}; mend it")

    as_task(step)()


def breaks(word: str) -> None:
    raise KeyError(word)


def test_marked_lines_are_shown_and_everything_is_logged(tmp_path: Path) -> None:
    shown: list[str] = []
    run_local(package_of(speaks, tmp_path), log=tmp_path / "logs/run.log", show=shown.append)
    assert shown == ["hello one", "hello two"]
    assert "not for people" in (tmp_path / "logs/run.log").read_text()


def test_a_steps_error_is_raised_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^hello; mend it$"):
        run_local(package_of(refuses, tmp_path), log=tmp_path / "run.log", show=lambda line: None)


def test_a_bug_names_the_log(tmp_path: Path) -> None:
    with pytest.raises(TrillssonError, match=r"^a step failed; its output is in .*run\.log$"):
        run_local(package_of(breaks, tmp_path), log=tmp_path / "run.log", show=lambda line: None)
    assert "KeyError: 'hello'" in (tmp_path / "run.log").read_text()
