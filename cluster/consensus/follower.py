"""Follower: how a node takes over the leader's log, entry by entry or as a snapshot.

Source: Ongaro and Ousterhout, In Search of an Understandable Consensus Algorithm, figure 2.
"""

from __future__ import annotations

import logging
from typing import Any

import pysyncobj.syncobj as raft
from pysyncobj import FAIL_REASON, SyncObjConf

from cluster.consensus import snapshots as snapshot_files
from cluster.consensus.applier import Applier
from cluster.consensus.errors import Halted
from cluster.consensus.hooks import Message
from cluster.consensus.journal import Entry
from cluster.consensus.membership import Configuration
from cluster.consensus.pre_vote import PreVote
from cluster.consensus.snapshots import Snapshot, Snapshots
from cluster.state.codec import UnknownFormat

logger = logging.getLogger(__name__)


class Follower(PreVote):
    """Answers the leader only after the journal is safe."""

    def __init__(
        self, me: str, others: list[str], conf: SyncObjConf, *,
        snapshots: Snapshots, applier: Applier, **library: Any,
    ) -> None:
        self._snapshots = snapshots
        self._applier = applier
        self._acks: list[tuple[Any, Message]] = []
        self._committed_term = 0
        super().__init__(me, others, conf, **library)

    def persist(self) -> bool:
        """Sync the journal; False while the disk refuses."""
        raise NotImplementedError

    def on_disk_error(self, error: OSError) -> None:
        """Stop serving until the disk works again."""
        raise NotImplementedError

    def _acknowledge(self, node: Any, next_index: int, *, success: bool, reset: bool) -> None:
        """Answer the leader at the end of this tick, after one sync for all."""
        message = {
            "type": "next_node_idx", "next_node_idx": next_index, "success": success,
            "reset": reset, "term": self.term,
        }
        if self._acks and success:
            last_node, last = self._acks[-1]
            if last_node == node and last["success"] and last["term"] == message["term"]:
                last["next_node_idx"] = max(last["next_node_idx"], next_index)
                return
        self._acks.append((node, message))

    def flush_acks(self) -> None:
        if self._acks and self.persist():
            for node, message in self._acks:
                self.raw_send(node, message)
        self._acks.clear()

    def on_append_entries(self, node: Any, message: Message) -> None:
        """Follow the leader; never drop an entry that agrees with it.

        The library drops everything behind `prevLogIdx`, acknowledged or not, and moves
        the commit index over entries that it did not compare.

        Source: Ongaro and Ousterhout, In Search of an Understandable Consensus Algorithm,
        figure 2.
        """
        term = message["term"]
        if term < self.term:
            self._acknowledge(node, 1, success=False, reset=False)  # it learns the term
            return
        self._follow(node, term)
        self.guard.outcasts.clear()
        self.leader_commit_index = message["commit_index"]
        if self.fault:
            return
        if "prevLogIdx" in message:
            agreed = self._take_entries(node, message)
        elif message.get("serialized"):
            agreed = self._take_snapshot(message["serialized"])
            if agreed is None:  # a large one takes longer than a leader waits for an answer
                self._acknowledge(node, 1, success=False, reset=False)
        else:
            agreed = None
        self.adopt()
        if agreed is None:
            return
        commit = min(message["commit_index"], agreed)
        if commit > self.commit_index:
            self.commit_index = commit
            self.log.setRaftCommitIndex(commit)
        self._acknowledge(node, agreed + 1, success=True, reset=False)

    def _follow(self, node: Any, term: int) -> None:
        if term > self.term:
            self.transferring = False
            self.set_term(term, None)
        if not self.transferring:
            self.postpone_election()
        if self.leader_node != node:
            self.tell_leader_changed()
            self.leader_node = node
        self.become_follower()
        self.leader_heard_at_s = raft.monotonicTime()

    def _take_entries(self, node: Any, message: Message) -> int | None:
        """Up to which index the log now agrees with the leader's; None after a refusal."""
        log = self.log
        first, last = log[0][1], log[-1][1]
        previous, entries = message["prevLogIdx"], message["entries"]
        if previous is None or previous > last:
            self._acknowledge(node, last + 1, success=False, reset=True)
            return None
        if previous >= first and log[previous - first][2] != message["prevLogTerm"]:
            if previous <= self.commit_index:
                raise _differs(previous)
            # Up to the commit index all logs agree: one step back, however long our own tail.
            self._acknowledge(node, self.commit_index + 1, success=False, reset=True)
            return None
        for command, index, term in entries:
            if index < first:
                continue  # in the snapshot, so committed
            if index <= last:
                if log[index - first][2] == term:
                    continue
                if index <= self.commit_index:
                    raise _differs(index)
                log.deleteEntriesFrom(index - first)
                last = index - 1
            log.add(command, index, term)
            last = index
        return int(previous) + len(entries)

    def _take_snapshot(self, piece: tuple[bytes, bool, bool]) -> int | None:
        """Install a snapshot once it is complete, unless the log is already beyond it."""
        data, is_first, is_last = piece
        whole = self._snapshots.receive(data, first=is_first, last=is_last)
        if whole is None:
            return None
        try:
            snapshot = snapshot_files.decode(whole)
        except UnknownFormat as error:
            raise Halted(
                f"the leader's snapshot was written by a newer version ({error}); "
                "start that version on this controller too"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            logger.warning("a snapshot arrived damaged: %s", error)
            return None
        index = snapshot.last[1]
        if index > self.commit_index and not self._holds(snapshot.last):
            if not self._snapshots.finish():
                return None
            try:
                self._snapshots.store(whole)
            except OSError as error:
                self.on_disk_error(error)
                return None
            self._install(snapshot)
        return index

    def discard_older(self, term: int) -> None:
        """An entry of `term` is committed: what waits from an earlier term never will be.

        Terms never fall along a log, so no log with that entry has one of theirs behind it.
        """
        if term <= self._committed_term:
            return
        self._committed_term = term
        waiting = self.waiting_commit
        for index, asked in list(waiting.items()):
            for asked_term, callback in asked:
                if asked_term < term:
                    callback(None, FAIL_REASON.DISCARDED)
            waiting[index] = [one for one in asked if one[0] >= term]
            if not waiting[index]:
                del waiting[index]

    def _holds(self, entry: Entry) -> bool:
        position = entry[1] - self.log[0][1]
        return (
            0 <= position < len(self.log)
            and bool(self.log[position][2] == entry[2])
        )

    def _install(self, snapshot: Snapshot) -> None:
        index = snapshot.last[1]
        self.log.clear()
        self.log.add(*snapshot.previous)
        self.log.add(*snapshot.last)
        self.applied_index = index
        self._applier.install(snapshot.state, index)
        self.configurations.rebase(Configuration.of(snapshot.state, self._adopted.addresses))
        waiting = self.waiting_commit
        for passed in [known for known in waiting if known <= index]:
            for _, callback in waiting.pop(passed):
                callback(None, FAIL_REASON.UNKNOWN_OUTCOME)
        self.discard_older(snapshot.last[2])
        self._applier.publish()
        logger.info("installed the leader's snapshot up to entry %d", index)


def _differs(index: int) -> Halted:
    return Halted(
        f"the leader's log differs at entry {index}, which is committed here; "
        "compare the data folders of the controllers"
    )
