"""What a cluster is made of, where its parts are found, and the note of the one that is up on this machine."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from pipelines.engine.hosts import TEMPORARY, Host, host_names
from trillsson.errors import InputError

JOB_MANAGER = Host("job-manager", 2)
REST_PORT = 8081
POOL_PORT = 50_000

_MOST_WORKERS = 200
_NOTE = Path("/run/trillsson-engine.json")
"""Gone after a restart of the machine, as the cluster is."""


def default_cache() -> Path:
    """Returns where the JARs are kept, if no other place is given."""
    return Path("~/.cache/trillsson/engine").expanduser()


def worker_host(number: int) -> Host:
    """Returns the host of the worker of that number, from 1."""
    return Host(f"worker-{number}", 10 + number)


@dataclass(frozen=True)
class Engine:
    """What a cluster is made of.

    Attributes:
        folder: where its logs lie, and the temporary folders of its hosts.
        workers: how many.
        slots: tasks that each runs at a time.
        memory: of a task manager's process, in MB; Python comes on top.
        share: folders below `/tmp` that every host sees, as a mounted disk; elsewhere all are seen.
        cache: where the JARs are kept.

    Raises:
        InputError: too few or too many workers, or all of `/tmp` is to be shared.
    """

    folder: Path
    workers: int = 2
    slots: int = 2
    memory: int = 2_048
    share: tuple[Path, ...] = ()
    cache: Path = field(default_factory=default_cache)

    def __post_init__(self) -> None:
        """Checks the workers, of which each has an address, and the shared folders."""
        if not 1 <= self.workers <= _MOST_WORKERS:
            raise InputError(f"{self.workers} workers: give 1 to {_MOST_WORKERS}")
        if TEMPORARY in self.share:
            raise InputError(f"{TEMPORARY} cannot be shared: each host has its own; share a folder in it")

    def hosts(self) -> Iterator[Host]:
        """Yields all of its hosts."""
        yield JOB_MANAGER
        yield from self.worker_hosts()

    def worker_hosts(self) -> Iterator[Host]:
        """Yields the hosts that compute."""
        yield from map(worker_host, range(1, self.workers + 1))

    def host_folder(self, host: Host) -> Path:
        """Returns where a host's config, logs and `/tmp` lie."""
        return self.folder.absolute() / host.name

    def private(self, host: Host) -> Path:
        """Returns what is `/tmp` on a host."""
        return self.host_folder(host) / "tmp"

    def note(self) -> None:
        """Notes on this machine that this is the cluster that is up.

        Raises:
            InputError: another one is: only workers may be added to what runs.
        """
        wanted, running = self._settings(), _read_note()
        for name, value in running.items():
            if wanted[name] != value and not (name == "workers" and wanted[name] > value):
                told = f"the engine that is up has {name} {_shown(value)}, not {_shown(wanted[name])}"
                raise InputError(f"{told}; end it first with `trillsson engine down`")
        _NOTE.write_text(json.dumps(wanted), encoding="utf-8")

    def _settings(self) -> dict[str, Any]:
        paths = {"folder": str(self.folder.absolute()), "cache": str(self.cache.absolute())}
        return {**asdict(self), **paths, "share": sorted(str(path.absolute()) for path in self.share)}


def noted() -> Engine | None:
    """Returns the cluster that is noted as up, or None."""
    if not (note := _read_note()):
        return None
    paths = {"folder": Path(note["folder"]), "cache": Path(note["cache"])}
    return Engine(**{**note, **paths, "share": tuple(map(Path, note["share"]))})


def chosen(
    *, folder: Path | None = None, workers: int | None = None, slots: int | None = None, share: Sequence[Path] = ()
) -> Engine:
    """Returns the cluster that is up, or the usual one, with what is given in place of what it has."""
    base = (noted() if host_names() else None) or Engine(Path("work/engine"))
    return replace(
        base,
        folder=folder or base.folder,
        workers=workers or base.workers,
        slots=slots or base.slots,
        share=tuple(path.absolute() for path in share) or base.share,
    )


def forget() -> None:
    """Notes that none is up any more."""
    _NOTE.unlink(missing_ok=True)


def _read_note() -> dict[str, Any]:
    """Returns what is noted, or nothing if that is half of it, of a killed call, or of another version of this code."""
    try:
        found: dict[str, Any] = json.loads(_NOTE.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if found.keys() == {each.name for each in fields(Engine)} else {}


def _shown(value: Any) -> str:
    return " ".join(value) or "none" if isinstance(value, list) else str(value)
