"""How much of an embedder's own speed the embed job keeps, against the bare model and against other ways to run it.

    .venv/bin/python benchmarks/embed_job.py [minutes of audio] [numbers of comparisons, such as 13]

Audio is noise in clips of 10 s; windows are 2 s. All in one run, in turns:

1. The whole job (Beam's local runner: read, check digests, frame, batch, embed, write, commit) against the bare
   embedder on windows already in memory, in batches of 32: a Conformer of about 6 GFLOP a window, and trillsson1.
   Models are loaded and traced before.
2. The same shard function under Beam with two processes, and under `ProcessPoolExecutor(2)`, both without start-up:
   what twice as many shards cost more.
3. One clip a call, as the original system does it, and the textbook `RunInference` + `WriteToTFRecord(num_shards=8)`,
   against the job: a process of its own each; times without imports and loading of the model, memory with.
"""

import multiprocessing
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import apache_beam as beam
import numpy as np
import soundfile
from apache_beam.ml.inference.base import ModelHandler, RunInference

from pipelines.beam import embed, embed_shard, prepare
from pipelines.beam.embed_shard import EmbedHow, EmbedMaker, EmbedTicket
from pipelines.beam.plan import plan_shards
from pipelines.process import settle_environment
from trillsson.audio import frame
from trillsson.config import (
    ConformerTeacher,
    EmbedderSpec,
    Embedding,
    FolderCorpus,
    Framing,
    SavedModelTeacher,
)
from trillsson.datasets import open_dataset
from trillsson.embedder import Windows
from trillsson.records import EmbeddingRecord, decode_audio, encode_embedding
from trillsson.students import build_student
from trillsson.teachers import fingerprint, open_embedder
from trillsson.tfrecords import read_tfrecords
from trillsson.training.export import save_model

SECONDS = 10
FILES_A_SHARD = 16
ROUNDS = 3
CONFORMER = ConformerTeacher(kind="conformer", dim=512, layers=9, layer=9, heads=8)


def main(minutes: float, parts: str) -> None:
    """Runs comparisons on so much audio: all, or those whose number is in `parts`."""
    settle_environment()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        audio = make_audio(root, int(minutes * 60 / SECONDS))
        student = make_student(root / "trillsson1")
        if "1" in parts:
            compare_bare(root, audio, student)
        if "2" in parts:
            compare_pool(audio, student)
        if "3" in parts:
            compare_others(audio, student)


def compare_bare(root: Path, audio: str, student: EmbedderSpec) -> None:
    """The whole job against the bare embedder."""
    print("\n| embedder | bare, windows/s | job, windows/s | ratio |\n|---|---|---|---|")
    for name, spec in {"Conformer, 6 GFLOP": CONFORMER, "trillsson1": student}.items():
        bare, whole, ratio = against_bare(root, audio, spec)
        print(f"| {name} | {bare:.0f} | {whole:.0f} | {ratio:.2f} |", flush=True)


def compare_pool(audio: str, student: EmbedderSpec) -> None:
    """Beam with two processes against a plain pool of two."""
    print("\n| trillsson1, 2 processes | shards/s |\n|---|---|")
    marginal = {name: without_start(run, audio, student) for name, run in PARALLEL.items()}
    for name, speed in marginal.items():
        print(f"| {name} | {speed:.2f} |")
    print(f"| ratio | {marginal['Beam'] / marginal['pool']:.2f} |", flush=True)


def compare_others(audio: str, student: EmbedderSpec) -> None:
    """The job against other ways to do it."""
    print("\n| trillsson1 | s | CPU s | peak MB |\n|---|---|---|---|")
    for name, work in {"job": whole_job, "one clip a call": clip_by_clip, "RunInference": textbook}.items():
        wall, cpu, peak = in_own_process(work, audio, student)
        print(f"| {name} | {wall:.1f} | {cpu:.1f} | {peak:.0f} |", flush=True)


