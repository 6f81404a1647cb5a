"""ReplicatedLog: all that the rest of `cluster` knows about Raft."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from cluster.state.commands import Command, Stamp
from cluster.state.model import Applied, ClusterState, EventRecord


class Ticket(Protocol):
    """A submitted command; poll it from a loop, wait on it from a request thread."""

    def poll(self) -> Applied | None:
        """The outcome, or None while it is unknown.

        Raises:
            OrchestryError: CLUSTER_NOT_READY (surely not committed) or UNKNOWN_OUTCOME.
        """

    def wait(self, timeout_s: float) -> Applied:
        """Block until the outcome is known; UNKNOWN_OUTCOME when the time is up."""


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """What this controller knows about another one, from its own connections.

    `last_heard_at_ms` is wall time (Unix, ms), 0 when never. `refused` is the reason why
    its messages are not accepted (another secret, another cluster), "" when they are.
    """

    connected: bool
    last_heard_at_ms: int
    refused: str = ""


@dataclass(frozen=True, slots=True)
class RaftStatus:
    """A snapshot of this controller's Raft node; `fault` is what keeps it from serving."""

    role: Literal["leader", "follower", "candidate"]
    term: int
    commit_index: int
    applied_index: int
    leader_id: str | None
    has_quorum: bool
    peers: Mapping[str, PeerStatus] = field(default_factory=dict)
    fault: str = ""


class ReplicatedLog(Protocol):
    """A totally ordered log of commands, and the state that they lead to."""

    def state(self) -> ClusterState:
        """The latest applied state: an immutable value, safe in any thread."""

    def is_raft_leader(self) -> bool:
        """Raft's opinion, which two nodes can hold at once. To act, hold a Lease."""

    def leader_id(self) -> str | None:
        """The controller to redirect to, or None during an election."""

    def settled_leader(self, timeout_s: float) -> str | None:
        """The leader, once no election or hand-over is under way; None when time is up."""

    def submit(self, command: Command, stamp: Stamp) -> Ticket:
        """Hand one command to Raft; never blocks."""

    def status(self) -> RaftStatus:
        """Role, term, indices and peers; cheap, safe in any thread."""

    def wait_applied(self, index: int, timeout_s: float) -> bool:
        """Block a request thread until `index` is applied here; False when time is up."""

    def subscribe_events(self, sink: Callable[[Sequence[EventRecord]], None]) -> None:
        """Call `sink` with the events of each applied entry, or all of an installed snapshot.

        In the Raft thread: it must not wait. None is left out between two calls, but those
        that only a snapshot brought and that it no longer holds.
        """

    def subscribe(self, listener: Callable[[ClusterState], None]) -> None:
        """Call `listener` after each applied batch, in the Raft thread: must only set a flag."""
