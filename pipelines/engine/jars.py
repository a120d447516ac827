"""The Java that the engine needs: Flink itself and Beam's job server for it, fetched once and kept.

Flink comes from the Python package that carries its JARs. Beam's job server comes from Maven, as the JARs that it is
made of, and is put together here as Beam's own build does it: one JAR whose main class submits pipelines to Flink.
No JAR is used that is not, byte for byte, the one that was tested.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trillsson.errors import InputError, IntegrityError, TransientError
from trillsson.progress import Stopwatch, say

FLINK_VERSION = "1.19.3"
BEAM_VERSION = "2.70.0"
"""Of the Java side, as `pom.xml` has it. The newest that is published for a Flink that Python's Beam knows."""

_FLINK_SHA256 = "4a58e3a1fb7d83340bc96b6c080624c6d792d69fae5d294b96224775204a9c60"
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_POM = Path(__file__).with_name("pom.xml")
_LOCK = Path(__file__).with_name("job-server.lock")
"""SHA-256 and name of every JAR that `pom.xml` leads to. When that is changed: let Maven run `_COPY`, and in its output
folder `sha256sum *.jar`."""

_JAVA = 17
_JAVA_PACKAGE = "openjdk-17-jre-headless"
_MAIN_CLASS = "org.apache.beam.runners.flink.FlinkJobServerDriver"
_SERVICES = "META-INF/services/"
_LEFT_OUT = re.compile(
    r"META-INF/([^/]+\.(SF|DSA|RSA)|MANIFEST\.MF|INDEX\.LIST)|(.*/)?module-info\.class", re.IGNORECASE
)
"""Signatures of the single JARs, which no longer hold, and what there can be only one of."""


@dataclass(frozen=True)
class EngineJars:
    """Where the Java lies.

    Attributes:
        flink: folder of Flink's distribution, with `lib/` and `bin/`.
        job_server: Beam's job server, one JAR.
    """

    flink: Path
    job_server: Path


def fetch_jars(cache: Path) -> EngineJars:
    """Returns the engine's JARs; fetches them first if they are not there.

    Args:
        cache: a folder that may be shared; what is in it is whole.

    Raises:
        InputError: they are to be fetched, and Maven is not installed.
        IntegrityError: a JAR is not the one that was tested.
        TransientError: they cannot be fetched.
    """
    whole = cache / f"flink-{FLINK_VERSION}-beam-{BEAM_VERSION}-{_tested()}"
    jars = EngineJars(whole / "flink", whole / "job-server.jar")
    if whole.exists():
        return jars
    require("mvn", "maven")
    cache.mkdir(parents=True, exist_ok=True)
    watch = Stopwatch()
    say(f"fetching Flink {FLINK_VERSION} and Beam's job server {BEAM_VERSION} to {whole}")
    with tempfile.TemporaryDirectory(prefix=".trillsson-", dir=cache) as made:
        _fetch_flink(Path(made))
        _make_job_server(Path(made))
        Path(made).chmod(0o755)  # others may read what was fetched
        try:
            Path(made).rename(whole)
            Path(made).mkdir()  # for what removes it
        except OSError:
            if not whole.exists():  # and not made by somebody beside us
                raise
    say(f"fetched both [{watch}]")
    return jars


def _tested() -> str:
    """Returns a digest of what was tested: other JARs have another place in the cache."""
    parts = [_FLINK_SHA256.encode(), _POM.read_bytes(), _LOCK.read_bytes()]
    return hashlib.sha256(b"\n".join(parts)).hexdigest()[:8]


def require_java() -> None:
    """Refuses to go on without the Java that Flink runs on here.

    Raises:
        InputError: there is none, or an older one.
    """
    require("java", _JAVA_PACKAGE)
    told = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr  # noqa: S607
    found = re.search(r'version "(\d+)', told)
    if not found or int(found[1]) < _JAVA:
        version = f"version {found[1]}" if found else "of no version that it tells"
        raise InputError(f"java is {version}; install {_JAVA} or later, such as Debian's {_JAVA_PACKAGE}")


