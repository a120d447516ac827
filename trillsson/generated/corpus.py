"""Makes the generated corpus on disk: audio files, then `labels.csv`, to be read as any user's folder is."""

import csv
import fcntl
import hashlib
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO

from trillsson.config import GeneratedCorpus
from trillsson.digests import canonical_json, digest_of
from trillsson.errors import InputError, TransientError, TrillssonError
from trillsson.generated.espeak import loader
from trillsson.generated.recipes import Utterance
from trillsson.generated.tasks import TASKS, plan
from trillsson.storage import HIDDEN, LocalStorage

LABELS = "labels.csv"
"""Written last: a corpus exists when it does."""

MARKER = "generated.json"
"""Written first: which corpus the folder is for."""

WORKER = "trillsson.generated.worker"

VERSION = 1
"""Raise it when the same recipe comes to sound otherwise."""

_LEFTOVERS = f"{HIDDEN}*"  # what `LocalStorage` leaves of a write that was killed

Progress = Callable[[int, int], None]


def generate(
    spec: GeneratedCorpus, folder: Path, *, progress: Progress | None = None, workers: int | None = None
) -> None:
    """Makes the corpus of `spec` in `folder`: `<task>/<split>/<label>-<nnn>.flac` (or `.wav`) and `labels.csv`.

    The columns of `labels.csv` are `path`, `task`, `speaker`, `split`, and one a task with the clip's class, empty
    where the clip belongs to another task. The bytes depend on the spec alone, not on `workers` or on how often a run
    was killed; files that are there are kept. Two runs at once take turns.

    Args:
        spec: seed and scale.
        folder: a new folder, or one that an earlier run with the same spec has begun or finished.
        progress: called with the clips in place and all clips, now and then.
        workers: processes; as many as there are usable CPUs if not given.

    Raises:
        InputError: espeakng-loader is not installed; the folder holds something else; it cannot be written.
        TransientError: the disk is full, or a worker was killed.
    """
    utterances = plan(spec)
    storage = LocalStorage(folder)
    if not (folder / LABELS).exists():
        loader()
    _claim(storage, spec, utterances)
    with _one_at_a_time(folder / MARKER) as lock:
        if (folder / LABELS).exists():
            return
        for leftover in folder.rglob(_LEFTOVERS):
            leftover.unlink(missing_ok=True)
        shares = min(workers or _usable_cpus(), len(utterances))
        _run(spec, folder, shares=shares, lock=lock, report=_reporter(progress, len(utterances)))
        storage.create(LABELS, _table(utterances))


def identity(spec: GeneratedCorpus) -> str:
    """Returns the SHA-256 of all that decides the corpus: the spec, its recipes, and how recipes sound."""
    return hashlib.sha256(_marker(spec, plan(spec))).hexdigest()


def _marker(spec: GeneratedCorpus, utterances: Sequence[Utterance]) -> bytes:
    recipes = digest_of([asdict(utterance) for utterance in utterances])
    return canonical_json({"spec": spec.model_dump(mode="json"), "recipes": recipes, "version": VERSION})


def _claim(storage: LocalStorage, spec: GeneratedCorpus, utterances: Sequence[Utterance]) -> None:
    """Marks the folder as this spec's."""
    marker = _marker(spec, utterances)
    if storage.read(MARKER) is None and storage.read(LABELS) is not None:
        raise InputError(
            f"{storage.uri} holds a {LABELS} of something else; give a new folder for the generated corpus"
        )
    if not storage.create(MARKER, marker) and storage.read(MARKER) != marker:
        found = (storage.read(MARKER) or b"").decode(errors="replace")
        raise InputError(
            f"{storage.uri} holds another generated corpus, {found}, not seed {spec.seed}, scale {spec.scale}, version"
            f" {VERSION}; give a new folder, or delete this one"
        )


@contextmanager
def _one_at_a_time(marker: Path) -> Iterator[IO[bytes]]:
    """Holds a lock on the folder. Workers inherit it, so it outlives this process while one of them still writes."""
    with marker.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock


def _run(spec: GeneratedCorpus, folder: Path, *, shares: int, lock: IO[bytes], report: Callable[[int], None]) -> None:
    """Runs one worker a share to its end, and raises what the first that failed says."""
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with ExitStack() as stack:
        reader, writer = os.pipe()
        done = stack.enter_context(os.fdopen(reader, "rb", buffering=0))
        workers: list[tuple[subprocess.Popen[bytes], IO[bytes]]] = []
        with os.fdopen(writer, "wb") as pipe:
            for share in range(shares):
                said: IO[bytes] = stack.enter_context(tempfile.TemporaryFile())
                process = subprocess.Popen(  # noqa: S603  # no shell, and our own module
                    [sys.executable, "-P", "-m", WORKER, str(folder), spec.model_dump_json(), str(share), str(shares)],
                    stdin=subprocess.DEVNULL,
                    stdout=pipe,
                    stderr=said,
                    env={**os.environ, **one_thread},
                    pass_fds=[lock.fileno()],
                )
                stack.callback(process.wait)
                stack.callback(process.terminate)
                workers.append((process, said))
        while more := done.read(1 << 16):
            report(len(more))
        for process, words in workers:
            if process.wait():
                words.seek(0)
                raise _failure(process.returncode, words.read().decode(errors="replace").strip())


def _failure(status: int, said: str) -> Exception:
    kinds = {kind.exit_status: kind for kind in TrillssonError.__subclasses__()}
    if status in kinds:
        return kinds[status](said.rpartition("\n")[2])
    if status < 0:
        return TransientError(
            f"a worker of the generated corpus died of signal {-status}; run again: what is made is kept"
        )
    return RuntimeError(f"a worker of the generated corpus failed:\n{said}")


def _reporter(progress: Progress | None, total: int) -> Callable[[int], None]:
    done = 0

    def report(more: int) -> None:
        nonlocal done
        done += more
        if progress:
            progress(done, total)

    return report


def _table(utterances: Sequence[Utterance]) -> bytes:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["path", "task", "speaker", "split", *TASKS])
    for utterance in utterances:
        labels = [utterance.label if utterance.task == task else "" for task in TASKS]
        table.writerow([utterance.path, utterance.task, utterance.speech.voice, utterance.split, *labels])
    return text.getvalue().encode()


def _usable_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
