"""Raft over mutual TLS: real nodes over loopback, certificates made here."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from cluster import config
from cluster.clock import Clock, SystemClock
from cluster.consensus.hooks import socket_of
from cluster.consensus.secure import Mode, RaftTls, TlsLink
from cluster.consensus.syncobj_log import RaftConfig, SyncObjLog
from cluster.state.commands import AnnounceController, Command, Stamp
from cluster.tls.identity import Identity
from orchestry.errors import OrchestryError
from tests.certificates import Pair, TestCa
from tests.live import until
from tests.raft_logs import one_leader, raft_addresses

WAIT_S = 90.0
SECRET = "a secret of all"


class LastWeek(SystemClock):
    """A clock for which expired certificates still hold."""

    def wall_ms(self) -> int:
        return super().wall_ms() - 2 * 86_400_000


@pytest.fixture
def ca(tmp_path: Path) -> TestCa:
    """The CA of the cluster."""
    return TestCa(tmp_path / "ca")


def raft_tls(ca: str, pair: Pair, mode: Mode = "on", clock: Clock | None = None) -> RaftTls:
    """TLS with these files."""
    settings = config.load({
        "ORCHESTRY_TLS_CERT": pair.cert, "ORCHESTRY_TLS_KEY": pair.key, "ORCHESTRY_TLS_CA": ca,
        "CLUSTER_TLS": mode})
    return RaftTls(mode, Identity(settings, clock or SystemClock()))


class Heard:
    """Takes the place of Peers.refuse."""

    def __init__(self, reasons: list[str]) -> None:
        self._reasons = reasons

    def __call__(self, name: str, reason: str) -> None:
        self._reasons.append(reason)


class Nodes:
    """Three nodes that can be stopped and started with other settings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.addresses = raft_addresses(3)
        self.logs: dict[str, SyncObjLog] = {}

    def start(self, name: str, tls: RaftTls | None) -> None:
        """Start one, or start it again."""
        if name in self.logs:
            self.logs.pop(name).stop(transfer=False)
        log = SyncObjLog(RaftConfig(
            name, self.addresses, self.folder / name, secret=SECRET, tls=tls))
        log.start()
        self.logs[name] = log

    def stop(self) -> None:
        """Stop all."""
        for log in self.logs.values():
            log.stop(transfer=False)

    def links(self) -> list[Any]:
        """What the members' connections go through."""
        return [
            socket_of(conn) for log in self.logs.values() if log._node is not None
            for conn in tuple(log._node._transport._connections.values())
        ]

    def are_tls(self) -> bool:
        """Whether each has one to each other, with TLS 1.3 and a certificate."""
        links = self.links()
        return len(links) == 6 and all(
            isinstance(link, TlsLink) and link.facts and link.version() == "TLSv1.3"
            for link in links)

    def write(self) -> None:
        """One write, at each node; a busy machine may change its leader meanwhile."""
        for name, log in self.logs.items():
            until("a write", lambda name=name, log=log: _written(  # type: ignore[misc]
                log, AnnounceController(name, f"https://{name}:1", name, "1")), WAIT_S)


def _written(log: SyncObjLog, command: Command) -> bool:
    try:
        return log.submit(command, Stamp(1, "c1")).wait(WAIT_S).rejected is None
    except OrchestryError:
        return False


@contextmanager
def nodes(folder: Path, tls: Mapping[str, RaftTls | None]) -> Iterator[Nodes]:
    """Started nodes."""
    found = Nodes(folder)
    with ExitStack() as stack:
        stack.callback(found.stop)
        for name, one in tls.items():
            found.start(name, one)
        yield found


def settled(found: Nodes) -> None:
    """All know one leader and see all others."""
    until("all know one leader", lambda: one_leader(found.logs), WAIT_S)
    until("all are connected", lambda: all(
        peer.connected and not peer.refused for log in found.logs.values()
        for peer in log.status().peers.values()), WAIT_S)


