"""Loop: one concern of the leader, stepped by the driver in the control thread."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from cluster.consensus.lease import Lease
from cluster.state.commands import Command
from cluster.state.model import ClusterState


class Fenced(Exception):
    """The lease ended before the side effect could begin."""


@dataclass(frozen=True, slots=True)
class Effect:
    """Something that is done to the world: `actuator` is docker or an ingress by name."""

    actuator: str
    verb: str
    app: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """What a loop sees in one step.

    `guard()` raises Fenced when the lease is over. Every job does its side effect within
    `act(effect)`, which notes it and calls the guard first; a call of several steps is given
    the guard too. `propose` hands a command to the log under this lease's epoch and tells
    whether it was taken; it never waits. What is done about one app is done within
    `apart(app)`: a fault of ours about it is written down, and the others go on.
    """

    state: ClusterState
    lease: Lease
    now_s: float
    now_ms: int
    guard: Callable[[], None]
    act: Callable[[Effect], AbstractContextManager[None]]
    propose: Callable[[str, Command], bool]
    apart: Callable[[str], AbstractContextManager[None]]


class Loop(Protocol):
    """Level-triggered: right even if every wake-up is lost; never blocks."""

    name: str

    def reset(self) -> None:
        """A new lease begins: what was remembered under the old one does not count."""

    def step(self, turn: Turn) -> None:
        """Look at the state and the fleet, and begin what is due."""
