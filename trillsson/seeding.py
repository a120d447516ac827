"""Seeds for Keras models that leave the process's own random state alone, and are left alone by it."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

_ONE_AT_A_TIME = RLock()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within the block, newly made Keras layers draw initial weights and dropout masks from `seed`.

    Keras takes the seed of an initialiser that names none from Python's `random` when the layer is made
    (`keras/src/random/seed_generator.py`). Seeding that, as `keras.utils.set_random_seed` does, is not enough: any
    thread may draw from it meanwhile, as Google's client does before it tries again. One thread at a time is in such a
    block: two would draw from each other's seeds, as they did where a worker ran two tasks.
    """
    from keras.src.random import seed_generator

    with _ONE_AT_A_TIME:
        usual = seed_generator.python_random
        seed_generator.python_random = random.Random(seed)  # noqa: S311  # weights, not secrets
        try:
            yield
        finally:
            seed_generator.python_random = usual
