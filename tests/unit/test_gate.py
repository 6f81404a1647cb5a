"""What ingresses counted since a moment, and whether new replicas do worse by it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cluster.control.gate import judge
from cluster.control.meter import FRESH_S, NOTHING, Counted, Meter, look, minus, plus
from cluster.ingress.base import IngressStats, PeerStats
from orchestry.spec.model import Gate

BOUNDS = (10.0, 100.0, 1_000.0)
GATE = Gate(extra_error_percent=1, p95_percent=200, min_requests=100)


def counted(requests: int, failed: int = 0, *, retried: int | None = 0, slow: int = 0) -> Counted:
    """Answers within 10 ms, but for the slow ones, within a second."""
    return Counted(requests, failed, retried, (requests - slow, 0, slow, 0), BOUNDS)


@pytest.mark.parametrize(("old", "new", "outcome"), [
    (counted(1000), counted(100), "passed"),
    (counted(1000), counted(99), "open"),
    (counted(99), counted(1000, 1000), "open"),
    (NOTHING, NOTHING, "open"),
    (counted(1000), counted(3, 3), "failed"),
    (counted(1000), counted(3, 1), "open"),
    (counted(1000), counted(100, 1), "passed"),
    (counted(1000), counted(100, 2), "failed"),
    (counted(1000, 500), counted(100, 51), "passed"),
    (counted(1000), replace(counted(98), retried=2), "failed"),
    (counted(1000), counted(1000, retried=None), "passed"),
    (counted(1000), counted(1000, slow=100), "failed"),
    (counted(1000, slow=100), counted(1000, slow=100), "passed"),
    (replace(counted(1000), counts=()), counted(1000), "open"),
])
def test_verdicts(old: Counted, new: Counted, outcome: str) -> None:
    """Few errors among few requests fail, and never pass; without numbers it stays open."""
    assert judge(GATE, old, new).outcome == outcome


def test_a_failure_is_told_in_numbers() -> None:
    """For the owner."""
    assert judge(GATE, counted(1000), counted(50, 20)).why == (
        "20 of 50 requests to new replicas failed, of old ones 0 of 1000; 1 % more are allowed")
    assert judge(GATE, counted(1000), counted(1000, slow=100)).why.startswith(
        "95 % of the answers of new replicas came within ")


def stats(boot: str = "b", **requests: int) -> IngressStats:
    """Counters of replicas of the shop."""
    return IngressStats(boot, BOUNDS, tuple(
        PeerStats("shop", name, count, 0, 0, 0, (count, 0, 0, 0), 0)
        for name, count in requests.items()))


def test_what_came_since_a_mark() -> None:
    """Of all ingresses together; a replica that is new there began at zero."""
    meter = Meter(("one", "two"))
    meter.add("one", look(stats(r1=5), 0.0))
    assert meter.mark("shop", 0.0) is None
    meter.add("two", look(stats(r1=7), 0.0))
    mark = meter.mark("shop", 0.0)
    assert mark is not None
    meter.add("one", look(stats(r1=8, r2=2), 1.0))
    meter.add("two", look(stats(r1=7), 1.0))
    found = meter.since(mark)
    assert found is not None
    assert {name: one.requests for name, one in found.items()} == {"r1": 3, "r2": 2}
    meter.add("two", look(stats(r1=1), 0.5))  # an older look that comes late
    assert meter.since(mark) == found


@pytest.mark.parametrize("after", [stats("another", r1=9), stats(r1=4)])
def test_a_hole_is_none(after: IngressStats) -> None:
    """An ingress that was restarted, and a counter that fell."""
    meter = Meter(("one",))
    meter.add("one", look(stats(r1=5), 0.0))
    mark = meter.mark("shop", 0.0)
    assert mark is not None
    meter.add("one", look(after, 1.0))
    assert meter.since(mark) is None


def test_an_old_look_is_no_look() -> None:
    """And a cluster without ingresses has none."""
    meter = Meter(("one",))
    meter.add("one", look(stats(), 0.0))
    assert meter.is_fresh(FRESH_S)
    assert not meter.is_fresh(FRESH_S + 1)
    assert meter.mark("shop", FRESH_S + 1) is None
    assert not Meter(()).is_fresh(0.0)


def test_numbers_that_are_not_counted_stay_unknown() -> None:
    """Never zero."""
    both = plus(counted(1, retried=None), counted(2))
    assert (both.requests, both.retried, both.counts) == (3, None, (3, 0, 0, 0))
    between = minus(counted(5, retried=None), counted(2))
    assert between is not None
    assert (between.requests, between.retried) == (3, None)
