"""Where a model's files are: a local path, what a step left on `gs://`, or a revision on the Hugging Face Hub."""

import re
from pathlib import Path

from trillsson.cache import cache_folder
from trillsson.errors import InputError, TransientError
from trillsson.folders import local_folder
from trillsson.storage import GCS_SCHEME

SCHEME = "hf://"
_ADDRESS = re.compile(r"hf://(?P<repo>[\w.-]+/[\w.-]+)@(?P<revision>[\w.-]+)(?:/(?P<file>.+))?")


def local_path(path: str) -> Path:
    """Returns the local path of a file or folder, downloading it once where the path is on the Hub.

    Args:
        path: a local path; a folder on `gs://` that a step committed; or `hf://owner/repo@revision` with an optional
            `/file` or `/folder` in the repository. The revision (a commit, tag or branch) must be given; only a commit
            never moves.

    Raises:
        InputError: the path does not exist, names no revision, or `huggingface_hub` is not installed.
        TransientError: the Hub cannot be reached.
    """
    if path.startswith(GCS_SCHEME):
        return local_folder(path, cache_folder() / "folders")
    found = _download(path) if path.startswith(SCHEME) else Path(path)
    if not found.exists():
        raise InputError(f"{path} does not exist; give the path of a file or folder that does")
    return found


def _download(path: str) -> Path:
    address = _ADDRESS.fullmatch(path)
    if not address:
        raise InputError(f"{path!r} is not hf://owner/repo@revision/file; the revision (a commit) is required")
    try:
        from huggingface_hub import errors, snapshot_download
    except ImportError as error:
        fix = "pip install 'trillsson[huggingface]'"
        raise InputError(f"{path} needs huggingface_hub, which is not installed; {fix}") from error
    repo, revision, file = address["repo"], address["revision"], address["file"]
    wanted = [file, f"{file}/*"] if file else None
    try:
        folder = snapshot_download(repo, revision=revision, allow_patterns=wanted)
    except (errors.HFValidationError, errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        fix = "check the name and the revision, and log in where it is private"
        raise InputError(f"{path} does not exist on the Hub; {fix}") from error
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, OSError) as error:
        reason = " ".join(str(error).split())
        raise TransientError(f"cannot download {path}: {reason}; run again") from error
    return Path(folder, file) if file else Path(folder)
