"""Runs a compiled release on this machine with KFP's local runner: the very YAML that a cluster would run.

The runner lives in a child process, because it patches `print` and keeps global state. All output goes to a log; the
lines that are meant for people are handed on. A step that fails leaves its cause in a file, since KFP drops it.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from pipelines.process import ERROR_FILE, read_error, settle_environment
from trillsson.errors import TrillssonError
from trillsson.progress import MARK


def run_local(package: Path, *, log: Path, show: Callable[[str], None]) -> None:
    """Runs a compiled pipeline with its default parameters.

    Args:
        package: the compiled YAML.
        log: where everything that the steps print goes.
        show: called with every line that is meant for people.

    Raises:
        TrillssonError: whatever a step raised.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="trillsson-") as folder, log.open("w", encoding="utf-8") as file:
        error_file = Path(folder) / "error.json"
        child = subprocess.Popen(  # noqa: S603  # our own module, our own arguments
            [sys.executable, "-m", "pipelines.kubeflow.local", str(package.absolute()), folder],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, ERROR_FILE: str(error_file), "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"},
            start_new_session=True,
        )
        try:
            for text in _marked(_logged(child.stdout or (), file.write)):
                show(text)
            status = child.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # steps are safe to kill anywhere
            child.wait()
        if status:
            raise read_error(error_file) or TrillssonError(f"a step failed; its output is in {log}")


def _logged(lines: Iterable[str], write: Callable[[str], object]) -> Iterator[str]:
    for line in lines:
        write(line)
        yield line


def _marked(lines: Iterable[str]) -> Iterator[str]:
    """Picks the marked lines out of the runner's output, each once."""
    last = ""
    for line in lines:
        _, mark, text = line.rstrip("\n").partition(MARK)
        if mark and text != last:
            yield text
            last = text


def _main(package: str, root: str) -> None:
    """The child process: runs the YAML, and nothing else."""
    warnings.filterwarnings("ignore", message="You may be attemping to run a task")
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    settle_environment()
    from kfp import components, local

    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=root, raise_on_error=True)
    components.load_component_from_file(package)()


def _end_with(parent: int) -> None:
    """Ends this process and its steps when the one that started it is gone, however it went."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    _main(*sys.argv[1:])
