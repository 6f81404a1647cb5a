"""Every snippet of the seed, against an answer in a situation in which all its keys are there."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from cluster.control.judge import Record
from cluster.control.telemetry import Totals
from cluster.engine.base import LogLine
from tests.api.support import Loops, Node, Part, make, spec
from tests.api.test_health import answer_checks, monitor
from tests.api.test_scaling import measure
from tests.contract.seeds import differences, names, seed
from tests.live import until

APP = "/api/v1/apps/shop"
TOTALS = Totals(1, 1_587_432, 342.1, 0.12, 95.0)
ELSEWHERE = {
    "cluster.status", "cluster.leader", "cluster.health", "cluster.health.degraded", "redirect",
    "no_leader",
}
"""On real nodes: tests/acceptance/test_seed_cluster.py."""
REQUESTS = {"register.request", "scaling.update.request", "config.update.request"}
READS: dict[str, tuple[str, frozenset[str]]] = {
    "status": (APP, frozenset()),
    "list": ("/api/v1/apps", frozenset()),
    "metrics": (f"{APP}/metrics", frozenset()),
    "logs": (f"{APP}/logs?tail=1", frozenset()),
    "scaling": (f"{APP}/scaling", frozenset()),
    # Only a replica that failed has an error.
    "health": (f"{APP}/health", frozenset({"containers[].last_error"})),
    "system.health": ("/health", frozenset()),
    "system.metrics": ("/api/v1/metrics", frozenset()),
}
WRITES = {"register", "start", "scale", "stop", "remove", "scaling.update"}
OTHERS = {"error", "events", "spec", "config", "health.check"}


@pytest.fixture(scope="module")
def node_client() -> tuple[Node, FlaskClient]:
    """A node with an application that was started, scaled, measured, and writes lines."""
    node, _, client = make()
    node.keep_history()
    assert client.post("/api/v1/apps/register", json=spec(
        healthCheck={"path": "/health", "periodSeconds": 30})).status_code == 201
    with Loops(node).running():
        for path, body in (("start", {"replicas": 2}), ("scale", {"replicas": 3})):
            assert client.post(f"{APP}/{path}", json=body).status_code == 200
    node.report("shop", "healthy", "healthy", "unhealthy")
    replicas = node.log.state().apps["shop"].reports
    for replica in replicas:
        node.records[replica.container_id] = Record(
            0, 0, health=replica.health, checks=1, checked_at_ms=1_700_000_000_000,
            response_ms=4.5)
        node.text_engine.lines[replica.container_id] = [
            LogLine(1_700_000_000_000_000_000 + number, "stdout", "WARN it is slow")
            for number in range(2)]
    node.history.flush()
    return node, client


@pytest.mark.parametrize("name", READS)
def test_reads(node_client: tuple[Node, FlaskClient], name: str) -> None:
    """Each key is there with its type."""
    node, client = node_client
    measure(node)
    node.telemetry.sum_up(TOTALS)
    node.parts["docker"] = Part(extra={"containers_running": 15})
    node.parts["nginx"] = Part(extra={"configs_active": 5})
    path, null = READS[name]
    # The processor's mean needs a second.
    found = until(name, lambda: answered(client, path, name, null), 60)
    assert found == [OK]


OK = "as in the seed"


def answered(client: FlaskClient, path: str, name: str, null: frozenset[str]) -> list[str]:
    """What is not as in the seed; nothing (yet) while the processor was not measured."""
    answer = client.get(path)
    assert answer.status_code == 200
    found = differences(name, answer.get_json(), null=null)
    return [] if found == ["system.cpu_percent is null"] else found or [OK]


def test_events(node_client: tuple[Node, FlaskClient]) -> None:
    """An event has its five keys; its details say from where to where, and why."""
    _, client = node_client
    body = client.get(f"{APP}/events?type=scaling&limit=1").get_json()
    details = seed("events")["events"][0]["details"]
    found = differences("events", body)
    assert [one for one in found if not one.startswith("events[].details.")] == []
    assert {"previous_replicas", "new_replicas", "trigger"} <= details.keys()
    assert {"previous_replicas", "new_replicas", "trigger"} <= body["events"][0]["details"].keys()


def test_writes() -> None:
    """A life of an application, call by call."""
    node, _, client = make()
    answers: dict[str, Any] = {}
    with Loops(node).running():
        for name, method, path, body in (
            ("register", "POST", "/register", seed("register.request")),
            ("start", "POST", "/my-app/start", {"replicas": 3}),
            ("scale", "POST", "/my-app/scale", {"replicas": 5}),
            ("scaling.update", "PUT", "/my-app/scaling", seed("scaling.update.request")),
            ("stop", "POST", "/my-app/stop", None),
            ("remove", "DELETE", "/my-app", None),
        ):
            answer = client.open(f"/api/v1/apps{path}", method=method, json=body)
            assert answer.status_code == (201 if name == "register" else 200), answer.get_json()
            answers[name] = answer.get_json()
    assert answers.keys() == WRITES
    for name, found in answers.items():
        assert differences(name, found) == []
    for name in ("register", "start", "scale", "stop"):
        assert answers[name]["message"] == seed(name)["message"]
        assert answers[name].get("status") == seed(name).get("status")


def test_a_check_on_demand(node_client: tuple[Node, FlaskClient]) -> None:
    """How many replicas were asked, and how many are well."""
    node, client = node_client
    with monitor(node, answer_checks):
        answer = client.post(f"{APP}/health/check")
    assert answer.status_code == 200
    assert differences("health.check", answer.get_json()) == []
    assert answer.get_json()["message"] == seed("health.check")["message"]


def test_the_configuration() -> None:
    """All keys, of a controller with PostgreSQL; and the update of the reference is taken."""
    client = make({"DATABASE_URL": "postgresql://me:secret@db.example:5432/orchestry"})[2]
    assert differences("config", client.get("/api/v1/config").get_json()) == []
    wanted = seed("config.update.request")
    answer = client.put("/api/v1/config", json=wanted)
    assert (answer.status_code, answer.get_json()["changed"]) == (200, wanted)
    shown = client.get("/api/v1/config").get_json()
    for group, keys in wanted.items():
        assert {key: shown[group][key] for key in keys} == keys


def test_spec_comes_back_as_it_was_given() -> None:
    """To the byte of its values, without defaults."""
    client = make()[2]
    assert client.post("/api/v1/apps/register", json=seed("spec")).status_code == 201
    assert client.get("/api/v1/apps/my-app/spec").get_json() == seed("spec")


def test_the_error_body() -> None:
    """Word for word but for its time."""
    answer = make()[2].get("/api/v1/apps/my-app")
    assert answer.status_code == 404
    body = answer.get_json()
    assert differences("error", body) == []
    assert {**body, "timestamp": ""} == {**seed("error"), "timestamp": ""}


def test_every_snippet_is_compared() -> None:
    """A snippet that nobody holds an answer against would be no contract."""
    assert names() == ELSEWHERE | REQUESTS | READS.keys() | WRITES | OTHERS


def test_a_comparison_can_fail() -> None:
    """Missing, renamed, of another type, or null."""
    good = seed("status")
    assert differences("status", good) == []
    assert differences("status", {**good, "replicas": {"current": 1, "desired": "3"}}) == [
        "replicas.desired is '3', not like 3", "replicas.healthy is missing"]
    assert differences("status", {**good, "containers": []}) != []
    assert differences("status", {**good, "created_at": None}) == ["created_at is null"]
