"""Writes: redirects, idempotency keys, preconditions, unknown outcomes."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from api import waiting as waits
from api.app import create_app
from api.here import EXTENSION
from cluster.state.commands import Command, Stamp
from cluster.state.model import Applied
from orchestry.errors import Code, OrchestryError
from tests.api.support import SPEC, Loops, make, once, spec

REGISTER = "/api/v1/apps/register"


def test_follower_redirects_to_the_leaders_announced_url() -> None:
    """A write on a follower is a 307 to the same path and query, before its body is judged."""
    node, _, client = make()
    node.announce("two", "http://two.example:8002")
    node.local.leader = "two"
    answer = client.post(
        "/api/v1/apps/shop/start?a=%2F&b=1", data=b"{", content_type="text/plain",
        headers={"Host": "evil.example"},
    )
    assert answer.status_code == 307
    assert answer.headers["Location"] == "http://two.example:8002/api/v1/apps/shop/start?a=%2F&b=1"
    body = answer.get_json()
    assert body["code"] == "NOT_LEADER"
    assert body["error"] == "Request must be sent to leader node: http://two.example:8002"
    assert answer.headers["X-Orchestry-Leader"] == "two"
    assert answer.headers["X-Orchestry-Node"] == "one"


def test_no_leader() -> None:
    """Without a leader a write is CLUSTER_NOT_READY with Retry-After; reads go on."""
    node, _, client = make()
    client.post(REGISTER, json=SPEC)
    node.local.leader = None
    answer = client.post(REGISTER, json=SPEC)
    assert answer.status_code == 503
    assert answer.get_json()["code"] == "CLUSTER_NOT_READY"
    assert answer.get_json()["error"] == "No leader elected, cluster not ready"
    assert answer.headers["Retry-After"] == "1"
    assert "X-Orchestry-Leader" not in answer.headers
    assert client.get("/api/v1/apps/shop").status_code == 200


def test_leader_that_has_not_announced_itself() -> None:
    """A leader without a known URL is no place to send a client to."""
    node, _, client = make()
    node.local.leader = "two"
    answer = client.post(REGISTER, json=SPEC)
    assert answer.status_code == 503
    assert answer.get_json()["code"] == "CLUSTER_NOT_READY"
    assert answer.headers["Retry-After"] == "1"


def test_every_write_route_has_the_guard() -> None:
    """No route that changes something can be reached on a follower."""
    node, app, client = make()
    node.announce("two", "http://two.example:8002")
    node.local.leader = "two"
    writes = [
        (method, rule.rule.replace("<app_name>", "shop").replace("<node_id>", "two")
         .replace("<token_id>", "t1").replace("<secret_name>", "db").replace("<release>", "web")
         .replace("<registry_host>", "r.example").replace("<run_id>", "7")
         .replace("<volume_name>", "orchestry-shop-data"))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"GET", "HEAD", "OPTIONS"}
    ]
    assert len(writes) == 44
    for method, path in writes:
        answer = client.open(path, method=method)
        assert answer.status_code == 307
        assert answer.headers["Location"] == f"http://two.example:8002{path}"


def test_path_that_is_not_plain_stays_one_line() -> None:
    """A Location is built from the decoded path, quoted again."""
    node, _, client = make()
    node.announce("two", "http://two.example:8002")
    node.local.leader = "two"
    answer = client.delete("/api/v1/apps/a%0d%0aX-Evil:%20b")
    assert answer.headers["Location"] == (
        "http://two.example:8002/api/v1/apps/a%0D%0AX-Evil:%20b")
    assert "X-Evil" not in answer.headers


def test_repeat_with_the_same_key_is_not_executed_again() -> None:
    """The same request with the same key gives the first answer, also a refusal."""
    node, _, client = make()
    headers = {"Idempotency-Key": "key:with:colons"}
    first = client.post(REGISTER, json=SPEC, headers=headers)
    again = client.post(REGISTER, json=SPEC, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.get_json() == again.get_json()
    assert len([e for e in node.log.state().events if e.app == "shop"]) == 1
    refused = client.post("/api/v1/apps/ghost/stop", headers={"Idempotency-Key": "g"})
    client.post(REGISTER, json=spec("ghost"))
    repeated = client.post("/api/v1/apps/ghost/stop", headers={"Idempotency-Key": "g"})
    assert (refused.status_code, repeated.status_code) == (404, 404)


def test_repeat_of_a_delete() -> None:
    """A delete that is repeated after the application is gone answers as the first did."""
    node, _, client = make()
    client.post(REGISTER, json=SPEC)
    headers = {"Idempotency-Key": "once", "If-Match": '"1"'}
    with Loops(node).running():
        client.post("/api/v1/apps/shop/start")
        first = client.delete("/api/v1/apps/shop", headers=headers)
        again = client.delete("/api/v1/apps/shop", headers=headers)
    assert first.status_code == again.status_code == 200
    assert first.get_json() == again.get_json()
    assert again.get_json()["containers_removed"] == 2


def test_same_key_with_another_body_is_a_conflict() -> None:
    """A key belongs to one request: another body, path or method is a 409."""
    node, _, client = make()
    headers = {"Idempotency-Key": "k"}
    client.post(REGISTER, json=SPEC, headers=headers)
    apps = node.log.state().apps
    for answer in (
        client.post(REGISTER, json=spec("other"), headers=headers),
        client.post("/api/v1/apps/shop/start", headers=headers),
        client.delete("/api/v1/apps/shop", headers=headers),
    ):
        assert answer.status_code == 409
        assert answer.get_json()["code"] == "CONFLICT"
    assert node.log.state().apps == apps
    longer = client.post(REGISTER, json=spec("b"), headers={"Idempotency-Key": "kk"})
    assert longer.status_code == 201


@pytest.mark.parametrize("key", ["", "a b", "x" * 129, "k\xe9y", "a\tb"])
def test_bad_keys(key: str) -> None:
    """A key that is not 1-128 visible ASCII characters is a fault."""
    node, _, client = make()
    answer = client.post(REGISTER, json=SPEC, headers={"Idempotency-Key": key})
    assert answer.status_code == 400
    assert answer.get_json()["details"][0]["field"] == "Idempotency-Key"
    assert not node.log.state().apps


def test_if_match() -> None:
    """A write goes through only at the revision that the client saw."""
    _, _, client = make()
    revision = client.post(REGISTER, json=SPEC).headers["ETag"]
    start = "/api/v1/apps/shop/start"
    body = {"wait": False}
    stale = client.post(start, json=body, headers={"If-Match": '"99"'})
    assert stale.status_code == 409
    assert stale.get_json()["code"] == "CONFLICT"
    assert client.post(start, json=body, headers={"If-Match": revision}).status_code == 200
    wrong = client.post(start, json=body, headers={"If-Match": "1"})
    assert wrong.status_code == 400
    assert wrong.get_json()["details"][0]["field"] == "If-Match"
    ghost = client.post("/api/v1/apps/ghost/start", headers={"If-Match": '"1"'})
    assert ghost.get_json()["code"] == "APP_NOT_FOUND"


class _Lost:
    """A ticket of a write of which nobody knows whether it was committed."""

    def __init__(self, code: Code) -> None:
        self._code = code

    def poll(self) -> Applied | None:
        return None

    def wait(self, timeout_s: float) -> Applied:
        raise OrchestryError(self._code, "why")


def _losing(code: Code) -> tuple[Flask, list[Stamp], Any]:
    node, app, client = make()
    stamps: list[Stamp] = []

    def submit(command: Command, stamp: Stamp) -> _Lost:
        stamps.append(stamp)
        return _Lost(code)

    node.local.submit = submit  # type: ignore[method-assign, assignment]
    return app, stamps, client


def test_unknown_outcome_names_the_key_for_a_safe_repeat() -> None:
    """An unknown outcome is a 504 with a key; repeating with it proposes the same request id."""
    _, stamps, client = _losing(Code.UNKNOWN_OUTCOME)
    answer = client.post(REGISTER, json=SPEC)
    assert answer.status_code == 504
    body = answer.get_json()
    assert body["code"] == "TIMEOUT"
    assert body["details"]["outcome"] == "unknown"
    key = body["details"]["idempotency_key"]
    client.post(REGISTER, json=SPEC, headers={"Idempotency-Key": key})
    assert stamps[0].request_id == stamps[1].request_id


def test_write_that_surely_did_not_commit() -> None:
    """A write that Raft refused is CLUSTER_NOT_READY, which is safe to send again."""
    _, _, client = _losing(Code.CLUSTER_NOT_READY)
    answer = client.post(REGISTER, json=SPEC)
    assert answer.status_code == 503
    assert answer.get_json()["code"] == "CLUSTER_NOT_READY"
    assert answer.headers["Retry-After"] == "1"


def test_index_of_a_write_serves_read_your_writes() -> None:
    """The index of a write's answer is the one at which its effect can be read."""
    _, _, client = make()
    index = client.post(REGISTER, json=SPEC).headers["X-Orchestry-Index"]
    answer = client.get(f"/api/v1/apps/shop?min_index={index}")
    assert answer.status_code == 200
    assert int(answer.headers["X-Orchestry-Index"]) >= int(index)


