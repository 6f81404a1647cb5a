"""Autoscaling on the real thing: containers, nginx, three controllers, and load."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from tests.live import LiveCluster, app_spec, call, until
from tests.live_apps import begin, killed_leader, printed
from tests.traffic import Shaped, Traffic

pytestmark = [pytest.mark.acceptance, pytest.mark.docker, pytest.mark.nginx]

SOON_S = 60.0
"""A busy machine takes long; each test has five minutes."""
QUICK = {
    "windowSeconds": 10, "cooldownSeconds": 5, "stabilizationWindowSeconds": 10,
    "maxScaleInStep": 0, "maxReplicas": 4,
}


def deploy(cluster: LiveCluster, name: str, image: str, **scaling: Any) -> str:
    """An app that the cluster scales; its last requests may end."""
    spec = app_spec(name, image, scaling={**QUICK, **scaling}, termination={
        "terminationGracePeriodSeconds": 2, "drainSeconds": 10})
    return begin(cluster, spec)


def get(cluster: LiveCluster, path: str, node: str | None = None) -> Any:
    """What one controller has, or what is true."""
    if node is None:
        node, path = cluster.ids[0], f"{path}{'&' if '?' in path else '?'}consistency=linearizable"
    status, body, _ = call("GET", cluster.url(node, path))
    assert status == 200, body
    return body


def desired(cluster: LiveCluster, app: str) -> int:
    """As many as are wanted."""
    return int(get(cluster, f"/api/v1/apps/{app}")["replicas"]["desired"])


def counts(cluster: LiveCluster, app: str) -> list[int]:
    """The numbers of replicas that the autoscaler chose, oldest first."""
    events = get(cluster, f"/api/v1/apps/{app}/events?type=scaling&limit=1000")["events"]
    moves = [e["details"] for e in reversed(events) if "new_replicas" in e["details"]]
    return [moves[0]["previous_replicas"], *(m["new_replicas"] for m in moves)] if moves else []


def turns(numbers: Sequence[int]) -> int:
    """Changes of direction."""
    steps = [b - a for a, b in pairwise(numbers) if a != b]
    return sum((a > 0) != (b > 0) for a, b in pairwise(steps))


def test_a_pegged_replica_gets_company_and_loses_it_again(
    cluster: LiveCluster, test_app_image: str
) -> None:
    """A step of CPU: out within bounds, in when it is over, no request lost, no flapping."""
    app = deploy(cluster, "cpu", test_app_image)
    time.sleep(6)
    with Traffic(cluster.ingress_port, f"{app}.localhost", path="/id?cpu=10", clients=4) as load:
        until("scaled out", lambda: desired(cluster, app) >= 3, SOON_S)
        until("they serve", lambda: len(load.served_by) >= 3, SOON_S)
        _what_every_node_tells(cluster, app)
    until("scaled in", lambda: desired(cluster, app) == 1, 90)
    until("gone", lambda: cluster.status(app)["replicas"]["current"] == 1, SOON_S)
    assert load.failures() == {}
    numbers = counts(cluster, app)
    assert 3 <= max(numbers) <= QUICK["maxReplicas"]
    assert turns(numbers) <= 1, numbers
    events = get(cluster, f"/api/v1/apps/{app}/events?type=scaling")["events"]
    assert any("cpu" in event["message"] for event in events)


def _what_every_node_tells(cluster: LiveCluster, app: str) -> None:
    """Measurements and reasons, on followers as on the leader."""
    for node in cluster.ids:
        until(f"{node} tells", lambda node=node: _tells(cluster, app, node), SOON_S)  # type: ignore[misc]
    assert "cpu: " in printed(cluster, "autoscale", app, "--explain")
    assert "replicas under this policy" in printed(cluster, "autoscale", app, "--since", "5m")
    assert app in printed(cluster, "top", "--once")
    leader = cluster.led()
    text = call("GET", cluster.url(leader, "/metrics"))[1]
    assert f'orchestry_app_cpu_ratio{{app="{app}"}}' in str(text)


def _tells(cluster: LiveCluster, app: str, node: str) -> bool:
    """Whether it does by now; followers have it from the leader."""
    measured = get(cluster, f"/api/v1/apps/{app}/metrics?history=100", node)
    shown = get(cluster, f"/api/v1/apps/{app}", node)["metrics"]
    decisions = get(cluster, f"/api/v1/apps/{app}/scaling/decisions?changes=true", node)
    network = get(cluster, "/api/v1/metrics", node)["network"]
    current = measured["current"]
    return len(measured["history"]) >= 3 and all((value or 0) > least for value, least in (
        (current["cpu_percent"], 20), (current["rps"], 1), (current["latency_p95_ms"], 1),
        (shown["cpu_percent"], 20), (network["requests_per_second"], 1),
    )) and [one["action"] for one in decisions["decisions"][:1]] == ["scale_out"]


@pytest.mark.beside
def test_an_idle_app_sleeps_and_the_first_request_waits_for_it(
    cluster: LiveCluster, test_app_image: str
) -> None:
    """To zero after the windows; the request that wakes it is answered."""
    app = deploy(cluster, "sleeper", test_app_image, minReplicas=0)
    host = f"{app}.localhost"
    until("the ingress serves", lambda: cluster.through_ingress(host, "/id") == 200, SOON_S)
    until("asleep", lambda: desired(cluster, app) == 0, 90)
    until("gone", lambda: cluster.status(app)["containers"] == [], SOON_S)
    began_s = time.monotonic()
    assert cluster.through_ingress(host, "/id", timeout_s=30) == 200
    print(f"\nwoken in {time.monotonic() - began_s:.2f} s")
    assert desired(cluster, app) == 1
    assert counts(cluster, app)[-2:] == [0, 1]


def test_latency_that_replicas_do_not_cure_ends_the_steps(
    cluster: LiveCluster, test_app_image: str
) -> None:
    """Two steps of one, then the event that says why there is no third."""
    app = deploy(cluster, "slow", test_app_image, maxP95LatencyMs=100, windowSeconds=5,
                 minReplicas=6, maxReplicas=12, targetRPSPerReplica=20)
    host = f"{app}.localhost"
    with Shaped(cluster.ingress_port, host, "/?delay=200", lambda s: 90.0) as load:
        def told() -> bool:
            events = get(cluster, f"/api/v1/apps/{app}/events?type=scaling")["events"]
            return any(e["details"].get("trigger") == "latency_not_capacity" for e in events)

        until("it is told", told, 60)
        time.sleep(8)
        numbers = counts(cluster, app)
    assert numbers == [6, 7, 8], numbers
    assert load.failures().keys() <= {"not sent"}  # which tells of a busy machine


@pytest.mark.beside
def test_a_policy_survives_the_leader_and_holds_at_once(
    cluster: LiveCluster, test_app_image: str
) -> None:
    """Changed through a follower; the next leader goes by it."""
    app = deploy(cluster, "policy", test_app_image)
    follower = cluster.follower()
    changed = json.loads(printed(cluster, "--json", "autoscale", app, "--min", "2"))
    assert changed["new_policy"]["min_replicas"] == 2
    until("two", lambda: cluster.status(app)["replicas"]["healthy"] == 2, SOON_S)
    leader = killed_leader(cluster)
    assert get(cluster, f"/api/v1/apps/{app}/scaling", follower)["policy"]["min_replicas"] == 2
    cluster.boot(leader)
    cluster.wait_ready()
    assert cluster.write("PUT", f"/api/v1/apps/{app}/scaling", {"min_replicas": 3})[0] == 200
    until("three", lambda: cluster.status(app)["replicas"]["healthy"] == 3, SOON_S)
    last = get(cluster, f"/api/v1/apps/{app}/scaling")["last_scaling_event"]
    assert (last["action"], last["from_replicas"], last["to_replicas"]) == ("scale_out", 2, 3)
