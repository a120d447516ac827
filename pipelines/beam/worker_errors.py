"""Our own errors, as they come back from workers: most runners keep only the text of an exception."""

import re

from trillsson import errors
from trillsson.errors import TrillssonError

_OURS = re.compile(r"(?:trillsson\.errors\.)?\b(InputError|IntegrityError|GateError|TransientError): (.+)")
_STEP = re.compile(r" \[while running '[^']*'\]?.*$", re.DOTALL)


def worker_error(text: str) -> TrillssonError | None:
    """Finds one of our errors in what a runner reports."""
    found = _OURS.findall(text)
    if not found:
        return None
    name, message = found[-1]
    error: TrillssonError = getattr(errors, name)(_STEP.sub("", message))
    return error


def without_step(error: TrillssonError) -> TrillssonError:
    """Returns an error without the step that Beam adds to its message."""
    return type(error)(_STEP.sub("", str(error)))
