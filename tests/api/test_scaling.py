"""Scaling over HTTP: the policy, the decisions and their reasons, and the simulation."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient

from api import relay
from api.app import create_app
from cluster.control.rates import Load
from cluster.control.telemetry import Record, Totals
from cluster.history.base import Point
from cluster.live.bus import LocalBus
from cluster.live.relay_mark import HEADER
from cluster.scaling.replay import Round
from cluster.scaling.samples import AppSample, Sample
from orchestry.spec.model import Scaling
from tests.api.support import Node, shop
from tests.live import until
from tests.unit.scaling.support import look

PATH = "/api/v1/apps/shop/scaling"


@pytest.fixture
def node_client() -> tuple[Node, FlaskClient]:
    """A node that leads, with one application."""
    return shop("healthy", "healthy")


def measure(node: Node, *, rounds: int = 3, rps: float = 90.0) -> None:
    """So many rounds, 2 s apart, the last one now."""
    now_ms = node.clock.wall_ms()
    for number in range(rounds):
        at_ms = now_ms - (rounds - 1 - number) * 2000
        at_s = at_ms / 1000
        samples = tuple(Sample(f"r{slot}", at_s, 20.0, 30.0) for slot in (1, 2))
        seen = Round(at_s, at_ms, samples, AppSample(at_s, rps, rps * 2, 12.0, 4.0, 0.0))
        point = Point(at_ms, 20.0, 30.0, 64_000_000, rps, 8.0, 12.0, 30.0, 4.0, 0.5, 1e5, 2, 2)
        decision = look(Scaling(max_replicas=8), 2, load={"rps": rps})
        node.telemetry.add("shop", Record(
            point, seen, decision, {"shop-1": Load(20.0, 30.0, 32_000_000, 0.02)}))


def test_the_policy_in_force(node_client: tuple[Node, FlaskClient]) -> None:
    """Every key of the contract, the spec's value or the default."""
    _, client = node_client
    body = client.get(PATH).get_json()
    assert (body["app_name"], body["mode"]) == ("shop", "auto")
    assert body["policy"]["min_replicas"] == 2
    assert {
        "min_replicas", "max_replicas", "target_rps_per_replica", "max_p95_latency_ms",
        "max_cpu_percent", "max_memory_percent", "scale_out_threshold_pct",
        "scale_in_threshold_pct", "window_seconds", "cooldown_seconds",
    } <= body["policy"].keys()
    assert body["last_scaling_event"] is None


def test_a_partial_update_changes_only_what_it_names(
    node_client: tuple[Node, FlaskClient]
) -> None:
    """Both policies are answered, an event is told, and the spec stays the owner's."""
    node, client = node_client
    answer = client.put(PATH, json={"max_replicas": 9, "mode": "manual"})
    assert answer.status_code == 200
    body = answer.get_json()
    assert body["message"] == "Scaling policy updated successfully"
    assert (body["previous_policy"]["max_replicas"], body["new_policy"]["max_replicas"]) == (5, 9)
    assert body["new_policy"]["min_replicas"] == 2
    again = client.put(PATH, json={"window_seconds": 10}).get_json()
    assert again["new_policy"]["max_replicas"] == 9
    shown = client.get(PATH).get_json()
    assert (shown["mode"], shown["policy"]["window_seconds"]) == ("manual", 10)
    events = client.get("/api/v1/apps/shop/events?type=config").get_json()["events"]
    assert events[0]["message"] == "Scaling policy updated"
    assert "windowSeconds" in events[0]["details"]["after"]
    assert "maxReplicas" not in client.get("/api/v1/apps/shop/spec").get_data(as_text=True)
    assert node.log.state().apps["shop"].revision == 1


