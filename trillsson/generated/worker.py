"""A worker process of the generator: `python -m trillsson.generated.worker FOLDER SPEC SHARE SHARES`.

It is a fresh process because every utterance forks, which is unsafe beside the threads of TensorFlow or Beam. It
writes one byte to standard output for each clip of its share that is in place. A failure is one line on standard
error and the exit status of its class in `trillsson.errors`.
"""

import os
import sys
from pathlib import Path

from trillsson.config import GeneratedCorpus
from trillsson.errors import TrillssonError
from trillsson.generated.espeak import Espeak
from trillsson.generated.render import render
from trillsson.generated.tasks import plan
from trillsson.storage import LocalStorage


def main() -> None:
    """Makes the files of one share that are not there."""
    folder, spec, share, shares = sys.argv[1:]
    try:
        make_share(GeneratedCorpus.model_validate_json(spec), Path(folder), share=int(share), shares=int(shares))
    except TrillssonError as error:
        sys.stderr.write(str(error))
        sys.exit(error.exit_status)


def make_share(spec: GeneratedCorpus, folder: Path, *, share: int, shares: int) -> None:
    """Makes every `shares`-th file, from number `share`.

    Raises:
        InputError: espeak-ng is not installed, or the folder cannot be written.
        TransientError: the disk is full, or espeak-ng died.
    """
    espeak, storage = Espeak(), LocalStorage(folder)
    for utterance in plan(spec)[share::shares]:
        if not (folder / utterance.path).exists():
            storage.create(utterance.path, render(utterance, espeak))
        os.write(sys.stdout.fileno(), b".")


if __name__ == "__main__":
    main()
