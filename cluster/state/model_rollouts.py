"""Rollouts in the replicated state; see cluster.state.model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Place = tuple[int, int]
"""(template, slot): what one replica is known by within its app."""

RolloutKind = Literal["update", "rollback", "restart"]
RolloutPhase = Literal["running", "paused", "failed", "done", "superseded", "stopped"]


@dataclass(frozen=True, slots=True)
class RolloutNote:
    """One thing that a rollout did, and why."""

    at_ms: int
    text: str


CanaryWait = Literal["", "replicas", "time", "promotion", "measurements"]


@dataclass(frozen=True, slots=True)
class Canary:
    """How far a rollout by weights is: at which of the spec's steps, counted from 0.

    `weight` percent of the requests go to replicas of `template`, which is that of the rollout
    before until this one has replicas; so many as there are steps stand for the end, in which
    the old ones leave. The step's weight has been in force for at least `held_s`.
    """

    step: int = 0
    template: int = 0
    weight: int = 0
    held_s: int = 0
    waits: CanaryWait = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """Requests to an app in so many seconds, at the ingresses; None where that is not known.

    `failed` were answered with a 5xx, `retried` by another replica than the first.
    """

    seconds: float
    requests: int
    failed: int
    retried: int | None = None
    p95_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What users saw before, during and after a deployment; None where there is a hole.

    `complete`: all three are there, and one leader measured the deployment from its begin.
    """

    before: Measured | None = None
    during: Measured | None = None
    after: Measured | None = None
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Rollout:
    """How the replicas of an app come to a template; `id` is the revision that it brings about.

    `new` are the slots of the template that are wanted by now, `old` all other places that
    still are: of other templates, and of slots above the wanted number. `step` counts what the
    leader decided. `available` is how many new replicas had proved themselves. A rollout that
    `failed` holds what there is; the other phases but `running` and `paused` are over.
    `promoted` waits for nothing but health.
    """

    id: int
    kind: RolloutKind
    from_revision: int
    began_at_ms: int
    phase: RolloutPhase = "running"
    new: tuple[int, ...] = ()
    old: tuple[Place, ...] = ()
    step: int = 0
    available: int = 0
    wanted: int = 0
    promoted: bool = False
    overdue: bool = False
    changed_at_ms: int = 0
    ended_at_ms: int = 0
    reason: str = ""
    notes: tuple[RolloutNote, ...] = ()
    canary: Canary | None = None
    receipt: Receipt | None = None