@pytest.mark.parametrize(("body", "fields"), [
    ({}, {""}),
    ({"max_replicas": 0, "colour": "red"}, {"max_replicas", "colour"}),
    ({"min_replicas": 50}, {"max_replicas"}),
    ({"scale_in_threshold_pct": 90}, {"scale_out_threshold_pct"}),
    ({"schedule": [{"cron": "nope", "timezone": "../Mars"}]},
     {"schedule[0].cron", "schedule[0].timezone", "schedule[0].min_replicas",
      "schedule[0].max_replicas", "schedule[0].duration_seconds"}),
    ({"schedule": [{"cron": "0 8 * * *", "timezone": "Mars/Base", "min_replicas": 1,
                    "max_replicas": 2, "duration_seconds": 60}]}, {"schedule[0].timezone"}),
    ({"metrics": ["cpu", "heat"]}, {"metrics[1]"}),
    ({"max_replicas": "9"}, {"max_replicas"}),
    ({"max_replicas": None}, {"max_replicas"}),
])
def test_a_bad_policy_names_every_fault(
    node_client: tuple[Node, FlaskClient], body: dict[str, Any], fields: set[str]
) -> None:
    """In the words of the API, and nothing is changed."""
    _, client = node_client
    before = client.get(PATH).get_json()
    answer = client.put(PATH, json=body)
    assert (answer.status_code, answer.get_json()["code"]) == (400, "VALIDATION_ERROR")
    assert {fault["field"] for fault in answer.get_json()["details"]} == fields
    assert client.get(PATH).get_json() == before


def test_policies_of_unknown_apps_and_revisions(node_client: tuple[Node, FlaskClient]) -> None:
    """404 and 409 as everywhere."""
    _, client = node_client
    assert client.get("/api/v1/apps/nope/scaling").status_code == 404
    assert client.put("/api/v1/apps/nope/scaling", json={"mode": "auto"}).status_code == 404
    stale = client.put(PATH, json={"mode": "auto"}, headers={"If-Match": '"99"'})
    assert stale.status_code == 409


def test_the_last_scaling_is_told(node_client: tuple[Node, FlaskClient]) -> None:
    """From, to and why."""
    _, client = node_client
    assert client.post(
        "/api/v1/apps/shop/scale", json={"replicas": 4, "wait": False}).status_code == 200
    last = client.get(PATH).get_json()["last_scaling_event"]
    assert (last["action"], last["from_replicas"], last["to_replicas"]) == ("scale_out", 2, 4)
    assert last["reason"] == "requested"
    assert last["timestamp"].endswith("Z")


@pytest.mark.parametrize(("policy", "replicas", "words"), [
    ({}, 5, ()), ({}, 2, ()), ({}, 0, ()), ({"mode": "manual"}, 9, ()),
    ({}, 6, ("`scaling.maxReplicas` is 5", "from 6 back to 5", "--max 6", "--mode manual")),
    ({}, 1, ("`scaling.minReplicas` is 2", "from 1 back to 2", "--min 1")),
    ({"schedule": [{"cron": "* * * * *", "timezone": "UTC", "minReplicas": 3, "maxReplicas": 4,
                    "durationSeconds": 86400}]}, 9,
     ("`scaling.schedule[0].maxReplicas` is 4", "raise it first, or")),
])
@pytest.mark.parametrize("verb", ["scale", "start"])
def test_a_number_beyond_the_policy_is_taken_with_a_warning(
    node_client: tuple[Node, FlaskClient], policy: Any, replicas: int, words: tuple[str, ...],
    verb: str,
) -> None:
    """Which names the bound, what the autoscaler makes of the number, and what to do."""
    node, client = node_client
    document = {**client.get("/api/v1/apps/shop/spec").get_json(), "scaling": {
        "minReplicas": 2, **policy}}
    assert client.put("/api/v1/apps/shop", json=document).status_code == 200
    answer = client.post(
        f"/api/v1/apps/shop/{verb}", json={"replicas": replicas, "wait": False})
    assert answer.status_code == 200
    warning = answer.get_json()["warning"]
    assert node.log.state().apps["shop"].replicas == replicas
    assert (warning is not None) is bool(words)
    assert all(word in (warning or "") for word in words), warning


