"""Reads: consistency, cluster endpoints, health, events, logs, documentation."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from api import here
from cluster.consensus.log import PeerStatus, RaftStatus
from cluster.history.base import Point
from cluster.state.commands import BeginEpoch, Noop, RecordEvent
from cluster.state.step import RECENT_EVENTS_MAX
from tests.api.support import Node, Part, make, spec

PEERS = {"CLUSTER_PEERS": "one=127.0.0.1:9001,two=127.0.0.1:9002,three=127.0.0.1:9003"}


def test_min_index_that_never_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that does not reach the index in time says so with a 504."""
    monkeypatch.setattr(here, "READ_WAIT_S", 0.05)
    _, _, client = make()
    answer = client.get("/api/v1/apps?min_index=999")
    assert answer.status_code == 504
    assert answer.get_json()["code"] == "TIMEOUT"
    assert "999" in answer.get_json()["details"]


def test_linearizable_reads_pass_a_barrier() -> None:
    """A linearizable read commits an entry and reads at or after it; a local one does not."""
    node, _, client = make()
    node.submit(Noop())
    local = client.get("/api/v1/apps?consistency=local")
    assert local.headers["X-Orchestry-Index"] == "1"
    barrier = client.get("/api/v1/apps?consistency=linearizable")
    assert barrier.headers["X-Orchestry-Index"] == "2"


def _three(leader: str | None) -> tuple[Node, FlaskClient]:
    node, _, client = make(PEERS)
    for number, name in enumerate(("one", "two", "three"), 1):
        node.announce(name, f"http://{name}.example:800{number}")
    node.local.leader = leader
    peers = {
        "two": PeerStatus(True, 1_700_000_000_500),
        "three": PeerStatus(False, 0, "another secret"),
    }
    status = RaftStatus(
        role="leader" if leader == "one" else "follower", term=7, commit_index=3,
        applied_index=3, leader_id=leader, has_quorum=leader is not None, peers=peers,
    )
    node.local.status = lambda: status  # type: ignore[method-assign]
    return node, client


def test_cluster_status_with_a_leader() -> None:
    """Status shows term, members with their health, and the lease, in Unix seconds."""
    node, client = _three("one")
    node.submit(BeginEpoch("one", 2000, "c" * 32))
    body = client.get("/cluster/status").get_json()
    assert (body["node_id"], body["state"], body["term"]) == ("one", "leader", 1)
    assert (body["is_leader"], body["leader_id"], body["cluster_size"]) == (True, "one", 3)
    assert body["raft_term"] == 7
    rows = {row["node_id"]: row for row in body["nodes"]}
    assert (rows["one"]["state"], rows["one"]["is_healthy"]) == ("leader", True)
    assert (rows["two"]["state"], rows["two"]["last_heartbeat"]) == ("follower", 1_700_000_000.5)
    assert rows["two"]["hostname"] == "two.local"
    assert (rows["three"]["is_healthy"], rows["three"]["refused"]) == (False, "another secret")
    lease = body["lease"]
    assert lease["leader_id"] == "one"
    assert lease["api_url"] == "http://one.example:8001"
    assert lease["expires_at"] == pytest.approx(lease["renewed_at"] + 2)
    leader = client.get("/cluster/leader").get_json()
    assert leader["lease_expires_at"] == lease["expires_at"]
    assert (leader["leader_id"], leader["term"]) == ("one", 1)
    assert leader["api_url"] == "http://one.example:8001"


def test_cluster_without_a_leader() -> None:
    """Status answers without a leader; leader, health, readiness and role say 503."""
    _, client = _three(None)
    status = client.get("/cluster/status")
    assert status.status_code == 200
    assert status.get_json()["leader_id"] is None
    assert status.get_json()["lease"] is None
    leader = client.get("/cluster/leader")
    assert (leader.status_code, leader.get_json()["code"]) == (503, "NO_LEADER")
    assert leader.headers["Retry-After"] == "1"
    health = client.get("/cluster/health")
    assert health.status_code == 503
    assert health.get_json()["status"] == "degraded"
    assert health.get_json()["clustering"] == "enabled"
    assert health.get_json()["cluster_ready"] is False
    assert client.get("/readyz").status_code == 503
    assert client.get("/cluster/is-leader").status_code == 503
    assert client.get("/livez").status_code == 200
    assert client.get("/health").status_code == 503


def test_lease_of_an_earlier_leader_is_not_shown() -> None:
    """Between an election and the new lease there is a leader, but no lease."""
    node, client = _three("two")
    node.submit(BeginEpoch("one", 2000, "c" * 32))
    body = client.get("/cluster/status").get_json()
    assert body["leader_id"] == "two"
    assert body["lease"] is None
    leader = client.get("/cluster/leader").get_json()
    assert (leader["leader_id"], leader["lease_expires_at"]) == ("two", None)
    assert client.get("/cluster/is-leader").status_code == 503
    assert client.get("/cluster/health").status_code == 200


def test_one_node_mode() -> None:
    """A node alone says that clustering is disabled, and is healthy."""
    node, _, client = make()
    node.submit(Noop())
    body = client.get("/cluster/health").get_json()
    assert (body["status"], body["clustering"], body["cluster_size"]) == ("healthy", "disabled", 1)
    assert client.get("/readyz").status_code == 200
    assert client.get("/cluster/is-leader").status_code == 200


