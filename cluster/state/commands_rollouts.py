"""Commands about rollouts that are under way; see cluster.state.commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cluster.state.model import Canary, Place, Receipt


@dataclass(frozen=True, slots=True)
class SteerRollout:
    """Pause the rollout that is under way, let it go on, or let it wait for nothing but health.

    Promoted to a `canary_step` it only goes on to that one; 0 is none.
    """

    app: str
    verb: Literal["pause", "resume", "promote"]
    expected_revision: int | None = None
    canary_step: int = 0


@dataclass(frozen=True, slots=True)
class StepRollout:
    """Leader: which replicas are wanted from now on, decided when `step` steps were done."""

    app: str
    id: int
    step: int
    new: tuple[int, ...]
    old: tuple[Place, ...]
    available: int
    wanted: int
    notes: tuple[str, ...] = ()
    canary: Canary | None = None


@dataclass(frozen=True, slots=True)
class EndRollout:
    """Leader: a rollout is done, has failed, or (a rollback, which goes on) takes too long.

    `lines` are the last ones of a replica that never got healthy. With `roll_back` the last
    healthy revision comes back. Decided when `step` steps were done; None is from before.
    """

    app: str
    id: int
    outcome: Literal["done", "failed", "overdue"]
    reason: str = ""
    lines: tuple[str, ...] = ()
    roll_back: bool = False
    step: int | None = None


@dataclass(frozen=True, slots=True)
class KeepReceipt:
    """Leader: what users saw of the deployment `id` so far."""

    app: str
    id: int
    receipt: Receipt