def test_members_know_one_another_by_their_certificates(ca: TestCa, tmp_path: Path) -> None:
    """By the host of their address or by their id; every link is TLS, and writes go through."""
    own = {"c1": "127.0.0.1", "c2": "c2", "c3": "127.0.0.1"}
    tls = {name: raft_tls(ca.file, ca.issue(name, host)) for name, host in own.items()}
    with nodes(tmp_path, tls) as found:
        settled(found)
        found.write()
        until("every link is TLS", found.are_tls, WAIT_S)


@pytest.mark.parametrize("first", ["the one that dials all", "the one that dials none"])
def test_a_cluster_is_switched_on_node_by_node(first: str, ca: TestCa, tmp_path: Path) -> None:
    """Off, then both, then on, one node after the other: none is without the others."""
    pairs = {name: ca.issue(name, "127.0.0.1") for name in ("c1", "c2", "c3")}
    with nodes(tmp_path, dict.fromkeys(pairs)) as found:
        settled(found)
        order = sorted(pairs, key=lambda name: found.addresses[name], reverse="all" in first)
        modes: tuple[Mode, ...] = ("both", "on")
        for mode in modes:
            for name in order:
                found.start(name, raft_tls(ca.file, pairs[name], mode))
                settled(found)
                found.write()
        until("every link is TLS", found.are_tls, WAIT_S)


@pytest.mark.parametrize(("what", "here", "there"), [
    ("another CA", "its certificate is not valid", "it refuses our certificate"),
    ("expired", "certificate has expired", "certificate expired"),
    ("another name", "its certificate is for other.example", ""),
    ("none", "CLUSTER_TLS", ""),
])
def test_who_has_no_valid_certificate_is_no_member(
    what: str, here: str, there: str, ca: TestCa, tmp_path: Path,
) -> None:
    """The two others go on, and both sides say why."""
    tls: dict[str, RaftTls | None] = {
        name: raft_tls(ca.file, ca.issue(name, "127.0.0.1")) for name in ("c1", "c2")}
    if what == "another CA":
        other = TestCa(tmp_path / "other", "another CA")
        tls["c3"] = raft_tls(ca.file, other.issue("c3", "127.0.0.1"))
    elif what == "expired":
        tls["c3"] = raft_tls(
            ca.file, ca.issue("c3", "127.0.0.1", days=-1), clock=LastWeek())
    elif what == "another name":
        tls["c3"] = raft_tls(ca.file, ca.issue("c3", "other.example"))
    else:
        tls["c3"] = None
    with nodes(tmp_path, tls) as found:
        told: list[str] = []
        said: list[str] = []
        for name, log in found.logs.items():
            heard = said if name == "c3" else told
            log._peers.refuse = Heard(heard)  # type: ignore[method-assign]
        pair = {name: found.logs[name] for name in ("c1", "c2")}
        until("the others elect one", lambda: one_leader(pair), WAIT_S)
        until("they say why", lambda: any(here in why for why in told), WAIT_S)
        until("it says why", lambda: not there or any(there in why for why in said), WAIT_S)
        assert found.logs["c3"].leader_id() is None


def test_a_stranger_without_tls_is_told_nothing(ca: TestCa, tmp_path: Path) -> None:
    """What comes in the clear is not even looked at by a node that wants TLS."""
    tls = {name: raft_tls(ca.file, ca.issue(name, "127.0.0.1")) for name in ("c1", "c2", "c3")}
    with nodes(tmp_path, tls) as found:
        settled(found)
        host, _, port = found.addresses["c1"].rpartition(":")
        with socket.create_connection((host, int(port)), WAIT_S) as peer:
            peer.sendall(b"\x40\x00\x00\x00ORC1s" + b"x" * 100)
            try:
                answer = peer.recv(100)
            except ConnectionResetError:
                answer = b""
        assert not answer.startswith(b"ORC1")
        assert b"ORC1" not in answer
        found.write()
