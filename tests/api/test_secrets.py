"""Secrets over HTTP: written, listed, used and removed, and read by nobody."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from cluster.control.secret_values import secret_values
from cluster.sealing import Keyring
from cluster.state.backup import lines
from cluster.state.codec import encode_snapshot
from cluster.state.commands import AnnounceController, ChangeMembers
from orchestry.spec.parse import spec_of
from tests.api.callers import ON, REGISTER, bearer, give
from tests.api.support import SPEC, Node, make, spec

KEY, OTHER = "11" * 32, base64.b64encode(b"k" * 32).decode()
PATH = "/api/v1/secrets/shop-db"
PLAIN = "pa55-never-to-be-seen"
USES = spec(spec={**SPEC["spec"], "environment": [
    {"name": "DB", "source": "secret", "key": "shop-db", "field": "password"}]})


@pytest.fixture
def keyed() -> tuple[Node, FlaskClient]:
    """A node with a key."""
    node, _, client = make({"ORCHESTRY_SECRETS_KEY": KEY})
    return node, client


def put(client: FlaskClient, text: str = PLAIN, **headers: str) -> Any:
    """The body of a version that is accepted."""
    answer = client.put(PATH, json={"values": {"password": text, "user": "shop"}}, headers=headers)
    assert answer.status_code == 200, answer.get_json()
    return answer.get_json()


def value_of(node: Node, template: int | None = None, keys: tuple[bytes, ...] = ()) -> str:
    """What a replica of the app would get."""
    state = node.log.state()
    app = state.apps["shop"]
    ring = Keyring(keys) if keys else node.keyring
    found = secret_values(spec_of(app.document), state.secrets,
                          app.made_from if template is None else template, ring)
    return found["shop-db", "password"]


def test_a_secret_is_set_listed_used_and_removed(keyed: tuple[Node, FlaskClient]) -> None:
    """Every answer has all but its values; a version is new with each PUT."""
    node, client = keyed
    assert put(client) == {
        "message": "Secret set", "name": "shop-db", "version": 1, "apps_restarted": 0,
        "warning": None}
    assert client.post("/api/v1/apps/register", json=USES).status_code == 201
    assert put(client, "second")["version"] == 2
    shown = client.get(PATH).get_json()
    assert (shown["version"], shown["fields"], shown["used_by"]) == (
        2, ["password", "user"], ["shop"])
    assert client.get("/api/v1/secrets").get_json() == {"secrets": [shown], "total": 1}
    refused = client.delete(PATH)
    assert (refused.status_code, refused.get_json()["code"]) == (409, "CONFLICT")
    assert "used by shop" in refused.get_json()["details"]
    removed = client.delete(f"{PATH}?force=true")
    assert (removed.status_code, removed.get_json()["used_by"]) == (200, 1)
    assert client.get(PATH).status_code == client.delete(PATH).status_code == 404
    assert client.get(PATH).get_json()["error"] == "No such secret"
    assert not node.log.state().secrets


def test_the_value_is_nowhere(keyed: tuple[Node, FlaskClient]) -> None:
    """Not in the state, a snapshot, a backup, an event or any answer; a replica gets it."""
    node, client = keyed
    put(client)
    client.post("/api/v1/apps/register", json=USES)
    client.post("/api/v1/apps/shop/start", json={"wait": False})
    refused = client.put(PATH, json={"values": {"password": PLAIN}, "value": PLAIN})
    assert refused.status_code == 400
    state = node.log.state()
    answers = [client.get(path).text for path in (
        "/api/v1/secrets", PATH, "/api/v1/apps/shop", "/api/v1/apps/shop/spec?resolved=true",
        "/api/v1/events", "/api/v1/apps/shop/revisions", "/cluster/backup", "/health")]
    texts = [repr(state), encode_snapshot(state), b"".join(lines(state, {})).decode(),
             refused.text, *answers]
    assert [PLAIN in text or base64.b64encode(PLAIN.encode()).decode() in text
            for text in texts] == [False] * len(texts)
    assert value_of(node) == PLAIN


def test_a_change_renews_the_apps_that_use_it(keyed: tuple[Node, FlaskClient]) -> None:
    """As a restart does, in the same step; old replicas, and a rollback, keep the old value."""
    node, client = keyed
    put(client, "first")
    client.post("/api/v1/apps/register", json=USES)
    client.post("/api/v1/apps/register", json=spec("other"))
    client.post("/api/v1/apps/shop/start", json={"replicas": 1, "wait": False})
    node.report("shop", "healthy")
    before = node.log.state().apps["shop"]
    other = node.log.state().apps["other"]
    assert put(client, "second")["apps_restarted"] == 1
    after = node.log.state().apps["shop"]
    assert after.rollout is not None
    assert after.rollout.kind == "restart"
    assert after.rollout.old == ((before.made_from, 1),)
    assert "secret 'shop-db'" in after.cause
    assert (value_of(node), value_of(node, before.made_from)) == ("second", "first")
    assert node.log.state().apps["other"] == other
    answer = client.post("/api/v1/apps/shop/rollback", json={"revision": before.revision})
    assert answer.status_code == 200
    assert value_of(node) == "first"


def test_a_stopped_app_starts_with_the_present_value(keyed: tuple[Node, FlaskClient]) -> None:
    """Also when it once ran with another, and gets a spec that it had before."""
    node, client = keyed
    put(client, "first")
    client.post("/api/v1/apps/register", json=USES)
    assert put(client, "second")["apps_restarted"] == 1
    assert value_of(node) == "second"
    changed = {**USES, "spec": {**USES["spec"], "image": "shop:2"}}
    assert client.put("/api/v1/apps/shop", json=changed).status_code == 200
    put(client, "third")
    assert client.put("/api/v1/apps/shop", json=USES).status_code == 200
    assert value_of(node) == "third"


def test_only_the_last_two_versions_are_kept(keyed: tuple[Node, FlaskClient]) -> None:
    """What is older is forgotten."""
    node, client = keyed
    for text in ("a", "b", "c"):
        put(client, text)
    kept = node.log.state().secrets["shop-db"].versions
    assert [one.version for one in kept] == [2, 3]


def test_a_repeat_makes_no_second_version(keyed: tuple[Node, FlaskClient]) -> None:
    """Under one key; another value under the same key is refused, and told by no plain digest."""
    node, client = keyed
    headers = {"Idempotency-Key": "once"}
    first = client.put(PATH, json={"value": "a"}, headers=headers)
    again = client.put(PATH, json={"value": "a"}, headers=headers)
    assert (first.get_json(), again.status_code) == (again.get_json(), 200)
    assert node.log.state().secrets["shop-db"].newest.version == 1
    assert client.put(PATH, json={"value": "b"}, headers=headers).status_code == 409
    _, _, other = make({"ORCHESTRY_SECRETS_KEY": OTHER})
    assert other.put(PATH, json={"value": "a"}, headers=headers).status_code == 200
    marks = {node.log.state().memory.recall("once"),
             other.application.extensions["orchestry"].controller.log.state().memory.recall("once")}
    assert len({known.fingerprint for known in marks if known is not None}) == 2


@pytest.mark.parametrize(("body", "field"), [
    ({}, ""), ({"value": "a", "values": None}, ""), ({"value": None}, ""),
    ({"value": "a", "values": {"x": "a"}}, ""), ({"values": {}}, "values"),
    ({"value": 7}, "value"), ({"value": "a\0b"}, "value"), ({"value": "x" * 65_537}, "value"),
    ({"values": {"a b": "x"}}, "values"), ({"values": {f"f{n}": "x" for n in range(17)}}, "values"),
    ({"values": {"a": "x" * 40_000, "b": "y" * 40_000}}, ""), ({"value": "a", "force": True},
                                                              "force"),
])
def test_a_secret_that_cannot_be(
    keyed: tuple[Node, FlaskClient], body: dict[str, Any], field: str
) -> None:
    """Each fault names its field, and shows no value."""
    _, client = keyed
    answer = client.put(PATH, json=body)
    assert (answer.status_code, answer.get_json()["code"]) == (400, "VALIDATION_ERROR")
    assert field in [fault["field"] for fault in answer.get_json()["details"]]
    assert "xxx" not in answer.text


@pytest.mark.parametrize("name", ["-a", "a/b", "a b", "a" * 129])
def test_names_that_cannot_be(keyed: tuple[Node, FlaskClient], name: str) -> None:
    """They are no path, or no name."""
    _, client = keyed
    assert client.put(f"/api/v1/secrets/{name}", json={"value": "a"}).status_code in (400, 404)


def test_without_a_key_nothing_is_kept() -> None:
    """The refusal names the setting; what needs no key goes on."""
    node, _, client = make()
    refused = client.put(PATH, json={"value": "a"})
    assert (refused.status_code, refused.get_json()["code"]) == (409, "CONFLICT")
    assert "ORCHESTRY_SECRETS_KEY" in refused.get_json()["details"]
    assert not node.log.state().secrets
    assert client.get("/api/v1/secrets").get_json() == {"secrets": [], "total": 0}
    assert client.get("/health").get_json()["components"]["secrets"]["status"] == "disabled"


def test_an_app_without_its_secret_is_refused(keyed: tuple[Node, FlaskClient]) -> None:
    """When it comes in, with the path of the field, and when it is to start."""
    _, client = keyed
    refused = client.post("/api/v1/apps/register", json=USES)
    assert (refused.status_code, refused.get_json()["code"]) == (400, "INVALID_SPEC")
    assert [fault["field"] for fault in refused.get_json()["details"]] == [
        "spec.environment[0].key"]
    client.put(PATH, json={"value": "a"})
    refused = client.put("/api/v1/apps/shop", json=USES)
    assert [fault["field"] for fault in refused.get_json()["details"]] == [
        "spec.environment[0].field"]
    put(client)
    assert client.post("/api/v1/apps/register", json=USES).status_code == 201
    client.delete(f"{PATH}?force=true")
    refused = client.post("/api/v1/apps/shop/start", json={"wait": False})
    assert (refused.status_code, refused.get_json()["code"]) == (400, "INVALID_SPEC")


def test_files_are_uses_as_well(keyed: tuple[Node, FlaskClient]) -> None:
    """Of secrets that have to be there, that are not removed, and whose change renews the app."""
    node, client = keyed
    body = spec(spec={**SPEC["spec"], "secretFiles": [
        {"name": "pw", "key": "shop-db", "field": "password"}]})
    refused = client.post("/api/v1/apps/register", json=body)
    assert [fault["field"] for fault in refused.get_json()["details"]] == [
        "spec.secretFiles[0].key"]
    put(client)
    assert client.post("/api/v1/apps/register", json=body).status_code == 201
    client.post("/api/v1/apps/shop/start", json={"replicas": 1, "wait": False})
    node.report("shop", "healthy")
    assert client.get(PATH).get_json()["used_by"] == ["shop"]
    assert client.delete(PATH).status_code == 409
    assert put(client, "second")["apps_restarted"] == 1
    assert value_of(node) == "second"
    assert client.get("/api/v1/apps/shop/spec").get_json()["spec"]["secretFiles"][0]["name"] == "pw"


def test_rotation_seals_all_under_the_first_key() -> None:
    """Values, versions and apps stay as they are; the old key is needed no more."""
    node, _, client = make({"ORCHESTRY_SECRETS_KEY": KEY})
    put(client)
    put(client, "second")
    client.post("/api/v1/apps/register", json=USES)
    client.post("/api/v1/apps/shop/start", json={"replicas": 1, "wait": False})
    node.keyring = Keyring([b"k" * 32, bytes.fromhex(KEY)])
    before = node.log.state()
    answer = client.post(f"{PATH}/rotate")
    assert (answer.status_code, answer.get_json()["key"]) == (200, node.keyring.first)
    after = node.log.state()
    assert after.apps == before.apps
    assert {one.key_id for one in after.secrets["shop-db"].versions} == {node.keyring.first}
    first = after.secrets["shop-db"].versions[0]
    assert value_of(node, keys=(b"k" * 32,)) == "second"
    assert value_of(node, first.index, keys=(b"k" * 32,)) == PLAIN
    index = after.index
    assert client.post(f"{PATH}/rotate").status_code == 200
    assert node.log.state().index == index
    assert client.post("/api/v1/secrets/nobody/rotate").status_code == 404
    node.keyring = Keyring([b"w" * 32])
    refused = client.post(f"{PATH}/rotate")
    assert (refused.status_code, refused.get_json()["code"]) == (409, "CONFLICT")


def test_a_controller_without_the_key_is_degraded() -> None:
    """As soon as secrets are sealed under a key that it does not have, or another has one."""
    node, _, client = make({"ORCHESTRY_SECRETS_KEY": KEY})
    put(client)
    assert client.get("/health").get_json()["components"]["secrets"]["status"] == "healthy"
    key_id = node.keyring.first
    node.keyring = Keyring([])
    body = client.get("/health").get_json()
    assert (body["status"], body["components"]["secrets"]["status"]) == ("degraded", "degraded")
    assert key_id in body["components"]["secrets"]["detail"]


def test_controllers_without_the_key_are_named_when_something_is_sealed() -> None:
    """Those that told that they lack it; the answers and the status of the cluster say so."""
    node, _, client = make({"ORCHESTRY_SECRETS_KEY": KEY})
    key_id, other = node.keyring.first, Keyring([b"k" * 32]).first
    told: list[tuple[str, str, tuple[str, ...]]] = [
        ("c1", key_id, (key_id,)), ("c2", "", ()), ("c3", other, (other, key_id)),
        ("c4", other, ())]
    for name, first, keys in told:
        node.submit(AnnounceController(name, f"http://{name}", name, "1", 1, first, keys))
    node.submit(ChangeMembers(
        node.log.state().members_index, tuple((name, f"{name}:1") for name, *_ in told)))
    assert "Controller c2 does not have key" in put(client)["warning"]
    assert key_id in client.post(f"{PATH}/rotate").get_json()["warning"]
    login = client.put("/api/v1/registries/docker.io", json={
        "username": "robot", "password": PLAIN}).get_json()
    assert "ORCHESTRY_SECRETS_KEY" in login["warning"]
    assert {one["node_id"]: one["missing_keys"] for one in client.get(
        "/cluster/status").get_json()["nodes"]} == {
            "c1": [], "c2": [key_id], "c3": [], "c4": []}
    node.submit(AnnounceController("c3", "http://c3", "c3", "1", 1, other, (other,)))
    assert "Controllers c2, c3 do not" in put(client)["warning"]
    for name in ("c2", "c3"):
        node.submit(AnnounceController(name, f"http://{name}", name, "1", 1, key_id, (key_id,)))
    assert put(client)["warning"] is None


def test_a_limited_token_has_the_secrets_of_its_apps() -> None:
    """By their names' beginning, in every call and in specs; viewers have none."""
    node, _, client = make({**ON, "ORCHESTRY_SECRETS_KEY": KEY})
    root = bearer(give(node, "admin", name="root"))
    mine = bearer(give(node, "deployer", "shop"))
    seen = bearer(give(node, "viewer"))
    for name in ("shop-db", "bank-db"):
        assert client.put(f"/api/v1/secrets/{name}", json={"values": {"password": PLAIN}},
                          headers=root).status_code == 200
    assert [row["name"] for row in client.get(
        "/api/v1/secrets", headers=mine).get_json()["secrets"]] == ["shop-db"]
    for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/rotate")):
        body = {"value": "x"} if method == "PUT" else None
        refused = client.open(f"/api/v1/secrets/bank-db{path}", method=method, json=body,
                              headers=mine)
        assert (refused.status_code, refused.get_json()["code"]) == (403, "FORBIDDEN"), method
    foreign = {**USES, "spec": {**USES["spec"], "environment": [
        {"name": "DB", "source": "secret", "key": "bank-db"}]}}
    assert client.post(REGISTER, json=foreign, headers=mine).status_code == 403
    assert client.post(REGISTER, json=USES, headers=mine).status_code == 201
    run = client.post("/api/v1/apps/shop/run", json={"command": ["env"]}, headers=mine)
    assert run.status_code == 202
    theirs = json.loads(json.dumps(USES).replace("shop-db", "bank-db"))
    theirs["metadata"]["name"] = "shop-two"
    assert client.post(REGISTER, json=theirs, headers=root).status_code == 201
    run = client.post("/api/v1/apps/shop-two/run", json={"command": ["env"]}, headers=mine)
    assert (run.status_code, run.get_json()["code"]) == (403, "FORBIDDEN")
    assert client.get("/api/v1/secrets", headers=seen).status_code == 403
    audit = client.get("/api/v1/audit", headers=root)
    assert "/api/v1/secrets/bank-db" in audit.text
    assert PLAIN not in audit.text
