"""How fast training is fed, against reading and checking the same bytes raw, side by side in one run.

    .venv/bin/python benchmarks/training_input.py [minutes of audio]

Raw is TensorFlow's own TFRecord reader, in C++, over the same shards of audio and of targets, each record read and its
checksums checked. The input pipeline is training's: both zipped by key, test clips left out, cut into windows,
shuffled, batched by 64, scaled. Windows/s on one core, in turns, the median of five epochs; shards are in the page
cache.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from pipelines.beam import embed, prepare
from pipelines.process import settle_environment
from trillsson.config import FolderCorpus, Framing, LogMelBaseline, Training
from trillsson.pairs import open_pairs
from trillsson.training.data import Windows, open_windows
from trillsson.training.targets import Standardiser

SECONDS = 10
ROUNDS = 5
BATCH = 64


def main(minutes: float) -> None:
    """Prints windows/s of both and the ratio."""
    os.sched_setaffinity(0, {0})  # before TensorFlow sizes its thread pools
    settle_environment()
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        windows = make_windows(Path(folder), int(minutes * 60 / SECONDS))
        count = sum(len(batch) for batch, _ in windows.validation().as_numpy_iterator())
        count = int(minutes * 60 / SECONDS) * SECONDS // 2 - count
        epochs = windows.batches(count, start=0)
        raw, fed = [], []
        for _ in range(ROUNDS + 1):
            start = time.perf_counter()
            files = [path for pair in windows.files for path in pair]
            tf.data.TFRecordDataset(files).reduce(np.int64(0), lambda total, _: total + 1).numpy()
            raw.append(count / (time.perf_counter() - start))
            start = time.perf_counter()
            for _ in range(count // BATCH):
                next(epochs)
            fed.append(count / (time.perf_counter() - start))
    ratio = statistics.median(b / a for a, b in list(zip(raw, fed, strict=True))[1:])
    print("| raw, windows/s | training input, windows/s | ratio |\n|---|---|---|")
    print(f"| {statistics.median(raw[1:]):.0f} | {statistics.median(fed[1:]):.0f} | {ratio:.2f} |")


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
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 240)
