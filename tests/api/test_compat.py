"""The unversioned routes of the older command line, with the keys that it reads."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.api.support import SPEC, Loops, Node, make

OLD = {"User-Agent": "python-requests/2.32.5", "Accept": "*/*"}


@pytest.fixture
def node_client() -> tuple[Node, FlaskClient]:
    """A node with one registered application."""
    node, _, client = make()
    answer = client.post("/apps/register", json=SPEC)
    assert (answer.status_code, answer.get_json()["status"]) == (200, "registered")
    return node, client


def test_a_life_of_an_app(node_client: tuple[Node, FlaskClient]) -> None:
    """Each write says what was done, to which app, and how many replicas there are."""
    node, client = node_client
    with Loops(node).running():
        for path, body, status, replicas in (
            ("up", None, "started", 2), ("scale", {"replicas": 3}, "scaled", 3),
            ("scale", {"replicas": 1, "wait": False}, "scaling", 3),
            ("up", {"wait": False}, "starting", 1), ("down", None, "stopped", 0),
        ):
            found = client.post(f"/apps/shop/{path}", json=body).get_json()
            assert {"status": status, "app": "shop", "replicas": replicas}.items() <= found.items()
        found = client.delete("/apps/shop").get_json()
        assert (found["status"], found["app"]) == ("deleted", "shop")
    assert client.get("/apps").get_json() == {"apps": []}


def test_what_it_reads(node_client: tuple[Node, FlaskClient]) -> None:
    """Status with instances, list, specs, lines, measurements and events."""
    node, client = node_client
    client.post("/apps/shop/up", json={"wait": False})
    node.report("shop", "healthy", "unhealthy")
    status = client.get("/apps/shop/status").get_json()
    assert {key: status[key] for key in ("app", "replicas", "ready_replicas", "mode")} == {
        "app": "shop", "replicas": 2, "ready_replicas": 1, "mode": "auto"}
    assert [one["state"] for one in status["instances"]] == ["ready", "down"]
    assert set(status["instances"][0]) == {
        "container_id", "ip", "port", "state", "cpu_percent", "memory_percent", "failures"}
    (row,) = client.get("/apps").get_json()["apps"]
    assert (row["name"], row["replicas"], row["ready_replicas"]) == ("shop", 2, 1)
    specs = client.get("/apps/shop/raw").get_json()
    assert specs["raw"] == SPEC
    assert specs["parsed"]["scaling"]["maxReplicas"] >= 2
    logs = client.get("/apps/shop/logs?lines=5").get_json()
    assert (logs["app"], logs["total_containers"]) == ("shop", 2)
    assert all(isinstance(line["timestamp"], float) for line in logs["logs"])
    metrics = client.get("/apps/shop/metrics").get_json()
    assert (metrics["app"], metrics["metrics"]["healthy_replicas"]) == ("shop", 1)
    events = client.get("/events").get_json()["events"]
    assert {event["app"] for event in events} >= {"shop"}
    assert isinstance(events[0]["timestamp"], float)


def test_a_policy_in_the_words_of_a_spec(node_client: tuple[Node, FlaskClient]) -> None:
    """It is changed for the API's own readers too; a fault names its field."""
    _, client = node_client
    asked = {"policy": {"maxReplicas": 7, "targetRPSPerReplica": 20}}
    found = client.post("/apps/shop/policy", json=asked).get_json()
    assert found == {"status": "updated", "app": "shop", **asked}
    policy = client.get("/api/v1/apps/shop/scaling").get_json()["policy"]
    assert (policy["max_replicas"], policy["target_rps_per_replica"]) == (7, 20)
    wrong = client.post("/apps/shop/policy", json={"policy": {"maxReplicas": -1}})
    assert wrong.status_code == 400
    assert wrong.get_json()["details"][0]["field"] == "max_replicas"


@pytest.mark.parametrize(("headers", "kind"), [
    (OLD, "application/json"),
    ({"Accept": "application/json"}, "application/json"),
    ({}, "text/plain"),
    ({"Accept": "*/*", "User-Agent": "curl/8.5.0"}, "text/plain"),
    ({**OLD, "Accept": "text/plain"}, "text/plain"),
    ({**OLD, "Accept": "application/openmetrics-text;version=1.0.0,*/*;q=0.1"},
     "application/openmetrics-text"),
])
def test_metrics_are_text_for_all_others(
    node_client: tuple[Node, FlaskClient], headers: dict[str, str], kind: str
) -> None:
    """Scrapers and curl get Prometheus' text; who asks for JSON, and the older client, numbers."""
    answer = node_client[1].get("/metrics", headers=headers)
    assert answer.mimetype == kind
    if kind == "application/json":
        body = answer.get_json()
        assert body["apps"] == {"total": 1, "running": 0}
        assert body["instances"] == {"total": 0, "healthy": 0, "unhealthy": 0}


WRITES: list[tuple[str, str, Any, Any]] = [
    ("POST", "/apps/shop/up", {"wait": False}, {"wait": False, "replicas": 1}),
    ("POST", "/apps/shop/scale", {"replicas": 2, "wait": False}, {"replicas": 3, "wait": False}),
    ("POST", "/apps/shop/policy", {"policy": {"maxReplicas": 7}}, {"policy": {"maxReplicas": 8}}),
    ("POST", "/apps/shop/down", {"timeout": 1}, {"timeout": 2}),
    ("DELETE", "/apps/shop", None, None),
]


@pytest.mark.parametrize(("method", "path", "body", "other"), WRITES)
def test_a_repeat_gives_the_first_answer(
    node_client: tuple[Node, FlaskClient], method: str, path: str, body: Any, other: Any
) -> None:
    """Under one key; with another body it is refused, and a revision that is over too."""
    node, client = node_client
    key = {"Idempotency-Key": "k"}
    stale = client.open(path, method=method, json=body, headers={"If-Match": '"999"'})
    assert (stale.status_code, stale.get_json()["code"]) == (409, "CONFLICT")
    with Loops(node).running():
        first = client.open(path, method=method, json=body, headers=key)
        assert first.status_code == 200
        again = client.open(path, method=method, json=body, headers=key)
        assert again.get_json() == first.get_json()
        if other is not None:
            assert client.open(path, method=method, json=other, headers=key).status_code == 409


def test_registering_again_under_one_key(node_client: tuple[Node, FlaskClient]) -> None:
    """The first answer again; without the key, a conflict with the error body of the API."""
    client = node_client[1]
    spec = {**SPEC, "metadata": {"name": "other"}}
    answers = [client.post("/apps/register", json=spec, headers={"Idempotency-Key": "k"})
               for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].get_json() == answers[1].get_json()
    refused = client.post("/apps/register", json=spec)
    assert (refused.status_code, refused.get_json()["code"]) == (409, "APP_ALREADY_EXISTS")
    unknown = client.get("/apps/nobody/status")
    assert (unknown.status_code, unknown.get_json()["code"]) == (404, "APP_NOT_FOUND")