def test_decisions_come_newest_first_with_their_reasons(
    node_client: tuple[Node, FlaskClient]
) -> None:
    """Each has its inputs and a paragraph."""
    node, client = node_client
    measure(node, rounds=3)
    body = client.get(f"{PATH}/decisions?limit=2").get_json()
    assert (body["total"], body["has_more"], len(body["decisions"])) == (3, True, 2)
    first, second = body["decisions"]
    assert first["timestamp"] > second["timestamp"]
    assert {one["signal"] for one in first["signals"]} == {
        "cpu", "memory", "rps", "latency", "connections"}
    assert first["action"] == "scale_out"
    assert first["explanation"].startswith("Scale out from 2")
    none = client.get(f"{PATH}/decisions?until=1h").get_json()
    assert none["decisions"] == []
    assert client.get(f"{PATH}/decisions?since=tomorrow").status_code == 400


def test_a_simulation_over_the_recording(node_client: tuple[Node, FlaskClient]) -> None:
    """With the policy in force and with another; nothing is changed."""
    node, client = node_client
    assert client.post(f"{PATH}/simulate", json={}).status_code == 400
    measure(node, rounds=30, rps=400)
    body = client.post(f"{PATH}/simulate", json={}).get_json()
    assert len(body["rounds"]) == 30
    assert body["summary"]["most_replicas"] == 5
    more = client.post(f"{PATH}/simulate", json={"policy": {"max_replicas": 20}}).get_json()
    assert more["summary"]["most_replicas"] > 5
    assert more["policy"]["max_replicas"] == 20
    assert more["rounds"][0]["recorded_replicas"] == 2
    assert client.get(PATH).get_json()["policy"]["max_replicas"] == 5
    bad = client.post(f"{PATH}/simulate", json={"policy": {"max_replicas": 0}})
    assert bad.get_json()["details"][0]["field"] == "max_replicas"


def test_a_simulation_over_given_samples(node_client: tuple[Node, FlaskClient]) -> None:
    """As the history of the metrics has them; time must go on."""
    _, client = node_client
    samples = [
        {"timestamp": f"2026-01-01T00:00:{second:02d}Z", "total_replicas": 2, "rps": 500,
         "cpu_percent": 10, "memory_percent": 10, "latency_p95_ms": 5, "active_connections": 1}
        for second in range(0, 40, 2)
    ]
    body = client.post(f"{PATH}/simulate", json={"samples": samples, "replicas": 2}).get_json()
    assert body["summary"]["last_replicas"] == 5
    back = client.post(f"{PATH}/simulate", json={"samples": samples[::-1]})
    assert back.get_json()["details"][0]["field"] == "samples[1].timestamp"
    wrong = [{"timestamp": "noon", "rps": 1.0}]
    answer = client.post(f"{PATH}/simulate", json={"samples": wrong})
    assert answer.get_json()["details"][0]["field"] == "samples[0].timestamp"


def test_metrics_of_an_app(node_client: tuple[Node, FlaskClient]) -> None:
    """The contract's keys; null where nothing was measured, and in the status as well."""
    node, client = node_client
    empty = client.get("/api/v1/apps/shop/metrics").get_json()
    assert empty["current"]["cpu_percent"] is None
    assert (empty["current"]["total_replicas"], empty["history"]) == (2, [])
    measure(node, rounds=20)
    body = client.get("/api/v1/apps/shop/metrics").get_json()
    current = body["current"]
    assert (current["cpu_percent"], current["rps"], current["latency_p95_ms"]) == (20, 90, 12)
    assert (current["active_connections"], current["healthy_replicas"]) == (4, 2)
    assert body["replicas"][0]["name"] == "shop-1"
    assert len(body["history"]) == 10
    assert body["history"][0]["timestamp"] < body["history"][-1]["timestamp"]
    node.keep_history()
    wide = client.get("/api/v1/apps/shop/metrics?interval=5m&history=1000").get_json()
    assert 1 <= len(wide["history"]) <= 2
    assert client.get("/api/v1/apps/shop/metrics?interval=2m").status_code == 400
    assert client.get("/api/v1/apps/shop/metrics?history=1001").status_code == 400
    assert client.get("/api/v1/apps/nope/metrics").status_code == 404


