"""GuardedTransport: PySyncObj's TCP transport, which trusts nobody before a proof.

A peer proves itself by a first message that opens with our secret and names its id and
cluster. Repeated each half second, that message also keeps idle links alive, without which
the first vote after a quiet time would meet dead connections.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pysyncobj.syncobj as raft
from pysyncobj.node import TCPNode
from pysyncobj.tcp_connection import CONNECTION_STATE
from pysyncobj.transport import TCPTransport

from cluster.consensus.hooks import await_room, lost_its_port, put_socket, socket_of, unread
from cluster.consensus.names import NamedNode
from cluster.consensus.peers import Peers
from cluster.consensus.secure import RaftTls, TlsLink, begins_tls
from cluster.consensus.wire import Cipher, Seal
from cluster.state import levels
from cluster.tls.certificates import Facts, unnamed

PROTOCOL = 1
PING_EVERY_S = 0.5
REFUSED_RETRY_S = 2.0
STRANGER_TIMEOUT_S = 5.0
STRANGERS_MAX = 64
STRANGER_BYTES_MAX = 16 * 1024
UNREADABLE = "it sent a message that cannot be read; run the same version on all controllers"
_FIELDS: Mapping[str, Mapping[str, tuple[type, Any]]] = {
    "ping": {"id": (str, None), "protocol": (int, None), "cluster": (str, None),
             "incarnation": (str, ""), "members": (dict, {}), "members_index": (int, 0),
             "level": (int, levels.FIRST)},
    "refused": {"reason": (str, None), "outcast": (bool, False), "members_index": (int, 0)},
}
"""Our own messages: the type of each field, and what holds without it; None: it must be there."""
SILENT = (
    "it does not answer our TLS handshake; is its CLUSTER_TLS off, or another program at its port?"
)
EMPTIED = (
    "the data folder is not the one that this member was first seen with: what it promised "
    "is lost; remove the controller and add it again"
)


@dataclass(slots=True)
class Guard:
    """What the transport checks, shared with the node; `cluster_id` may come later.

    `incarnation` names our data folder, `bound` those of the members, as far as the state
    has them. `outcasts` tells by peer why it takes us for no member; while one does, this
    node asks for no votes. `members` are those of our log, which each ping tells. `level` is
    the cluster's, which every peer has to understand. Until `cut_until_s`, in the library's
    time, nothing comes in and nothing goes out.
    """

    controller_id: str
    peers: Peers
    cipher: Cipher
    cluster_id: str = ""
    incarnation: str = ""
    bound: Mapping[str, str] = field(default_factory=dict)
    tls: RaftTls | None = None
    outcasts: dict[str, str] = field(default_factory=dict)
    members_index: int = 0
    members: Mapping[str, str] = field(default_factory=dict)
    level: int = levels.FIRST
    cut_until_s: float = 0.0

    def cut_off(self) -> bool:
        """A drill keeps all messages away, as a network that drops them would."""
        return bool(raft.monotonicTime() < self.cut_until_s)

    @property
    def outcast(self) -> str:
        """Why this node is no member, by the word of a peer; "" when none says so."""
        return next(iter(tuple(self.outcasts.values())), "")

    def cast_out(self, peer: str, index: int, reason: str) -> None:
        """A peer takes us for no member; it may know better only by later members than ours."""
        if index > self.members_index:
            self.outcasts[peer] = reason


class GuardedTransport(TCPTransport):  # type: ignore[misc]
    """Its `guard` comes from the node that it serves."""

    def __init__(self, node: Any, self_node: TCPNode, others: Any) -> None:
        self._guard: Guard = node.guard
        self._admitted: set[TCPNode] = set()
        self._strangers: dict[Any, float] = {}
        self._unproven: set[TCPNode] = set()
        self._plain: set[TCPNode] = set()
        self._ping_due_s = 0.0
        super().__init__(node, self_node, others)

    # Connections

    def setOnUtilityMessageCallback(self, message: str, callback: Any) -> None:
        """Offer none: they let anybody with a connection change the cluster."""

    def addNode(self, node: TCPNode) -> None:
        super().addNode(node)
        if node in self._connections:
            conn = self._connections[node]
            conn.encryptor = self._seal(conn)

    def _onNewIncomingConnection(self, conn: Any) -> None:
        if len(self._unknownConnections) >= STRANGERS_MAX:
            conn.disconnect()
            return
        super()._onNewIncomingConnection(conn)
        conn.encryptor = self._seal(conn)
        self._strangers[conn] = raft.monotonicTime()
        self._secure(conn, None)

    def _onOutgoingConnected(self, conn: Any) -> None:
        node = self._connToNode(conn)
        self._admitted.discard(node)
        self._unproven.add(node)
        if self._guard.tls is None or node in self._plain:
            super()._onOutgoingConnected(conn)
        else:
            self._secure(conn, node)

    def _secure(self, conn: Any, node: TCPNode | None) -> None:
        """Let a new connection speak TLS, where that is wanted; `node` is whom we dialled."""
        tls = self._guard.tls
        if tls is None:
            return
        peers = self._guard.peers

        def opened(facts: Facts) -> str:
            # Who dials us tells later who it is.
            return "" if node is None else unnamed(facts, (node.host, peers.name(node.id)))

        def ready() -> None:
            if node is not None:
                super(GuardedTransport, self)._onOutgoingConnected(conn)

        def failed(reason: str) -> None:
            peers.refuse("" if node is None else peers.name(node.id), reason)

        try:
            link = TlsLink(socket_of(conn), tls, server_side=node is None, opened=opened,
                           failed=failed, ready=ready)
            put_socket(conn, link)
            link.start()
        except OSError:
            conn.disconnect()  # the peer is gone already

    def _seal(self, conn: Any) -> Seal:
        def refused(claimed: str, reason: str) -> None:
            node = self._connToNode(conn)
            name = claimed if node is None else self._guard.peers.name(node.id)
            self._guard.peers.refuse(name, reason)
            if node is not None:
                self._hold_off(node)
            if conn.state == CONNECTION_STATE.CONNECTED:
                conn.send("refused")  # the other side cannot open it, and so learns why

        return Seal(self._guard.controller_id, self._guard.cipher, refused)

    def _dialled_at_s(self, node: TCPNode) -> float:
        return float(self._lastConnectAttempt.get(node, 0.0))

    def _hold_off(self, node: TCPNode) -> None:
        retry_s = self._syncObj.conf.connectionRetryTime
        self._lastConnectAttempt[node] = raft.monotonicTime() + REFUSED_RETRY_S - retry_s

    def _connectIfNecessarySingle(self, node: TCPNode) -> bool:
        conn = self._connections.get(node)
        if conn is not None and conn.state == CONNECTION_STATE.DISCONNECTED \
                and self._shouldConnect(node) and node.ip is None:
            return False  # its host is being looked up: no attempt yet
        try:
            connected = bool(super()._connectIfNecessarySingle(node))
        except OSError:
            return False  # no descriptor is left: those who are connected need the thread
        if not connected and conn is not None and conn.fileno() is None:
            conn.disconnect()  # closes the socket of an attempt that failed at once
        return connected

    def dropNode(self, node: TCPNode) -> None:
        super().dropNode(node)
        self._admitted.discard(node)
        self._unproven.discard(node)

    def _onIncomingMessageReceived(self, conn: Any, message: Any) -> None:
        if not conn.sendRandKey:
            super()._onIncomingMessageReceived(conn, message)
            return
        node = self._nodeAddrToNode.get(message) if isinstance(message, str) else None
        if node is None:
            why = f"its address {message!r:.80} is not that of a member"
            self._guard.peers.refuse("", why)
            # Whoever it is closes the connection, or the stranger's time-out does.
            told = f"{self._guard.controller_id} refuses us: {why}; add this controller (again)"
            conn.send({
                "type": "refused", "reason": told, "outcast": True,
                "members_index": self._guard.members_index,
            })
            return
        facts = getattr(socket_of(conn), "facts", None)
        reason = "" if facts is None else unnamed(
            facts, (node.host, self._guard.peers.name(node.id)))
        if reason:
            self._guard.peers.refuse(self._guard.peers.name(node.id), reason)
            conn.disconnect()
            return
        before = self._connections.get(node)
        self._strangers.pop(conn, None)
        super()._onIncomingMessageReceived(conn, message)
        if before is not None and before is not conn:
            before.disconnect()

    def _onDisconnected(self, conn: Any) -> None:
        self._strangers.pop(conn, None)
        node = self._connToNode(conn)
        if node in self._unproven:
            self._unproven.discard(node)
            if self._guard.tls is not None and self._guard.tls.mode == "both":
                self._plain ^= {node}  # perhaps it speaks the other way only
        # Dialled again in the next tick: the library is in the midst of ending this connection,
        # and would take events of the old socket for those of a new one.
        self._preventConnectNodes.add(node)
        super()._onDisconnected(conn)
        self._preventConnectNodes.discard(node)

    def _onNodeConnected(self, node: TCPNode) -> None:
        self._admitted.discard(node)
        self._ping(node)
        super()._onNodeConnected(node)

    # Messages

    def send(self, node: TCPNode, message: Any) -> bool:
        conn = self._connections.get(node)
        if conn is None or not conn.sendRandKey or self._guard.cut_off():
            return False  # a word before both have introduced themselves ends the connection
        sent = bool(super().send(node, message))
        await_room(conn)
        return sent

    def _ping(self, node: TCPNode) -> None:
        # Past the node's own gate, for which the first ping of a connection is too early.
        GuardedTransport.send(self, node, {
            "type": "ping", "id": self._guard.controller_id, "protocol": PROTOCOL,
            "cluster": self._guard.cluster_id, "incarnation": self._guard.incarnation,
            "members": dict(self._guard.members), "members_index": self._guard.members_index,
            "level": levels.LEVEL,
        })

    def _onMessageReceived(self, node: TCPNode, message: Any) -> None:
        if not isinstance(message, dict) or self._guard.cut_off():
            return
        kind = message.get("type")
        if not _is_readable(message):
            self._guard.peers.refuse(self._guard.peers.name(node.id), UNREADABLE)
            self._drop(node)
        elif kind == "refused":
            self._guard.peers.refuse(self._guard.peers.name(node.id), str(message["reason"]))
            if message.get("outcast"):
                name = self._guard.peers.name(node.id)
                self._guard.cast_out(name, message.get("members_index", 0), str(message["reason"]))
            self._drop(node)
        elif kind == "ping" and node.id in self._guard.peers.names:
            reason = self._objection(node, message)
            if reason:
                self._refuse(node, reason)
                return
            name = self._guard.peers.name(node.id)
            bound, theirs = self._guard.bound.get(name, ""), message.get("incarnation", "")
            if bound and theirs != bound:
                self._refuse(node, EMPTIED, outcast=True)
                return
            self._admitted.add(node)
            self._unproven.discard(node)
            members = message.get("members")
            if not members or self._guard.controller_id in members:
                self._guard.outcasts.pop(name, None)
            self._guard.peers.accept(node.id, theirs)
            self._guard.peers.heard(node.id)
            self._syncObj.on_hint(message.get("members_index", 0), message.get("members", {}))
        elif node in self._admitted:
            self._guard.peers.heard(node.id)
            super()._onMessageReceived(node, message)

    def _objection(self, node: TCPNode, ping: dict[str, Any]) -> str:
        expected = self._guard.peers.name(node.id)
        if ping["id"] != expected:
            return (f"at {node.id} answers controller {ping['id']!r}, not {expected!r}; "
                    "correct CLUSTER_PEERS or CONTROLLER_NODE_ID")
        if ping["protocol"] != PROTOCOL:
            return f"it speaks protocol {ping['protocol']!r}, we speak {PROTOCOL}"
        level = ping.get("level", levels.FIRST)
        if level < self._guard.level:
            return (f"it understands only level {level}, the cluster has reached "
                    f"{self._guard.level}; start the version there that the others run")
        ours, theirs = self._guard.cluster_id, ping["cluster"]
        if ours and theirs and ours != theirs:
            return (f"it belongs to cluster {theirs}, we to {ours}; "
                    "correct CLUSTER_PEERS or ORCHESTRY_DATA_DIR")
        return ""

    def _refuse(self, node: TCPNode, reason: str, *, outcast: bool = False) -> None:
        self._guard.peers.refuse(self._guard.peers.name(node.id), reason)
        told = f"{self._guard.controller_id} refuses us: {reason}"
        self.send(node, {
            "type": "refused", "reason": told, "outcast": outcast,
            "members_index": self._guard.members_index,
        })
        self._drop(node)

    def _drop(self, node: TCPNode) -> None:
        self._admitted.discard(node)
        self._hold_off(node)
        conn = self._connections.get(node)
        if conn is not None:
            conn.disconnect()

    # Time

    def _onTick(self) -> None:
        if self._ready and lost_its_port(self._server):
            # To the library a node without its port is none; what stands is used all the same.
            with contextlib.suppress(OSError):
                self._server.bind()
        super()._onTick()
        now_s = raft.monotonicTime()
        if now_s < self._ping_due_s:
            return
        self._ping_due_s = now_s + PING_EVERY_S
        for node in list(self._nodes):
            conn = self._connections.get(node)
            if conn is None or conn.state == CONNECTION_STATE.DISCONNECTED:
                continue
            if conn.sendRandKey:
                self._ping(node)
            elif now_s > self._dialled_at_s(node) + self._syncObj.conf.connectionTimeout:
                if conn.state == CONNECTION_STATE.CONNECTED \
                        and self._guard.tls is not None and self._guard.tls.mode == "on":
                    self._guard.peers.refuse(self._guard.peers.name(node.id), SILENT)
                conn.disconnect()  # the system alone would ask a lost host ever more rarely
        for conn, since_s in list(self._strangers.items()):
            overdue = now_s > since_s + STRANGER_TIMEOUT_S
            waiting = unread(conn)
            if begins_tls(waiting):
                self._guard.peers.refuse("", "it speaks TLS, we do not; set CLUSTER_TLS alike")
            if overdue or len(waiting) > STRANGER_BYTES_MAX or begins_tls(waiting):
                conn.disconnect()


LIBRARY: Mapping[str, Any] = {"transportClass": GuardedTransport, "nodeClass": NamedNode}
"""What PySyncObj is given of ours."""


def _is_readable(message: Mapping[str, Any]) -> bool:
    """False for a ping or a refusal that lacks a field, or has one of another type."""
    kind = message.get("type")
    if kind not in ("ping", "refused"):
        return True
    members = message.get("members", {})
    return all(
        isinstance(message.get(name, default), right)
        for name, (right, default) in _FIELDS[kind].items()
    ) and all(isinstance(text, str) for text in (*members, *members.values()))
