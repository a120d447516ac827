"""Killed anywhere, a rerun gives the dataset of a run that was not; two launchers at once both do."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from trillsson.config import FolderCorpus

JOB = """
import json, os, signal, sys
from functools import partial

import apache_beam  # imported once: each run below is a fork

from pipelines.beam import embed, plan, prepare
from trillsson.config import FolderCorpus, Framing, LogMelBaseline
from trillsson.storage import LocalStorage

prepare.plan_shards = partial(plan.plan_shards, most_items=12)
corpus = FolderCorpus.model_validate_json(sys.argv[1])


def job(workdir, *options):
    audio = prepare.run(prepare.PrepareSpec(name="tones", corpus=corpus, workdir=workdir, beam_options=options))
    framing = Framing(window=8_000, hop=8_000)
    spec = {"embedder": LogMelBaseline(), "framing": framing, "name": "logmel", "beam_options": options}
    embed.run(embed.EmbedSpec(audio=(audio,), workdir=workdir, **spec))
"""

EVERY_WRITE = (
    JOB
    + """
def die_around(number):
    '''Kills this process before (even) or after (odd) the write of that number, counted from 0 in pairs.'''
    writes = 0

    def counted(write):
        def wrapper(*args):
            nonlocal writes
            at, writes = writes, writes + 2
            if at == number:
                os.kill(os.getpid(), signal.SIGKILL)
            done = write(*args)
            if at + 1 == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return done
        return wrapper

    LocalStorage.create = counted(LocalStorage.create)
    LocalStorage.create_from = counted(LocalStorage.create_from)


def run_forked(workdir, number=None):
    if not (child := os.fork()):
        sys.stderr = open(os.devnull, "w")
        if number is not None:
            die_around(number)
        job(workdir)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


number, statuses = 0, []
while not statuses or statuses[-1][0] == -signal.SIGKILL:
    workdir = f"{sys.argv[2]}/{number}"
    statuses.append((run_forked(workdir, number), run_forked(workdir)))
    number += 1
print(json.dumps(statuses))
"""
)


def contents(folder: Path) -> dict[str, bytes]:
    """Maps every file of a dataset to its bytes; hidden drafts are no files, plans are no data."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".trillsson-")]
    names = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: path.read_bytes() for name, path in names.items() if "/plans/" not in name}


def start(script: str, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: "subprocess.Popen[str]") -> str:
    out, errors = process.communicate(timeout=500)
    assert process.returncode == 0, errors
    return out


def test_killed_before_and_after_every_write(tones: FolderCorpus, tmp_path: Path) -> None:
    statuses = json.loads(finish(start(EVERY_WRITE, tones.model_dump_json(), str(tmp_path / "work"))))
    *killed, last = statuses
    # prepare: a plan, 2 shards of 3 writes each, a manifest; embed: 2 shards of 2 writes each, a manifest.
    assert len(killed) == 2 * (1 + 2 * 3 + 1 + 2 * 2 + 1)
    assert killed == [[-9, 0]] * len(killed)
    assert last == [0, 0]
    whole = contents(tmp_path / "work" / str(len(killed)))
    assert len([name for name in whole if name.endswith(".tfrecord")]) == 4
    for number in range(len(killed)):
        assert contents(tmp_path / "work" / str(number)) == whole


def children_of(process: int) -> list[int]:
    """Process ids of a process's descendants."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = status.read_text().rpartition(")")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(rest.split()[1]) == process:
            child = int(name.split()[0])
            found += [child, *children_of(child)]
    return found


def workers_of(process: int) -> list[int]:
    """Process ids of Beam's workers below a launcher, not of the shells that hold them."""
    commands = {child: Path(f"/proc/{child}/cmdline").read_bytes() for child in children_of(process)}
    return [child for child, command in commands.items() if command.startswith(sys.executable.encode())]


def wait_until(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


PROCESSES = "'--direct_num_workers=2', '--direct_running_mode=multi_processing'"
ONE_ERROR = (
    JOB
    + f"""
from pipelines.process import one_line_errors, settle_environment

settle_environment()
with one_line_errors():
    job(sys.argv[2], {PROCESSES})
"""
)


@pytest.mark.parametrize("shards", [0, 1])
def test_a_killed_worker_ends_the_run_and_the_next_one_goes_on(
    tones: FolderCorpus, tmp_path: Path, shards: int
) -> None:
    arguments = (tones.model_dump_json(), str(tmp_path / "work"))
    first = start(ONE_ERROR, *arguments)
    made = (tmp_path / "work").rglob
    wait_until(lambda: len(workers_of(first.pid)) == 2 and len([*made("shards/*.json")]) >= shards, "no worker")
    os.kill(workers_of(first.pid)[0], 9)
    _, errors = first.communicate(timeout=60)
    assert first.returncode == 75
    assert errors.splitlines()[-1] == (
        "trillsson: a worker process was killed (exit status 137): by hand, or for want of memory; "
        "run again, with fewer workers if it is memory: what is done is kept"
    )
    assert "Traceback" not in errors
    finish(start(ONE_ERROR, *arguments))
    finish(start(ONE_ERROR, arguments[0], str(tmp_path / "whole")))
    assert contents(tmp_path / "work") == contents(tmp_path / "whole")


def run_at_once(scripts: Sequence[str], corpus: FolderCorpus, workdir: Path) -> None:
    for process in [start(script, corpus.model_dump_json(), str(workdir)) for script in scripts]:
        finish(process)


def test_two_launchers_at_once_both_end_with_the_right_dataset(tones: FolderCorpus, tmp_path: Path) -> None:
    alone = JOB + "\njob(sys.argv[2])"
    run_at_once([alone], tones, tmp_path / "alone")
    run_at_once([alone, alone], tones, tmp_path / "together")
    assert contents(tmp_path / "together") == contents(tmp_path / "alone")
