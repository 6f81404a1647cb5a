"""What we rely on in PySyncObj beyond its documented interface."""

from __future__ import annotations

import hashlib
import inspect
import pickle
import types
from pathlib import Path
from typing import Any

import pysyncobj.pickle
import pysyncobj.syncobj as raft
import pytest
from pysyncobj import SyncObj, SyncObjConf
from pysyncobj.tcp_connection import TcpConnection
from pysyncobj.tcp_server import TcpServer
from pysyncobj.transport import TCPTransport

from cluster.consensus import hooks, wire
from cluster.consensus.errors import ConsensusError
from cluster.consensus.syncobj_log import RaftConfig, SyncObjLog
from tests.raft_logs import raft_addresses

READ_IN_0_3_17 = {
    SyncObj._onTick: "2e65235a1ec7f1a2",
    SyncObj._checkCommandsToApply: "c9616a64b02e5fb8",
    SyncObj._applyCommand: "da857f245aee3689",
    SyncObj._doDestroy: "1efb7c25fb72dc4d",
    SyncObj.transferLeadership: "ec56e3fd56d8002d",
    SyncObj._SyncObj__applyLogEntries: "14434505a8a0cf21",
    SyncObj._SyncObj__onMessageReceived: "613637a32c678616",
    SyncObj._SyncObj__onBecomeLeader: "e00cd0ed1cb9235e",
    SyncObj._SyncObj__onLeaderChanged: "9210cfbca691062f",
    SyncObj._SyncObj__setCurrentTerm: "e5e3b6951f13b05b",
    SyncObj._SyncObj__sendAppendEntries: "e6bd52cf81d1bc53",
    SyncObj._SyncObj__tryLogCompaction: "3e39b3645bf4621c",
    TCPTransport: "972f4bb4e0756d3b",
    TcpConnection: "c6e9d0c01b770855",
    TcpServer: "5a7d665b52c4ebbb",
}
"""Code that ours replaces, or whose order of steps it relies on: read again when one changes."""


def digest(part: Any) -> str:
    """Of the source, without the white space at line ends."""
    lines = [line.rstrip() for line in inspect.getsource(part).splitlines()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


@pytest.mark.parametrize(("part", "known"), READ_IN_0_3_17.items())
def test_the_library_is_the_one_that_was_read(part: Any, known: str) -> None:
    """Our hooks were written against this very source; a change must be read first."""
    assert digest(part) == known, f"{part.__qualname__} changed: read it against our hooks"


def test_every_private_name_is_there() -> None:
    """A private attribute that the library renames would be silently invented by ours."""
    node = SyncObj(None, [], SyncObjConf(autoTick=False))
    try:
        missing = [name for name in hooks.PRIVATE_NAMES if not hasattr(node, name)]
    finally:
        node.destroy()
    assert len(hooks.PRIVATE_NAMES) > 20
    assert missing == []
    assert all(callable(getattr(SyncObj, name, None)) for name in hooks.REPLACED_NAMES)


def test_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A controller does not start on a library that its hooks were not written for."""
    monkeypatch.setattr(raft, "VERSION", "0.3.18")
    log = SyncObjLog(RaftConfig("c1", raft_addresses(1), tmp_path))
    with pytest.raises(ConsensusError, match=r"install pysyncobj==0\.3\.17"):
        log.start()


class _Trap:
    """Runs code when a careless reader unpickles it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, ("1 / 0",)


@pytest.mark.parametrize("value", [
    _Trap(), {"type": "ping", "id": _Trap()}, types.SimpleNamespace(), Path("/"), ValueError("x"),
    print, SyncObjConf,
])
@pytest.mark.parametrize("protocol", range(2, 6))
def test_no_class_and_no_function_crosses_the_wire(value: Any, protocol: int) -> None:
    """Whatever names code, of any module and protocol, is refused before it is looked up."""
    data = pickle.dumps(value, protocol)
    with pytest.raises(pickle.UnpicklingError, match="is not plain data"):
        wire.loads(data)
    wire.restrict_pickle()
    with pytest.raises(pickle.UnpicklingError, match="is not plain data"):
        pysyncobj.pickle.loads(data)


def test_plain_data_crosses_the_wire() -> None:
    """Every kind of value that the library's messages hold comes back as it was."""
    message = {
        "type": "append_entries", "term": 3, "entries": [(b"\x00{}", 7, 3)], "prevLogIdx": None,
        "serialized": (b"\xff" * 1000, True, False), "success": True, "share": 0.5, "names": {"a"},
    }
    wire.restrict_pickle()
    assert pysyncobj.pickle.loads(pysyncobj.pickle.dumps(message)) == message
