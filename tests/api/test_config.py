"""GET and PUT /api/v1/config."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from cluster.config.effective import MASK
from orchestry import __version__
from tests.api.support import SPEC, make, spec

PATH = "/api/v1/config"
SEED: dict[str, dict[str, type]] = {
    "controller": {"host": str, "port": int, "workers": int},
    "database": {"pool_size": int},
    "scaling": {"default_check_interval": int, "default_cooldown": int,
                "max_concurrent_scales": int},
    "health": {"default_check_interval": int, "default_timeout": int,
               "default_failure_threshold": int},
}


def put(client: FlaskClient, body: Any, status: int = 200, key: str = "") -> Any:
    """The answer to a change."""
    headers = {"Idempotency-Key": key} if key else {}
    answer = client.put(PATH, json=body, headers=headers)
    assert answer.status_code == status, answer.get_json()
    return answer.get_json()


def test_the_configuration_is_shown() -> None:
    """Every group of the contract with its types, the node that answers, and sources."""
    _, _, client = make({"SCALING_INTERVAL": "3"})
    body = client.get(PATH).get_json()
    assert (body["version"], body["node_id"]) == (__version__, "one")
    for group, names in SEED.items():
        assert {name: type(body[group][name]) for name in names} == names
    assert body["database"]["host"] is None
    assert body["scaling"] == {
        "default_check_interval": 3, "default_cooldown": 180, "max_concurrent_scales": 0}
    assert body["retention"] == {
        "raw_hours": 24, "minute_days": 7, "hour_days": 90, "events_days": 90}
    assert body["sources"]["scaling.default_check_interval"] == "environment"
    assert body["sources"]["scaling.default_cooldown"] == "default"
    assert body["restart_required"] == []


def test_the_body_of_the_contract() -> None:
    """A partial update: what it does not name stays, and both values are answered."""
    _, _, client = make()
    body = put(client, {
        "scaling": {"default_check_interval": 45, "default_cooldown": 300},
        "health": {"default_check_interval": 15},
    })
    assert body == {
        "message": "Configuration updated successfully",
        "changed": {"scaling": {"default_check_interval": 45, "default_cooldown": 300},
                    "health": {"default_check_interval": 15}},
        "previous": {"scaling": {"default_check_interval": 2, "default_cooldown": 180},
                     "health": {"default_check_interval": 10}},
        "restart_required": [],
    }
    shown = client.get(PATH).get_json()
    assert shown["scaling"] == {
        "default_check_interval": 45, "default_cooldown": 300, "max_concurrent_scales": 0}
    assert shown["sources"]["health.default_check_interval"] == "cluster"
    back = put(client, {"scaling": {"default_cooldown": None}})
    assert (back["changed"], back["previous"]) == (
        {"scaling": {"default_cooldown": 180}}, {"scaling": {"default_cooldown": 300}})
    assert client.get(PATH).get_json()["sources"]["scaling.default_cooldown"] == "default"


def test_a_change_is_an_event() -> None:
    """Of type config, of no application."""
    _, _, client = make()
    put(client, {"health": {"default_timeout": 9}})
    events = client.get("/api/v1/events?type=config").get_json()["events"]
    assert events[0]["app_name"] is None
    assert events[0]["message"] == "Configuration changed: health.default_timeout"
    assert events[0]["details"]["after"] == '{"health.default_timeout":9}'


def test_what_cannot_take_effect_at_once_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the answer when it changes, and by each node that still uses another value."""
    node, _, client = make()
    monkeypatch.setattr(node.history, "pool_size", 4)
    body = put(client, {"database": {"pool_size": 12}, "limits": {"per_hour": 5}})
    assert body["restart_required"] == ["database.pool_size"]
    assert client.get(PATH).get_json()["restart_required"] == ["database.pool_size"]
    assert put(client, {"database": {"pool_size": 12}})["restart_required"] == []
    monkeypatch.setattr(node.history, "pool_size", 12)
    assert client.get(PATH).get_json()["restart_required"] == []


def test_all_faults_at_once() -> None:
    """Unknown groups and keys, wrong types and values, each by its path; nothing changes."""
    node, _, client = make()
    body = put(client, {
        "scaling": {"default_cooldown": "long", "cooldown": 5}, "helth": {}, "limits": [],
        "controller": {"workers": 4, "port": 1}, "database": {"password": "hunter22"},
        "health": {"default_timeout": 3},
    }, 400)
    assert body["code"] == "VALIDATION_ERROR"
    faults = {fault["field"]: fault["message"] for fault in body["details"]}
    assert faults.keys() == {
        "scaling.default_cooldown", "scaling.cooldown", "helth", "limits", "controller.workers",
        "controller.port", "database.password"}
    assert "ORCHESTRY_PORT" in faults["controller.port"]
    assert "hunter22" not in str(body)
    assert not node.log.state().config
    nothing: list[dict[str, Any]] = [{}, {"scaling": {}}, {"scaling": None}]
    for wrong in nothing:
        assert put(client, wrong, 400)["code"] == "VALIDATION_ERROR"
    assert client.put(PATH, data=b"[1]", content_type="application/json").status_code == 400
    assert client.put(PATH, data=b"a: 1", content_type="application/yaml").status_code == 415
    assert client.get(f"{PATH}?key=x").status_code == 400
    assert client.post(PATH, json={}).status_code == 405
    assert client.get(f"{PATH}/scaling").status_code == 404


