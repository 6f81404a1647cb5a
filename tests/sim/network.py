"""SimNetwork: messages with delay, loss and cuts, by one seeded dice."""

from __future__ import annotations

import heapq
import itertools
import pickle
import random
import zlib
from collections import deque
from typing import Any

from pysyncobj.node import Node
from pysyncobj.transport import Transport

from cluster.consensus import wire

PROMISES = frozenset({"request_vote", "response_vote", "next_node_idx"})
HINT_EVERY_S = 0.5
DELAY_MIN_S, DELAY_MAX_S = 0.001, 0.02


class SimClock:
    """Virtual time; moves only when the world steps."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic_s(self) -> float:
        return self.now_s

    def wall_ms(self) -> int:
        return 1_700_000_000_000 + round(self.now_s * 1000)


class NodeClock:
    """One machine's clock: runs at its own rate, and its wall time may jump."""

    def __init__(self, true: SimClock, rate: float = 1.0) -> None:
        self._true = true
        self._began_s = true.now_s
        self.rate = rate
        self.wall_off_ms = 0

    def monotonic_s(self) -> float:
        return self._began_s + (self._true.now_s - self._began_s) * self.rate

    def wall_ms(self) -> int:
        return 1_700_000_000_000 + round(self.monotonic_s() * 1000) + self.wall_off_ms


class SimNode(Node):  # type: ignore[misc]
    """An address whose hash, and so the order of sets, is the same in every process."""

    def __hash__(self) -> int:
        return zlib.crc32(self.id.encode())


class SimNetwork:
    """Links are cut one way each; a link that is cut one way shows as disconnected to both."""

    def __init__(self, clock: SimClock, dice: random.Random, loss: float) -> None:
        self.clock, self.dice, self.loss = clock, dice, loss
        self.ends: dict[str, SimTransport] = {}
        self.cuts: set[tuple[str, str]] = set()
        self.silent: set[tuple[str, str]] = set()
        self._queue: list[tuple[float, int, str, str, bytes]] = []
        self._order = itertools.count()
        self.sent = 0

    def linked(self, a: str, b: str) -> bool:
        """As TCP would see it."""
        return (
            a in self.ends and b in self.ends
            and b in self.ends[a].peers and a in self.ends[b].peers
            and (a, b) not in self.cuts and (b, a) not in self.cuts
        )

    def send(self, a: str, b: str, message: Any, *, first: bool = False) -> bool:
        """`first` is what opens a connection: on TCP nothing overtakes it."""
        if not self.linked(a, b):
            return False
        self.sent += 1
        if (a, b) not in self.silent and self.dice.random() >= self.loss:
            due_s = self.clock.now_s
            if not first:
                due_s += self.dice.uniform(DELAY_MIN_S, DELAY_MAX_S)
            data = pickle.dumps(message, wire.PICKLE_PROTOCOL)
            heapq.heappush(self._queue, (due_s, next(self._order), a, b, data))
        return True

    def deliver(self) -> None:
        """Put what is due into the inboxes."""
        while self._queue and self._queue[0][0] <= self.clock.now_s:
            _, _, a, b, data = heapq.heappop(self._queue)
            if self.linked(a, b):
                self.ends[b].inbox.append((a, data))

    def relink(self) -> None:
        """Tell every end who is connected now."""
        for a, end in sorted(self.ends.items()):
            for b in sorted(end.peers):
                end.set_linked(b, linked=self.linked(a, b))
        # A connection that broke takes with it what was on its way.
        kept = [item for item in self._queue if self.linked(item[2], item[3])]
        if len(kept) < len(self._queue):
            heapq.heapify(kept)
            self._queue = kept


class SimTransport(Transport):  # type: ignore[misc]
    """PySyncObj's transport over the simulated network, read when the node polls."""

    def __init__(self, network: SimNetwork, node: Any, me: SimNode, others: Any) -> None:
        super().__init__(node, me, others)
        self._network = network
        self._guard = node.guard
        self.me = me.id
        self.peers = {other.id: other for other in sorted(others, key=lambda o: str(o.id))}
        self._node = node
        self.inbox: deque[tuple[str, bytes]] = deque()
        self._linked: set[str] = set()
        self._hint_due_s = 0.0
        self._admitted: set[str] = set()
        node._poller.poll = self._poll
        network.ends[self.me] = self

    def _poll(self, timeout_s: float) -> None:
        self._hint()
        while self.inbox:
            sender, data = self.inbox.popleft()
            if sender not in self.peers:
                continue
            self._guard.peers.heard(sender)
            message = wire.loads(data)
            if message["type"] == "ping":
                self._on_ping(sender, message)
            elif sender in self._admitted:
                self._onMessageReceived(self.peers[sender], message)

    def _on_ping(self, sender: str, message: Any) -> None:
        """As the real transport: who comes with another data folder than before is refused."""
        bound = self._guard.bound.get(self._guard.peers.name(sender), "")
        if bound and bound != message["incarnation"]:
            self._admitted.discard(sender)
            return
        self._admitted.add(sender)
        self._guard.peers.accept(sender, message["incarnation"])
        self._node.on_hint(message["members_index"], message["members"])

    def _hint(self) -> None:
        if self._network.clock.now_s >= self._hint_due_s:
            self._hint_due_s = self._network.clock.now_s + HINT_EVERY_S
            for peer in sorted(self.peers):
                self._ping(peer)

    def _ping(self, peer: str, *, first: bool = False) -> None:
        self._network.send(self.me, peer, {
            "type": "ping", "members": dict(self._guard.members),
            "members_index": self._guard.members_index,
            "incarnation": self._guard.incarnation}, first=first)

    def addNode(self, node: SimNode) -> None:
        self.peers[node.id] = node
        self._network.relink()

    def dropNode(self, node: SimNode) -> None:
        self.peers.pop(node.id, None)
        self._linked.discard(node.id)
        self._admitted.discard(node.id)
        self._network.relink()

    def set_linked(self, peer: str, *, linked: bool) -> None:
        if linked and peer not in self._linked:
            self._linked.add(peer)
            self._ping(peer, first=True)
            self._onNodeConnected(self.peers[peer])
        elif not linked and peer in self._linked:
            self._linked.discard(peer)
            self._admitted.discard(peer)
            self._onNodeDisconnected(self.peers[peer])

    def send(self, node: Node, message: Any) -> bool:
        kind = message["type"]
        if kind in PROMISES and (kind != "next_node_idx" or message["success"]):
            assert not self._node.log._pending, f"{self.me} sends {kind} before its journal is safe"
        return self._network.send(self.me, node.id, message)

    def destroy(self) -> None:
        if self._network.ends.get(self.me) is self:
            del self._network.ends[self.me]
            self._network.relink()
