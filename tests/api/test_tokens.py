"""Tokens over HTTP, and the audit of what is done with them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient

from api import audit
from api.writes import METHODS
from cluster.live.tokens import token_hash
from cluster.state.commands import BeginEpoch, Origin
from orchestry.audit import Judge
from tests import bad_input
from tests.api.callers import ON, REGISTER, asking, bearer, give
from tests.api.support import SPEC, Node, make, spec


@pytest.fixture
def asks() -> tuple[Node, FlaskClient]:
    """A node that asks for tokens and has the app `shop`."""
    return asking()


def test_a_token_is_made_used_and_revoked(asks: tuple[Node, FlaskClient]) -> None:
    """It is in the answer once, in no state, and good until it is revoked."""
    node, client = asks
    admin = bearer(give(node, "admin", name="me"))
    made = client.post("/api/v1/tokens", headers=admin, json={
        "name": "ci", "role": "deployer", "apps": "shop", "expires_in": "30d"})
    body = made.get_json()
    assert made.status_code == 201
    assert (body["name"], body["role"], body["apps"], body["created_by"]) == (
        "ci", "deployer", "shop", "me")
    assert len(body["token"]) >= 43
    kept = node.log.state()
    assert body["token"] not in repr(kept)
    assert token_hash(body["token"]) in kept.tokens
    mine = bearer(body["token"])
    assert client.get("/api/v1/apps/shop", headers=mine).status_code == 200
    listed = client.get("/api/v1/tokens", headers=admin)
    assert body["token"] not in listed.text
    assert token_hash(body["token"]) not in listed.text
    assert {row["id"]: row["expired"] for row in listed.get_json()["tokens"]}[body["id"]] is False
    gone = client.delete(f"/api/v1/tokens/{body['id']}", headers=admin)
    assert (gone.status_code, gone.get_json()["name"]) == (200, "ci")
    assert client.get("/api/v1/apps/shop", headers=mine).status_code == 401
    again = client.delete(f"/api/v1/tokens/{body['id']}", headers=admin)
    assert (again.status_code, again.get_json()["code"]) == (404, "NOT_FOUND")
    messages = [event.message for event in node.log.state().events]
    assert "Token 'ci' created with the role deployer" in messages
    assert "Token 'ci' revoked" in messages


def test_a_repeat_makes_no_second_token(asks: tuple[Node, FlaskClient]) -> None:
    """Under the same key there is one token, shown once; the repeat says what to do."""
    node, client = asks
    headers = {**bearer(give(node, "admin", name="me")), "Idempotency-Key": "once"}
    body = {"name": "ci", "role": "viewer"}
    first = client.post("/api/v1/tokens", headers=headers, json=body).get_json()
    count = len(node.log.state().tokens)
    second = client.post("/api/v1/tokens", headers=headers, json=body)
    assert second.status_code == 201
    assert second.get_json()["token"] is None
    assert second.get_json()["id"] == first["id"]
    assert "revoke it" in second.get_json()["message"]
    assert len(node.log.state().tokens) == count


@pytest.mark.parametrize(("body", "field"), [
    ({"name": "a b", "role": "viewer"}, "name"), ({"name": "x", "role": "root"}, "role"),
    ({"name": "x", "role": "viewer", "apps": "Shop_"}, "apps"),
    ({"name": "x", "role": "admin", "apps": "shop-"}, "apps"),
    ({"name": "x", "role": "viewer", "expires_in": "soon"}, "expires_in"),
    ({"name": "x", "role": "viewer", "expires_in": "9999d"}, "expires_in"),
    ({"name": "x", "role": "viewer", "expires_in": "0d"}, "expires_in"),
    ({"role": "viewer"}, "name"),
])
def test_a_token_that_cannot_be(
    asks: tuple[Node, FlaskClient], body: dict[str, Any], field: str
) -> None:
    """Each fault names its field."""
    node, client = asks
    answer = client.post("/api/v1/tokens", headers=bearer(give(node, "admin")), json=body)
    assert (answer.status_code, answer.get_json()["code"]) == (400, "VALIDATION_ERROR")
    assert field in [fault["field"] for fault in answer.get_json()["details"]]


def test_tokens_are_in_backups_and_come_back(asks: tuple[Node, FlaskClient]) -> None:
    """A restored cluster lets in who had a token, and whoever restored it."""
    node, client = asks
    ci = bearer(give(node, "viewer", name="ci"))
    text = client.get("/cluster/backup", headers=bearer(give(node, "admin", name="me"))).text
    part = [line for line in text.splitlines() if '"restore_id"' in line]
    other, _, there = make(ON)
    other.submit(BeginEpoch("one", 1500, "d" * 32))
    root = bearer(give(other, "admin", name="other-root"))
    assert there.get("/api/v1/apps", headers=ci).status_code == 401
    for line in part:
        answer = there.post("/cluster/restore", headers=root, json={
            "restore_id": "r", "part": orjson.loads(line)})
        assert answer.status_code == 200, answer.text
    assert there.get("/api/v1/apps", headers=ci).get_json()["total"] == 1
    assert there.get("/api/v1/tokens", headers=root).status_code == 200


def test_the_audit_shows_writes_and_refusals(
    asks: tuple[Node, FlaskClient], monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An unbroken chain in which a flood of refusals is one entry, and no event for others."""
    node, client = asks
    root, viewer = bearer(give(node, "admin", name="me")), bearer(give(node, "viewer", name="eve"))
    for number in range(2):
        name = f"blog-{number}"
        assert client.post(REGISTER, json=spec(name), headers=root).status_code == 201
    for _ in range(50):
        assert client.post("/api/v1/apps/shop/stop", headers=viewer).status_code == 403
    assert client.get("/api/v1/audit", headers=viewer).status_code == 403
    before = client.get("/api/v1/audit", headers=root).get_json()
    assert {entry["code"] for entry in before["entries"]} == {"OK"}
    now_s = node.clock.monotonic_s()
    monkeypatch.setattr(node.clock, "monotonic_s", lambda: now_s + audit.WINDOW_S)
    client.get("/livez")
    found = client.get("/api/v1/audit?limit=3", headers=root).get_json()
    assert found["has_more"]
    (read, refused, last) = found["entries"]
    assert (read["method"], read["path"], read["code"], read["count"]) == (
        "GET", "/api/v1/audit", "FORBIDDEN", 1)
    assert (refused["name"], refused["code"], refused["count"], refused["app"]) == (
        "eve", "FORBIDDEN", 50, "shop")
    assert (last["token"], last["path"], last["code"]) == ("me", REGISTER, "OK")
    everything = client.get("/api/v1/audit", headers=root).get_json()["entries"]
    judge = Judge()
    judge.look(everything)
    assert (judge.count, judge.faults) == (5, [])
    page = client.get(f"/api/v1/audit?before={last['id']}&since=1h", headers=root).get_json()
    assert [entry["id"] for entry in page["entries"]] == [
        entry["id"] for entry in everything if entry["id"] < last["id"]]
    events = client.get("/api/v1/events?limit=1000", headers=root).get_json()["events"]
    assert {event["type"] for event in events} == {"config"}


