"""Checkpoints: one at a time, never backwards, never of another model."""

from pathlib import Path

import numpy as np
import pytest

from trillsson.errors import IntegrityError
from trillsson.storage import LocalStorage
from trillsson.training.checkpoints import pack_variables, restore_checkpoint, save_checkpoint, unpack_variables


class Variable:
    """The part of a Keras variable that is saved and assigned."""

    def __init__(self, value: list[float]) -> None:
        self.value = np.array(value)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    def assign(self, value: np.ndarray) -> None:
        self.value = value


class Model:
    """A weight, and an optimiser with a moment."""

    def __init__(self, weight: float = 0.0, moment: float = 0.0) -> None:
        self.variables = [Variable([weight])]
        self.optimizer = type("Optimizer", (), {"variables": [Variable([moment, moment])]})()

    @property
    def state(self) -> tuple[float, float]:
        return self.variables[0].value[0], self.optimizer.variables[0].value[1]


def entry(step: int) -> dict[str, float]:
    return {"step": step, "loss": 0.5, "validation_loss": 0.6}


def test_the_newest_state_comes_back_with_its_history_and_the_older_is_dropped(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    save_checkpoint(storage, Model(1.0, 10.0), [entry(20)])
    save_checkpoint(storage, Model(2.0, 20.0), [entry(20), entry(40)])
    fresh = Model()
    assert restore_checkpoint(storage, fresh) == [entry(20), entry(40)]
    assert fresh.state == (2.0, 20.0)
    assert storage.list("checkpoints") == ["checkpoints/00000040.npz", "checkpoints/latest.json"]


def test_nothing_saved_is_an_empty_history(tmp_path: Path) -> None:
    fresh = Model(3.0)
    assert restore_checkpoint(LocalStorage(tmp_path), fresh) == []
    assert fresh.state == (3.0, 0.0)


def test_a_process_that_lags_behind_does_not_move_the_pointer_back(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    save_checkpoint(storage, Model(4.0), [entry(40)])
    save_checkpoint(storage, Model(2.0), [entry(20)])
    fresh = Model()
    assert restore_checkpoint(storage, fresh) == [entry(40)]
    assert fresh.state == (4.0, 0.0)


def test_a_checkpoint_that_is_gone(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    save_checkpoint(storage, Model(), [entry(20)])
    storage.delete("checkpoints/00000020.npz")
    with pytest.raises(IntegrityError, match=r"checkpoints/00000020\.npz is missing; delete .* and train again"):
        restore_checkpoint(storage, Model())


def test_a_damaged_checkpoint_or_pointer(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    save_checkpoint(storage, Model(), [entry(20)])
    path = tmp_path / "checkpoints/00000020.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(IntegrityError, match=r"00000020\.npz is damaged; delete its folder and train again"):
        restore_checkpoint(storage, Model())
    (tmp_path / "checkpoints/latest.json").write_text("[{")
    with pytest.raises(IntegrityError, match=r"checkpoints/latest\.json is damaged; delete .* and train again"):
        restore_checkpoint(storage, Model())


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0], []])
def test_a_checkpoint_of_another_model(values: list[float]) -> None:
    data = pack_variables([Variable([1.0, 2.0])])
    with pytest.raises(IntegrityError, match=r"^here belongs to another model; delete it and train again$"):
        unpack_variables(data, [Variable(values)] if values else [], where="here")
