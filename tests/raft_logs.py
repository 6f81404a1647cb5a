"""Raft nodes of one process over loopback, with real files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cluster.consensus.syncobj_log import RaftConfig, SyncObjLog
from tests.live import until
from tests.ports import free_ports

READY_S = 60.0


def raft_addresses(count: int) -> dict[str, str]:
    """Free loopback addresses for nodes c1, c2, …"""
    ports = free_ports(count)
    return {f"c{number}": f"127.0.0.1:{port}" for number, port in enumerate(ports, 1)}


@contextmanager
def raft_logs(
    folder: Path, count: int, *, elect: str = "", **settings: Any,
) -> Iterator[dict[str, SyncObjLog]]:
    """Started nodes by name, with a leader that all of them know; `elect` may hurry one."""
    addresses = raft_addresses(count)
    logs = {
        name: SyncObjLog(RaftConfig(name, addresses, folder / name, **settings))
        for name in addresses
    }
    try:
        for log in logs.values():
            log.start()
        hurried = logs[elect]._node if elect else None
        if hurried is not None:
            until("it sees the others", lambda: len(hurried.connected()) == count - 1, READY_S)
            hurried.election_at_s = 0.0
        until("all know one leader", lambda: one_leader(logs), READY_S)
        yield logs
    finally:
        for log in logs.values():
            log.stop(transfer=False)


def one_leader(logs: Mapping[str, SyncObjLog]) -> str | None:
    """The leader that every one of the nodes names, or None."""
    known = {log.leader_id() for log in logs.values()}
    return known.pop() if len(known) == 1 else None
