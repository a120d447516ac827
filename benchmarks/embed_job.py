"""How much of an embedder's own speed the embed job keeps, side by side in one run.

    .venv/bin/python benchmarks/embed_job.py [clips]

Makes clips of noise (10 s each), then embeds the same windows with the log-mel baseline and with the quickstart's
teacher: in a bare loop over windows already in memory, and as the whole job (Beam's local runner, decoding, framing,
embedding, writing, committing). Prints times real time, and the job's share of the loop's speed.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from pipelines.beam import embed, prepare
from pipelines.process import settle_environment
from trillsson.audio import frame
from trillsson.config import ConformerTeacher, EmbedderSpec, FolderCorpus, Framing, LogMelBaseline
from trillsson.teachers import open_embedder

SECONDS = 10
EMBEDDERS: dict[str, EmbedderSpec] = {
    "logmel": LogMelBaseline(),
    "teacher": ConformerTeacher(kind="conformer", dim=256, layers=4, layer=2, heads=4, seed=1),
}


def main(clips: int) -> None:
    """Runs the comparison on `clips` clips."""
    settle_environment()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        windows = make_corpus(root / "audio", clips)
        corpus = FolderCorpus(kind="folder", path=str(root / "audio"))
        audio = prepare.run(prepare.PrepareSpec(name="noise", corpus=corpus, workdir=str(root / "work")))
        for name, spec in EMBEDDERS.items():
            embedder = open_embedder(spec, Framing())
            embedder.embed(windows[:32])  # tracing is not counted
            start = time.perf_counter()
            for first in range(0, len(windows), 32):
                embedder.embed(windows[first : first + 32])
            loop = time.perf_counter() - start
            job = embed.EmbedSpec(
                audio=(audio,), embedder=spec, framing=Framing(), workdir=str(root / "work"), name=name
            )
            start = time.perf_counter()
            embed.run(job)
            whole = time.perf_counter() - start
            speeds = [clips * SECONDS / taken for taken in (loop, whole)]
            print(f"{name}: loop {speeds[0]:.0f}x, job {speeds[1]:.0f}x real time, {loop / whole:.2f} of the loop")


def make_corpus(folder: Path, clips: int) -> np.ndarray:
    """Writes the clips as 16 kHz WAV and returns all their windows."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    cut = []
    for number in range(clips):
        samples = rng.uniform(-0.5, 0.5, SECONDS * 16_000).astype(np.float32)
        soundfile.write(folder / f"{number:05d}.wav", samples, 16_000)
        cut.append(frame(samples, Framing()))
    return np.concatenate(cut)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 512)
