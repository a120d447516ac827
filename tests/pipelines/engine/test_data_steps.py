"""The data steps on the cluster, in a folder that all hosts mount: what they make is what this machine makes.

The quickstart's through the command line, and those of real recordings where a folder of labelled sets is at hand.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml

from pipelines.engine.cluster import beam_options
from tests.pipelines.engine.conftest import START, Cluster, done
from tests.real_speech import FOLDER, needs_sets
from trillsson.training.targets import read_statistics

pytestmark = pytest.mark.flink

QUICKSTART = Path(__file__).parents[3] / "configs/quickstart.yaml"
REAL = (
    START
    + """
    folder, workdir, *options = sys.argv[1:]
    audio = []
    for manifest in sorted(Path(folder).glob("*/manifest.csv")):
        corpus = FolderCorpus(kind="folder", path=str(manifest.parent), csv=manifest.name)
        spec = {"name": manifest.parent.name, "corpus": corpus, "workdir": workdir, "beam_options": options}
        audio.append(prepare.run(prepare.PrepareSpec(**spec)))
    teacher = ConformerTeacher(kind="conformer", dim=64, layers=2, layer=2, heads=4)
    spec = {"embedder": teacher, "framing": Framing(), "name": "teacher", "beam_options": options}
    print(*audio, *embed.run(embed.EmbedSpec(audio=audio, workdir=workdir, **spec)))
"""
)


def cli(*words: str) -> str:
    """Runs the command line; returns the last line that it printed."""
    command = [str(Path(sys.executable).with_name("trillsson")), *words]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()[-1]


def data_steps(config: Path, options: Sequence[str]) -> Path:
    """prepare, embed, screen and statistics; returns the folder of these."""
    beam = ["--", *options]
    audio = cli("prepare", str(config), "--corpus", "generated", *beam)
    targets = cli("embed", str(config), "--model", "teacher", "--audio", audio, *beam)
    screened = cli("screen", str(config), "--audio", audio)
    return Path(cli("statistics", str(config), "--audio", audio, "--targets", targets, "--screened", screened, *beam))


def files(folder: Path) -> Iterator[Path]:
    """Yields all files of the data in a folder: plans are none, nor is what the corpus was generated to."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and name.parts[0] in ("audio", "embeddings") and "plans" not in name.parts:
            yield name


def test_the_quickstart(cluster: Cluster) -> None:
    workdir, here = cluster.shared / "quickstart", cluster.shared / "here"
    config = cluster.shared / "quickstart.yaml"
    config.write_text(yaml.safe_dump({**yaml.safe_load(QUICKSTART.read_text()), "workdir": str(workdir)}))
    expected = read_statistics(data_steps(config, []))
    for name in ("audio", "embeddings", "statistics"):  # the corpus stays, so that paths do not differ
        shutil.move(workdir / name, here / name)
    found = read_statistics(data_steps(config, beam_options()))
    assert_same(workdir, here)
    # A SavedModel is another every time, what it computes is not.
    assert (found.windows, found.vocabularies) == (expected.windows, expected.vocabularies)
    assert found.standardiser.mean.tobytes() == expected.standardiser.mean.tobytes()
    assert found.standardiser.scale.tobytes() == expected.standardiser.scale.tobytes()
    assert expected.windows > 100
    assert len(expected.vocabularies) == 7


@needs_sets
def test_real_recordings(cluster: Cluster) -> None:
    there, here = cluster.shared / "real", cluster.shared / "real-here"
    done(cluster.start(["-c", REAL, str(FOLDER), str(here)], here=True))
    done(cluster.start(["-c", REAL, str(FOLDER), str(there)]))
    assert_same(there, here)


def assert_same(one: Path, other: Path) -> None:
    """All files of the data are there, with the same bytes."""
    names = list(files(other))
    assert list(files(one)) == names
    assert any("manifests" in name.parts for name in names)
    different = [str(name) for name in names if (one / name).read_bytes() != (other / name).read_bytes()]
    assert different == []
