"""The engine's JARs: several become one, and what cannot be fetched is told in a line."""

import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipelines.engine import jars
from pipelines.engine.jars import fetch_jars, merge_jars
from trillsson.errors import InputError, TransientError


def write_jar(path: Path, files: Mapping[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as jar:
        for name, text in files.items():
            jar.writestr(name, text)
    return path


def test_several_jars_become_one(tmp_path: Path) -> None:
    one = write_jar(
        tmp_path / "one.jar",
        {
            "META-INF/MANIFEST.MF": "Manifest-Version: 1.0\n",
            "META-INF/ONE.SF": "signed",
            "META-INF/services/a.Service": "a.One",
            "META-INF/versions/9/module-info.class": "",
            "a/": "",
            "a/One.class": "one",
            "LICENSE": "of one",
        },
    )
    two = write_jar(
        tmp_path / "two.jar", {"META-INF/services/a.Service": "a.Two\n", "a/Two.class": "two", "LICENSE": "of two"}
    )
    merge_jars([one, two], tmp_path / "merged.jar", main_class="a.One")
    with zipfile.ZipFile(tmp_path / "merged.jar") as merged:
        found = {name: merged.read(name).decode() for name in merged.namelist()}
    assert found == {
        "META-INF/MANIFEST.MF": "Manifest-Version: 1.0\nMain-Class: a.One\nMulti-Release: true\n",
        "META-INF/services/a.Service": "a.One\na.Two\n\n",
        "a/One.class": "one",
        "a/Two.class": "two",
        "LICENSE": "of one",
    }


def test_without_maven_nothing_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jars.shutil, "which", lambda _: None)
    with pytest.raises(InputError, match=r"^mvn is not installed; install it, such as Debian's maven$"):
        fetch_jars(tmp_path)


def test_what_cannot_be_fetched_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(
            command, 1, "", "WARNING: slow\nERROR: No matching distribution\nERROR: more"
        )

    monkeypatch.setattr(jars.shutil, "which", lambda program: f"/bin/{program}")
    monkeypatch.setattr(jars.subprocess, "run", fails)
    message = r"^Flink 1\.19\.3 cannot be fetched: ERROR: No matching distribution; run again$"
    with pytest.raises(TransientError, match=message):
        fetch_jars(tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jars.shutil, "which", lambda _: None)
    (tmp_path / "flink-1.19.3-beam-2.70.0").mkdir()
    found = fetch_jars(tmp_path)
    assert found.job_server == tmp_path / "flink-1.19.3-beam-2.70.0/job-server.jar"
