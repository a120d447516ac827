"""The data jobs on a real Flink cluster while its machines die: the dataset is that of a quiet run on this machine."""

import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.engine.cluster import describe
from pipelines.engine.spec import JOB_MANAGER, worker_host
from tests.pipelines.engine.conftest import CLIPS, START, WAIT, Cluster, done, finish
from trillsson.progress import say
from trillsson.storage import open_storage

pytestmark = pytest.mark.flink

PREPARE = (
    START
    + """
    source, workdir, *options = sys.argv[1:]
    prepare.plan_shards = partial(plan.plan_shards, most_items=1)
    corpus = FolderCorpus(kind="folder", path=source)
    print(prepare.run(prepare.PrepareSpec(name="tones", corpus=corpus, workdir=workdir, beam_options=options)))
"""
)
EMBED = (
    START
    + """
    source, workdir, *options = sys.argv[1:]
    teacher = ConformerTeacher(kind="conformer", dim=256, layers=4, layer=4, heads=4)
    spec = {"embedder": teacher, "framing": Framing(window=8_000, hop=240), "name": "teacher", "beam_options": options}
    print(*embed.run(embed.EmbedSpec(audio=(source,), workdir=workdir, **spec)))
"""
)
UNREACHABLE = (
    "trillsson: FlinkRunner does not answer at 10.77.0.2:8081; see that it runs, and run again: what is done is kept"
)
JAVA, PYTHON = "TaskManagerRunner", "sdk_worker"

Fault = Callable[[Cluster, random.Random], None]


def contents(prefix: str) -> dict[str, bytes | None]:
    """Maps every object of the datasets to its bytes; plans are no data."""
    storage = open_storage(prefix)
    names = [name for name in storage.list() if "/plans/" not in name]
    return dict(zip(names, storage.read_many(names), strict=True))


def committed(prefix: str) -> int:
    """How many shards of embeddings are committed."""
    entries = [name for name in open_storage(prefix).list() if name.startswith("embeddings/") and "/shards/" in name]
    return len([name for name in entries if name.endswith(".json")])


@dataclass
class Quiet:
    """What this machine makes with nothing in the way: the URI of the audio, and all objects of both datasets."""

    audio: str
    contents: dict[str, bytes | None]

    @property
    def embeddings(self) -> dict[str, bytes | None]:
        return {name: data for name, data in self.contents.items() if name.startswith("embeddings/")}


@pytest.fixture(scope="module")
def quiet(cluster: Cluster, gcs_uri: str) -> Quiet:
    """The datasets as this machine makes them."""
    workdir = f"{gcs_uri}/quiet"
    audio = done(cluster.start(["-c", PREPARE, cluster.source, workdir], here=True))
    done(cluster.start(["-c", EMBED, audio, workdir], here=True))
    assert committed(workdir) == CLIPS
    return Quiet(audio, contents(workdir))


def test_hosts_have_a_network_and_a_tmp_of_their_own(cluster: Cluster) -> None:
    here = Path("/tmp").stat()
    seen = {(here.st_dev, here.st_ino)}
    for host in (JOB_MANAGER, worker_host(1), worker_host(2)):
        (process, *_) = host.processes("java")
        temporary = Path(f"/proc/{process.pid}/root/tmp").stat()
        seen.add((temporary.st_dev, temporary.st_ino))
        seen.add((0, Path(f"/proc/{process.pid}/ns/net").stat().st_ino))
    assert len(seen) == 1 + 3 + 3


def test_it_tells_what_it_is(cluster: Cluster) -> None:
    lines = describe().splitlines()
    assert lines[:3] == ["job-manager: 1 processes", "worker-1: 2 processes", "worker-2: 2 processes"]
    assert lines[3] == "Flink 1.19.3: 2 task managers, 4 of 4 slots free, 0 jobs running; http://10.77.0.2:8081"


def test_the_same_datasets_as_here(cluster: Cluster, quiet: Quiet, gcs_prefix: str) -> None:
    audio = done(cluster.start(["-c", PREPARE, cluster.source, gcs_prefix]))
    done(cluster.start(["-c", EMBED, audio, gcs_prefix]))
    assert contents(gcs_prefix) == quiet.contents


def kill_task_manager(cluster: Cluster, draw: random.Random) -> None:
    assert worker_host(draw.randint(1, 2)).kill(JAVA) == 1


def kill_python(cluster: Cluster, draw: random.Random) -> None:
    hosts = [host for host in (worker_host(1), worker_host(2)) if host.processes(PYTHON)]
    assert draw.choice(hosts).kill(PYTHON)


def store_is_down(cluster: Cluster, draw: random.Random) -> None:
    cluster.store.down = True
    time.sleep(20)
    cluster.store.down = False


def cut_off(cluster: Cluster, draw: random.Random) -> None:
    host = worker_host(draw.randint(1, 2))
    host.cut_off()
    time.sleep(60)
    host.join()


def restart_job_manager(cluster: Cluster, draw: random.Random) -> None:
    assert JOB_MANAGER.kill() >= 1
    cluster.up()


@pytest.fixture
def faulty(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, whole before and after."""
    cluster.up()
    yield cluster
    cluster.store.down = False
    cluster.up()


FAULTS: dict[Fault, str] = {
    kill_task_manager: "Flink",
    kill_python: "Flink",
    store_is_down: "Flink",
    cut_off: "Flink",
    restart_job_manager: "a rerun",
}


def embed_until(cluster: Cluster, quiet: Quiet, prefix: str, *, shards: int) -> "subprocess.Popen[str]":
    """Starts embed; returns while it is at work, with so many shards committed."""
    job = cluster.start(["-c", EMBED, quiet.audio, prefix])
    deadline = time.monotonic() + WAIT
    while committed(prefix) < shards:
        assert job.poll() is None, finish(job)
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return job


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_at_random_moments(faulty: Cluster, quiet: Quiet, gcs_prefix: str, fault: Fault, seed: int) -> None:
    draw = random.Random(f"{fault.__name__} {seed}")
    shards = draw.randint(1, CLIPS // 2)
    job = embed_until(faulty, quiet, gcs_prefix, shards=shards)
    time.sleep(draw.random())
    assert job.poll() is None, finish(job)
    fault(faulty, draw)
    status, _, errors = finish(job)
    by = "Flink"
    if status:
        assert status == 75, errors
        assert UNREACHABLE in errors.splitlines(), errors
        assert "Traceback" not in errors
        by = "a rerun"
        faulty.up()
        done(faulty.start(["-c", EMBED, quiet.audio, gcs_prefix]))
    say(f"{fault.__name__} after {shards} of {CLIPS} shards: mended by {by}")
    assert by == FAULTS[fault]
    assert contents(gcs_prefix) == quiet.embeddings


def test_an_interrupted_job_does_not_go_on(cluster: Cluster, quiet: Quiet, gcs_prefix: str) -> None:
    job = embed_until(cluster, quiet, gcs_prefix, shards=2)
    job.send_signal(signal.SIGINT)
    status, _, errors = finish(job)
    assert status == 130, errors
    assert errors.splitlines()[-1] == "trillsson: interrupted; run again to go on: what is done is kept"
    assert "Traceback" not in errors
    assert " 0 jobs running;" in describe()
    assert 2 <= committed(gcs_prefix) < CLIPS
    done(cluster.start(["-c", EMBED, quiet.audio, gcs_prefix]))
    assert contents(gcs_prefix) == quiet.embeddings
