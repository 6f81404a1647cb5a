"""The closed loop: shapes of load against a model of an app."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from cluster.scaling.replay import Round, replay
from cluster.scaling.samples import AppSample, Sample
from orchestry.spec.model import Scaling
from tests.unit.scaling.support import STEP_S, closed_loop

POLICY = Scaling(
    max_replicas=20, window_s=10, cooldown_s=30, stabilization_window_s=60, max_scale_in_step=0,
)
PERIOD_S = 600
SHAPES: dict[str, Callable[[float], float]] = {
    "step": lambda s: 20 if s < 300 else 200,
    "spike": lambda s: 400 if 300 <= s < 320 else 20,
    "sine": lambda s: 250 - 230 * math.cos(2 * math.pi * s / PERIOD_S),
    "saw-tooth": lambda s: 20 + 460 * (s % PERIOD_S) / PERIOD_S,
    "constant": lambda s: 137,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_do_not_flap(shape: str) -> None:
    """At most two changes of direction in a period, and always inside the bounds."""
    periods = 3 if shape in ("sine", "saw-tooth") else 1
    trace = closed_loop(POLICY, SHAPES[shape], seconds=periods * PERIOD_S)
    assert trace.turns <= 2 * periods
    assert all(1 <= d.replicas <= 20 for d in trace.decisions)
    if shape == "constant":
        assert trace.turns == 0


def test_a_step_is_seen_at_once() -> None:
    """Load x 10: more within two rounds, all that is needed within fifteen seconds."""
    trace = closed_loop(POLICY, SHAPES["step"], seconds=PERIOD_S)
    at = int(300 / STEP_S)
    first = next(i for i, d in enumerate(trace.decisions) if i >= at and d.direction == "out")
    assert (first - at) * STEP_S <= 4
    enough = next(i for i, d in enumerate(trace.decisions) if d.replicas >= 4)
    assert (enough - at) * STEP_S <= 15


def test_a_spike_is_given_back() -> None:
    """What a spike brought goes again after the stabilisation window."""
    trace = closed_loop(POLICY, SHAPES["spike"], seconds=PERIOD_S)
    assert max(d.replicas for d in trace.decisions) >= 8
    assert trace.decisions[-1].replicas <= 2


def test_replay_shows_another_policy() -> None:
    """The same recording under two policies."""
    rounds = [
        Round(
            tick * STEP_S, int(tick * STEP_S * 1000), (Sample("a", tick * STEP_S, 50, 20),),
            AppSample(tick * STEP_S, SHAPES["step"](tick * STEP_S), 40, 30, 1, 0),
        )
        for tick in range(300)
    ]
    wide, narrow = (
        replay(Scaling(window_s=10, max_replicas=most), rounds, current=1) for most in (20, 3)
    )
    assert len(wide) == len(narrow) == 300
    assert max(d.replicas for d in wide) >= 4
    assert max(d.replicas for d in narrow) == 3
    assert replay(POLICY, [], current=1) == []