def test_a_flood_of_refusals_is_bounded(asks: tuple[Node, FlaskClient]) -> None:
    """So many kinds a minute, and one entry for all others."""
    node, client = asks
    refusals = audit.Refusals(node)
    for number in range(1000):
        refusals.note(Origin("", "", f"10.0.0.{number}", "POST", "/x"), "shop", "UNAUTHORIZED")
    refusals.record()
    assert not any(e.type == "audit" and "x" in e.message for e in node.log.state().events)
    refusals._until_s = 0.0
    refusals.record()
    root = bearer(give(node, "admin", name="me"))
    entries = client.get("/api/v1/audit?limit=1000", headers=root).get_json()["entries"]
    counts = [e["count"] for e in entries if e["code"] in ("UNAUTHORIZED", "REFUSED")]
    assert len(counts) == audit.KINDS_MAX + 1
    assert sum(counts) == 1000


def test_without_tokens_nobody_is_known_and_nothing_is_audited() -> None:
    """On loopback a write is an event, as ever."""
    node, _, client = make()
    assert client.post(REGISTER, json=SPEC).status_code == 201
    assert client.get("/api/v1/audit").get_json()["total"] == 0
    assert len(node.log.state().events) == 1


def test_every_bad_input_is_in_the_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole table of bad input: no refusal of a write is missing from the chain."""
    node, _, client = make(ON)
    root = bearer(give(node, "admin", name="root"))
    assert client.put("/api/v1/config", headers=root, json={"limits": {
        "images": bad_input.IMAGES, "reserved_hosts": bad_input.RESERVED}}).status_code == 200
    assert client.post(REGISTER, json=SPEC, headers={
        **root, "Idempotency-Key": "key-of-shop"}).status_code == 201
    refused = 0
    for case in bad_input.cases():
        answer = client.open(case.path, method=case.method, data=case.body, headers={
            "Content-Type": "application/json", **root, **case.headers})
        assert answer.status_code >= 400, (case.what, answer.text)
        refused += case.method in METHODS
    now_s = node.clock.monotonic_s()
    monkeypatch.setattr(node.clock, "monotonic_s", lambda: now_s + audit.WINDOW_S)
    client.get("/livez")
    entries = client.get("/api/v1/audit?limit=1000", headers=root).get_json()["entries"]
    judge = Judge()
    judge.look(entries)
    assert judge.faults == []
    assert sum(entry["count"] for entry in entries if entry["code"] != "OK") == refused
    assert refused > 500
