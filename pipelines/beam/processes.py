"""Beam's local runner, with worker processes that can be interrupted and end for certain.

Imports Beam: import it where a job runs.
"""

import contextlib
import shlex
import sys
import threading
from typing import Any

import psutil
from apache_beam.portability import python_urns
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.portability.fn_api_runner.worker_handlers import SubprocessSdkWorkerHandler, WorkerHandler
from apache_beam.runners.portability.local_job_service import SubprocessSdkWorker

_PROCESS = "trillsson:env:process:v1"
_WORKER = "pipelines.beam.worker"
_LEAVE_SECONDS = 5.0


class LocalRunner(FnApiRunner):
    """Beam's local runner, with worker processes of our own."""

    def run_via_runner_api(self, pipeline_proto: Any, options: Any) -> Any:
        """Runs the pipeline."""
        for environment in pipeline_proto.components.environments.values():
            if environment.urn == python_urns.SUBPROCESS_SDK:
                environment.urn = _PROCESS
        return super().run_via_runner_api(pipeline_proto, options)


@WorkerHandler.register_environment(_PROCESS, bytes)
class _ProcessHandler(SubprocessSdkWorkerHandler):
    """Starts one worker process, which leaves a terminal's Ctrl-C to the launcher, and ends it for certain."""

    def start_worker(self) -> None:
        command = f"trap '' INT; exec {shlex.quote(sys.executable)} -m {_WORKER} {self.worker_id}".encode()
        self.worker = _Process(command, self.control_address, self.provision_info, self.worker_id)
        self.worker_thread = threading.Thread(name="run_worker", target=self.worker.run)
        self.worker_thread.start()

    def stop_worker(self) -> None:
        # One that connects after the job has failed would wait for work for ever, and Beam for it.
        self.worker_thread.join(_LEAVE_SECONDS)
        self.worker.over = True
        kill_workers(self.worker_id)
        self.worker_thread.join()


class _Process(SubprocessSdkWorker):
    over = False

    def run(self) -> None:
        try:
            super().run()
        except RuntimeError:
            if not self.over:
                raise


def kill_workers(worker: str = "") -> bool:
    """Kills the worker process of that id, or all; returns whether there were any."""
    found = False
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            command = " ".join(child.cmdline())  # the shell's, for a moment
            if _WORKER in command and command.endswith(worker):
                child.kill()
                found = True
    return found
