"""PreVote: ask who would vote before campaigning.

A node that was cut off and returns with a high term would otherwise depose a good leader.

Source: Ongaro, Consensus: Bridging Theory and Practice, section 9.6.
"""

from __future__ import annotations

from typing import Any

import pysyncobj.syncobj as raft
from pysyncobj import SyncObjConf

from cluster.consensus.hooks import LEADER, Message
from cluster.consensus.voters import Voters


class PreVote(Voters):
    """Holds PySyncObj's election back until a majority would vote for this node."""

    def __init__(self, me: Any, others: list[Any], conf: SyncObjConf, **library: Any) -> None:
        self.fault = ""
        self.leader_heard_at_s = float("-inf")
        self._pre_votes: set[Any] = set()
        super().__init__(me, others, conf, **library)

    def ask_for_votes(self) -> None:
        """When the time is up, ask who would vote; the library campaigns when enough would.

        Source: Ongaro, Consensus: Bridging Theory and Practice, section 9.6.
        """
        now_s = raft.monotonicTime()
        if not self.votes():
            self.transferring = False
            self.postpone_election()
            return
        if (
            self.role() == LEADER
            or self.election_at_s >= now_s
            or self.transferring
            or not self.other_nodes
        ):
            return
        if self.leader_node is not None:
            self.leader_node = None
            self.tell_leader_changed()
        if 2 * (len(self._pre_votes) + 1) > len(self.other_nodes) + 1:
            self._pre_votes.clear()
            return  # the deadline has passed, so the library campaigns in this tick
        retry_s = self.conf.raftMinTimeout * (0.25 + 0.25 * raft.random.random())
        self.election_at_s = now_s + retry_s
        self._pre_votes.clear()
        last = self.log[-1]
        for node in self.other_nodes:
            self.raw_send(node, {
                "type": "pre_vote", "term": self.term + 1,
                "last_log_index": last[1], "last_log_term": last[2],
            })

    def on_pre_vote(self, node: Any, message: Message) -> None:
        if message["term"] <= self.term:
            # It may hold the only log that can win, and would never learn our term.
            self.raw_send(node, {
                "type": "next_node_idx", "next_node_idx": 1, "success": False,
                "reset": False, "term": self.term,
            })
            return
        last = self.log[-1]
        quiet_s = raft.monotonicTime() - self.leader_heard_at_s
        if (
            not self.fault
            and self.role() != LEADER
            and quiet_s > self.conf.raftMinTimeout - 2 * self.conf.appendEntriesPeriod
            and (message["last_log_term"], message["last_log_index"]) >= (last[2], last[1])
        ):
            self.raw_send(node, {"type": "pre_vote_granted", "term": message["term"]})

    def on_pre_vote_granted(self, node: Any, message: Message) -> None:
        if message["term"] != self.term + 1 or self.role() == LEADER:
            return
        self._pre_votes.add(node)
        if 2 * (len(self._pre_votes) + 1) > len(self.other_nodes) + 1:
            self.election_at_s = 0.0
