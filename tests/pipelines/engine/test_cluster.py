"""The data jobs on a real Flink cluster while its machines die: the dataset is that of a quiet run on this machine."""

import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from pipelines.engine.cluster import describe
from pipelines.engine.hosts import Host
from pipelines.engine.spec import JOB_MANAGER, REST_PORT, worker_host
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
LOST = (
    "trillsson: FlinkRunner does not answer at 10.77.0.2:8081; see that it runs, and run again: what is done is kept",
    "trillsson: FlinkRunner at 10.77.0.2:8081 does not know the job any more; run again: what is done is kept",
)
REFUSED = (
    START
    + """
    import apache_beam as beam
    from pipelines.beam.plan import Ticket
    from pipelines.beam.runner import run_pipeline
    from pipelines.beam.transforms import MakeShards
    from trillsson.errors import InputError

    class Refuses:
        root = sys.argv[1]

        def setup(self):
            pass

        def make(self, planned):
            raise InputError(f"shard {planned.id} is bad; mend it")

    tickets = [Ticket("a1", "plan", 0)]
    run_pipeline(lambda pipeline: pipeline | beam.Create(tickets) | MakeShards(Refuses()), sys.argv[2:])
"""
)


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
    hosts = list(cluster.engine.hosts())
    networks, folders = {Path("/proc/self/ns/net").readlink()}, {Path("/tmp").stat().st_ino}
    for host in hosts:
        processes = host.processes()
        assert processes
        networks |= {Path(f"/proc/{process.pid}/ns/net").readlink() for process in processes}
        folders |= {Path(f"/proc/{process.pid}/root/tmp").stat().st_ino for process in processes}
    assert (len(networks), len(folders)) == (1 + len(hosts), 1 + len(hosts))


def test_it_tells_what_it_is(cluster: Cluster) -> None:
    lines = describe().splitlines()
    assert lines[:3] == ["job-manager: 1 processes", "worker-1: 2 processes", "worker-2: 2 processes"]
    assert lines[3] == "Flink 1.19.3: 2 task managers, 4 of 4 slots free, 0 jobs running; http://10.77.0.2:8081"


def test_the_same_datasets_as_here(cluster: Cluster, quiet: Quiet, gcs_prefix: str) -> None:
    audio = done(cluster.start(["-c", PREPARE, cluster.source, gcs_prefix]))
    done(cluster.start(["-c", EMBED, audio, gcs_prefix]))
    assert contents(gcs_prefix) == quiet.contents


def job_of(cluster: Cluster) -> tuple[int, str]:
    """Returns how often parts of the last job were started again, and its state."""
    base = f"http://{JOB_MANAGER.address}:{REST_PORT}/jobs"
    jobs = requests.get(f"{base}/overview", timeout=10).json()["jobs"]
    last = max(jobs, key=lambda job: job["start-time"])
    history = requests.get(f"{base}/{last['jid']}/exceptions", timeout=10).json()["exceptionHistory"]
    return len(history["entries"]), last["state"]


