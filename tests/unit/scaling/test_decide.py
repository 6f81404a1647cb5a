"""The rules of autoscaling, as tables and as properties."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.scaling.bounds import Bounds
from cluster.scaling.decide import decide
from cluster.scaling.decision import Past
from cluster.scaling.explain import explain
from cluster.scaling.samples import Sample
from cluster.scaling.window import Window
from orchestry.signals import SIGNALS
from orchestry.spec.model import Scaling
from orchestry.spec.tables import METRICS
from tests.unit.scaling.support import NOW_S, OLD, filled, look

POLICY = Scaling(max_replicas=20)
HOT = {"rps": 60.0}
LOADS = st.fixed_dictionaries({
    "cpu": st.floats(0, 120), "memory": st.floats(0, 100), "rps": st.floats(0, 5_000),
    "p95_ms": st.floats(1, 2_000), "connections": st.floats(0, 5_000),
})
POLICIES = st.builds(
    lambda low, more, out, gap, up, down: Scaling(
        min_replicas=low, max_replicas=max(1, low + more), scale_out_threshold_pct=out,
        scale_in_threshold_pct=max(1, out - gap), max_scale_out_step=up, max_scale_in_step=down,
    ),
    st.integers(0, 5), st.integers(0, 30), st.integers(20, 100), st.integers(1, 80),
    st.integers(0, 4), st.integers(0, 4),
)


def test_the_table_is_that_of_the_spec() -> None:
    """Every metric that a policy may name has its signal."""
    assert tuple(SIGNALS) == METRICS


@pytest.mark.parametrize(("current", "load", "replicas", "reason"), [
    (2, {"rps": 300}, 6, "load"),
    (2, {"rps": 79}, 2, "steady"),
    (2, {"rps": 81}, 3, "load"),
    (1, {"cpu": 100}, 2, "load"),
    (4, {"memory": 75}, 5, "load"),
    (1, {"connections": 450}, 5, "load"),
    (20, {"rps": 5_000}, 20, "at_max"),
    (5, {"rps": 10}, 4, "quiet"),
    (5, {"rps": 80}, 5, "steady"),
    (1, {"rps": 0}, 1, "at_min"),
    (25, {"rps": 1}, 20, "above_max"),
    (0, {"rps": 1}, 1, "below_min"),
    (3, {"rps": 100, "p95_ms": 400}, 4, "latency"),
    (3, {"rps": 3, "p95_ms": 400}, 3, "slow"),
    (5, {"rps": None}, 5, "missing"),
    (5, {"cpu": None}, 5, "missing"),
    (2, {"cpu": None, "rps": 300}, 6, "load"),
    (2, {"cpu": math.nan, "memory": -1, "rps": math.inf}, 2, "missing"),
])
def test_decisions(current: int, load: dict[str, Any], replicas: int, reason: str) -> None:
    """What is seen, and what follows."""
    decision = look(POLICY, current, load=load)
    assert (decision.replicas, decision.reason) == (replicas, reason), explain(decision)


@pytest.mark.parametrize(("given", "replicas", "reason"), [
    ({"frozen": True}, 5, "frozen"),
    ({"past": Past(0.0, changed_s=NOW_S - 179)}, 5, "cooldown"),
    ({"past": Past(0.0, changed_s=NOW_S - 180)}, 4, "quiet"),
    ({"past": Past(NOW_S - 299)}, 5, "warming"),
    ({"past": Past(0.0, needs=((NOW_S - 299, 5),))}, 5, "stabilising"),
    ({"past": Past(0.0, needs=((NOW_S - 300, 5),))}, 4, "quiet"),
    ({"healthy": 0}, 5, "none_healthy"),
])
def test_what_holds_scale_in(given: dict[str, Any], replicas: int, reason: str) -> None:
    """A quiet app of five, and what keeps all five."""
    decision = look(POLICY, 5, **given)
    assert (decision.replicas, decision.reason) == (replicas, reason)


@pytest.mark.parametrize("given", [
    {"frozen": True}, {"past": Past(NOW_S, changed_s=NOW_S)}, {"healthy": 0},
])
def test_load_does_not_wait(given: dict[str, Any]) -> None:
    """Neither a rollout nor the cooldown holds scale-out."""
    assert look(POLICY, 1, load=HOT, **given).replicas == 2


def test_manual_reports_what_it_would_do() -> None:
    """And does nothing, not even a correction."""
    decision = look(replace(POLICY, mode="manual"), 2, load={"rps": 300})
    assert (decision.replicas, decision.wanted, decision.would) == (2, 6, "load")
    assert "Mode auto would set 6 replicas" in explain(decision)
    assert look(replace(POLICY, mode="manual"), 25).replicas == 25


def test_a_pegged_replica_is_scaled_out() -> None:
    """100 % of its own small limit is full, whatever that is of the host."""
    for current in (1, 2, 3, 5, 8):
        assert look(POLICY, current, load={"cpu": 100, "rps": 0}).direction == "out"


def test_start_up_work_of_young_replicas_is_no_load() -> None:
    """They count as idle for scale-out and as busy for scale-in."""
    window = filled(POLICY, 1, cpu=20)
    for second in range(60):
        window.add(Sample("new", NOW_S - second, 100, 10, young=True), NOW_S)
    decision = decide(
        POLICY, window, limits=Bounds(1, 20), current=2, healthy=1, now_s=NOW_S, past=OLD,
    )
    cpu = decision.inputs[0]
    assert cpu.reading == pytest.approx(20)
    assert cpu.factor_in == pytest.approx((20 + 70) / 140)
    assert decision.direction == "stay"


def test_latency_that_replicas_do_not_cure_stops_the_steps() -> None:
    """Two steps, then an event, once, and no third step."""
    past, current = OLD, 3
    emitted: list[str] = []
    counts: list[int] = []
    now_s = NOW_S
    for _ in range(6):
        load = {"rps": 30.0 * current, "p95_ms": 900, "now_s": now_s}
        decision = look(POLICY, current, load=load, now_s=now_s, past=past)
        past = past.after(decision, POLICY)
        current = decision.replicas
        counts.append(current)
        emitted += decision.emit
        now_s += POLICY.window_s
    assert counts == [4, 5, 5, 5, 5, 5]
    assert emitted == ["latency_not_capacity"]
    assert decision.reason == "latency_not_capacity"


def test_latency_that_improves_earns_more_steps() -> None:
    """Each step that helps permits the next."""
    past, current, now_s = OLD, 3, NOW_S
    for p95_ms in (900, 700, 500, 400, 300):
        load = {"rps": 30.0 * current, "p95_ms": p95_ms, "now_s": now_s}
        decision = look(POLICY, current, load=load, now_s=now_s, past=past)
        past = past.after(decision, POLICY)
        current = decision.replicas
        now_s += POLICY.window_s
    assert current == 8


def test_to_zero_and_back() -> None:
    """Asleep after the idle window, awake with the first request."""
    policy = replace(POLICY, min_replicas=0)
    still = {"rps": 0.0, "connections": 0.0, "p95_ms": None, "memory": 90.0}
    assert look(policy, 1, load=still).replicas == 2  # memory is load until the app is at rest
    still["memory"] = 40.0
    rested = Past(0.0, idle_since_s=NOW_S - 300)
    assert look(policy, 1, load=still, past=Past(0.0, idle_since_s=NOW_S - 299)).replicas == 1
    asleep = look(policy, 1, load=still, past=rested)
    assert (asleep.replicas, asleep.reason) == (0, "idle")
    assert look(policy, 1, load={**still, "rps": None}, past=rested).replicas == 1
    assert look(policy, 1, load={**still, "connections": 1.0}, past=rested).replicas == 1
    assert look(policy, 0, load=still).reason == "asleep"
    assert look(policy, 0, load=still, waiting=1).replicas == 1
    assert look(policy, 0, load={"rps": 200}).replicas == 4


def test_an_app_without_requests_is_not_missing_them() -> None:
    """TCP apps have CPU and memory only."""
    none = {"rps": None, "p95_ms": None, "connections": None}
    assert look(POLICY, 5, load=none, measurable=("cpu", "memory")).reason == "quiet"


@given(POLICIES, st.integers(0, 40), LOADS, st.booleans())
def test_never_outside_the_bounds(
    policy: Scaling, current: int, load: dict[str, float], frozen: bool
) -> None:
    """Whatever is seen, whatever runs; steps are kept but for corrections."""
    decision = look(policy, current, load=load, frozen=frozen)
    low, high = policy.min_replicas, policy.max_replicas
    assert low <= decision.replicas <= high
    if low <= current <= high:
        grown = decision.replicas - current
        assert not policy.max_scale_out_step or grown <= max(policy.max_scale_out_step, 1)
        assert not policy.max_scale_in_step or -grown <= policy.max_scale_in_step
    assert explain(decision).endswith("healthy.")


@given(POLICIES, st.integers(0, 30), LOADS, LOADS)
def test_monotone_in_load(
    policy: Scaling, current: int, one: dict[str, float], other: dict[str, float]
) -> None:
    """More of everything never means fewer replicas."""
    more = {key: max(one[key], other[key]) for key in one}
    assert look(policy, current, load=one).replicas <= look(policy, current, load=more).replicas


@given(
    POLICIES, st.integers(1, 30), LOADS,
    st.sampled_from(["cpu", "memory", "rps", "connections"]),
    st.sampled_from([None, math.nan, math.inf, -1.0]),
)
def test_missing_data_never_scales_in(
    policy: Scaling, current: int, load: dict[str, Any], name: str, hole: float | None
) -> None:
    """Only the maximum may take replicas away then."""
    decision = look(policy, current, load={**load, name: hole})
    assert decision.replicas >= min(current, policy.max_replicas)


def test_no_samples_at_all_is_no_load_of_zero() -> None:
    """An empty window holds."""
    decision = decide(
        POLICY, Window(60), limits=Bounds(1, 20), current=7, healthy=7, now_s=NOW_S, past=OLD,
    )
    assert (decision.replicas, decision.reason) == (7, "missing")


@given(POLICIES, LOADS, st.integers(1, 30), st.integers(0, 400))
def test_steady_load_does_not_oscillate(
    policy: Scaling, load: dict[str, float], current: int, seconds: int
) -> None:
    """After one direction, the same load never asks for the other; totals stay the same."""
    total = {**load, "p95_ms": 20.0}
    policy = replace(policy, min_replicas=max(1, policy.min_replicas))
    current = min(max(current, policy.min_replicas), policy.max_replicas)
    cpu, memory = load["cpu"], load["memory"]
    first, moves, seen = current, set(), set[int]()
    while current not in seen:  # from there on all comes again
        seen.add(current)
        spread = {**total, "cpu": cpu * first / current, "memory": memory * first / current}
        decision = look(policy, current, load=spread)
        moves.add(decision.direction)
        current = decision.replicas
    assert moves - {"stay"} in (set(), {"out"}, {"in"})


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(0, 30)), max_size=200))
def test_the_past_keeps_the_highest_need_and_stays_small(
    looks: list[tuple[float, int]]
) -> None:
    """As a plain list of all needs would say, within one part of the window."""
    past, now_s, plain = OLD, 0.0, []
    one = look(POLICY, 5)
    for gap_s, need in looks:
        now_s += gap_s
        past = past.after(replace(one, at_s=now_s, need=need), POLICY)
        plain.append((now_s, need))
        kept = past.highest_need(now_s, 295)
        assert kept >= max(n for t, n in plain if now_s - t < 290)
        assert kept <= max(n for t, n in plain if now_s - t < 300)
    assert len(past.needs) <= 62
