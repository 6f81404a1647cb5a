"""HookedSyncObj: the only place that touches PySyncObj's private names.

A test fails when the library changes one of them, or the code that is replaced here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pysyncobj.syncobj as raft
from pysyncobj import SyncObj, SyncObjConf
from pysyncobj.poller import POLL_EVENT_TYPE
from pysyncobj.tcp_server import SERVER_STATE

from cluster.consensus.errors import ConsensusError
from cluster.consensus.journal import Entry, Journal
from cluster.consensus.snapshots import Snapshots

LIBRARY_VERSION = "0.3.17"
FOLLOWER, CANDIDATE, LEADER = 0, 1, 2

Message = dict[str, Any]
Send = Callable[[Any, Message], bool]

PRIVATE_NAMES: list[str] = []
REPLACED_NAMES = (
    "_SyncObj__applyLogEntries", "_SyncObj__onMessageReceived", "_onTick",
    "_checkCommandsToApply", "_doDestroy",
)


def unread(connection: Any) -> bytes:
    """What a TcpConnection holds of an incomplete message."""
    found: bytes = connection._TcpConnection__readBuffer
    return found


def socket_of(connection: Any) -> Any:
    """The socket of a TcpConnection, or what was put in its place."""
    return connection._TcpConnection__socket


def put_socket(connection: Any, link: Any) -> None:
    """Let a TcpConnection use something else that has the same descriptor."""
    connection._TcpConnection__socket = link


def await_room(connection: Any) -> None:
    """Let what a TcpConnection could not send yet go out as soon as there is room for it.

    The library tries again with the next message only, and so sends 64 KiB each heartbeat.
    """
    if connection.getSendBufferSize():
        connection._TcpConnection__poller.subscribe(
            connection.fileno(), connection._TcpConnection__processConnection,
            POLL_EVENT_TYPE.READ | POLL_EVENT_TYPE.WRITE | POLL_EVENT_TYPE.ERROR)


def lost_its_port(server: Any) -> bool:
    """True after a TcpServer gave its port up, as it does when accept() fails."""
    return bool(server._TcpServer__state == SERVER_STATE.UNBINDED)


def _private(name: str) -> Any:
    """An attribute of PySyncObj under a name of our own."""
    hidden = f"_SyncObj__{name}"
    PRIVATE_NAMES.append(hidden)
    return property(
        # None while the library's constructor looks through all attributes
        lambda self: getattr(self, hidden, None),
        lambda self, value: setattr(self, hidden, value),
    )


class HookedSyncObj(SyncObj):  # type: ignore[misc]
    """PySyncObj with its journal, snapshots, sending and receiving replaced."""

    term: int = _private("raftCurrentTerm")
    commit_index: int = _private("raftCommitIndex")
    applied_index: int = _private("raftLastApplied")
    leader_node: Any = _private("raftLeader")
    leader_commit_index: int = _private("leaderCommitIndex")
    election_at_s: float = _private("raftElectionDeadline")
    transferring: bool = _private("transferInProgress")
    next_index: dict[Any, int] = _private("raftNextIndex")
    match_index: dict[Any, int] = _private("raftMatchIndex")
    answered_at_s: dict[Any, float] = _private("lastResponseTime")
    node_class: Callable[[str], Any] = _private("nodeClass")
    waiting_commit: dict[int, list[Any]] = _private("commandsWaitingCommit")
    waiting_reply: dict[Any, Any] = _private("commandsWaitingReply")
    connected_nodes: set[Any] = _private("connectedNodes")
    other_nodes: set[Any] = _private("otherNodes")
    tick_callbacks: list[Callable[[], None]] = _private("onTickCallbacks")
    set_term: Callable[[int, str | None], None] = _private("setCurrentTerm")
    tell_leader_changed: Callable[[], None] = _private("onLeaderChanged")
    send_entries: Callable[[], None] = _private("sendAppendEntries")
    entries: Callable[[int, int], Sequence[Entry]] = _private("getEntries")
    _state: int = _private("raftState")
    _vote: str | None = _private("votedForNodeId")
    log: Journal = _private("raftLog")
    _serializer: Snapshots = _private("serializer")
    _transport: Any = _private("transport")
    _set_state: Callable[[int], None] = _private("setState")
    _draw_timeout_s: Callable[[], float] = _private("generateRaftTimeout")

    def __init__(self, me: Any, others: list[Any], conf: SyncObjConf, **library: Any) -> None:
        if raft.VERSION != LIBRARY_VERSION:
            raise ConsensusError(
                f"PySyncObj {raft.VERSION} is installed, {LIBRARY_VERSION} is needed; "
                f"install pysyncobj=={LIBRARY_VERSION}"
            )
        super().__init__(me, others, conf, **library)

    def take_over(
        self, journal: Journal, snapshots: Snapshots, applied_index: int, send: Send
    ) -> Send:
        """Put our parts in; returns the transport's own `send`."""
        self.log = journal
        self._serializer = snapshots
        self.conf.serializer = snapshots  # not None: the library collects no state to pickle
        self.term = max(journal.getCurrentTerm(), journal[-1][2])
        self._vote = journal.getVotedForNodeId()
        self.commit_index = journal.getRaftCommitIndex()
        self.applied_index = applied_index
        library_send: Send = self._transport.send
        self._transport.send = send
        return library_send

    def role(self) -> int:
        """FOLLOWER, CANDIDATE or LEADER."""
        return self._state

    def become_follower(self) -> None:
        """Stop leading or campaigning."""
        self._set_state(FOLLOWER)

    def postpone_election(self) -> None:
        """Wait a new random time for the leader."""
        self.election_at_s = raft.monotonicTime() + self._draw_timeout_s()

    def apply_entries(self) -> bool:
        """In place of the library's; its result would ask for a send."""
        raise NotImplementedError

    def on_message(self, node: Any, message: Message) -> None:
        """The library's own way with a message."""
        super()._SyncObj__onMessageReceived(node, message)

    def _SyncObj__applyLogEntries(self) -> bool:
        return self.apply_entries()

    def _SyncObj__onMessageReceived(self, node: Any, message: Message) -> None:
        self.on_message(node, message)
