"""Turns the errors of the operating system and of Google's client into ours: what, where, and the fix, in one line."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trillsson.errors import InputError, TransientError

_USERS_ERRORS = (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
_USERS_ERRNOS = frozenset({errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTSUP, errno.EROFS})


@contextmanager
def explain_os_errors(doing: str, path: Path | str) -> Iterator[None]:
    """Turns the operating system's errors into ours: what, where, and the fix."""
    try:
        yield
    except OSError as error:
        what = f"cannot {doing} {path}: {error.strerror or one_line(error)}"
        if isinstance(error, _USERS_ERRORS) or error.errno in _USERS_ERRNOS:
            raise InputError(f"{what}; give another path or mend its rights") from error
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        fix = "free some space and run again: what is done is kept" if full else "run again"
        raise TransientError(f"{what}; {fix}") from error


@contextmanager
def explain_gcs_errors(doing: str, where: str, *, disk: Path | str) -> Iterator[None]:
    """Turns the errors of Google's client into ours.

    Args:
        doing: the verb.
        where: the object's URI, which the service's errors name.
        disk: what the operating system's errors name.
    """
    from google.api_core.exceptions import BadRequest, Forbidden, GoogleAPIError, NotFound, Unauthorized
    from google.auth.exceptions import GoogleAuthError, TransportError
    from google.cloud.storage.exceptions import DataCorruption

    with explain_os_errors(doing, disk):
        try:
            yield
        except (TransportError, DataCorruption) as error:
            raise _transient(doing, where, error) from error
        except (BadRequest, Forbidden, NotFound, Unauthorized, GoogleAuthError) as error:
            # In the cloud, who one is comes from a server too, which may be out of reach for a moment.
            if isinstance(error.__cause__, TransportError) or getattr(error, "retryable", False):
                raise _transient(doing, where, error) from error
            fix = "check the bucket's name and your access"
            raise InputError(f"cannot {doing} {where}: {one_line(error)}; {fix}") from error
        except GoogleAPIError as error:
            raise _transient(doing, where, error) from error
        except OSError as error:
            # A disk's error has a number. The network's have none, or are ConnectionErrors.
            if error.errno is not None and not isinstance(error, ConnectionError):
                raise
            raise _transient(doing, where, error) from error


def one_line(error: Exception) -> str:
    """Returns the text of an error, which may have several lines, as one."""
    return " ".join(str(error).split())


def _transient(doing: str, where: str, error: Exception) -> TransientError:
    return TransientError(f"cannot {doing} {where}: {one_line(error)}; run again")
