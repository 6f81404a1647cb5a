"""GET /cluster/backup and POST /cluster/restore."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from api.bodies import BODY_BYTES_MAX
from cluster.state.codec import encode_snapshot
from cluster.state.commands import BeginEpoch
from orchestry.backup import Backup, parse
from tests.api.support import SPEC, Node, make, spec


def taken(*specs: dict[str, Any]) -> Backup:
    """The backup of a cluster with these apps."""
    _, _, client = make()
    for given in specs:
        body = json.dumps(given, ensure_ascii=False).encode()
        answer = client.post(
            "/api/v1/apps/register", data=body, content_type="application/json")
        assert answer.status_code == 201, answer.get_json()
    return parse(client.get("/cluster/backup").get_data().splitlines(keepends=True))


def fresh() -> tuple[Node, FlaskClient]:
    """An empty cluster with an id of its own."""
    node, _, client = make()
    node.submit(BeginEpoch(node.id, 1_000, "new"))
    return node, client


def send(client: FlaskClient, part: dict[str, Any]) -> Any:
    """One part, as the command line sends it."""
    return client.post(
        "/cluster/restore", data=json.dumps({"restore_id": "r", "part": part}),
        content_type="application/json")


@pytest.mark.parametrize(("char", "times"), [("é", 360), ('"', 550)])
def test_a_large_spec_comes_back_byte_for_byte(char: str, times: int) -> None:
    """Its part, as escaped text, is larger than the body that registered it."""
    large = spec(spec={**SPEC["spec"], "command": [char * times] * 900})
    found = taken(large, spec("cart"))
    assert found.head["apps"] == 2
    node, client = fresh()
    for part in found.parts:
        answer = send(client, part)
        assert answer.status_code == 200, answer.get_json()
    back = client.get("/api/v1/apps/shop/spec").get_json()
    assert json.dumps(large) in json.dumps(back)
    assert max(len(json.dumps(part)) for part in found.parts) > BODY_BYTES_MAX
    assert set(node.log.state().apps) == {"shop", "cart"}


REVISION: dict[str, Any] = {
    "number": 1, "chart": "web", "chart_version": "1", "values": "{}", "at_ms": 1, "note": "",
    "apps": [{"name": "shop", "document": json.dumps(spec())}]}


def _app(part: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**part, "apps": [{**part["apps"][0], **fields}]}


@pytest.mark.parametrize(("change", "field"), [
    (lambda part: {}, "part"),
    (lambda part: {**part, "number": "0"}, "part.number"),
    (lambda part: {**part, "number": part["total"]}, "part.number"),
    (lambda part: {**part, "epoch": 2**60}, "part.epoch"),
    (lambda part: {**part, "next_event_id": -1}, "part.next_event_id"),
    (lambda part: {**part, "apps": 1}, "part.apps"),
    (lambda part: _app(part, replicas="2"), "part.apps.0.replicas"),
    (lambda part: _app(part, replicas=101), "part.apps"),
    (lambda part: _app(part, addresses=[1]), "part.apps.0.addresses.0"),
    (lambda part: {**part, "config": [["limits.per_hour"]]}, "part.config.0.1"),
    (lambda part: {**part, "config": [["limits.per_hour", -1]]}, "part.config"),
    (lambda part: {**part, "config": [["no.such", 1]]}, "part.config"),
    (lambda part: _app(part, name="other"), "part.apps"),
    (lambda part: _app(part, document="{"), "part"),
    (lambda part: _app(part, scaling="{"), "part.apps"),
    (lambda part: _app(part, scaling='{"maxReplicas":0}'), "part.apps"),
    (lambda part: _app(part, scaling="[]"), "part.apps"),
    *((lambda part, one=one: {**part, "releases": [one]}, "part.releases") for one in (
        {"name": "web", "revisions": []}, {"name": "A B", "revisions": [REVISION]},
        {"name": "web", "revisions": [REVISION, REVISION]},
        {"name": "web", "revisions": [{**REVISION, "values": "[]"}]},
        {"name": "web", "revisions": [{**REVISION, "apps": []}]},
        {"name": "web", "revisions": [{**REVISION, "apps": [{"name": "a", "document": "{"}]}]},
    )),
    (lambda part: _app(part, last_scaling=[1, "2", "why"]), "part.apps.0.last_scaling"),
])
def test_what_no_controller_could_bear_is_refused(
    change: Callable[[dict[str, Any]], dict[str, Any]], field: str
) -> None:
    """With its field, before it is in the log."""
    part = next(part for part in taken(spec()).parts if part.get("apps"))
    node, client = fresh()
    before = node.log.state()
    answer = send(client, change(part))
    assert answer.status_code == 400, answer.get_json()
    assert answer.get_json()["details"][0]["field"].startswith(field)
    assert encode_snapshot(replace(node.log.state(), index=0)) == encode_snapshot(
        replace(before, index=0))


def test_other_bodies_keep_their_limit() -> None:
    """Only a part may be larger than a spec."""
    _, client = fresh()
    part: dict[str, Any] = {"x": "a" * 2 * 1024**2}
    assert send(client, part).status_code == 400
    assert client.post("/api/v1/apps/register", json=part).status_code == 413
    assert send(client, {"x": "a" * 4 * 1024**2}).status_code == 413


def test_a_changed_policy_and_the_last_scaling_come_back() -> None:
    """They are not in the spec, and count all the same."""
    _, _, client = make()
    assert client.post("/api/v1/apps/register", json=spec()).status_code == 201
    assert client.put("/api/v1/apps/shop/scaling", json={"max_replicas": 9}).status_code == 200
    assert client.post(
        "/api/v1/apps/shop/scale", json={"replicas": 4, "wait": False}).status_code == 200
    shown = client.get("/api/v1/apps/shop/scaling").get_json()
    found = parse(client.get("/cluster/backup").get_data().splitlines(keepends=True))
    _, other = fresh()
    for part in found.parts:
        answer = send(other, part)
        assert answer.status_code == 200, answer.get_json()
    assert other.get("/api/v1/apps/shop/scaling").get_json() == shown
    assert shown["policy"]["max_replicas"] == 9
