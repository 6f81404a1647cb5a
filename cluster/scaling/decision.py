"""Decision: how many replicas, why, and what the next decision must know; pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from orchestry.spec.model import Scaling

NEEDS_MAX = 60
"""Parts of the stabilisation window: a bound on what `Past` remembers."""

Reason = Literal[
    "above_max", "asleep", "at_max", "at_min", "below_min", "by_hand", "cooldown", "frozen",
    "idle", "latency", "latency_not_capacity", "load", "manual", "missing", "none_healthy",
    "quiet", "settling", "slow", "stabilising", "steady", "wake", "warming",
]


@dataclass(frozen=True, slots=True)
class Input:
    """One signal at a decision.

    `reading` is the newest total over the app (p95: itself) and `factor` is reading / (target x
    replicas); replicas that were not measured count as 0 there, and as exactly on target in
    `factor_in`, which scale-in looks at. `need` is the count that brings the signal to its
    target. None where not measured; a guard has no `factor_in` and no `need`.
    `counts` says that the policy scales on it.
    """

    signal: str
    unit: str
    reading: float | None
    target: float
    factor: float | None
    factor_in: float | None
    need: int | None
    counts: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """What one look at an app came to.

    `wanted` differs from `replicas` in mode `manual` only, where it is what mode `auto` would
    set and `would` says why. `need` is the fewest replicas that the load would allow, None
    when unknown. `emit` are events that begin with this decision.
    """

    at_s: float
    current: int
    healthy: int
    replicas: int
    wanted: int
    reason: Reason
    would: Reason
    minimum: int
    maximum: int
    inputs: tuple[Input, ...]
    need: int | None
    idle: bool = False
    breached: bool = False
    calm: bool = True
    guard_due: bool = False
    guard_steps: int = 0
    p95_ms: float | None = None
    emit: tuple[str, ...] = ()

    @property
    def direction(self) -> Literal["out", "in", "stay"]:
        """Where `replicas` lies from `current`."""
        if self.replicas == self.current:
            return "stay"
        return "out" if self.replicas > self.current else "in"


@dataclass(frozen=True, slots=True)
class Past:
    """What a decision knows of those before it; times are monotonic seconds.

    `since_s` is when this leader began to watch, `changed_s` when the count last changed,
    `needs` are (time, need) of the stabilisation window, needs falling; a need in it is the
    highest of all after the entry before. `guard_steps` are steps for latency without an
    improvement over `guard_p95_ms`.
    """

    since_s: float
    changed_s: float = -math.inf
    needs: tuple[tuple[float, int], ...] = ()
    idle_since_s: float | None = None
    guard_steps: int = 0
    guard_p95_ms: float | None = None
    guard_stopped: bool = False

    def after(self, decision: Decision, policy: Scaling) -> Past:
        """The past of the next decision.

        A need that is unknown counts as all that runs now: after a hole, scale-in waits for
        as long as after a change of the leader.
        """
        now_s = decision.at_s
        changed = decision.direction != "stay"
        idle_since_s = self.idle_since_s if self.idle_since_s is not None else now_s
        past = replace(
            self,
            changed_s=now_s if changed else self.changed_s,
            needs=self._with_need(decision, policy.stabilization_window_s),
            idle_since_s=idle_since_s if decision.idle else None,
        )
        if decision.calm:
            return replace(past, guard_steps=0, guard_p95_ms=None, guard_stopped=False)
        if "latency_not_capacity" in decision.emit:
            return replace(past, guard_stopped=True)
        if decision.guard_due and decision.direction == "out":
            return replace(
                past, guard_steps=decision.guard_steps, guard_p95_ms=decision.p95_ms,
            )
        return past

    def highest_need(self, now_s: float, span_s: float) -> int:
        """The highest need of the last `span_s` seconds; 0 when there was none."""
        return max((need for at_s, need in self.needs if now_s - at_s < span_s), default=0)

    def _with_need(self, decision: Decision, span_s: float) -> tuple[tuple[float, int], ...]:
        now_s = decision.at_s
        need = decision.current if decision.need is None else decision.need
        kept = [(t, n) for t, n in self.needs if now_s - t < span_s and n > need]
        if kept and now_s - kept[-1][0] < span_s / NEEDS_MAX:
            return tuple(kept)
        return (*kept, (now_s, need)) if span_s else ()
