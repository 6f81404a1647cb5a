"""Voters: the library's peers are those that the log names, no more and no fewer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pysyncobj.syncobj as raft
from pysyncobj import SyncObjConf

from cluster.consensus.hooks import LEADER, HookedSyncObj, Message, Send
from cluster.consensus.membership import Configuration, Configurations
from cluster.consensus.transport import Guard

FAREWELL_S = 0.5
PARTING_S = 5.0
"""So long a leader tells a removed node that it is: a word may be lost with its connection, and a
node whose address is the lower one does not dial by itself to ask."""
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
        self._leaving: dict[Any, tuple[float, float]] = {}
        """Removed nodes: when to let go of them, and when to tell them again."""
        self._visitors: set[Any] = set()
        self._hint = Configuration(0, {})
        self._tell()
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

    def knows(self, node: Any) -> bool:
        """Whether a node is a member, or one according to a peer whose log is longer."""
        return node in self.other_nodes or node in self._visitors

    def on_hint(self, index: int, addresses: Mapping[str, str]) -> None:
        """A peer's log names later members: let them reach us, for one of them may lead.

        Who votes, only our own log says.
        """
        if index > max(self._hint.index, self.configurations.latest.index):
            self._hint = Configuration(index, dict(addresses))
            self._reconnect()

    def adopt(self) -> None:
        """Connect to those whom the latest configuration names, and drop the others."""
        latest = self.configurations.latest
        if latest is not self._adopted and latest.addresses:
            self._adopted = latest
            self._tell()
            self._reconnect()

    def _reconnect(self) -> None:
        """Peers are the voters, and those who may be: one of them may lead.

        A member whose removal is not committed may win against it, and has to reach us then;
        so may later members, of whom a peer has told.
        """
        voters: dict[str, str] = self._others(self._adopted)
        peers: dict[str, str] = {}
        for configuration in self.configurations.open():
            peers |= self._others(configuration)
        if self._hint.index > self._adopted.index:
            peers |= self._others(self._hint)
        peers |= voters
        for node in _sorted(self.other_nodes):
            if node.id not in voters:
                self._unvote(node, stays=node.id in peers)
        for node in _sorted(self._visitors):
            if node.id not in peers:
                self._visitors.discard(node)
                self._farewell(node)
        self.guard.peers.rename(peers)
        known = {node.id for node in (*self.other_nodes, *self._visitors)}
        for address in sorted(peers):
            node = self.node_class(address)
            if address in voters and node not in self.other_nodes:
                self._vote_too(node)
            elif address not in voters:
                self._visitors.add(node)
            if address not in known:
                if self._leaving.pop(node, None) is not None:
                    self._transport.dropNode(node)
                self._transport.addNode(node)

    def _others(self, configuration: Configuration) -> dict[str, str]:
        return {
            address: name for name, address in configuration.addresses.items()
            if name != self.guard.controller_id
        }

    def let_go(self) -> None:
        """End connections to removed nodes, once they had time to read why.

        The library forgets what it has read as soon as it reads the end of a connection.
        """
        for node, (until_s, again_s) in list(self._leaving.items()):
            if raft.monotonicTime() > until_s:
                del self._leaving[node]
                self._transport.dropNode(node)
            elif raft.monotonicTime() > again_s:
                self._leaving[node] = until_s, raft.monotonicTime() + FAREWELL_S
                self._say_removed(node)

    def _unvote(self, node: Any, *, stays: bool) -> None:
        self.other_nodes.discard(node)
        self.next_index.pop(node, None)
        self.match_index.pop(node, None)
        self.answered_at_s.pop(node, None)
        if stays:
            self._visitors.add(node)
        else:
            self._farewell(node)

    def settle(self, commit_index: int) -> None:
        """Part from those whose removal is committed."""
        if self.configurations.settle(commit_index):
            self._reconnect()

    def _farewell(self, node: Any) -> None:
        self.connected_nodes.discard(node)
        leads, now_s = self.role() == LEADER, raft.monotonicTime()
        self._say_removed(node)
        self._leaving[node] = now_s + (PARTING_S if leads else FAREWELL_S), now_s + FAREWELL_S

    def _say_removed(self, node: Any) -> None:
        if self.role() == LEADER:  # a follower may just be reading an old part of the log
            self.raw_send(node, {"type": "removed", "members_index": self._adopted.index})

    def _vote_too(self, node: Any) -> None:
        self._visitors.discard(node)
        self.other_nodes.add(node)
        self.next_index[node] = self.log[-1][1] + 1
        self.match_index[node] = 0
        if self.role() == LEADER:
            self.answered_at_s[node] = raft.monotonicTime()

    def _tell(self) -> None:
        self.guard.members = self._adopted.addresses
        self.guard.members_index = self._adopted.index

    def on_removed(self, node: Any, message: Message) -> None:
        """A peer says that we are no member; a leader that goes on with us knows better."""
        self.guard.cast_out(self.guard.peers.name(node.id), message["members_index"], REMOVED)


def _sorted(nodes: Iterable[Any]) -> list[Any]:
    return sorted(nodes, key=lambda node: str(node.id))