def test_secrets_are_masked() -> None:
    """Neither the database's password nor the cluster's secret is in the answer."""
    _, _, client = make({
        "DATABASE_URL": "postgresql://me:hunter22@db.example/orders",
        "CLUSTER_SECRET": "correct horse"})
    text = client.get(PATH).get_data(as_text=True)
    assert "hunter22" not in text
    assert "correct horse" not in text
    database = client.get(PATH).get_json()["database"]
    assert database == {"host": "db.example", "port": 5432, "name": "orders",
                        "password": MASK, "pool_size": 4}


def test_a_follower_shows_and_redirects() -> None:
    """Reads are answered everywhere, writes go to the leader before they are judged."""
    node, _, client = make()
    node.announce("two", "http://two.example:8002")
    node.local.leader = "two"
    answer = client.put(PATH, json={"nonsense": 1})
    assert answer.status_code == 307
    assert answer.headers["Location"] == f"http://two.example:8002{PATH}"
    assert client.get(PATH).get_json()["node_id"] == "one"


def test_a_repeat_gives_the_first_answer() -> None:
    """One change under one key, whatever came between; another body is a conflict."""
    node, _, client = make()
    body = {"scaling": {"default_cooldown": 5}}
    first = put(client, body, key="k")
    put(client, {"scaling": {"default_cooldown": 6}})
    assert put(client, body, key="k") == first
    assert node.log.state().config["scaling.default_cooldown"] == 6
    refused = put(client, {"scaling": {"default_cooldown": 7}}, 409, key="k")
    assert refused["code"] == "CONFLICT"
    index = client.get(PATH).headers["X-Orchestry-Index"]
    assert client.get(f"{PATH}?min_index={index}").status_code == 200


def test_defaults_hold_for_apps_that_do_not_name_them() -> None:
    """In the policy, the health check and the resolved spec; no app gets another revision."""
    node, _, client = make()
    client.post("/api/v1/apps/register", json=SPEC)
    client.post("/api/v1/apps/register", json=spec(
        "named", scaling={"cooldownSeconds": 60}, healthCheck={"timeoutSeconds": 4}))
    before = node.log.state().apps
    put(client, {"scaling": {"default_cooldown": 300},
                 "health": {"default_timeout": 2, "default_failure_threshold": 9}})
    at = "/api/v1/apps"
    assert client.get(f"{at}/shop/scaling").get_json()["policy"]["cooldown_seconds"] == 300
    assert client.get(f"{at}/named/scaling").get_json()["policy"]["cooldown_seconds"] == 60
    check = client.get(f"{at}/shop/health").get_json()["health_check_config"]
    assert (check["timeout_seconds"], check["failure_threshold"]) == (2, 9)
    resolved = client.get(f"{at}/named/spec?resolved=true").get_json()
    assert (resolved["healthCheck"]["timeoutSeconds"],
            resolved["healthCheck"]["failureThreshold"]) == (4, 9)
    assert "healthCheck" not in client.get(f"{at}/shop/spec").get_json()
    changed = client.put(f"{at}/shop/scaling", json={"max_replicas": 9}).get_json()
    assert changed["new_policy"]["cooldown_seconds"] == 300
    assert "cooldownSeconds" not in node.log.state().apps["shop"].scaling
    assert node.log.state().apps["named"] is before["named"]


def test_a_domain_that_leads_two_apps_to_one_address_is_refused() -> None:
    """Apps without hosts move to the new domain, or nothing changes."""
    node, _, client = make()
    client.post("/api/v1/apps/register", json=SPEC)
    client.post("/api/v1/apps/register", json=spec(
        "other", spec={**SPEC["spec"], "ingress": {"hosts": ["shop.x.org"]}}))
    assert put(client, {"ingress": {"domain": "x.org"}}, 409)["code"] == "CONFLICT"
    put(client, {"ingress": {"domain": "y.org"}})
    assert set(node.log.state().owners) == {"shop.y.org/", "shop.x.org/"}
    client.post("/api/v1/apps/register", json=spec("late"))
    assert "late.y.org/" in node.log.state().owners
    put(client, {"ingress": {"domain": None}})
    assert set(node.log.state().owners) == {"shop.localhost/", "late.localhost/", "shop.x.org/"}
