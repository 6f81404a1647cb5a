"""Releases over HTTP: install, look, upgrade, go back, uninstall."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from flask.testing import FlaskClient

from cluster.state.commands import FinishDelete
from tests.api.callers import asking, bearer, give
from tests.api.support import SPEC, Node, make, spec

WEB = "/api/v1/releases/web"


@pytest.fixture
def node() -> tuple[Node, FlaskClient]:
    """A node without applications."""
    made, _, client = make()
    return made, client


def body(*names: str, image: str = "shop:1", **more: Any) -> dict[str, Any]:
    """What a chart rendered."""
    specs = []
    for name in names:
        document = copy.deepcopy(spec(name))
        document["spec"]["image"] = image
        specs.append(document)
    return {"chart": "web-app", "chart_version": "1.0.0", "specs": specs, **more}


def test_the_life_of_a_release(node: tuple[Node, FlaskClient]) -> None:
    """Each answer tells what changed for which application, line by line."""
    made, client = node
    put = client.put(WEB, json=body("one", "two", values={"size": 1}))
    assert put.status_code == 200
    assert put.get_json()["revision"] == 1
    assert [row["change"] for row in put.get_json()["changes"]] == ["created", "created"]
    assert made.log.state().apps["one"].running
    assert client.get("/api/v1/apps/one").get_json()["status"] == "starting"

    dry = client.put(f"{WEB}?dry_run=true", json=body("one", image="shop:2")).get_json()
    assert (dry["dry_run"], dry["revision"]) == (True, 2)
    assert [(row["app"], row["change"]) for row in dry["changes"]] == [
        ("one", "updated"), ("two", "removed")]
    assert "-  image: shop:1" in dry["changes"][0]["diff"]
    assert "+  image: shop:2" in dry["changes"][0]["diff"]
    assert client.get(WEB).get_json()["revision"] == 1

    changed = client.put(WEB, json=body("one", image="shop:2", values={"size": 2})).get_json()
    assert changed["changes"] == dry["changes"]
    full = client.get(WEB).get_json()
    assert (full["revision"], full["values"], full["apps"]) == (2, {"size": 2}, ["one"])
    assert [row["note"] for row in full["revisions"]] == ["Installed", "Upgraded"]
    assert full["status"][0]["app"] == "one"
    listed = client.get("/api/v1/releases").get_json()
    assert (listed["total"], listed["releases"][0]["release"]) == (1, "web")

    second = client.get(f"{WEB}/revisions/2").get_json()
    assert (second["against"], second["specs"][0]["spec"]["image"]) == (1, "shop:2")
    assert [row["change"] for row in second["changes"]] == ["updated", "removed"]
    first = client.get(f"{WEB}/revisions/1?against=0").get_json()
    assert [row["change"] for row in first["changes"]] == ["created", "created"]
    assert "+apiVersion: v1" in first["changes"][0]["diff"]

    revision = made.log.state().apps["two"].revision
    made.submit(FinishDelete("two", revision, 0))
    back = client.post(f"{WEB}/rollback", json={}).get_json()
    assert (back["revision"], back["message"]) == (3, "Rolled back to revision 1")
    assert {row["app"]: row["change"] for row in back["changes"]} == {
        "one": "updated", "two": "created"}
    assert client.get(WEB).get_json()["values"] == {"size": 1}

    gone = client.delete(WEB).get_json()
    assert gone["apps"] == ["one", "two"]
    assert client.get(WEB).status_code == 404
    assert made.log.state().apps["one"].deleting


def test_a_repeat_is_one_change(node: tuple[Node, FlaskClient]) -> None:
    """Under the same key, also with `only`, which the first request has made untrue."""
    _, client = node
    for _ in range(2):
        answer = client.put(f"{WEB}?only=install", json=body("one"),
                            headers={"Idempotency-Key": "k"})
        assert (answer.status_code, answer.get_json()["revision"]) == (200, 1)


def test_what_is_refused(node: tuple[Node, FlaskClient]) -> None:
    """The code, and words that say what to do; nothing is changed."""
    made, client = node
    assert client.post("/api/v1/apps/register", json=SPEC).status_code == 201
    assert client.put(WEB, json=body("one")).status_code == 200
    bad = body("two", "two")
    bad["specs"][0]["spec"]["image"] = "A B"
    for path, method, sent, status, words in (
        (f"{WEB}?only=install", "PUT", body("one"), 409, "upgrade it"),
        ("/api/v1/releases/none?only=upgrade", "PUT", body("x"), 404, "no release 'none'"),
        (WEB, "PUT", body("shop"), 409, "belongs to no release"),
        (WEB, "PUT", bad, 400, "specs[0].spec.image"),
        (WEB, "PUT", body("two", "two"), 400, "given twice"),
        (WEB, "PUT", body(), 400, "specs"),
        (WEB, "PUT", {**body("one"), "more": 1}, 400, "more"),
        ("/api/v1/releases/A_B", "PUT", body("one"), 400, "release"),
        (f"{WEB}/rollback", "POST", {}, 409, "no earlier revision"),
        (f"{WEB}/rollback", "POST", {"revision": 9}, 404, "are kept: 1"),
        (f"{WEB}/revisions/9", "GET", None, 404, "are kept: 1"),
        ("/api/v1/releases/none", "GET", None, 404, "no release 'none'"),
        ("/api/v1/releases/none", "DELETE", None, 404, "no release 'none'"),
    ):
        before = made.log.state()
        answer = client.open(path, method=method, json=sent)
        assert (answer.status_code, words in answer.text) == (status, True), answer.text
        after = made.log.state()
        assert (after.apps, after.releases) == (before.apps, before.releases)


def test_a_token_for_some_apps_sees_and_changes_only_theirs() -> None:
    """A release with an application of somebody else is neither listed nor changed."""
    node, client = asking()
    root = bearer(give(node, "admin", name="me"))
    mine = bearer(give(node, "deployer", "web-", name="mine"))
    viewer = bearer(give(node, "viewer", name="viewer"))
    other = "/api/v1/releases/other"
    assert client.put(other, json=body("theirs"), headers=root).status_code == 200
    assert client.put(WEB, json=body("web-a"), headers=mine).status_code == 200
    assert client.put(WEB, json=body("web-a", "theirs"), headers=mine).status_code == 403
    assert client.put(WEB, json=body("web-b"), headers=viewer).status_code == 403
    taken = client.put(other, json=body("web-a"), headers=mine)
    dry = client.put(f"{other}?dry_run=true", json=body("web-a"), headers=mine)
    assert (taken.status_code, dry.status_code) == (403, 403)
    assert not node.log.state().apps["theirs"].deleting
    for method, path in (("GET", other), ("DELETE", other), ("POST", f"{other}/rollback"),
                         ("GET", f"{other}/revisions/1")):
        sent: dict[str, Any] | None = {} if method == "POST" else None
        assert client.open(path, method=method, headers=mine, json=sent).status_code == 403
    listed = client.get("/api/v1/releases", headers=mine).get_json()
    assert [row["release"] for row in listed["releases"]] == ["web"]
    assert client.get("/api/v1/releases", headers=viewer).get_json()["total"] == 2
    # What a release had once is somebody else's as well.
    assert client.put(other, json=body("web-b"), headers=root).status_code == 200
    assert client.get(f"{other}/revisions/1", headers=mine).status_code == 403
    assert client.put(other, json=body("web-b"), headers=mine).status_code == 403


def test_a_viewer_sees_no_values_and_no_secrets() -> None:
    """Neither in a spec, nor in a difference between two."""
    node, client = asking()
    root = bearer(give(node, "admin", name="me"))
    viewer = bearer(give(node, "viewer", name="viewer"))
    for secret in ("hunter-1", "hunter-2"):
        sent = body("one", values={"password": secret})
        sent["specs"][0]["spec"]["environment"] = [{"name": "DB_PASSWORD", "value": secret}]
        assert client.put(WEB, json=sent, headers=root).status_code == 200
    for path in (WEB, f"{WEB}/revisions/1", f"{WEB}/revisions/2"):
        assert "hunter" not in client.get(path, headers=viewer).text
        assert "hunter" in client.get(path, headers=root).text


def test_a_dry_run_refuses_what_would_be_refused(node: tuple[Node, FlaskClient]) -> None:
    """An application of nobody's release is not taken, and a dry run says so."""
    _, client = node
    assert client.post("/api/v1/apps/register", json=SPEC).status_code == 201
    answer = client.put(f"{WEB}?dry_run=true", json=body("shop"))
    assert (answer.status_code, "belongs to no release" in answer.text) == (409, True)