def make_audio(root: Path, clips: int) -> str:
    """Writes clips of noise and prepares them; returns the manifest."""
    (root / "audio").mkdir()
    rng = np.random.default_rng(0)
    for number in range(clips):
        samples = rng.uniform(-0.5, 0.5, SECONDS * 16_000).astype(np.float32)
        soundfile.write(root / "audio" / f"{number:05d}.wav", samples, 16_000)
    corpus = FolderCorpus(kind="folder", path=str(root / "audio"))
    with patch.object(prepare, "plan_shards", partial(plan_shards, most_items=FILES_A_SHARD)):
        return prepare.run(prepare.PrepareSpec(name="noise", corpus=corpus, workdir=str(root / "work")))


def make_student(path: Path) -> SavedModelTeacher:
    """Exports an untrained trillsson1 and returns the spec that embeds with it."""
    model = build_student("trillsson1", dim=1024, window=Framing().window, seed=0)
    save_model(model, path, lambda waveform: model(waveform, training=False), shape=[None, Framing().window])
    return SavedModelTeacher(kind="saved_model", path=str(path), dim=1024)


def windows_of(audio: str) -> Windows:
    """Returns all windows of a dataset."""
    with tempfile.TemporaryDirectory() as cache:
        shards = open_dataset(audio, "audio").shards
        clips = [decode_audio(data) for shard in shards for data in read_tfrecords(shard.fetch(Path(cache)))]
    return np.concatenate([frame(clip.audio, Framing()) for clip in clips])


def against_bare(root: Path, audio: str, spec: EmbedderSpec) -> Sequence[float]:
    """Returns windows/s of the bare embedder, of the job, and the ratio: medians."""
    windows = windows_of(audio)
    embedder = open_embedder(spec, Framing())
    embedder.embed(windows[:32])  # tracing is not counted

    def bare() -> None:
        for first in range(0, len(windows), 32):
            embedder.embed(windows[first : first + 32])

    def job() -> None:
        with tempfile.TemporaryDirectory(dir=root) as workdir:
            whole_job(audio, spec, workdir)

    with patch.object(embed_shard, "open_embedder", lambda *_: embedder):
        rounds = [[len(windows) / seconds(work) for work in (bare, job)] for _ in range(ROUNDS)]
    return [statistics.median(each) for each in zip(*([a, b, b / a] for a, b in rounds), strict=True)]


def whole_job(audio: str, spec: EmbedderSpec, workdir: str, *options: str) -> None:
    """All of embed."""
    spec_of = partial(embed.EmbedSpec, framing=Framing(), workdir=workdir, name="bench", beam_options=options)
    embed.run(spec_of(audio=(audio,), embedder=spec))


def seconds(work: Callable[[], object]) -> float:
    """Returns how long some work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def tickets_of(audio: str, share: float) -> list[EmbedTicket]:
    """Returns the first shards of a dataset as what a worker is sent."""
    shards = open_dataset(audio, "audio").shards
    return [EmbedTicket(shard.summary.id, shard) for shard in shards[: int(share * len(shards))]]


def with_beam(maker: EmbedMaker, tickets: Sequence[EmbedTicket]) -> None:
    """Makes shards under Beam, in two processes."""
    from pipelines.beam.runner import run_pipeline
    from pipelines.beam.transforms import MakeShards

    processes = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
    run_pipeline(lambda pipeline: pipeline | beam.Create(list(tickets), reshuffle=False) | MakeShards(maker), processes)


def with_pool(maker: EmbedMaker, tickets: Sequence[EmbedTicket]) -> None:
    """Makes shards in a plain pool of two processes."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context, initializer=_set_up, initargs=(maker,)) as pool:
        for _ in pool.map(_make, tickets):
            pass


PARALLEL = {"Beam": with_beam, "pool": with_pool}
_MAKERS: list[EmbedMaker] = []


def _set_up(maker: EmbedMaker) -> None:
    settle_environment()
    maker.setup()
    _MAKERS.append(maker)


def _make(ticket: EmbedTicket) -> str:
    return _MAKERS[0].make(ticket).summary.id


def without_start(run: Callable[..., None], audio: str, spec: EmbedderSpec) -> float:
    """Returns shards/s of what twice as many shards take longer: the median of the rounds."""
    speeds = []
    for _ in range(ROUNDS):
        taken = []
        for share in (0.5, 1.0):
            with tempfile.TemporaryDirectory() as workdir:
                maker = EmbedMaker(workdir, EmbedHow(spec, fingerprint(spec), Framing(), Embedding()))
                tickets = tickets_of(audio, share)
                taken.append((len(tickets), seconds(partial(run, maker, tickets))))
        (few, short), (many, long) = taken
        speeds.append((many - few) / (long - short))
    return statistics.median(speeds)


