"""TensorBoard logs of one training, beside its checkpoints."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from trillsson.storage import GCS_SCHEME, join, open_storage

Board = Callable[[Mapping[str, float]], None]


@contextmanager
def open_board(uri: str) -> Iterator[Board]:
    """Yields a function that logs one interval: `step`, and any scalars. On `gs://` the log goes up at the end."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory(prefix="trillsson-") as scratch:
        remote = uri.startswith(GCS_SCHEME)
        folder = Path(scratch) if remote else Path(uri) / "tensorboard"
        writer = tf.summary.create_file_writer(str(folder))

        def log(scalars: Mapping[str, float]) -> None:
            with writer.as_default(step=int(scalars["step"])):
                for name, value in scalars.items():
                    if name != "step":
                        tf.summary.scalar(name, value)
            writer.flush()

        yield log
        writer.close()
        if remote:
            storage = open_storage(join(uri, "tensorboard"))
            for path in folder.rglob("events.*"):
                storage.create_from(path.name, path)