def test_the_status_shows_what_was_measured(
    node_client: tuple[Node, FlaskClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the next second on."""
    node, client = node_client
    monkeypatch.setattr(relay, "KEPT_S", 0.0)
    assert client.get("/api/v1/apps/shop").get_json()["metrics"]["rps"] is None
    measure(node)
    assert client.get("/api/v1/apps/shop").get_json()["metrics"]["rps"] == 90


def test_metrics_of_the_system(node_client: tuple[Node, FlaskClient]) -> None:
    """Host, applications and ingress."""
    node, client = node_client
    measure(node)
    node.telemetry.sum_up(Totals(1, 1000, 90.0, 0.5, 9.0))
    body = client.get("/api/v1/metrics").get_json()
    assert body["system"]["memory_total_gb"] > 0
    assert body["system"]["disk_total_gb"] > 0
    assert body["applications"][0] == {
        "name": "shop", "cpu_percent": 20, "memory_mb": 61.0, "replicas": 2, "rps": 90,
        "latency_p95_ms": 12}
    assert body["network"] == {
        "requests_per_second": 90, "total_requests": 1000, "error_rate_percent": 0.5,
        "avg_response_time_ms": 9}


def test_the_leader_tells_its_measurements_over_the_bus(
    node_client: tuple[Node, FlaskClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each round, to whoever listens; a follower believes the leader only, and asks
    it when it hears nothing."""
    node, _ = node_client
    node.bus = bus = LocalBus(node.clock)
    bus.start()
    try:
        told: list[bytes] = []
        bus.subscribe(relay.TOPIC, told.append)
        app = create_app(node)
        measure(node)
        node.telemetry.sum_up(Totals(1, 1000, 90.0, 0.5, 9.0))
        until("the leader tells", lambda: told, 30)
        assert orjson.loads(told[0])["apps"]["shop"]["rps"] == 90
        latest = app.extensions["orchestry"].latest
        heard: list[bytes] = []
        bus.subscribe(relay.TOPIC, heard.append)  # after `latest`, which knows what is in it
        node.announce("two", "http://two.example:8002")
        node.local.leader = "two"
        asked: list[str] = []
        monkeypatch.setattr(relay, "fetch", lambda url, *_, **__: asked.append(url))
        monkeypatch.setattr(relay, "SILENT_S", 0.0)
        monkeypatch.setattr(relay, "HEARD_S", 300.0)
        for name, rps in (("two", 5), ("three", 6)):
            bus.publish(relay.TOPIC, orjson.dumps({"node": name, "apps": {"shop": {"rps": rps}}}))
        until("it hears", lambda: heard and orjson.loads(heard[-1])["node"] == "three", 30)
        assert latest.all() == {"shop": {"rps": 5}}
        assert not asked
        monkeypatch.setattr(relay, "HEARD_S", -1.0)
        bus.publish(relay.TOPIC, orjson.dumps({"node": "two", "apps": {}}))
        until("it asks", lambda: latest.all() == {} and asked, 30)
    finally:
        bus.stop()


def test_what_the_leader_tells_while_it_is_asked_counts(
    node_client: tuple[Node, FlaskClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question that fails does not undo it."""
    node, client = node_client
    node.announce("two", "http://two.example:8002")
    node.local.leader = "two"
    latest = client.application.extensions["orchestry"].latest
    told = orjson.dumps({"node": "two", "apps": {"shop": {"rps": 5}}})
    monkeypatch.setattr(relay, "HEARD_S", 300.0)
    monkeypatch.setattr(relay, "fetch", lambda *_, **__: latest.heard(told))
    assert latest.all() == {"shop": {"rps": 5}}


def test_hosts_of_all_controllers(
    node_client: tuple[Node, FlaskClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every machine is shown, also one whose controller is away; `node` chooses one."""
    node, client = node_client
    node.announce("one", "http://one.example:8001")
    node.announce("three", "http://three.example:8003")
    node.announce("two", "http://two.example:8002")

    def fetch(url: str, *_: Any, **__: Any) -> tuple[int, str, bytes] | None:
        assert url.endswith("/cluster/host")
        return (200, "", b'{"system": {"cpu_percent": 7.5}}') if "two" in url else None

    monkeypatch.setattr(relay, "fetch", fetch)
    one, three, two = client.get("/api/v1/metrics").get_json()["nodes"]
    assert (one["node_id"], one["reachable"]) == ("one", True)
    assert one["system"]["memory_total_gb"] > 0
    assert three == {"node_id": "three", "reachable": False, "system": None}
    assert two == {"node_id": "two", "reachable": True, "system": {"cpu_percent": 7.5}}
    found = client.get("/api/v1/metrics?node=two").get_json()
    assert (found["node_id"], found["system"]) == ("two", {"cpu_percent": 7.5})
    assert "network" in found
    assert client.get("/cluster/host").get_json()["system"]["disk_total_gb"] > 0
    away = client.get("/api/v1/metrics?node=three")
    assert (away.status_code, away.get_json()["code"]) == (504, "TIMEOUT")
    wrong = client.get("/api/v1/metrics?node=four")
    assert wrong.status_code == 400
    assert wrong.get_json()["details"][0]["field"] == "node"


def test_prometheus_text(node_client: tuple[Node, FlaskClient]) -> None:
    """Node, loops, API, applications and ingress; the latter two on the leader only."""
    node, client = node_client
    measure(node)
    node.telemetry.sum_up(Totals(1, 1000, 90.0, 0.5, 9.0, {"shop": 1000}, {"shop": 5}))
    answer = client.get("/metrics")
    assert answer.content_type.startswith("text/plain")
    text = answer.get_data(as_text=True)
    for line in (
        'orchestry_app_replicas{app="shop",state="healthy"} 2.0',
        "# TYPE orchestry_rollouts gauge",
        'orchestry_app_cpu_ratio{app="shop"} 0.2',
        'orchestry_app_response_seconds{app="shop",quantile="0.95"} 0.012',
        'orchestry_app_requests_total{app="shop"} 1000.0',
        'orchestry_app_errors_total{app="shop"} 5.0',
        'orchestry_replica_memory_bytes{app="shop",replica="shop-1"} 3.2e+07',
        "orchestry_ingress_requests_total 1000.0",
        'orchestry_loop_step_seconds_count{loop="scale"} 3.0',
        'orchestry_loop_failures_total{loop="scale"} 1.0',
        'orchestry_component_healthy{component="docker"} 1.0',
        "orchestry_lease_held 1.0",
        'orchestry_api_requests_total{endpoint="apps.register",method="POST",status="201"} 1.0',
    ):
        assert line in text.splitlines(), line
    node.acts = False
    assert "orchestry_app_cpu_ratio" not in client.get("/metrics").get_data(as_text=True)


def test_a_follower_asks_the_leader_and_answers_itself_when_that_fails(
    node_client: tuple[Node, FlaskClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What only the leader knows; a question that was relayed is not relayed again."""
    node, client = node_client
    node.announce("two", "http://two.example:8002")
    node.local.leader = "two"
    asked: list[str] = []

    def fetch(url: str, *_: Any, **__: Any) -> tuple[int, str, bytes] | None:
        asked.append(url)
        return 200, "application/json", b'{"from": "two"}'

    monkeypatch.setattr(relay, "fetch", fetch)
    for path in (f"{PATH}/decisions?limit=3", "/api/v1/apps/shop/metrics"):
        assert client.get(path).get_json() == {"from": "two"}
        assert asked[-1] == f"http://two.example:8002{path}"
        own = client.get(path, headers={HEADER: "1"}).get_json()
        assert own != {"from": "two"}
    assert client.get("/api/v1/metrics").get_json()["from"] == "two"
    monkeypatch.setattr(relay, "fetch", lambda *_, **__: None)
    assert client.get("/api/v1/apps/shop/metrics").get_json()["current"]["rps"] is None
    assert client.get("/api/v1/apps/shop").get_json()["metrics"]["rps"] is None
