"""RaftNode: PySyncObj's node with the rules that it lacks.

Durable before any promise, no entry dropped that agrees with the leader's, answers counted
in their own term, elections asked for before they are held, and a disk that may be full.

Source: docs/adr/0004-durable-journal.md.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pysyncobj.syncobj as raft
from pysyncobj import FAIL_REASON, SyncObjConf
from pysyncobj.poller import POLL_EVENT_TYPE

from cluster.consensus.applier import Applier
from cluster.consensus.errors import ConsensusError
from cluster.consensus.follower import Follower
from cluster.consensus.hooks import FOLLOWER, LEADER, Message
from cluster.consensus.journal import Journal
from cluster.consensus.membership import (
    MEMBERS_KIND,
    Configuration,
    Configurations,
    objection,
)
from cluster.consensus.recovery import align
from cluster.consensus.snapshots import Snapshots
from cluster.consensus.transport import Guard
from cluster.state.commands import ChangeMembers
from orchestry.errors import Code

logger = logging.getLogger(__name__)

APPLY_MAX = 1000
APPLY_BUDGET_S = 0.02
DISK_RETRY_S = 1.0
STALL_S = 0.1


@dataclass(frozen=True, slots=True)
class _Change:
    """A change of members that was asked for here."""

    entry: bytes
    command: ChangeMembers
    callback: Callable[[Any, int], None]
    refuse: Callable[[Code, str], None]


class RaftNode(Follower):
    """One node; all methods but `submit` and `wake` belong to the Raft thread.

    `fault` is why it does not serve at present.
    """

    def __init__(
        self, conf: SyncObjConf, *, addresses: Mapping[str, str], joins: bool,
        journal: Journal, snapshots: Snapshots, applier: Applier, guard: Guard,
        free_bytes: Callable[[], int], **library: Any,
    ) -> None:
        """`addresses`, id -> Raft address, hold until the log names members.

        A node that `joins` a running cluster waits for that.

        Raises:
            ConsensusError: the files do not belong together, or name another address.
        """
        self._changes: deque[_Change] = deque()
        self._free_bytes = free_bytes
        self._disk_retry_at_s = 0.0
        self._sent = (0, 0)
        self._behind = False
        snapshot = snapshots.load()
        applied = align(journal, snapshot)
        state = applier.state if snapshot is None else snapshot.state
        configurations = Configurations(Configuration.of(state, {} if joins else addresses))
        configurations.read(journal[:])
        journal.watcher = configurations
        me = addresses[guard.controller_id]
        named = configurations.latest.addresses or addresses
        if named.get(guard.controller_id, me) != me and len(named) > 1:
            raise ConsensusError(
                f"controller {guard.controller_id} is a member at "
                f"{named[guard.controller_id]}, CLUSTER_PEERS says {me}; correct it, or remove "
                "the controller and add it again"
            )
        others = {address: name for name, address in named.items() if address != me}
        guard.peers.rename(others)
        super().__init__(
            me, sorted(others), conf, snapshots=snapshots, applier=applier, guard=guard,
            configurations=configurations, **library,
        )
        self._ticked_at_s = raft.monotonicTime()
        applier.install(applier.state if snapshot is None else snapshot.state, applied)
        snapshots.state = lambda: applier.state
        self.raw_send = self.take_over(journal, snapshots, applied, self._send)
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._wake_lock = threading.Lock()
        self._woken = False
        self._poller.subscribe(self._wake_read, self._on_wake, POLL_EVENT_TYPE.READ)

    @property
    def encryptor(self) -> Guard:
        """Truthy: the library then exchanges nonces; the transport seals each connection."""
        return self.guard

    # For any thread

    def submit(self, entry: bytes, callback: Callable[[Any, int], None]) -> None:
        """Hand an entry to the leader, from whatever node this is."""
        self._applyCommand(entry, callback)
        self.wake()

    def change(
        self, entry: bytes, command: ChangeMembers, callback: Callable[[Any, int], None],
        refuse: Callable[[Code, str], None],
    ) -> None:
        """Append a change of members, if this node leads and may; never forwarded."""
        self._changes.append(_Change(entry, command, callback, refuse))
        self.wake()

    def wake(self) -> None:
        """End the current poll."""
        with self._wake_lock:
            if not self._woken:
                self._woken = True
                os.write(self._wake_write, b"w")

    def connected(self) -> frozenset[str]:
        """Addresses of the peers with a connection."""
        return frozenset(
            node.id for node in tuple(self.other_nodes)
            if node in self.connected_nodes
        )

    def _on_wake(self, descriptor: int, event: int) -> None:
        with self._wake_lock:
            os.read(self._wake_read, 1)
            self._woken = False

    # The tick

    def _onTick(self, timeToWait: float = 0.0) -> None:
        now_s = raft.monotonicTime()
        if now_s > self._ticked_at_s + STALL_S:
            # Heartbeats wait in the sockets: read them before judging by the clock.
            self._poller.poll(0.0)
        if self.persist():
            self.ask_for_votes()
            led = self.role() == LEADER
            super()._onTick(0.0 if self._behind else timeToWait)
            if led and self.role() != LEADER and self.leader_node is None:
                self._give_up_waiting()
        else:
            self._stand_aside(timeToWait)
        self.flush_acks()
        self.let_go()
        self._ticked_at_s = raft.monotonicTime()

    def _give_up_waiting(self) -> None:
        """A leader that lost its majority will not soon know what comes of its last entries.

        Who repeats them at the next leader, under the same key, need not wait for that.
        """
        waiting, open_ones = self.waiting_commit, []
        for index in list(waiting):
            open_ones += [callback for _, callback in waiting.pop(index)]
        for callback in open_ones:
            callback(None, FAIL_REASON.LEADER_CHANGED)

    def persist(self) -> bool:
        """Sync the journal; False while the disk refuses."""
        now_s = raft.monotonicTime()
        if self.fault and now_s < self._disk_retry_at_s:
            return False
        try:
            self.log.sync()
        except OSError as error:
            self.on_disk_error(error)
            return False
        if self.fault:
            logger.warning("the data folder can be written again")
            self.fault = ""
        return True

    def on_disk_error(self, error: OSError) -> None:
        self._disk_retry_at_s = raft.monotonicTime() + DISK_RETRY_S
        folder = self.log.path.parent
        with contextlib.suppress(OSError):
            free_mib = self._free_bytes() / 2**20
            remedy = f"free space in {folder} ({free_mib:.1f} MiB left)"
            text = f"data folder {folder}: {error.strerror}; {remedy}"
            if not self.fault:
                logger.error("this controller stops serving: %s", text)
            self.fault = text
        self.fault = self.fault or f"data folder {folder}: {error.strerror}"

    def _stand_aside(self, wait_s: float) -> None:
        """A tick without a disk: neither lead nor vote nor acknowledge, but follow."""
        if self.role() != FOLLOWER:
            self.become_follower()
            self.leader_node = None
        self.postpone_election()
        self.apply_entries()
        self._checkCommandsToApply()
        for callback in tuple(self.tick_callbacks):
            callback()
        self._poller.poll(wait_s)

    def _checkCommandsToApply(self) -> None:
        """Send once a tick all that is new, where the library sends once a command."""
        super()._checkCommandsToApply()
        while self._changes:
            self._take_change(self._changes.popleft())
        if self.role() == LEADER:
            newest = (self.log[-1][1], self.commit_index)
            if newest != self._sent:
                self._sent = newest
                self.send_entries()
                if not self.other_nodes:
                    self.wake()  # nobody's answer ends the poll, and the next tick commits

    def _take_change(self, change: _Change) -> None:
        """One at a time, and not before a leader knows what is committed."""
        commit, first = self.commit_index, self.log[0][1]
        if self.role() != LEADER or self.log[commit - first][2] != self.term:
            change.refuse(Code.CLUSTER_NOT_READY, "the leader has just changed")
            return
        latest = self.configurations.latest
        why = "another change of members is under way: ask again"
        if latest.index <= commit:
            why = objection(
                change.command, latest, me=self.guard.controller_id, live=self.live())
        if why:
            change.refuse(Code.CONFLICT, why)
            return
        index = self.log[-1][1] + 1
        self.log.add(change.entry, index, self.term)
        self.waiting_commit[index].append((self.term, change.callback))
        self.adopt()

    def apply_entries(self) -> bool:
        """Apply for a bounded time, so that a long backlog delays no heartbeat."""
        first = self.applied_index + 1
        count = min(self.commit_index - first + 1, APPLY_MAX)
        if count <= 0:
            self._behind = False
            return False
        until_s = raft.monotonicTime() + APPLY_BUDGET_S
        for command, index, term in self.entries(first, count):
            self.discard_older(term)
            outcome = self._applier.commit(command, index)
            self.applied_index = index
            for asked_term, callback in self.waiting_commit.pop(index, ()):
                if asked_term == term:
                    callback(outcome, FAIL_REASON.SUCCESS)
                else:
                    callback(None, FAIL_REASON.DISCARDED)
            if raft.monotonicTime() > until_s:
                break
        self.settle(self.applied_index)
        self._applier.publish()
        self._behind = self.applied_index < self.commit_index
        return False

    # Sending

    def _send(self, node: Any, message: Message) -> bool:
        """Nothing that promises may leave before the journal is safe."""
        kind = message["type"]
        if kind in ("request_vote", "response_vote") and not self.persist():
            return False
        connected = node in self.connected_nodes
        sent = connected and self.raw_send(node, message)
        if kind == "apply_command" and not sent:
            reply = self.waiting_reply.pop(message.get("request_id"), None)
            if reply is not None:
                reply(None, FAIL_REASON.LEADER_CHANGED if connected else FAIL_REASON.MISSING_LEADER)
        return bool(sent)

    # Receiving

    def on_message(self, node: Any, message: Message) -> None:
        kind = message["type"]
        if not self.knows(node):
            return  # no member any more
        if kind == "append_entries":
            self.on_append_entries(node, message)
        elif kind == "next_node_idx":
            self._on_ack(node, message)
        elif kind in ("request_vote", "timeout_now") and self.fault:
            pass
        elif kind == "removed":
            self.on_removed(node, message)
        elif kind == "apply_command" and message["command"].startswith(MEMBERS_KIND):
            pass  # only a leader's own API may ask for these
        elif kind == "pre_vote":
            self.on_pre_vote(node, message)
        elif kind == "pre_vote_granted":
            self.on_pre_vote_granted(node, message)
        else:
            super().on_message(node, message)

    def _on_ack(self, node: Any, message: Message) -> None:
        """Count an answer of this term; the library counts those of any."""
        term = message["term"]
        if term > self.term:
            self.set_term(term, None)
            self.become_follower()
            self.leader_node = None
            return
        if self.role() != LEADER or term != self.term or node not in self.other_nodes:
            return
        self.answered_at_s[node] = raft.monotonicTime()
        next_index = min(message["next_node_idx"], self.log[-1][1] + 1)
        if message["reset"]:
            self.next_index[node] = next_index
        if message["success"] and next_index - 1 > self.match_index[node]:
            self.match_index[node] = next_index - 1
            self.next_index[node] = max(
                next_index, self.next_index[node]
            )

    # The end

    def _doDestroy(self) -> None:
        self._snapshots.finish()
        super()._doDestroy()
        self._poller.unsubscribe(self._wake_read)
        with self._wake_lock:
            self._woken = True  # no write any more: the descriptor's number may be reused
        os.close(self._wake_read)
        os.close(self._wake_write)
