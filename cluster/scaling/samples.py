"""Sample, AppSample: what a collector measures at one moment; pure."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """One replica. Percent of its own limits, 100 is all of it; None where not measured.

    `at_s` is monotonic seconds of the controller that measured. `young` says that the replica
    was not healthy yet: its start-up work is no load.
    """

    replica: str
    at_s: float
    cpu_percent: float | None = None
    memory_percent: float | None = None
    young: bool = False


@dataclass(frozen=True, slots=True)
class AppSample:
    """One app at the ingress, summed over all ingresses; None where not measured.

    `p95_ms` is of histograms merged first, over the `requests` since the sample before.
    `rps` and `errors_per_s` (answers 5xx) are rates over the same time.
    """

    at_s: float
    rps: float | None = None
    requests: float | None = None
    p95_ms: float | None = None
    connections: float | None = None
    errors_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Counters:
    """Totals of one ingress since it started, as it reports them."""

    at_s: float
    requests: float | None
    errors: float | None


def clean(value: float | None) -> float | None:
    """A number that can be reckoned with: finite and not negative, else None."""
    if value is None or not math.isfinite(value) or value < 0:
        return None
    return value


def traffic(
    before: Counters, after: Counters, *,
    p95_ms: float | None = None, connections: float | None = None,
) -> AppSample:
    """What happened between two readings of one ingress's counters.

    A counter that went back was reset by a restart: how much happened is unknown, so the
    rate is a hole, not the small number that the difference to zero would give.
    """
    elapsed_s = after.at_s - before.at_s
    requests = _grown(before.requests, after.requests)
    errors = _grown(before.errors, after.errors)
    if not (math.isfinite(elapsed_s) and elapsed_s > 0):
        return AppSample(after.at_s)
    return AppSample(
        after.at_s,
        rps=None if requests is None else requests / elapsed_s,
        requests=requests,
        p95_ms=clean(p95_ms) if requests else None,
        connections=clean(connections),
        errors_per_s=None if errors is None else errors / elapsed_s,
    )


def _grown(before: float | None, after: float | None) -> float | None:
    first, last = clean(before), clean(after)
    return None if first is None or last is None or last < first else last - first
