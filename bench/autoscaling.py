"""Autoscaling under load: reaction to a step, four shapes, and what the loop itself costs."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from immutables import Map

from bench.report import Figure, spread
from cluster import config
from cluster.clock import SystemClock
from cluster.config.effective import Effective
from cluster.consensus.lease import Lease
from cluster.control.actions import NoRecorder
from cluster.control.fleet import Fleet
from cluster.control.judge import Record
from cluster.control.loop import Turn
from cluster.control.scaler import Scaler
from cluster.control.telemetry import Telemetry
from cluster.control.workers import ThreadWorkers
from cluster.controller import calm_collector
from cluster.engine.base import RunRequest
from cluster.engine.docker import DockerEngine
from cluster.engine.fake import FakeEngine
from cluster.ingress.base import PeerStats
from cluster.ingress.fake import BOUNDS_MS, FakeIngress
from cluster.state.model import App, ClusterState, Leadership
from tests.images import build_test_app
from tests.live import LiveCluster, app_spec, call, until
from tests.traffic import Shaped

PERIOD_S = 60.0
PERIODS = 2
SHAPES: dict[str, Callable[[float], float]] = {
    "step": lambda s: 4 if s % PERIOD_S < PERIOD_S / 2 else 40,
    "spike": lambda s: 60 if 20 <= s % PERIOD_S < 26 else 4,
    "sine": lambda s: 24 - 20 * math.cos(2 * math.pi * s / PERIOD_S),
    "saw-tooth": lambda s: 4 + 40 * (s % PERIOD_S) / PERIOD_S,
}
APPS, REPLICAS = 1000, 10


def measure(folder: Path, rounds: int) -> list[Figure]:
    """Everything about autoscaling."""
    figures = _loop_cost(rounds)
    engine = DockerEngine()
    image = build_test_app(engine)
    engine.close()
    with LiveCluster(folder / "autoscaling") as cluster:
        figures += _step(cluster, image, rounds)
        for name, shape in SHAPES.items():
            figures += _shape(cluster, image, name, shape)
    return figures


def _deploy(cluster: LiveCluster, name: str, image: str, **scaling: Any) -> str:
    spec = app_spec(name, image, scaling={"windowSeconds": 10, **scaling},
                    termination={"terminationGracePeriodSeconds": 5, "drainSeconds": 10})
    cluster.write("POST", "/api/v1/apps/register", spec)
    status, body = cluster.write("POST", f"/api/v1/apps/{name}/start")
    assert status == 200, body
    return name


def _moves(cluster: LiveCluster, app: str) -> list[dict[str, Any]]:
    path = f"/api/v1/apps/{app}/events?type=scaling&limit=1000"
    events = call("GET", cluster.url(cluster.ids[0], path))[1]["events"]
    return [e for e in reversed(events) if "new_replicas" in e["details"]]


def _step(cluster: LiveCluster, image: str, rounds: int) -> list[Figure]:
    """Ten times the load of a replica that has a tenth of a core, at a moment of its own."""
    decided, served = [], []
    for number in range(rounds):
        app = _deploy(cluster, f"step-{number}", image)
        with Shaped(cluster.ingress_port, f"{app}.localhost", "/id?cpu=5",
                    lambda s: 2.0 if s < 15 else 20.0) as load:
            until("a decision", lambda app=app: _moves(cluster, app), 60)  # type: ignore[misc]
            until("another serves", lambda load=load: len(load.first_s) > 1, 60)  # type: ignore[misc]
        began_s = load.began_s + 15
        wall_s = time.time() - time.monotonic()
        at = datetime.fromisoformat(_moves(cluster, app)[0]["timestamp"]).timestamp()
        decided.append(at - wall_s - began_s)
        served.append(sorted(load.first_s.values())[1] - began_s)
        print(f"   decided after {decided[-1]:.1f} s, served after {served[-1]:.1f} s", flush=True)
        cluster.write("DELETE", f"/api/v1/apps/{app}?force=true")
    return [
        Figure("load x 10 to the decision", statistics.median(decided), "s", "<= 4",
               max(decided) <= 4, spread(decided)),
        Figure("load x 10 to a new replica serving", statistics.median(served), "s", "<= 6",
               max(served) <= 6, spread(served)),
    ]


def _shape(
    cluster: LiveCluster, image: str, name: str, shape: Callable[[float], float]
) -> list[Figure]:
    app = _deploy(cluster, name, image, cooldownSeconds=5, stabilizationWindowSeconds=15,
                  maxScaleInStep=0, maxReplicas=6)
    with Shaped(cluster.ingress_port, f"{app}.localhost", "/id?cpu=5", shape,
                clients=150) as load:
        time.sleep(PERIOD_S * PERIODS)
    moves = _moves(cluster, app)
    numbers = [1, *(move["details"]["new_replicas"] for move in moves)]
    failed = sum(load.failures().values())
    turned = _turns(numbers) / PERIODS
    print(f"   {name}: {numbers}, {load.answers}", flush=True)
    cluster.write("DELETE", f"/api/v1/apps/{app}?force=true")
    return [
        Figure(f"{name}: failed requests", failed, "", "0", failed == 0,
               f"of {sum(load.answers.values())}"),
        Figure(f"{name}: changes of direction a period", turned, "", "<= 2", turned <= 2,
               " ".join(map(str, numbers))),
    ]


def _turns(numbers: Sequence[int]) -> int:
    steps = [b - a for a, b in pairwise(numbers) if a != b]
    return sum((a > 0) != (b > 0) for a, b in pairwise(steps))


def _loop_cost(rounds: int) -> list[Figure]:
    """One round for 1,000 apps with 10 replicas each, over the fake engine and ingress."""
    calm_collector()
    clock = SystemClock()
    engine, ingress, fleet = FakeEngine(clock), FakeIngress(), Fleet(clock)
    workers, telemetry = ThreadWorkers(lambda: None), Telemetry()
    scaler = Scaler(engine, [ingress], fleet, workers, clock, telemetry=telemetry,
                    configured=Effective(config.load({"SCALING_INTERVAL": "0.5"})))
    state = _many(engine, fleet, clock)
    costs, total_s, finished = [], 0.0, 0
    try:
        for number in range((rounds + 2) * 40_000):
            ingress.counted = [
                PeerStats(c.app, c.id, number, 0, 1, number, (number, *[0] * len(BOUNDS_MS)))
                for c in fleet.containers.values()
            ] if not number % 1000 else ingress.counted
            workers.drain()
            began_s = time.perf_counter()
            scaler.step(_turn(state, clock))
            total_s += time.perf_counter() - began_s
            done = len(telemetry.records(f"app-{APPS - 1:04d}"))
            if done > finished:
                finished = done
                costs.append(total_s * 1000)
                total_s = 0.0
                if len(costs) >= rounds + 2:
                    break
            time.sleep(0.001)
    finally:
        workers.stop()
    costs = costs[2:]
    return [Figure("a round of decisions, 1,000 apps x 10", statistics.median(costs), "ms",
                   "<= 200", statistics.median(costs) <= 200, spread(costs))]


def _many(engine: FakeEngine, fleet: Fleet, clock: SystemClock) -> ClusterState:
    apps = {}
    for number in range(APPS):
        name = f"app-{number:04d}"
        document = json.dumps({
            "apiVersion": "v1", "kind": "App", "metadata": {"name": name},
            "spec": {"image": "x:1", "ports": [{"containerPort": 80}]},
            "scaling": {"minReplicas": REPLICAS, "maxReplicas": 20}})
        apps[name] = App(name, document, 1, True, REPLICAS, 1, 1)
        for slot in range(1, REPLICAS + 1):
            one = engine.run(RunRequest("c", name, slot, 1, 1, "x:1"))
            fleet.containers[one.id] = one
            fleet.records[one.id] = Record(since_s=0.0, next_s=0.0, health="healthy")
    fleet.observed_from_s = clock.monotonic_s()
    fleet.touch()
    return ClusterState(apps=Map(apps), leadership=Leadership(1, "a"))


def _turn(state: ClusterState, clock: SystemClock) -> Turn:
    now_s = clock.monotonic_s()
    return Turn(
        state=state, lease=Lease(1, now_s, 10.0), now_s=now_s, now_ms=clock.wall_ms(),
        guard=lambda: None,
        act=lambda effect: NoRecorder().act(Lease(1, now_s, 10.0), now_s, effect),
        propose=lambda *_: False,
        apart=lambda _: nullcontext(),
    )
