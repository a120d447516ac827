"""Hosts on one machine: network namespaces, joined by a bridge, each with a `/tmp` of its own. Needs root."""

import contextlib
import fcntl
import os
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from trillsson.errors import InputError, TransientError, TrillssonError

GATEWAY = "10.77.0.1"
"""This machine's own address, as the hosts see it."""

TEMPORARY = Path("/tmp")  # noqa: S108
"""The folder of which each host has its own."""

_BRIDGE = "trillsson0"
_PREFIX = "trillsson-"
_START = """
private=$1; kept=$2; shift 2
printf '%s' "$kept" | while IFS= read -r path; do
    mkdir -p "$private/${path#/tmp/}" && mount --bind "$path" "$private/${path#/tmp/}" || exit 1
done && mount --rbind "$private" /tmp && exec "$@"
"""
_END_SECONDS = 10.0


@dataclass(frozen=True)
class Host:
    """One host: a short name, and its number in the network."""

    name: str
    number: int

    @property
    def address(self) -> str:
        """Its address."""
        return f"10.77.0.{self.number}"

    @property
    def namespace(self) -> str:
        """Name of its network namespace."""
        return _PREFIX + self.name

    @property
    def _device(self) -> str:
        return f"trillsson{self.number}"

    def create(self) -> None:
        """Makes the host, if it is not there; what a killed call left of one is made anew."""
        if self.namespace in _namespaces():
            if _answers("-n", self.namespace, "address", "show", "to", self.address):
                return
            self.remove()
        _make_bridge()
        _ip("netns", "add", self.namespace)
        _ip("link", "add", self._device, "type", "veth", "peer", "name", "eth0", "netns", self.namespace)
        _ip("link", "set", self._device, "master", _BRIDGE, "up")
        for device in ("lo", "eth0"):
            _ip("-n", self.namespace, "link", "set", device, "up")
        _ip("-n", self.namespace, "address", "add", f"{self.address}/24", "dev", "eth0")  # last: it tells a whole host

    def start(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        log: Path,
        environment: Mapping[str, str],
        share: Collection[Path],
    ) -> "subprocess.Popen[bytes]":
        """Starts a process on the host, in the background, and returns it.

        Args:
            command: what to run.
            folder: what is `/tmp` there; made if it is not there.
            log: file that its output is added to.
            environment: what it is told beyond this process's own environment.
            share: paths that it sees although they are below `/tmp`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        kept = "".join(f"{path}\n" for path in share if path.is_relative_to(TEMPORARY))
        inside = ["ip", "netns", "exec", self.namespace, "unshare", "--mount", "--propagation", "private"]
        with log.open("ab") as output:
            return subprocess.Popen(  # noqa: S603  # our own words
                [*inside, "sh", "-c", _START, "sh", str(folder), kept, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,
            )

    def processes(self, word: str = "") -> list[psutil.Process]:
        """Returns the processes on the host whose command has a word in it."""
        if self.namespace not in _namespaces():
            return []
        found = []
        for pid in _ip("netns", "pids", self.namespace).split():
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(int(pid))
                if word in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def kill(self, word: str = "") -> int:
        """Kills the processes whose command has a word in it, and waits for their end; returns how many.

        Raises:
            TransientError: one does not end.
        """
        processes = self.processes(word)
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        _, left = psutil.wait_procs(processes, timeout=_END_SECONDS)
        if left:
            pids = ", ".join(str(process.pid) for process in left)
            raise TransientError(f"processes {pids} of host {self.name} do not end; wait for them and run again")
        return len(processes)

    def cut_off(self) -> None:
        """Takes the host off the network; its processes run on."""
        _ip("link", "set", self._device, "down")

    def join(self) -> None:
        """Puts the host back on the network."""
        _ip("link", "set", self._device, "up")

    def remove(self) -> None:
        """Ends the host and all that runs on it.

        Raises:
            TransientError: a process does not end.
        """
        if self.namespace not in _namespaces():
            return
        while self.kill():  # what they have started meanwhile, too
            pass
        with contextlib.suppress(TrillssonError):
            _ip("-n", self.namespace, "link", "delete", "eth0")  # at once, and its other end: else some time later
        _ip("netns", "delete", self.namespace)


@contextmanager
def alone() -> Iterator[None]:
    """Lets one process at a time change the hosts.

    Raises:
        TransientError: another does.
    """
    with Path("/run/trillsson-engine.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TransientError("another process brings the engine up or down; wait for it and run again") from error
        yield


def check_rights() -> None:
    """Refuses to begin where hosts cannot be made.

    Raises:
        InputError: this is not root.
    """
    if os.geteuid() != 0:
        raise InputError("the engine's hosts are network namespaces, which only root may make; run as root")


def host_names() -> list[str]:
    """Returns the names of the hosts that are there."""
    return sorted(name.removeprefix(_PREFIX) for name in _namespaces() if name.startswith(_PREFIX))


def remove_bridge() -> None:
    """Removes what joined the hosts."""
    with contextlib.suppress(TrillssonError):
        _ip("link", "delete", _BRIDGE)


def filters_bridges() -> bool:
    """Tells whether this machine's firewall has a say in what goes from host to host, as Docker has it."""
    setting = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    return setting.exists() and setting.read_text().strip() == "1"


def _make_bridge() -> None:
    if _answers("address", "show", "dev", _BRIDGE, "to", GATEWAY):
        return
    if used := _ip("-4", "route", "show", "to", "match", GATEWAY, "scope", "link"):
        raise InputError(
            f"the network of {GATEWAY} is in use here ({used.strip()}); the engine needs 10.77.0.0/24 for itself"
        )
    remove_bridge()
    _ip("link", "add", _BRIDGE, "type", "bridge")
    _ip("link", "set", _BRIDGE, "up")
    _ip("address", "add", f"{GATEWAY}/24", "dev", _BRIDGE)


def _answers(*words: str) -> bool:
    """Tells whether `ip` has anything to say."""
    try:
        return bool(_ip(*words).strip())
    except TrillssonError:
        return False


def _namespaces() -> list[str]:
    return [line.split()[0] for line in _ip("netns", "list").splitlines() if line.strip()]


def _ip(*words: str) -> str:
    try:
        done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)  # noqa: S603, S607
    except FileNotFoundError as error:
        raise InputError("ip is not installed; install it, such as Debian's iproute2") from error
    if done.returncode:
        told = f"`ip {' '.join(words)}` failed: {done.stderr.strip()}"
        fix = "if this is Linux and you are root, `trillsson engine down` removes what is half made"
        raise InputError(f"{told}; {fix}")
    return done.stdout
