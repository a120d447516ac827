"""Fixtures of the engine's tests: a cluster of two workers that share a bucket with this machine."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.engine.cluster import beam_options, down, up
from pipelines.engine.hosts import GATEWAY, host_names
from pipelines.engine.spec import Engine
from tests.http_faults import Faults, serve
from tests.real_speech import FOLDER
from trillsson.storage import open_storage

STORE = ("STORAGE_EMULATOR_HOST", f"http://{GATEWAY}:4443")
CLIPS = 24
WAIT = 300
START = """
import sys
from functools import partial
from pathlib import Path

from pipelines.beam import embed, plan, prepare
from pipelines.process import one_line_errors, settle_environment
from trillsson.config import ConformerTeacher, FolderCorpus, Framing

settle_environment()
with one_line_errors():
"""
"""What a job of the tests begins with."""


@dataclass
class Cluster:
    """A cluster that is up.

    Attributes:
        engine: what it is made of.
        store: breaks what the launcher and the hosts ask of the bucket.
        source: a `gs://` corpus of `CLIPS` files.
        shared: a folder that this machine and all hosts see.
    """

    engine: Engine
    store: Faults
    source: str
    shared: Path

    def up(self) -> None:
        """Starts again whatever of it was killed."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(*STORE)
            up(self.engine)

    def start(self, command: Sequence[str], *, here: bool = False) -> "subprocess.Popen[str]":
        """Starts a command that takes Beam's options last: on the cluster, or here."""
        options = () if here else beam_options()
        environment = {**os.environ, STORE[0]: STORE[1]}
        return subprocess.Popen(
            [sys.executable, *command, *options],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def finish(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    """Waits for a job; returns its status, what it printed, and what it said of errors."""
    try:
        printed, errors = process.communicate(timeout=WAIT)
    finally:
        process.kill()  # one that takes too long
    return process.returncode, printed.strip(), errors


def done(process: "subprocess.Popen[str]") -> str:
    """Waits for a job that succeeds; returns what it printed."""
    status, printed, errors = finish(process)
    assert status == 0, errors
    return printed


@pytest.fixture(scope="session")
def cluster(gcs_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster of the session."""
    assert not host_names(), "an engine is up already; end it with `trillsson engine down`"
    source = f"{gcs_uri}/tones"
    for number in range(CLIPS):
        time = np.arange(16_000 + 1_000 * number) / 16_000
        file = io.BytesIO()
        soundfile.write(file, 0.3 * np.sin(2 * np.pi * (200 + 7 * number) * time), 16_000, format="WAV")
        open_storage(source).create(f"{number:02d}.wav", file.getvalue())
    shared = tmp_path_factory.mktemp("shared")
    engine = Engine(tmp_path_factory.mktemp("engine"), share=(shared, FOLDER))
    found = Cluster(engine, Faults(os.environ[STORE[0]]), source, shared)
    try:
        found.up()
        with serve(found.store, GATEWAY, 4443):
            yield found
    finally:
        down()
