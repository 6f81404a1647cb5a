"""Voters: the library's peers are those that the log names, no more and no fewer."""

from __future__ import annotations

from typing import Any

import pysyncobj.syncobj as raft
from pysyncobj import SyncObjConf

from cluster.consensus.hooks import LEADER, HookedSyncObj, Message, Send
from cluster.consensus.membership import Configurations
from cluster.consensus.transport import Guard

FAREWELL_S = 0.5
REMOVED = "this controller was removed from the cluster: stop it, or add it again"


class Voters(HookedSyncObj):
    """A node outside of the latest configuration follows, but neither asks for votes nor leads."""

    raw_send: Send

    def __init__(
        self, me: Any, others: list[Any], conf: SyncObjConf, *,
        guard: Guard, configurations: Configurations, **library: Any,
    ) -> None:
        self.guard = guard
        self.configurations = configurations
        self._adopted = configurations.latest
        self._leaving: dict[Any, float] = {}
        super().__init__(me, others, conf, **library)

    def votes(self) -> bool:
        """Whether this node may ask for votes."""
        named = self.guard.controller_id in self.configurations.latest.addresses
        return named and not self.guard.outcast

    def live(self) -> frozenset[str]:
        """Ids of the controllers that answered a leader lately, this one included."""
        since_s = raft.monotonicTime() - self.conf.raftMaxTimeout
        names = self.guard.peers.names
        return frozenset(
            names[node.id] for node in self.other_nodes
            if node in self.connected_nodes and self.answered_at_s.get(node, 0.0) > since_s
        ) | {self.guard.controller_id}

    def adopt(self) -> None:
        """Connect to those whom the latest configuration names, and drop the others."""
        latest = self.configurations.latest
        if latest is self._adopted or not latest.addresses:
            return
        self._adopted = latest
        wanted = {
            address: name for name, address in latest.addresses.items()
            if name != self.guard.controller_id
        }
        for node in sorted(self.other_nodes, key=lambda node: str(node.id)):
            if node.id not in wanted:
                self._drop(node)
        known = {node.id for node in self.other_nodes}
        self.guard.peers.rename(wanted)
        for address in sorted(wanted.keys() - known):
            self._connect(address)

    def let_go(self) -> None:
        """End connections to removed nodes, once they had time to read why.

        The library forgets what it has read as soon as it reads the end of a connection.
        """
        for node, since_s in list(self._leaving.items()):
            if raft.monotonicTime() > since_s + FAREWELL_S:
                del self._leaving[node]
                self._transport.dropNode(node)

    def _drop(self, node: Any) -> None:
        self.raw_send(node, {"type": "removed"})
        self._leaving[node] = raft.monotonicTime()
        self.other_nodes.discard(node)
        self.connected_nodes.discard(node)
        self.next_index.pop(node, None)
        self.match_index.pop(node, None)
        self.answered_at_s.pop(node, None)

    def _connect(self, address: str) -> None:
        node = self.node_class(address)
        if self._leaving.pop(node, None) is not None:
            self._transport.dropNode(node)
        self.other_nodes.add(node)
        self.next_index[node] = self.log[-1][1] + 1
        self.match_index[node] = 0
        if self.role() == LEADER:
            self.answered_at_s[node] = raft.monotonicTime()
        self._transport.addNode(node)

    def on_removed(self, node: Any, message: Message) -> None:
        """A peer says that we are no member; a leader that goes on with us knows better."""
        self.guard.outcasts[self.guard.peers.name(node.id)] = REMOVED
