"""Ends of connections between controllers without the nodes: real sockets, time by hand."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pysyncobj.syncobj as raft
import pysyncobj.tcp_connection
import pysyncobj.transport
from pysyncobj.node import TCPNode
from pysyncobj.poller import PollPoller

from cluster.consensus import wire
from cluster.consensus.library_conf import library_conf
from cluster.consensus.names import NamedNode
from cluster.consensus.peers import Peers
from cluster.consensus.raft_config import RaftConfig
from cluster.consensus.secure import RaftTls
from cluster.consensus.transport import Guard, GuardedTransport
from tests.unit.hand_clock import HandClock

TICK_S = 0.02
SECRET = wire.Cipher("a secret of all")


class CountingPoller(PollPoller):  # type: ignore[misc]
    """Counts what it is woken for."""

    def __init__(self) -> None:
        super().__init__()
        self.events = 0

    def subscribe(self, descr: int, callback: Any, eventMask: int) -> None:
        """See pysyncobj."""
        def counted(descriptor: int, event: int) -> None:
            self.events += 1
            callback(descriptor, event)

        super().subscribe(descr, counted, eventMask)


class End:
    """The transport of one controller; `tick` is what its Raft thread does."""

    def __init__(
        self, name: str, addresses: dict[str, str], tls: RaftTls | None = None,
        bind: str | None = None,
    ) -> None:
        wire.restrict_pickle()
        self.name = name
        self.others = {other: NamedNode(at) for other, at in addresses.items() if other != name}
        self.heard: list[Any] = []
        self.connected: set[TCPNode] = set()
        self.poller = CountingPoller()
        peers = Peers({node.id: other for other, node in self.others.items()},
                      raft.monotonicTime, lambda: 0)
        self.guard = Guard(name, peers, SECRET, tls=tls)
        self._ticks: list[Any] = []
        node = SimpleNamespace(
            guard=self.guard, encryptor=self.guard, _poller=self.poller,
            conf=library_conf(RaftConfig(name, addresses, Path(), bind_host=bind)),
            addOnTickCallback=self._ticks.append, on_hint=lambda index, members: None)
        self.transport = GuardedTransport(node, NamedNode(addresses[name]), self.others.values())
        self.transport.setOnMessageReceivedCallback(self._hear)
        self.transport.setOnNodeConnectedCallback(self.connected.add)
        self.transport.setOnNodeDisconnectedCallback(self.connected.discard)

    def _hear(self, node: TCPNode, message: dict[str, Any]) -> None:
        self.heard.append((node.id, message["word"]))

    def tick(self) -> None:
        """One turn."""
        for each in self._ticks:
            each()
        self.poller.poll(0.0)

    def say(self, other: str, word: object) -> None:
        """One message to another."""
        self.transport.send(self.others[other], {"type": "word", "word": word})

    def dials(self, other: str) -> str:
        """How far its connection to another has come."""
        state = self.transport._connections[self.others[other]].state
        return ("disconnected", "connecting", "connected")[state]

    def reset(self, rng: random.Random) -> None:
        """End one of its connections, wherever its introduction stands."""
        conns = [*self.transport._connections.values(), *self.transport._unknownConnections]
        for conn in rng.sample(conns, min(1, len(conns))):
            conn.disconnect()

    def vanish(self) -> None:
        """As a host without power: its connections end without a word. Tick it no more."""
        self.transport._server.unbind()

    def stop(self) -> None:
        """Close all its sockets."""
        self.transport.destroy()


class Time:
    """The library's clock; `run` lets it pass for some ends."""

    def __init__(self) -> None:
        self._clock = HandClock()
        self._words = 0

    def now_s(self) -> float:
        """Seconds."""
        return self._clock.now_s

    def run(self, ends: Iterable[End], seconds: float) -> None:
        """Tick after tick."""
        ends, until_s = tuple(ends), self._clock.now_s + seconds
        while self._clock.now_s < until_s:
            self._clock.now_s += TICK_S
            for end in ends:
                end.tick()

    def talks_s(self, one: End, two: End, most_s: float) -> float | None:
        """After how long each hears a new word of the other; None: not within `most_s`."""
        began_s = self._clock.now_s
        while self._clock.now_s < began_s + most_s:
            self._words += 1
            one.say(two.name, self._words)
            two.say(one.name, self._words)
            self.run((one, two), 2 * TICK_S)
            if all((self.address(other, end), self._words) in end.heard
                   for end, other in ((one, two), (two, one))):
                return self._clock.now_s - began_s
        return None

    @staticmethod
    def address(of: End, for_end: End) -> str:
        """Where one end takes another to be."""
        return str(for_end.others[of.name].id)


@contextmanager
def by_hand() -> Iterator[Time]:
    """The library goes by a clock of the test's."""
    time, modules = Time(), (raft, pysyncobj.tcp_connection, pysyncobj.transport)
    kept = [module.monotonicTime for module in modules]
    for module in modules:
        module.monotonicTime = time.now_s
    try:
        yield time
    finally:
        for module, clock in zip(modules, kept, strict=True):
            module.monotonicTime = clock
