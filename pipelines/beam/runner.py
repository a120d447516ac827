"""Runs a Beam job: one element a shard, progress by counting finished shards, errors as our own.

Nothing large crosses a shuffle: what is sent to workers is a plan, and what they make goes to storage.
"""

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING

from trillsson import errors
from trillsson.errors import InputError, TrillssonError
from trillsson.progress import bar

if TYPE_CHECKING:
    import apache_beam as beam

LOCAL_RUNNER = ("--runner=FnApiRunner",)
"""`DirectRunner` would first try to download another runner."""

_LOOK_SECONDS = 2.0
_BEATS = 8
"""Looks without news after which a long shard shows that it is still at work."""

_RAISED = re.compile(r"(?:trillsson\.errors\.)?\b(InputError|IntegrityError|GateError|TransientError): (.+)")
_STEP = re.compile(r" \[while running '[^']*'\]?.*$", re.DOTALL)


def run_pipeline(build: "Callable[[beam.Pipeline], object]", options: Sequence[str]) -> None:
    """Builds a pipeline and waits for it.

    Args:
        build: applies the transforms to the pipeline it is given.
        options: Beam's own command-line options, such as `--runner=FlinkRunner`.

    Raises:
        InputError: the runner is one that loses data, or an option is unknown.
        TrillssonError: whatever a worker raised.
    """
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    if any("DaskRunner" in option for option in options):
        raise InputError("Beam's DaskRunner loses data silently; choose FnApiRunner, FlinkRunner or DataflowRunner")
    try:
        with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
            build(pipeline)
    except TrillssonError as error:
        raise _without_step(error) from error
    except Exception as error:
        if ours := _worker_error(str(error)):
            raise ours from error
        raise


@contextmanager
def shard_progress(description: str, missing: int, finished: Callable[[], int]) -> Iterator[None]:
    """Shows how many of the missing shards are finished while a job runs, on whatever runner.

    Args:
        description: what is being done.
        missing: shards to make.
        finished: counts those that are in place.
    """
    done = threading.Event()
    with bar(description, missing, unit="shards") as progress:

        def watch() -> None:
            for beat in count(1):
                if done.wait(_LOOK_SECONDS):
                    return
                if new := finished() - progress.n:
                    progress.update(new)
                elif not beat % _BEATS:
                    progress.refresh()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
        progress.update(missing - progress.n)


def _worker_error(text: str) -> TrillssonError | None:
    """Finds one of our errors in what a runner reports: most runners keep only the text of a worker's exception."""
    found = _RAISED.findall(text)
    if not found:
        return None
    name, message = found[-1]
    error: TrillssonError = getattr(errors, name)(_STEP.sub("", message))
    return error


def _without_step(error: TrillssonError) -> TrillssonError:
    return type(error)(_STEP.sub("", str(error)))
