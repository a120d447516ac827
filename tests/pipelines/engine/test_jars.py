"""The engine's JARs: several become one, and what cannot be fetched is told in a line."""

import re
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipelines.engine import jars
from pipelines.engine.jars import check_jars, fetch_jars, merge_jars, require_java
from trillsson.errors import InputError, IntegrityError, TransientError


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


ONE = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"  # SHA-256 of "one"


@pytest.mark.parametrize(
    ("lock", "told"),
    [
        (
            f"{'0' * 64}  one.jar\n",
            f"one.jar, of Beam's job server, has SHA-256 {ONE}, and {'0' * 64} when it was tested; "
            "remove it from Maven's repository (~/.m2) and run again",
        ),
        ("", "one.jar is no tested part of Beam's job server; add it to LOCK if it is one"),
        (
            f"{ONE}  one.jar\n{ONE}  two.jar\n",
            "two.jar is missing among the parts of Beam's job server; run again",
        ),
    ],
)
def test_only_what_was_tested_is_used(tmp_path: Path, lock: str, told: str) -> None:
    (tmp_path / "one.jar").write_text("one")
    (tmp_path / "good.lock").write_text(f"{ONE}  one.jar\n")
    (tmp_path / "lock").write_text(lock)
    check_jars([tmp_path / "one.jar"], tmp_path / "good.lock")
    with pytest.raises(IntegrityError, match=f"^{re.escape(told.replace('LOCK', str(tmp_path / 'lock')))}$"):
        check_jars([tmp_path / "one.jar"], tmp_path / "lock")


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ('openjdk version "11.0.2" 2019-01-15', "version 11"),
        ('java version "1.8.0_391"', "version 1"),
        ("", "of no version that it tells"),
    ],
)
def test_an_older_java_is_told(tmp_path: Path, says: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    java = tmp_path / "java"
    java.write_text(f"#!/bin/sh\necho '{says}' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(
        InputError, match=rf"^java is {told}; install 17 or later, such as Debian's openjdk-17-jre-headless$"
    ):
        require_java()
    java.write_text("#!/bin/sh\necho 'openjdk version \"17.0.15\" 2025-04-15' >&2\n")
    require_java()


def test_the_lock_is_of_the_versions_that_are_named() -> None:
    names = [line.split()[1] for line in jars._LOCK.read_text().splitlines()]
    assert f"<beam>{jars.BEAM_VERSION}</beam>" in jars._POM.read_text()
    assert f"beam-runners-flink-1.19-{jars.BEAM_VERSION}.jar" in names
    beam = [name for name in names if name.startswith("beam-") and "vendor" not in name]
    others = [name for name in beam if not name.endswith(f"-{jars.BEAM_VERSION}.jar")]
    assert others == ["beam-runners-java-job-service-2.65.0.jar"]


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
    name = f"flink-1.19.3-beam-2.70.0-{jars._tested()}"
    (tmp_path / name).mkdir()
    assert fetch_jars(tmp_path).job_server == tmp_path / name / "job-server.jar"


def test_other_jars_have_another_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = jars._tested()
    assert re.fullmatch("[0-9a-f]{8}", before)
    (tmp_path / "lock").write_text(jars._LOCK.read_text().replace("0", "1", 1))
    monkeypatch.setattr(jars, "_LOCK", tmp_path / "lock")
    assert jars._tested() != before
