"""How fast prepare is against the plain loop that decodes and resamples the same files, side by side in one run.

    .venv/bin/python benchmarks/prepare_job.py [minutes of audio a format] [one format, such as WAV]

The loop reads each file with soundfile, averages its channels and resamples with soxr, and throws the result away. The
job is all of `prepare`: list, plan, decode, cut, digest, write shards, indexes, entries and the manifest. Both are
measured in hours of audio an hour of CPU, all threads counted, pinned to one core, in turns, the median of three.
Imports are not counted; Beam's own start, some 0.4 s, is, which is why there are hours of audio.
Speech is that of TRILLSSON_SPEECH_DATA (librispeech_mini), or harmonics where there is none.
"""

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import apache_beam  # noqa: F401  # start-up is not counted
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from pipelines.beam import prepare
from trillsson.config import FolderCorpus

SECONDS = 15
ROUNDS = 3
FORMATS = {
    "FLAC 16 kHz mono": (".flac", 16_000, 1),
    "MP3 44.1 kHz stereo": (".mp3", 44_100, 2),
    "WAV 48 kHz mono": (".wav", 48_000, 1),
}


def main(minutes: float, wanted: str) -> None:
    """Prints one row of a table a format whose name has `wanted` in it."""
    print("| format | loop, x real time | prepare, x real time | ratio |")
    print("|---|---|---|---|")
    files = int(minutes * 60 / SECONDS)
    for name, (extension, rate, channels) in FORMATS.items():
        if wanted not in name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            write_corpus(Path(folder) / "audio", extension, rate=rate, channels=channels, files=files)
            speeds = [(speed(files, plain_loop, folder), speed(files, job, folder)) for _ in range(ROUNDS + 1)][1:]
        loop, whole, ratio = (
            statistics.median(values) for values in zip(*((a, b, b / a) for a, b in speeds), strict=True)
        )
        print(f"| {name} | {loop:.0f} | {whole:.0f} | {ratio:.2f} |", flush=True)


def speed(files: int, work: Callable[[Path, Path], None], folder: str) -> float:
    """Returns seconds of audio a second of CPU time, all threads counted."""
    start = time.process_time()
    work(Path(folder) / "audio", Path(folder) / "work")
    taken = time.process_time() - start
    # So that the next round writes to memory that this machine has used before: a virtual one pays for the first use.
    shutil.rmtree(Path(folder) / "work", ignore_errors=True)
    return files * SECONDS / taken


def plain_loop(folder: Path, _: Path) -> None:
    """What anybody would write."""
    for path in sorted(folder.iterdir()):
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        mono = samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0]
        if rate != 16_000:
            soxr.resample(mono, rate, 16_000)


def job(folder: Path, workdir: Path) -> None:
    """All of prepare."""
    corpus = FolderCorpus(kind="folder", path=str(folder))
    prepare.run(prepare.PrepareSpec(name="bench", corpus=corpus, workdir=str(workdir)))


def write_corpus(folder: Path, extension: str, *, rate: int, channels: int, files: int) -> None:
    """Writes files of `SECONDS` each, of speech at the given rate."""
    folder.mkdir()
    speech = some_speech(rate)
    for number in range(files):
        start = (number * 7_919) % (speech.size - SECONDS * rate)
        piece = speech[start : start + SECONDS * rate]
        soundfile.write(folder / f"{number:05d}{extension}", np.stack([piece] * channels, axis=1), rate)


def some_speech(rate: int) -> NDArray[np.float32]:
    """Returns two minutes of speech, or of harmonics that come and go."""
    root = Path(os.environ.get("TRILLSSON_SPEECH_DATA", "../shared/speech")) / "librispeech_mini"
    paths = sorted(root.rglob("*.flac"))[:20]
    if paths:
        speech = np.concatenate([soundfile.read(path, dtype="float32")[0] for path in paths])
    else:
        at = np.arange(120 * 16_000) / 16_000
        speech = sum(np.sin(2 * np.pi * 120 * k * at) / k for k in range(1, 30)) * (1 + np.sin(20 * at)) / 8
        speech = (speech + np.random.default_rng(0).normal(0, 0.003, at.size)).astype(np.float32)
    resampled: NDArray[np.float32] = soxr.resample(speech, 16_000, rate)
    return np.clip(resampled, -1, 1)


if __name__ == "__main__":
    os.sched_setaffinity(0, {0})
    main(float((sys.argv[1:] or ["360"])[0]), (sys.argv[2:] or [""])[0])
