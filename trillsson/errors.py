"""The error tree: what a caller can do about a failure decides the class, and the class decides the exit status.

Every message says what is wrong, shows the value, and names the fix, in one line. A traceback means a bug.
"""


class TrillssonError(Exception):
    """Base of every error raised on purpose. `exit_status` is what the command line exits with."""

    exit_status = 1


class InputError(TrillssonError):
    """The user's input cannot be used: mend it and run again (exit status 2)."""

    exit_status = 2


class IntegrityError(TrillssonError):
    """Data on disk does not match its manifest: stop (exit status 3)."""

    exit_status = 3


class GateError(TrillssonError):
    """A model is not good enough to publish (exit status 4)."""

    exit_status = 4


class TransientError(TrillssonError):
    """The surroundings failed, such as a full disk or a lost connection: run again later (exit status 75)."""

    exit_status = 75
