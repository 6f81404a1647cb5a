"""A window with one steady load, and a model of an app that answers to its replicas."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from cluster.scaling.bounds import Bounds, bounds
from cluster.scaling.decide import decide
from cluster.scaling.decision import Decision, Past
from cluster.scaling.samples import AppSample, Sample
from cluster.scaling.window import Window
from orchestry.spec.model import Scaling

NOW_S = 10_000.0
OLD = Past(since_s=0.0)
STEP_S = 2.0


def filled(
    policy: Scaling, current: int, *, cpu: float | None = 10, memory: float | None = 10,
    rps: float | None = 1, p95_ms: float | None = 20, connections: float | None = 0,
    now_s: float = NOW_S,
) -> Window:
    """A full window; CPU and memory are of each replica, the others of the app."""
    window = Window(policy.window_s)
    at_s = now_s - policy.window_s
    while at_s <= now_s:
        for number in range(current):
            window.add(Sample(str(number), at_s, cpu, memory), now_s)
        requests = None if rps is None else rps * STEP_S
        window.add_app(AppSample(at_s, rps, requests, p95_ms, connections, 0), now_s)
        at_s += STEP_S
    return window


def look(policy: Scaling, current: int, *, load: dict[str, Any] | None = None,
         **more: Any) -> Decision:
    """One decision over a full window, all replicas healthy and no recent change."""
    given: dict[str, Any] = {
        "limits": Bounds(policy.min_replicas, policy.max_replicas), "healthy": current,
        "now_s": NOW_S, "past": OLD, **more,
    }
    return decide(policy, filled(policy, current, **(load or {})), current=current, **given)


@dataclass(frozen=True)
class Trace:
    """What a run of the model did, one entry a round."""

    decisions: list[Decision]
    loads: list[float]

    @property
    def turns(self) -> int:
        """Changes of direction."""
        moves = [d.direction for d in self.decisions if d.direction != "stay"]
        return sum(a != b for a, b in pairwise(moves))


def closed_loop(
    policy: Scaling, load: Callable[[float], float], *, seconds: float, current: int = 1,
    capacity_rps: float = 100, start_s: float = 3.0,
) -> Trace:
    """An app whose replicas take `start_s` to serve, each up to `capacity_rps` of CPU.

    Latency grows as in a queue with one server. The control loop is the one that later runs
    on real samples.
    """
    window, past = Window(policy.window_s), Past(0.0)
    born = dict.fromkeys(range(current), -1e9)
    decisions, loads = [], []
    for tick in range(int(seconds / STEP_S)):
        now_s = tick * STEP_S
        rps = load(now_s)
        ready = [n for n, at_s in born.items() if now_s - at_s >= start_s]
        share = rps / max(len(ready), 1) / capacity_rps
        for number in born:
            cpu = min(100.0, 100 * share) if number in ready else 100.0
            window.add(Sample(str(number), now_s, cpu, 20, number not in ready), now_s)
        p95_ms = 30 / (1 - min(share, 0.98))
        window.keep({str(n) for n in born})
        window.add_app(
            AppSample(now_s, rps, rps * STEP_S, p95_ms, math.ceil(rps * p95_ms / 1000), 0), now_s
        )
        decision = decide(
            policy, window, limits=bounds(policy, 0), current=len(born), healthy=len(ready),
            now_s=now_s, past=past,
        )
        past = past.after(decision, policy)
        while len(born) < decision.replicas:
            born[max(born, default=0) + 1] = now_s
        while len(born) > decision.replicas:
            del born[max(born)]
        decisions.append(decision)
        loads.append(rps)
    return Trace(decisions, loads)