def test_health_shows_every_part() -> None:
    """Health has the contract's parts, and is degraded while one of them is not well."""
    node, _, client = make()
    node.parts["docker"] = Part(extra={"containers_running": 3})
    body = client.get("/health").get_json()
    assert body["status"] == "healthy"
    assert body["components"]["database"]["response_time_ms"] == 1.0
    assert body["components"]["docker"]["containers_running"] == 3
    assert body["components"]["nginx"]["configs_active"] == 0
    assert set(body["applications"]) == {"total", "running", "stopped", "error"}
    assert isinstance(body["uptime_seconds"], int)
    node.parts["docker"] = Part("unavailable", "the daemon does not answer")
    answer = client.get("/health")
    assert (answer.status_code, answer.get_json()["status"]) == (200, "degraded")
    assert answer.get_json()["components"]["docker"]["detail"] == "the daemon does not answer"


def test_events_page_backwards() -> None:
    """Events come newest first and page by id, filtered by type, time and application."""
    _, _, client = make()
    for name in ("shop", "api"):
        client.post("/api/v1/apps/register", json=spec(name))
    client.post("/api/v1/apps/shop/scale", json={"replicas": 3, "wait": False})
    everything = client.get("/api/v1/events").get_json()
    assert [event["id"] for event in everything["events"]] == [3, 2, 1]
    assert (everything["total"], everything["has_more"]) == (3, False)
    first = client.get("/api/v1/events?limit=2").get_json()
    assert first["has_more"] is True
    rest = client.get(f"/api/v1/events?limit=2&before={first['events'][-1]['id']}").get_json()
    assert [event["id"] for event in rest["events"]] == [1]
    assert rest["has_more"] is False
    shop = client.get("/api/v1/apps/shop/events?type=scaling&since=1h").get_json()
    assert shop["app_name"] == "shop"
    assert [event["type"] for event in shop["events"]] == ["scaling"]
    assert shop["events"][0]["details"]["new_replicas"] == 3
    assert shop["events"][0]["timestamp"].endswith("Z")
    only = client.get("/api/v1/events?app=api").get_json()
    assert [event["app_name"] for event in only["events"]] == ["api"]
    assert client.get("/api/v1/events?since=2999-01-01T00:00:00Z").get_json()["total"] == 0


def test_openapi_describes_every_route() -> None:
    """The document names each route and method, and every reference in it resolves."""
    _, app, client = make()
    document = client.get("/openapi.json").get_json()
    assert document["openapi"] == "3.1.0"
    for rule in app.url_map.iter_rules():
        if rule.rule == "/docs/<file_name>":
            continue
        item = document["paths"][rule.rule.replace("<", "{").replace(">", "}")]
        for method in (rule.methods or set()) - {"HEAD"}:
            operation = item[method.lower()]
            assert operation["summary"]
            assert {"101", "200", "201", "202"} & operation["responses"].keys()
    for reference in set(re.findall(r'"\$ref":\s*"([^"]+)"', client.get("/openapi.json").text)):
        node: Any = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
        assert node
    start = document["paths"]["/api/v1/apps/{app_name}/start"]["post"]
    assert start["requestBody"]["required"] is False
    scale = document["paths"]["/api/v1/apps/{app_name}/scale"]["post"]
    assert scale["requestBody"]["required"] is True


def test_docs_ask_nothing_of_the_outside() -> None:
    """The page and its start script name no other host, and the policy forbids any."""
    _, _, client = make()
    page = client.get("/docs")
    assert page.mimetype == "text/html"
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    parts = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(parts) == 4
    for part in parts:
        assert part.startswith("/docs/")
        assert client.get(part).status_code == 200
    for text in (page.text, client.get("/docs/start.js").text):
        assert "://" not in text
    assert "validatorUrl: null" in client.get("/docs/start.js").text


def test_events_of_long_ago_come_from_disk() -> None:
    """The state holds the newest only; pages, filters and totals go on where it ends."""
    node, _, client = make()
    node.submit(BeginEpoch("one", 1500, "c" * 32))
    for number in range(RECENT_EVENTS_MAX + 50):
        node.submit(RecordEvent("error" if number == 3 else "config", "shop", f"n {number}"))
    unknown = client.get("/api/v1/events?type=error").get_json()
    assert (unknown["events"], unknown["complete"]) == ([], False)
    node.keep_history()
    found = client.get("/api/v1/events?type=error").get_json()
    assert [event["message"] for event in found["events"]] == ["n 3"]
    assert (found["total"], found["has_more"], found["complete"]) == (1, False, True)
    page = client.get("/api/v1/events?limit=30&before=40").get_json()
    assert [event["id"] for event in page["events"]] == list(range(39, 9, -1))
    assert (page["total"], page["has_more"]) == (RECENT_EVENTS_MAX + 51, True)


def test_a_node_tells_others_what_it_recorded() -> None:
    """Events and measurements for one that missed them."""
    node, _, client = make()
    node.keep_history()
    for number in range(5):
        node.submit(RecordEvent("config", "shop", f"n {number}"))
    node.history.measured("shop", Point(5000, rps=2.5))
    node.history.flush()
    body = client.get("/cluster/history/events?after=1&before=4").get_json()
    assert ([event["id"] for event in body["events"]], body["complete"]) == ([2, 3], True)
    assert client.get("/cluster/history/events?before=999").get_json()["complete"] is False
    samples = client.get("/cluster/history/samples").get_json()["samples"]
    assert (samples[0]["app"], samples[0]["at_ms"], samples[0]["rps"]) == ("shop", 5000, 2.5)
    assert client.get("/cluster/history/samples?after_ms=5000").get_json()["samples"] == []
