"""Seeds for Keras models that leave the process's own random state alone."""

import random
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within the block, newly made Keras layers draw initial weights and dropout masks from `seed`.

    Keras takes the seed of an initialiser that names none from Python's `random` when the layer is made
    (`keras/src/random/seed_generator.py`); so, unlike `keras.utils.set_random_seed`, this can put back what it found.
    """
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
