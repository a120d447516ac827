"""Seeds: what is drawn belongs to the seed, whatever else in the process draws meanwhile."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np

from trillsson.seeding import seeded


def kernel(seed: int) -> np.ndarray:
    with seeded(seed):
        return np.asarray(keras.initializers.GlorotUniform()((4, 4)))


def test_a_seed_decides_what_is_drawn() -> None:
    np.testing.assert_array_equal(kernel(1), kernel(1))
    assert not np.array_equal(kernel(1), kernel(2))


def test_other_threads_do_not_disturb_it() -> None:
    with seeded(1):
        wanted = [np.asarray(keras.initializers.GlorotUniform()((4, 4))) for _ in range(2)]
    with seeded(1):
        first = np.asarray(keras.initializers.GlorotUniform()((4, 4)))
        other = threading.Thread(target=random.random)
        other.start()
        other.join()
        second = np.asarray(keras.initializers.GlorotUniform()((4, 4)))
    np.testing.assert_array_equal([first, second], wanted)


def test_blocks_in_several_threads_do_not_disturb_each_other() -> None:
    def draw(seed: int) -> np.ndarray:
        with seeded(seed):
            first = np.asarray(keras.initializers.GlorotUniform()((4, 4)))
            time.sleep(0.01)
            return np.asarray([first, keras.initializers.GlorotUniform()((4, 4))])

    seeds = [number % 3 for number in range(9)]
    wanted = [draw(seed) for seed in seeds]
    with ThreadPoolExecutor(len(seeds)) as threads:
        np.testing.assert_array_equal(list(threads.map(draw, seeds)), wanted)


def test_the_process_own_draws_go_on_as_they_were() -> None:
    random.seed(5)
    wanted = random.random()
    random.seed(5)
    kernel(1)
    assert random.random() == wanted