@pytest.fixture
def faulty(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, whole before and after."""
    cluster.up()
    cluster.store.created.clear()
    yield cluster
    cluster.store.down = False
    cluster.up()


@dataclass
class Embedding:
    """An embed job at work on the cluster, whose quiet result is known.

    Attributes:
        cluster: where it runs.
        prefix: the bucket's prefix that it writes to.
        quiet: what it has to make.
        kept: objects that were committed when something was broken.
    """

    cluster: Cluster
    prefix: str
    quiet: Quiet
    kept: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.job = self.start()

    def start(self) -> "subprocess.Popen[str]":
        return self.cluster.start(["-c", EMBED, self.quiet.audio, self.prefix])

    def until(self, shards: int) -> None:
        """Waits until so many shards are committed."""
        deadline = time.monotonic() + WAIT
        while committed(self.prefix) < shards:
            assert self.job.poll() is None, finish(self.job)
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert self.job.poll() is None, finish(self.job)
        self.kept = {name for name in open_storage(self.prefix).list() if "/shards/" in name}

    def check(self) -> None:
        """The dataset is that of a quiet run, and what was committed before a fault was not made again."""
        assert contents(self.prefix) == self.quiet.embeddings
        entries = [name for name in self.kept if name.endswith(".json")]
        path = self.prefix.partition("//")[2].partition("/")[2]
        made = {name: self.cluster.store.created[f"{path}/{name}"] for name in entries}
        assert len(made) > 0
        assert made == dict.fromkeys(entries, 1)


@pytest.fixture
def embedding(faulty: Cluster, quiet: Quiet, gcs_prefix: str) -> Iterator[Embedding]:
    """A job that has begun."""
    found = Embedding(faulty, gcs_prefix, quiet)
    yield found
    found.job.kill()


def kill_task_manager(cluster: Cluster, host: Host) -> None:
    assert host.kill("TaskManagerRunner") == 1
    cluster.up()


def kill_python(cluster: Cluster, host: Host) -> None:
    deadline = time.monotonic() + WAIT
    while not host.kill("sdk_worker"):  # it may just be about to start
        assert time.monotonic() < deadline
        time.sleep(0.1)


def store_is_down(cluster: Cluster, host: Host) -> None:
    cluster.store.down = True
    time.sleep(20)
    cluster.store.down = False


RESTARTS = {kill_task_manager: 2, kill_python: 2, store_is_down: 0}  # the store's clients try again themselves


@pytest.mark.parametrize("fault", RESTARTS)
def test_two_faults_at_random_moments_of_one_job(embedding: Embedding, fault: Callable[[Cluster, Host], None]) -> None:
    draw = random.Random(fault.__name__)
    # Each worker once: what ran on the first goes on on the other.
    hosts = draw.sample(list(embedding.cluster.engine.worker_hosts()), 2)
    for host, shards in zip(hosts, (draw.randint(1, 7), draw.randint(11, 17)), strict=True):
        embedding.until(shards)
        fault(embedding.cluster, host)
    done(embedding.job)
    restarts, state = job_of(embedding.cluster)
    say(f"{fault.__name__}, twice: {restarts} restarts")
    assert state == "FINISHED"
    assert min(restarts, 2) == RESTARTS[fault]
    embedding.check()


@pytest.mark.parametrize("seed", range(2))
def test_a_worker_is_cut_off_for_a_minute(embedding: Embedding, seed: int) -> None:
    draw = random.Random(seed)
    embedding.until(draw.randint(1, CLIPS // 2))
    host = worker_host(draw.randint(1, 2))
    host.cut_off()
    time.sleep(60)
    host.join()
    done(embedding.job)
    restarts, state = job_of(embedding.cluster)
    say(f"a worker cut off: {restarts} restarts")
    assert (restarts >= 1, state) == (True, "FINISHED")
    embedding.check()


@pytest.mark.parametrize("seed", range(2))
def test_the_job_manager_is_killed_and_started_again(embedding: Embedding, seed: int) -> None:
    embedding.until(random.Random(seed).randint(1, CLIPS // 2))
    assert JOB_MANAGER.kill() >= 1
    embedding.cluster.up()
    status, _, errors = finish(embedding.job)
    assert status == 75, errors
    assert errors.splitlines()[-1] in LOST
    assert "Traceback" not in errors
    done(embedding.start())
    embedding.check()


def test_an_interrupted_job_does_not_go_on(embedding: Embedding) -> None:
    embedding.until(2)
    embedding.job.send_signal(signal.SIGINT)
    status, _, errors = finish(embedding.job)
    assert status == 130, errors
    assert errors.splitlines()[-1] == "trillsson: interrupted; run again to go on: what is done is kept"
    assert "Traceback" not in errors
    assert job_of(embedding.cluster)[1] == "CANCELED"
    assert " 0 jobs running;" in describe()
    assert 2 <= committed(embedding.prefix) < CLIPS
    done(embedding.start())
    embedding.check()


def test_what_a_worker_refuses_ends_the_job_on_one_line(cluster: Cluster, tmp_path: Path) -> None:
    status, printed, errors = finish(cluster.start(["-c", REFUSED, str(tmp_path)]))
    assert (status, printed) == (2, ""), errors
    assert errors.splitlines()[-1] == "trillsson: shard a1 is bad; mend it"
    assert "Traceback" not in errors
    assert "java" not in errors
    restarts, state = job_of(cluster)
    assert (restarts >= 1, state) == (True, "CANCELED")
