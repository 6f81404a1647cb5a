"""gate: whether new replicas do worse than old ones, by what the ingresses measured; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cluster.control.meter import Counted
from orchestry.spec.model import Gate

P95_SLACK_MS = 10.0
"""A latency that is worse by less is not: buckets are as wide as that."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`open`: too little was measured to tell. `why` is for the owner."""

    outcome: Literal["passed", "failed", "open"]
    why: str = ""


def judge(gate: Gate, old: Counted, new: Counted) -> Verdict:
    """Compare what both counted in the same time.

    The share of errors of the new ones is seen as if they had `min_requests` at least: a
    few errors among fewer requests are enough to fail, and never enough to pass.
    """
    least = gate.min_requests
    tried_old, tried_new = _tried(old), _tried(new)
    if tried_old < least:
        return Verdict("open", f"{tried_old} of {least} requests to old replicas were measured")
    old_percent = 100 * _bad(old) / tried_old
    new_percent = 100 * _bad(new) / max(tried_new, least)
    if new_percent > old_percent + gate.extra_error_percent:
        return Verdict("failed", (
            f"{_bad(new)} of {tried_new} requests to new replicas failed, of old ones "
            f"{_bad(old)} of {tried_old}; {gate.extra_error_percent} % more are allowed"))
    if tried_new < least:
        return Verdict("open", f"{tried_new} of {least} requests to new replicas were measured")
    old_ms, new_ms = old.percentile_ms(0.95), new.percentile_ms(0.95)
    if old_ms is None or new_ms is None:
        return Verdict("open", "no response time was measured")
    if new_ms > old_ms * gate.p95_percent / 100 and new_ms - old_ms > P95_SLACK_MS:
        return Verdict("failed", (
            f"95 % of the answers of new replicas came within {new_ms:.0f} ms, of old ones "
            f"within {old_ms:.0f} ms; {gate.p95_percent} % of that is allowed"))
    return Verdict("passed", f"{tried_new} requests to new replicas were measured")


def _tried(counted: Counted) -> int:
    return counted.requests + (counted.retried or 0)


def _bad(counted: Counted) -> int:
    return counted.failed + (counted.retried or 0)