def test_a_node_that_stops_sends_waiting_clients_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait cut off by a stop is an unknown outcome; a repeat with its key goes on waiting."""
    monkeypatch.setattr(waits, "LOOK_AGAIN_S", 300)  # the stop itself wakes who waits
    node, app, client = make()
    client.post(REGISTER, json=SPEC)
    waiting = app.extensions[EXTENSION].waiting
    with once(node, lambda _: bool(waiting._changed._waiters), waiting.close):
        answer = client.post("/api/v1/apps/shop/start")
    assert answer.status_code == 504
    details = answer.get_json()["details"]
    assert details["outcome"] == "unknown"
    other = create_app(node).test_client()
    with Loops(node).running():
        again = other.post(
            "/api/v1/apps/shop/start", headers={"Idempotency-Key": details["idempotency_key"]})
    assert again.get_json()["status"] == "running"
    assert len([e for e in node.log.state().events if "started" in e.message]) == 1


def test_two_apps_cannot_share_an_address() -> None:
    """The second one with the same host and path is a 409 that names the first."""
    _, _, client = make()
    shared = {"ingress": {"hosts": ["shop.example.org"], "path": "/a"}}
    first, second = spec("first"), spec("second")
    first["spec"], second["spec"] = {**first["spec"], **shared}, {**second["spec"], **shared}
    assert client.post(REGISTER, json=first).status_code == 201
    refused = client.post(REGISTER, json=second)
    assert (refused.status_code, refused.get_json()["code"]) == (409, "CONFLICT")
    assert "shop.example.org/a/ already leads to application 'first'" in (
        refused.get_json()["details"]
    )
    second["spec"]["ingress"] = {"hosts": ["shop.example.org"], "path": "/ab"}
    assert client.post(REGISTER, json=second).status_code == 201
