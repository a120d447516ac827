import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from trillsson.config import GeneratedCorpus
from trillsson.errors import TrillssonError
from trillsson.generated.corpus import generate
from trillsson.generated.espeak import Speech

Say = Callable[..., list[NDArray[np.int16]]]

# Speaking forks, so it is done in a process of its own: this one may hold the threads of other tests.
SPEAK = """
import pickle, sys
from trillsson.errors import TrillssonError
from trillsson.generated.espeak import Espeak
try:
    espeak = Espeak()
    said = [espeak.say(speech) for speech in pickle.load(sys.stdin.buffer)]
except TrillssonError as error:
    said = error
pickle.dump(said, sys.stdout.buffer)
"""


@pytest.fixture(scope="session")
def say() -> Say:
    """Speaks one `Speech` after another in one new process, and returns or raises what comes of it."""
    pytest.importorskip(
        "espeakng_loader", reason="espeakng-loader is not installed: pip install 'trillsson[quickstart]'"
    )

    def speak(*speeches: Speech) -> list[NDArray[np.int16]]:
        done = subprocess.run(
            [sys.executable, "-c", SPEAK], input=pickle.dumps(speeches), capture_output=True, check=True
        )
        said = pickle.loads(done.stdout)
        if isinstance(said, TrillssonError):
            raise said
        return said

    return speak


@pytest.fixture(scope="session")
def spec() -> GeneratedCorpus:
    """The smallest corpus there is."""
    return GeneratedCorpus(kind="generated", seed=7, scale=0.01)


@pytest.fixture(scope="session")
def corpus(spec: GeneratedCorpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole corpus made by two workers. Do not write to it."""
    pytest.importorskip(
        "espeakng_loader", reason="espeakng-loader is not installed: pip install 'trillsson[quickstart]'"
    )
    folder = tmp_path_factory.mktemp("generated")
    generate(spec, folder, workers=2)
    return folder