def clip_by_clip(audio: str, spec: EmbedderSpec, workdir: str) -> None:
    """Embeds one clip a call, each model call on its own, and writes the rows."""
    import tensorflow as tf

    embedder = open_embedder(spec, Framing())
    with tf.io.TFRecordWriter(f"{workdir}/rows") as writer:
        for key, windows in _clips(audio):
            writer.write(encode_embedding(EmbeddingRecord(key=key, embeddings=embedder.embed(windows))))


class Handler(ModelHandler):  # type: ignore[misc]
    """Runs an embedder on windows that know their clip and their number."""

    def __init__(self, spec: EmbedderSpec) -> None:
        super().__init__()
        self._spec = spec

    def load_model(self) -> Any:
        """Loads the embedder."""
        return open_embedder(self._spec, Framing())

    def run_inference(self, batch: Any, model: Any, _: Any = None) -> Any:
        """Embeds a batch."""
        rows = model.embed(np.stack([window for _, _, window in batch]))
        return [(key, (number, row)) for (key, number, _), row in zip(batch, rows, strict=True)]

    def get_num_bytes(self, batch: Any) -> int:
        """Counts the bytes of a batch; the default pickles it for that."""
        return sum(window.nbytes for _, _, window in batch)

    def batch_elements_kwargs(self) -> dict[str, int]:
        """As large as our own batches."""
        return {"min_batch_size": 32, "max_batch_size": 32}


def textbook(audio: str, spec: EmbedderSpec, workdir: str) -> None:
    """Windows through `RunInference`, grouped by clip again, into `WriteToTFRecord(num_shards=8)`."""

    def windows(_: None) -> Iterator[tuple[str, int, Any]]:
        for key, cut in _clips(audio):
            for number, window in enumerate(cut):
                yield key, number, window

    def record(clip: Any) -> bytes:
        rows = np.stack([row for _, row in sorted(clip[1], key=lambda each: each[0])])
        return encode_embedding(EmbeddingRecord(key=clip[0], embeddings=rows))

    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        rows = pipeline | beam.Create([None]) | beam.FlatMap(windows) | RunInference(Handler(spec)) | beam.GroupByKey()
        records = rows | beam.Map(record).with_output_types(bytes)
        _ = records | beam.io.WriteToTFRecord(f"{workdir}/rows", num_shards=8)


def _clips(audio: str) -> Iterator[tuple[str, Windows]]:
    with tempfile.TemporaryDirectory() as cache:
        for shard in open_dataset(audio, "audio").shards:
            for data in read_tfrecords(shard.fetch(Path(cache))):
                clip = decode_audio(data)
                yield clip.key, frame(clip.audio, Framing())


def in_own_process(work: Callable[..., None], audio: str, spec: EmbedderSpec) -> tuple[float, float, float]:
    """Returns wall seconds, CPU seconds and peak memory in MB of some work in a process of its own."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=_measured, args=(work, audio, spec, answers))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{work.__name__} failed")
    found: tuple[float, float, float] = answers.get()
    return found


def _measured(work: Callable[..., None], audio: str, spec: EmbedderSpec, answers: Any) -> None:
    settle_environment()
    embedder = open_embedder(spec, Framing())
    embedder.embed(np.zeros((32, Framing().window), np.float32))
    # Every way of running it takes the one that is loaded here.
    loaded = [
        patch.object(module, "open_embedder", lambda *_: embedder) for module in (embed_shard, sys.modules[__name__])
    ]
    with loaded[0], loaded[1], tempfile.TemporaryDirectory() as workdir:
        before = time.process_time()
        taken = seconds(lambda: work(audio, spec, workdir))
        used = time.process_time() - before
    # Not ru_maxrss: that also counts what the process that started this one had in memory.
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    answers.put((taken, used, int(peak) / 1024))


if __name__ == "__main__":
    main(float((sys.argv[1:] or ["40"])[0]), (sys.argv[2:] or ["123"])[0])
