"""The engine's JARs: several become one, and what cannot be fetched is told in a line."""

import re
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipelines.engine import jars
from pipelines.engine.jars import check_jars, fetch_jars, merge_jars
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
        (f"{'0' * 64}  one.jar\n", f"one.jar, of Beam's job server, has SHA-256 {ONE}, not {'0' * 64}"),
        ("", f"one.jar, of Beam's job server, has SHA-256 {ONE}, not (not wanted)"),
        (
            f"{ONE}  one.jar\n{ONE}  two.jar\n",
            f"two.jar, of Beam's job server, has SHA-256 (not there), not {ONE}",
        ),
    ],
)
def test_only_what_was_tested_is_used(tmp_path: Path, lock: str, told: str) -> None:
    (tmp_path / "one.jar").write_text("one")
    (tmp_path / "good.lock").write_text(f"{ONE}  one.jar\n")
    (tmp_path / "lock").write_text(lock)
    check_jars([tmp_path / "one.jar"], tmp_path / "good.lock")
    message = f"^{re.escape(told)}, with which it was tested; remove it from ~/.m2 and run again$"
    with pytest.raises(IntegrityError, match=message):
        check_jars([tmp_path / "one.jar"], tmp_path / "lock")


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
    (tmp_path / "flink-1.19.3-beam-2.70.0").mkdir()
    found = fetch_jars(tmp_path)
    assert found.job_server == tmp_path / "flink-1.19.3-beam-2.70.0/job-server.jar"
