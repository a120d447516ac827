"""Hosts: where they cannot be made, one line says so."""

import os

import pytest

from pipelines.engine import hosts
from pipelines.engine.hosts import Host, check_rights, host_names
from trillsson.errors import InputError


def test_where_a_host_is() -> None:
    host = Host("worker-3", 13)
    assert (host.address, host.namespace) == ("10.77.0.13", "trillsson-worker-3")


def test_without_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    message = r"^the engine's hosts are network namespaces, which only root may make; run as root$"
    with pytest.raises(InputError, match=message):
        check_rights()


def test_without_iproute2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match=r"^ip is not installed; install it, such as Debian's iproute2$"):
        host_names()


def test_what_ip_refuses_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(command: list[str], **_: object) -> hosts.subprocess.CompletedProcess[str]:
        return hosts.subprocess.CompletedProcess(command, 1, "", "RTNETLINK answers: Operation not permitted\n")

    monkeypatch.setattr(hosts.subprocess, "run", refuses)
    told = "`ip netns list` failed: RTNETLINK answers: Operation not permitted"
    fix = "if this is Linux and you are root, `trillsson engine down` removes what is half made"
    with pytest.raises(InputError, match=f"^{told}; {fix}$"):
        Host("worker-1", 11).create()


def test_only_its_own_hosts_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "_ip", lambda *_: "trillsson-worker-1 (id: 1)\nother\ntrillsson-job-manager (id: 0)\n")
    assert host_names() == ["job-manager", "worker-1"]
