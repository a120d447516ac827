"""Checks k8s/Dockerfile without Docker."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINES = re.sub(r"\\\n\s*", " ", (ROOT / "k8s" / "Dockerfile").read_text()).splitlines()


def instructions(name: str) -> list[str]:
    return [line.split(maxsplit=1)[1] for line in LINES if line.startswith(f"{name} ")]


def copied() -> list[str]:
    """The sources of every COPY from the repository."""
    return [source for line in instructions("COPY") if "--from" not in line for source in line.split()[:-1]]


def test_what_is_copied_exists_and_is_sent_to_the_builder() -> None:
    allowed = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert "setup.py" in copied()
    assert {source for source in copied() if not (ROOT / source).exists()} == set()
    assert set(copied()) == allowed


def test_every_package_that_setup_py_installs_is_copied() -> None:
    packages = re.search(r"find_packages\(include=\[(.*?)\]\)", (ROOT / "setup.py").read_text())
    assert packages
    assert {f"{name}/" for name in re.findall(r'"(\w+)\*"', packages[1])} <= set(copied())


def test_the_dependencies_are_locked() -> None:
    locks = [value.split("=")[1] for value in instructions("ARG") if value.startswith("LOCK=")]
    assert locks == ["requirements/pipelines.lock"]
    assert (ROOT / locks[0]).exists()
    installs = [line for line in instructions("RUN") if "pip install" in line]
    assert ["--require-hashes" in line for line in installs] == [True, False]
    assert ["--no-deps" in line for line in installs] == [True, True]  # nothing is resolved anew


def test_the_base_is_pinned_and_the_user_is_not_root() -> None:
    assert "PYTHON=python:3.11-slim-bookworm" in instructions("ARG")
    assert instructions("USER") == ["1000:1000"]
    assert LINES[-1] == 'CMD ["trillsson", "--help"]'
