"""LocalLog: a log of one, for tests of everything above Raft."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cluster.consensus.applier import new_events
from cluster.consensus.log import RaftStatus
from cluster.state import codec, levels
from cluster.state.commands import Command, Stamp
from cluster.state.machine import apply
from cluster.state.model import Applied, ClusterState, EventRecord
from cluster.state.step import Refusal
from orchestry.errors import OrchestryError


@dataclass(frozen=True, slots=True)
class Settled:
    """A ticket whose outcome is known; what was `early` refused was never applied."""

    applied: Applied
    early: Refusal | None = None

    def poll(self) -> Applied | None:
        return self.wait(0)

    def wait(self, timeout_s: float) -> Applied:
        if self.early is not None:
            raise OrchestryError(self.early.code, self.early.details)
        return self.applied


class LocalLog:
    """Applies at once; leads always, unless a test says otherwise through `leader`."""

    def __init__(self, controller_id: str = "local") -> None:
        self.id = controller_id
        self.leader: str | None = controller_id
        self._state = ClusterState()
        self._changed = threading.Condition()
        self._listeners: list[Callable[[ClusterState], None]] = []
        self._sinks: list[Callable[[Sequence[EventRecord]], None]] = []

    def state(self) -> ClusterState:
        return self._state

    def is_raft_leader(self) -> bool:
        return self.leader == self.id

    def leader_id(self) -> str | None:
        return self.leader

    def settled_leader(self, timeout_s: float) -> str | None:
        return self.leader

    def submit(self, command: Command, stamp: Stamp) -> Settled:
        with self._changed:
            early = levels.refusal(self._state, codec.need_of(command, stamp))
            if early is not None:
                return Settled(Applied(0, early.code, early.details), early)
            before = self._state
            self._state, applied = apply(before, command, stamp, before.index + 1)
            if new := new_events(before, self._state):
                for sink in self._sinks:
                    sink(new)
            self._changed.notify_all()
        for listener in self._listeners:
            listener(self._state)
        return Settled(applied)

    def status(self) -> RaftStatus:
        index = self._state.index
        role = "leader" if self.is_raft_leader() else "follower"
        return RaftStatus(
            role=role, term=1, commit_index=index, applied_index=index,  # type: ignore[arg-type]
            leader_id=self.leader, has_quorum=self.leader is not None,
        )

    def wait_applied(self, index: int, timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._state.index >= index, timeout_s)

    def subscribe_events(self, sink: Callable[[Sequence[EventRecord]], None]) -> None:
        self._sinks.append(sink)

    def subscribe(self, listener: Callable[[ClusterState], None]) -> None:
        self._listeners.append(listener)
