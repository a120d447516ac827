"""A worker process of Beam's local runner: `python -m pipelines.beam.worker`."""

import sys

from apache_beam.runners.worker import sdk_worker, sdk_worker_main


def print_nothing() -> None:
    """Keeps Beam from printing what a step raised: it logs the same, and the launcher decides what becomes of that."""
    sdk_worker.print = lambda *_, **__: None


if __name__ == "__main__":
    print_nothing()
    sdk_worker_main.main(sys.argv)
