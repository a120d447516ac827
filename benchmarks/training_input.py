"""How fast training is fed, against reading and checking the same bytes raw, side by side in one run.

    .venv/bin/python benchmarks/training_input.py [minutes of audio]

Raw is reading every record of the same shards of audio and of targets and checking its checksums, and nothing else:
with TensorFlow's own reader, which is C++, and with a bare loop over this project's, which throws each record away
before it reads the next. The input pipeline is training's: both zipped by key, test clips left out, cut into windows,
shuffled, batched by 64, targets standardised. Windows/s on one core, in turns, the median of five epochs; shards are in
the page cache.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
import soundfile

from pipelines.beam import embed, prepare
from pipelines.process import settle_environment
from trillsson.config import FolderCorpus, Framing, LogMelBaseline, Training
from trillsson.pairs import open_pairs
from trillsson.tfrecords import read_tfrecords
from trillsson.training.data import Batch, Windows, count_windows, open_windows
from trillsson.training.targets import Standardiser

SECONDS = 10
ROUNDS = 5
BATCH = 64


def main(minutes: float) -> None:
    """Prints windows/s of each and the ratios."""
    os.sched_setaffinity(0, {0})  # before TensorFlow sizes its thread pools
    settle_environment()
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        windows = make_windows(Path(folder), int(minutes * 60 / SECONDS))
        count = count_windows(windows.learnt)
        streams: list[Generator[Batch, None, None]] = []
        files = sorted({str(path) for shard in windows.learnt for path in (shard.audio, shard.targets)})

        def with_tensorflow() -> None:
            tf.data.TFRecordDataset(files).reduce(np.int64(0), lambda total, _: total + 1).numpy()

        def in_a_loop() -> None:
            for file in files:
                for _ in read_tfrecords(Path(file)):
                    pass

        def fed() -> None:
            for _ in range(count // BATCH):
                next(streams[-1])

        rounds = []
        for number in range(ROUNDS + 1):
            # A stream of its own: what one has read ahead while others were measured would cost nothing.
            streams.append(windows.batches(count, start=number * (count // BATCH)))
            rounds.append([count / seconds(work) for work in (with_tensorflow, in_a_loop, fed)])
            streams.pop().close()
    rounds = rounds[1:]
    raw, bare, speed = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratios = [statistics.median(each[2] / each[other] for each in rounds) for other in (0, 1)]
    print("| | windows/s | training input / it |\n|---|---|---|")
    print(f"| raw, TensorFlow's reader | {raw:.0f} | {ratios[0]:.2f} |")
    print(f"| raw, a bare loop | {bare:.0f} | {ratios[1]:.2f} |")
    print(f"| training input | {speed:.0f} | 1 |")


def seconds(work: Callable[[], None]) -> float:
    """Returns how long something takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def make_windows(root: Path, clips: int) -> Windows:
    """Prepares and embeds noise, and opens it as training does."""
    (root / "audio").mkdir()
    rng = np.random.default_rng(0)
    for number in range(clips):
        samples = rng.uniform(-0.5, 0.5, SECONDS * 16_000).astype(np.float32)
        soundfile.write(root / "audio" / f"{number:05d}.wav", samples, 16_000)
    corpus = FolderCorpus(kind="folder", path=str(root / "audio"))
    audio = prepare.run(prepare.PrepareSpec(name="noise", corpus=corpus, workdir=str(root / "work")))
    spec = {"embedder": LogMelBaseline(), "framing": Framing(), "workdir": str(root / "work"), "name": "logmel"}
    targets = embed.run(embed.EmbedSpec(audio=(audio,), **spec))
    return open_windows(
        open_pairs((audio,), targets),
        Training(corpora=("noise",), steps=1, batch_size=BATCH, validation_fraction=0.01),
        tasks={},
        excluded=(),
        standardiser=Standardiser(np.zeros(128, np.float32), np.ones(128, np.float32)),
        framing=Framing(),
        cache=root / "cache",
    )


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 480)
