"""SyncObjLog: the replicated log of a controller, over PySyncObj."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pysyncobj.syncobj as raft
from pysyncobj import FAIL_REASON, SyncObjException

from cluster.clock import Clock, SystemClock
from cluster.consensus import wire
from cluster.consensus.applier import COMMAND_KIND, Applier
from cluster.consensus.data_dir import DataDir
from cluster.consensus.disk import Disk, OsDisk
from cluster.consensus.errors import ConsensusError, Halted
from cluster.consensus.hooks import LEADER
from cluster.consensus.journal import Journal
from cluster.consensus.library_conf import (
    BIND_RETRY_S,
    ENVELOPE_BYTES_MAX,
    bind_address,
    library_conf,
)
from cluster.consensus.log import RaftStatus
from cluster.consensus.membership import MEMBERS_KIND
from cluster.consensus.node import RaftNode
from cluster.consensus.peers import Peers
from cluster.consensus.raft_config import RaftConfig
from cluster.consensus.snapshots import Snapshots, run_in_thread
from cluster.consensus.tickets import NOT_COMMITTED, SyncObjTicket, TicketBook, failed
from cluster.consensus.transport import LIBRARY, Guard
from cluster.state import codec, levels
from cluster.state.commands import ChangeMembers, Command, Stamp
from cluster.state.model import ClusterState, EventRecord
from orchestry.errors import Code

__all__ = ["ConsensusError", "RaftConfig", "SyncObjLog"]

logger = logging.getLogger(__name__)

BIND_TIMEOUT_S = 2.0
STOP_TIMEOUT_S = 10.0
TRANSFER_RETRY_S = 0.05
HAND_OVER_POLL_S = 0.005
HOUSEKEEPING_S = 0.25
TICK_FAILURES_MAX = 100
SWITCH_INTERVAL_S = 0.0005  # a busy request thread may delay a heartbeat by no more
_ROLES = ("follower", "candidate", "leader")


class SyncObjLog:
    """ReplicatedLog: `start` runs a thread; a simulation calls `open` and `tick` instead."""

    _handing_over = False

    def __init__(
        self, config: RaftConfig, *, clock: Clock | None = None, disk: Disk | None = None,
        run: Callable[[Callable[[], None]], threading.Thread | None] = run_in_thread,
        **library: Any,
    ) -> None:
        """`library` goes to PySyncObj: another transport and node class.

        Raises:
            ConsensusError: the settings cannot work.
        """
        config.check()
        self._config = config
        self._clock = clock or SystemClock()
        self._disk = disk or OsDisk(config.durability)
        self._run_job = run
        self._library = library or LIBRARY
        self._peers = Peers({}, self._clock.monotonic_s, self._clock.wall_ms)
        self._tickets = TicketBook(self._clock.monotonic_s)
        self._applier = Applier()
        self._node: RaftNode | None = None
        self._data_dir: DataDir | None = None
        self._closed = "this controller has not started"
        self._fault = ""
        self._housekeeping_at_s = 0.0
        self._thread: threading.Thread | None = None
        self._stop_asked = threading.Event()
        self._transfer_until_s = 0.0
        self._transfer_to: str | None = None
        self._transfer_retry_at_s = 0.0

    # ReplicatedLog

    def state(self) -> ClusterState:
        return self._applier.state

    def is_raft_leader(self) -> bool:
        node = self._node
        return node is not None and not self._fault_text() and node.role() == LEADER

    def leader_id(self) -> str | None:
        node = self._node
        if node is None or self._fault:
            return None
        if node.role() == LEADER:
            return self._config.controller_id
        leader = node._getLeader()
        quiet_s = raft.monotonicTime() - node.leader_heard_at_s
        if leader is None or quiet_s > self._config.raft_max_timeout_s:
            return None
        return self._peers.names.get(leader.id)

    def settled_leader(self, timeout_s: float) -> str | None:
        until_s = self._clock.monotonic_s() + timeout_s
        while True:
            leader = self.leader_id()
            if leader is not None and not self._handing_over:
                return leader
            if self._clock.monotonic_s() >= until_s or self._closed:
                return None
            self._stop_asked.wait(HAND_OVER_POLL_S)

    def submit(self, command: Command, stamp: Stamp) -> SyncObjTicket:
        node = self._node
        kind = MEMBERS_KIND if isinstance(command, ChangeMembers) else COMMAND_KIND
        entry = kind + codec.encode_envelope(command, stamp).encode()
        if len(entry) > ENVELOPE_BYTES_MAX:
            return failed(Code.PAYLOAD_TOO_LARGE, f"a command has {len(entry)} bytes")
        if node is None or self._closed or self._handing_over:
            return failed(Code.CLUSTER_NOT_READY, self._closed or "leadership is handed over")
        if node.fault:  # committed or not, it could not be applied here
            return failed(Code.CLUSTER_NOT_READY, node.fault)
        early = levels.refusal(self._applier.state, codec.need_of(command, stamp))
        if early is not None:
            return failed(early.code, early.details)
        issued = self._tickets.issue()
        if issued is None:
            return failed(Code.CLUSTER_NOT_READY, NOT_COMMITTED[FAIL_REASON.QUEUE_FULL])
        number, ticket = issued

        def done(applied: Any, reason: int) -> None:
            self._settle(number, applied, reason)

        if isinstance(command, ChangeMembers):
            def refused(code: Code, why: str) -> None:
                if self._tickets.take(number) is not None:
                    ticket.fail(code, why)

            node.change(entry, command, done, refused)
        else:
            node.submit(entry, done)
        return ticket

    def cut_off(self, seconds: float) -> None:
        """Let no message through from or to other controllers for so long."""
        node = self._node
        if node is not None:
            node.guard.cut_until_s = raft.monotonicTime() + seconds

    def incarnations(self) -> Mapping[str, str]:
        """The data folders of this controller and of those that it is connected to, by id."""
        node = self._node
        if node is None:
            return {}
        return {**self._peers.incarnations, self._config.controller_id: node.guard.incarnation}

    def status(self) -> RaftStatus:
        node = self._node
        if node is None:
            return RaftStatus(
                role="follower", term=0, commit_index=self._applier.applied_index,
                applied_index=self._applier.applied_index, leader_id=None, has_quorum=False,
                peers=self._peers.status(frozenset()), fault=self._fault or self._closed,
            )
        leader = self.leader_id()
        applied_index = self._applier.applied_index  # before the other, which goes ahead of it
        return RaftStatus(
            role=_ROLES[node.role()],  # type: ignore[arg-type]
            term=node.raftCurrentTerm, commit_index=node.raftCommitIndex,
            applied_index=applied_index, leader_id=leader,
            has_quorum=leader is not None, peers=self._peers.status(node.connected()),
            fault=self._fault_text(),
        )

    def wait_applied(self, index: int, timeout_s: float) -> bool:
        return self._applier.wait(index, timeout_s)

    def subscribe_events(self, sink: Callable[[Sequence[EventRecord]], None]) -> None:
        self._applier.subscribe_events(sink)

    def subscribe(self, listener: Callable[[ClusterState], None]) -> None:
        self._applier.subscribe(listener)

    def _fault_text(self) -> str:
        node = self._node
        return self._fault or ("" if node is None else node.fault or node.guard.outcast)

    def _settle(self, number: int, applied: Any, reason: int) -> None:
        """PySyncObj's callback; must never raise: the entry would be applied twice."""
        ticket = self._tickets.take(number)
        if ticket is None:
            return
        if reason == FAIL_REASON.SUCCESS and applied is not None:
            ticket.settle(applied)
        elif reason in NOT_COMMITTED:
            ticket.fail(Code.CLUSTER_NOT_READY, NOT_COMMITTED[reason])
        else:
            ticket.fail(Code.UNKNOWN_OUTCOME, "the leader changed before it answered")

    # Life

    def start(self) -> None:
        """Open the data folder, listen, and run the Raft thread.

        Raises:
            ConsensusError: the folder or the port cannot be used.
        """
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._await_port()
        self.open()
        self._thread = threading.Thread(target=self._run, name="raft", daemon=True)
        self._thread.start()

    def open(self) -> None:
        """Read what the disk holds and join the cluster; `tick` then drives it.

        Raises:
            ConsensusError: the folder or the port cannot be used.
        """
        config = self._config
        wire.restrict_pickle()
        self._data_dir = DataDir(self._disk, config.data_dir, config.controller_id)
        try:
            self._node = self._build(self._data_dir)
        except SyncObjException as error:
            self._data_dir.close()
            raise self._port_taken() from error
        except OSError as error:
            self._data_dir.close()
            raise ConsensusError(
                f"data folder {config.data_dir}: {error.strerror}; correct its owner, mode or "
                "free space, or set ORCHESTRY_DATA_DIR to another folder"
            ) from error
        except BaseException:
            self._data_dir.close()
            raise
        self._closed = ""

    def _build(self, data_dir: DataDir) -> RaftNode:
        config = self._config
        guard = Guard(
            config.controller_id, self._peers, wire.Cipher(config.secret),
            data_dir.cluster_id, data_dir.incarnation, tls=config.tls,
        )
        snapshots = Snapshots(
            self._disk, data_dir.snapshot, self._clock.monotonic_s, self._run_job
        )
        journal = Journal(self._disk, data_dir.journal)
        try:
            return RaftNode(
                library_conf(config), addresses=config.addresses, joins=config.joins,
                journal=journal, snapshots=snapshots, applier=self._applier, guard=guard,
                free_bytes=lambda: self._disk.free_bytes(config.data_dir), **self._library,
            )
        except BaseException:
            journal.close()
            raise

    def _await_port(self) -> None:
        """Wait for our port, which a predecessor may still hold for a moment."""
        host, port = bind_address(self._config)
        deadline_s = self._clock.monotonic_s() + BIND_TIMEOUT_S
        while True:
            try:
                with socket.create_server((host, port)):
                    return
            except OSError as error:
                if self._clock.monotonic_s() > deadline_s:
                    raise self._port_taken(error) from error
            self._stop_asked.wait(BIND_RETRY_S)

    def _port_taken(self, error: OSError | None = None) -> ConsensusError:
        host, port = bind_address(self._config)
        why = "in use" if error is None else (error.strerror or str(error))
        return ConsensusError(
            f"Raft port {host}:{port} cannot be used ({why}); stop the process that has it, "
            "or set CLUSTER_RAFT_PORT and CLUSTER_PEERS to a free one"
        )

    def tick(self, wait_s: float) -> None:
        """One step of Raft, which waits for messages at most `wait_s`."""
        node = self._node
        if node is None:
            return
        try:
            node.doTick(wait_s)
            self._keep_house(node)
        except Halted as halt:
            logger.critical("this controller stops applying: %s", halt)
            self._close(str(halt))

    def _keep_house(self, node: RaftNode) -> None:
        now_s, level = self._clock.monotonic_s(), self._applier.state.level
        if now_s < self._housekeeping_at_s and level == node.guard.level:
            return
        self._housekeeping_at_s = now_s + HOUSEKEEPING_S
        self._tickets.expire()
        members = self._applier.state.members
        node.guard.bound = {name: member.incarnation for name, member in members.items()}
        node.guard.level = level
        cluster_id = self._applier.state.cluster_id
        if cluster_id and self._data_dir is not None and not node.fault:
            node.guard.cluster_id = cluster_id
            try:
                self._data_dir.record(cluster_id, level)
            except OSError as error:
                logger.warning("node.json not written: %s", error.strerror)
            except ConsensusError as error:
                raise Halted(str(error)) from error

    def _run(self) -> None:
        failures = 0
        while True:
            try:
                if not self._hand_over() and self._stop_asked.is_set():
                    break
                self.tick(self._config.tick_s)
                failures = 0
            except Exception as error:
                failures += 1
                if failures == 1:
                    logger.exception("a Raft tick failed")
                if failures >= TICK_FAILURES_MAX:
                    logger.critical("this controller stops: Raft ticks keep failing")
                    self._close(f"Raft failed repeatedly ({error!r}); restart this controller")
            if self._node is None:
                break
        self._close("this controller stopped")

    def _hand_over(self) -> bool:
        """True as long as a successor was asked for and is still to be found."""
        node, now_s = self._node, self._clock.monotonic_s()
        if node is None or now_s > self._transfer_until_s or not node.connected():
            return False
        if node.role() != LEADER:  # its vote may still be needed
            return self.leader_id() is None
        if now_s >= self._transfer_retry_at_s:
            self._transfer_retry_at_s = now_s + TRANSFER_RETRY_S
            to = self._transfer_to
            node.transferLeadership(None if to is None else node.node_class(to))
        return True

    def hand_over(self, to: str | None = None, timeout_s: float = 2.0) -> bool:
        """Let controller `to`, or the best prepared, lead; True when another one does.

        This node goes on as its follower, or as the leader when that fails.
        """
        node = self._node
        if node is None or not node.connected():
            return False
        by_name = {name: address for address, name in self._peers.names.items()}
        self._transfer_to = None if to is None else by_name.get(to)
        self._transfer_until_s = self._clock.monotonic_s() + timeout_s
        self._handing_over = True  # a successor has to hold the whole log, so it must not grow
        node.wake()
        nobody = (None, self._config.controller_id)
        while self.leader_id() in nobody and self._clock.monotonic_s() < self._transfer_until_s:
            self._stop_asked.wait(HAND_OVER_POLL_S)
        self._handing_over = False
        self._transfer_until_s = 0.0  # who is handed it back at once must keep it
        return self.leader_id() not in nobody

    def stop(self, *, transfer: bool = True, timeout_s: float = 2.0) -> None:
        """Leave the cluster, handing leadership over first; files are closed at return."""
        self._closed = "this controller stops"
        self._transfer_until_s = self._clock.monotonic_s() + timeout_s if transfer else 0.0
        self._stop_asked.set()
        if self._thread is None:
            self._close("this controller stopped")
            return
        node = self._node
        if node is not None:
            node.wake()
        self._thread.join(timeout_s + STOP_TIMEOUT_S)
        if self._thread.is_alive():
            raise ConsensusError(f"the Raft thread did not stop in {timeout_s:g} s")

    def _close(self, why: str) -> None:
        node, self._node = self._node, None
        if node is None:
            return
        self._closed = self._closed or why
        if not self._stop_asked.is_set():
            self._fault = why
        self._tickets.fail_all(why)
        with contextlib.suppress(OSError):
            node.destroy()
        if self._data_dir is not None:
            self._data_dir.close()