def require(program: str, package: str) -> None:
    """Refuses to go on without a program.

    Args:
        program: its command.
        package: what Debian calls the package that has it.

    Raises:
        InputError: it is not installed.
    """
    if shutil.which(program) is None:
        raise InputError(f"{program} is not installed; install it, such as Debian's {package}")


def _fetch_flink(folder: Path) -> None:
    """Unpacks the distribution, which is in the source archive only."""
    with tempfile.TemporaryDirectory(prefix="trillsson-") as scratch:
        wanted = Path(scratch) / "requirements.txt"
        wanted.write_text(f"apache-flink-libraries=={FLINK_VERSION} --hash=sha256:{_FLINK_SHA256}\n")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        _run([*pip, "--require-hashes", "--requirement", str(wanted), "--dest", scratch], f"Flink {FLINK_VERSION}")
        (archive,) = Path(scratch).glob("*.tar.gz")
        with tarfile.open(archive) as file:
            members = [each for each in file.getmembers() if "/deps/" in each.name]
            file.extractall(scratch, members, filter="data")
        (deps,) = Path(scratch).glob("*/deps")
        shutil.move(deps, folder / "flink")


def _make_job_server(folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="trillsson-") as scratch:
        maven = ["mvn", "--batch-mode", "--quiet", "--strict-checksums", f"--file={_POM}", _COPY]
        _run([*maven, f"-DoutputDirectory={scratch}"], f"Beam's job server {BEAM_VERSION}")
        jars = sorted(Path(scratch).glob("*.jar"))
        check_jars(jars, _LOCK)
        merge_jars(jars, folder / "job-server.jar", main_class=_MAIN_CLASS)


def check_jars(jars: Sequence[Path], lock: Path) -> None:
    """Compares JARs with a list of those that were tested.

    Args:
        jars: the files.
        lock: lines of a SHA-256 in hexadecimal digits, two spaces and a file's name.

    Raises:
        IntegrityError: one is another, or there are more or fewer.
    """
    tested = {name: digest for digest, name in (line.split() for line in lock.read_text().splitlines())}
    found = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in jars}
    for name in sorted(tested.keys() | found.keys()):
        if name not in found:
            raise IntegrityError(f"{name} is missing among the parts of Beam's job server; run again")
        if name not in tested:
            raise IntegrityError(f"{name} is no tested part of Beam's job server; add it to {lock} if it is one")
        if found[name] != tested[name]:
            told = f"{name}, of Beam's job server, has SHA-256 {found[name]}, and {tested[name]} when it was tested"
            raise IntegrityError(f"{told}; remove it from Maven's repository (~/.m2) and run again")


def merge_jars(jars: Iterable[Path], merged: Path, *, main_class: str) -> None:
    """Writes one JAR with what is in several.

    Of files of one name the first is kept, but lists of services are joined: each names what one JAR brings.
    """
    services: dict[str, list[bytes]] = defaultdict(list)
    written = set()
    with zipfile.ZipFile(merged, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
        target.writestr(
            "META-INF/MANIFEST.MF", f"Manifest-Version: 1.0\nMain-Class: {main_class}\nMulti-Release: true\n"
        )
        for jar in jars:
            with zipfile.ZipFile(jar) as source:
                for entry in source.infolist():
                    name = entry.filename
                    if entry.is_dir() or _LEFT_OUT.fullmatch(name):
                        continue
                    if name.startswith(_SERVICES):
                        services[name].append(source.read(entry))
                    elif name not in written:
                        written.add(name)
                        target.writestr(name, source.read(entry))
        for name, lists in services.items():
            target.writestr(name, b"\n".join(lists) + b"\n")


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # our own words
    if done.returncode:
        lines = [
            line for line in (done.stdout + done.stderr).splitlines() if "ERROR" in line
        ] or done.stderr.splitlines()
        raise TransientError(f"{what} cannot be fetched: {(lines or ['no reason given'])[0].strip()}; run again")
