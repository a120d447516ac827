"""Checkpoints: everything a training needs to go on as if it had never stopped.

`checkpoints/<step>.npz` holds the model's variables (weights, batch-norm statistics, dropout seeds) and the
optimiser's; `checkpoints/latest.json` holds the losses up to the newest, and is moved after that
one is in place.
"""

import io
import json
from typing import Any, Protocol
from zipfile import BadZipFile

import numpy as np

from trillsson.errors import IntegrityError
from trillsson.storage import Storage

_LATEST = "checkpoints/latest.json"


History = list[dict[str, float]]
"""`step`, `loss` and `validation_loss` of every interval between two checkpoints."""


class Trainable(Protocol):
    """The part of a compiled Keras model that is saved."""

    variables: list[Any]
    optimizer: Any


def save_checkpoint(storage: Storage, model: Trainable, history: History) -> None:
    """Saves the state after the last step of `history`, moves the pointer to it, then drops the state before.

    The pointer never goes back: where another process trains the same student and is ahead, nothing is written.
    """
    step = history[-1]["step"]
    data, token = storage.read_versioned(_LATEST) or (None, None)
    before = _read_history(data, storage)[-1]["step"] if data else 0
    if before >= step:
        return
    storage.create(_path(step), pack_variables([*model.variables, *model.optimizer.variables]))
    if storage.swap(_LATEST, json.dumps(history).encode(), expected=token) and before:
        storage.delete(_path(before))


def restore_checkpoint(storage: Storage, model: Trainable) -> History:
    """Restores the newest state into a freshly built model and returns its history; empty where there is none.

    Raises:
        IntegrityError: the pointer names a checkpoint that is missing or of another model.
    """
    data = storage.read(_LATEST)
    if data is None:
        return []
    history = _read_history(data, storage)
    path = _path(history[-1]["step"])
    state = storage.read(path)
    if state is None:
        raise IntegrityError(f"{storage.uri}/{path} is missing; delete {storage.uri} and train again")
    unpack_variables(state, [*model.variables, *model.optimizer.variables], where=f"{storage.uri}/{path}")
    return history


def _read_history(data: bytes, storage: Storage) -> History:
    try:
        history: History = json.loads(data)
        return [{name: float(value) for name, value in entry.items()} for entry in history]
    except (ValueError, AttributeError, TypeError) as error:
        raise IntegrityError(f"{storage.uri}/{_LATEST} is damaged; delete {storage.uri} and train again") from error


def pack_variables(variables: list[Any]) -> bytes:
    """Serialises the values of Keras variables, in order."""
    buffer = io.BytesIO()
    np.savez(buffer, *(np.asarray(variable.value) for variable in variables))
    return buffer.getvalue()


def unpack_variables(data: bytes, variables: list[Any], *, where: str) -> None:
    """Assigns what `pack_variables` wrote to variables of the same number and shapes.

    Raises:
        IntegrityError: number or shapes differ; `where` names the file.
    """
    try:
        with np.load(io.BytesIO(data)) as arrays:
            values = [arrays[f"arr_{position}"] for position in range(len(arrays.files))]
    except (ValueError, OSError, EOFError, KeyError, BadZipFile) as error:
        raise IntegrityError(f"{where} is damaged; delete its folder and train again") from error
    if [value.shape for value in values] != [tuple(variable.shape) for variable in variables]:
        raise IntegrityError(f"{where} belongs to another model; delete it and train again")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _path(step: float) -> str:
    return f"checkpoints/{int(step):08d}.npz"
