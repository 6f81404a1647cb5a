"""judge: from probes to health; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from orchestry.spec.model import HealthCheck

Health = Literal["starting", "healthy", "unhealthy"]

FIRST_PROBE_GAP_S = 0.04
STARTING_PROBE_GAP_MAX_S = 1.0
CORRELATED_MIN = 2
"""One failing replica is never a mass failure, not even of an app that has only one."""


@dataclass(frozen=True, slots=True)
class Probe:
    """The outcome of one check."""

    ok: bool
    response_ms: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one container; times ending in _s are monotonic seconds.

    `checks` counts all checks; `checked_s` is when the last one ended.
    """

    since_s: float
    next_s: float
    health: Health = "starting"
    successes: int = 0
    failures: int = 0
    checks: int = 0
    checked_s: float = float("-inf")
    changed_s: float = float("-inf")
    checked_at_ms: int = 0
    response_ms: float = 0.0
    last_error: str = ""


def judge(
    record: Record, probe: Probe, policy: HealthCheck, *, now_s: float, now_ms: int
) -> Record:
    """The record after one more check.

    Until the first success a replica is *starting* and is checked at short, growing gaps of
    at most a second; afterwards once each period. `success_threshold` successes in a row
    make it healthy, `failure_threshold` failures in a row make it unhealthy.
    """
    successes = record.successes + 1 if probe.ok else 0
    failures = 0 if probe.ok else record.failures + 1
    health = record.health
    if probe.ok and successes >= policy.success_threshold:
        health = "healthy"
    elif health == "healthy" and failures >= policy.failure_threshold:
        health = "unhealthy"
    gap_s = float(policy.period_s)
    if health == "starting":
        gap_s = min(FIRST_PROBE_GAP_S * 2.0 ** min(record.checks, 10), STARTING_PROBE_GAP_MAX_S)
    return replace(
        record, health=health, successes=successes, failures=failures,
        checks=record.checks + 1, checked_s=now_s, next_s=now_s + gap_s,
        changed_s=now_s if health != record.health else record.changed_s,
        checked_at_ms=now_ms, response_ms=probe.response_ms, last_error=probe.error,
    )


def never_came_up(record: Record, policy: HealthCheck, now_s: float) -> bool:
    """True when a starting replica has had all the time that its owner grants."""
    granted_s = policy.initial_delay_s + policy.failure_threshold * policy.period_s
    return record.health == "starting" and now_s - record.since_s > granted_s


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which replicas of an app to replace; `frozen` says that most of them fail at once.

    `ask` are replicas to check at once, before anything is decided.
    """

    replace: frozenset[str] = frozenset()
    ask: frozenset[str] = frozenset()
    frozen: bool = False


def verdict(records: Mapping[str, Record], policy: HealthCheck, now_s: float) -> Verdict:
    """Decide over the replicas of one app, by container id.

    When more than half of those that have served fail together, the checker, the network or
    a dependency is the more likely cause: nothing is killed. A replica is only replaced
    after each of its siblings was checked since it failed, so that a failure of all is seen
    as one.
    """
    served = {i: r for i, r in records.items() if r.health != "starting"}
    failing = {i for i, r in served.items() if r.failures > 0}
    unhealthy = {i for i, r in served.items() if r.health == "unhealthy"}
    late = frozenset(i for i, r in records.items() if never_came_up(r, policy, now_s))
    if not unhealthy:
        return Verdict(replace=late)
    if len(failing) >= CORRELATED_MIN and 2 * len(failing) > len(served):
        return Verdict(replace=late, frozen=True)
    failed_s = max(served[i].changed_s for i in unhealthy)
    ask = frozenset(i for i, r in served.items() if r.checked_s < failed_s)
    if ask:
        return Verdict(replace=late, ask=ask)
    return Verdict(replace=late | frozenset(unhealthy))
