"""From counters to loads and traffic: what is not known is a hole, never a zero."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.control import rates
from cluster.engine.base import Usage
from cluster.ingress.base import IngressStats, PeerStats

MB = 1024**2
BEFORE = Usage("a", 10.0, 5.0, 0.1, 32 * MB, 64 * MB)
BOUNDS = (1.0, 2.0, 4.0, 8.0)


def test_cpu_is_in_percent_of_the_replicas_own_limit() -> None:
    """A replica that is pegged at 100m uses all of it, not a twentieth of the host."""
    after = replace(BEFORE, at_s=12.0, cpu_s=5.2)
    found = rates.load(BEFORE, after)
    assert found.cpu_percent == pytest.approx(100)
    assert found.cpu_cores == pytest.approx(0.1)
    assert found.memory_percent == 50
    assert found.memory_bytes == 32 * MB


@pytest.mark.parametrize("after", [
    replace(BEFORE, at_s=12.0, cpu_s=1.0), replace(BEFORE, cpu_s=6.0),
    replace(BEFORE, at_s=9.0, cpu_s=6.0), replace(BEFORE, at_s=1.8e9, cpu_s=6.0, clock="engine"),
])
def test_cpu_is_unknown_after_a_reset_or_without_time(after: Usage) -> None:
    """A container that began anew, a clock that stood still or went back, or another clock."""
    assert rates.load(BEFORE, after).cpu_percent is None
    assert rates.load(BEFORE, after).memory_percent == 50


def test_the_first_look_knows_memory_only() -> None:
    """CPU needs two looks."""
    found = rates.load(None, BEFORE)
    assert (found.cpu_percent, found.memory_percent) == (None, 50)


def peer(peer_id: str = "p", *, app: str = "shop", requests: int = 0, errors: int = 0,
         in_flight: int = 0, counts: tuple[int, ...] = (0, 0, 0, 0, 0)) -> PeerStats:
    """Counters of one replica."""
    return PeerStats(app, peer_id, requests, errors, in_flight, requests * 100, counts)


def stats(*peers: PeerStats, boot: str = "b") -> IngressStats:
    """Counters of an ingress."""
    return IngressStats(boot, BOUNDS, peers)


def test_traffic_is_what_grew() -> None:
    """Peers are summed; one that is new began at zero, one that is gone does not count."""
    before = stats(peer("p", requests=100), peer("gone", requests=50))
    after = stats(peer("p", requests=120, errors=4, in_flight=3, counts=(20, 0, 0, 0, 0)),
                  peer("q", requests=20, in_flight=1, counts=(0, 20, 0, 0, 0)))
    found = rates.traffic(before, after, 2.0)["shop"]
    assert (found.requests, found.rps, found.errors_per_s) == (40, 20, 2)
    assert found.connections == 4
    assert found.bytes_per_s == 2000
    assert found.percentile_ms(0.5) == 1.0
    assert found.percentile_ms(0.75) == 1.5


def test_a_restarted_ingress_says_nothing_of_the_time_before() -> None:
    """Its counters began anew: what it did meanwhile is unknown."""
    assert rates.traffic(stats(peer()), stats(peer(requests=9), boot="c"), 2.0) == {}
    fallen = rates.traffic(stats(peer(requests=9)), stats(peer(requests=3)), 2.0)["shop"]
    assert math.isnan(fallen.rps)
    assert math.isnan(rates.together([fallen, rates.Traffic(1, 1.0)]).rps)


def test_histograms_are_merged_before_a_percentile_is_taken() -> None:
    """Nine fast answers here and one slow there: the median is fast."""
    fast = rates.Traffic(9, 9.0, counts=(9, 0, 0, 0, 0), bounds_ms=BOUNDS)
    slow = rates.Traffic(1, 1.0, counts=(0, 0, 0, 1, 0), bounds_ms=BOUNDS)
    merged = rates.together([fast, slow])
    assert merged.rps == 10
    assert merged.percentile_ms(0.5) == pytest.approx(5 / 9)
    assert merged.percentile_ms(0.99) == pytest.approx(7.6)
    assert merged.mean_ms == pytest.approx((9 * 0.5 + 6) / 10)


def test_no_answer_has_no_percentile() -> None:
    """And one beyond all bounds is told as the last of them."""
    assert rates.NOTHING.percentile_ms(0.95) is None
    assert rates.NOTHING.mean_ms is None
    beyond = rates.Traffic(1, 1.0, counts=(0, 0, 0, 0, 1), bounds_ms=BOUNDS)
    assert beyond.percentile_ms(0.95) == 8.0


@given(st.lists(st.integers(0, 50), min_size=5, max_size=5), st.floats(0.01, 0.99),
       st.floats(0.01, 0.99))
def test_percentiles_grow_with_the_share(counts: list[int], one: float, other: float) -> None:
    """And stay within the bounds."""
    found = rates.Traffic(1, 1.0, counts=tuple(counts), bounds_ms=BOUNDS)
    low, high = (found.percentile_ms(share) for share in sorted((one, other)))
    if sum(counts):
        assert low is not None
        assert high is not None
        assert 0 <= low <= high <= 8
    else:
        assert low is high is None


def test_waiting_is_summed_over_the_ingresses() -> None:
    """Requests that are held anywhere wake the app."""
    one = replace(stats(), waiting={"shop": 2})
    assert rates.waiting([one, replace(one, waiting={"shop": 1, "blog": 4})]) == {
        "shop": 3, "blog": 4}
