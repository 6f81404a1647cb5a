"""Logins of registries over HTTP: kept sealed, used for pulls, and read by nobody."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from cluster.control.secret_values import Unresolved, registry_login
from cluster.engine.base import Login
from cluster.sealing import Keyring
from cluster.state.backup import lines
from cluster.state.codec import encode_snapshot
from tests.api.callers import ON, bearer, give
from tests.api.support import SPEC, Node, make, spec

KEY, OTHER = "11" * 32, base64.b64encode(b"k" * 32).decode()
HOST = "registry.example:5000"
PATH = f"/api/v1/registries/{HOST}"
PLAIN = "pa55-never-to-be-seen"
BODY = {"username": "robot", "password": PLAIN}


@pytest.fixture
def keyed() -> tuple[Node, FlaskClient]:
    """A node with a key."""
    node, _, client = make({"ORCHESTRY_SECRETS_KEY": KEY})
    return node, client


def test_a_login_is_kept_listed_used_and_removed(keyed: tuple[Node, FlaskClient]) -> None:
    """The leader opens it; nobody else sees the password; a new one takes its place."""
    node, client = keyed
    assert client.put(PATH, json=BODY).get_json() == {
        "message": "Login kept", "host": HOST, "version": 1, "warning": None}
    answer = client.get("/api/v1/registries").get_json()
    assert answer["total"] == 1
    (row,) = answer["registries"]
    assert (row["host"], row["username"], row["version"]) == (HOST, "robot", 1)
    assert registry_login(HOST, node.log.state().secrets, node.keyring) == Login("robot", PLAIN)
    assert registry_login("other.example", node.log.state().secrets, node.keyring) is None
    second = {**BODY, "password": "second"}
    assert client.put(PATH, json=second).get_json()["version"] == 2
    found = registry_login(HOST, node.log.state().secrets, node.keyring)
    assert found == Login("robot", "second")
    assert "second" not in repr(found)
    assert client.delete(PATH).get_json() == {"message": "Login removed", "host": HOST}
    gone = client.delete(PATH)
    assert (gone.status_code, gone.get_json()["code"]) == (404, "NOT_FOUND")
    assert "orchestry registry list" in gone.get_json()["details"]
    assert client.post(f"{PATH}/rotate").status_code == 404


def test_the_password_is_nowhere(keyed: tuple[Node, FlaskClient]) -> None:
    """Snapshot, backup, events, and all answers, also of what is refused."""
    node, client = keyed
    texts = [client.put(PATH, json=BODY).text]
    for wrong in ({**BODY, "username": "a:b"}, {**BODY, "more": PLAIN}, {"password": PLAIN},
                  {**BODY, "password": f"{PLAIN}\n"}, {**BODY, "password": f"{PLAIN}" * 500}):
        refused = client.put(PATH, json=wrong)
        assert refused.status_code == 400, wrong
        texts.append(refused.text)
    state = node.log.state()
    texts += [client.get(path).text for path in (
        "/api/v1/registries", "/api/v1/secrets", "/api/v1/events", "/health")]
    texts += [str(encode_snapshot(state)), *(str(line) for line in lines(state, {}))]
    forms = (PLAIN, base64.b64encode(PLAIN.encode()).decode()[:-4], PLAIN.encode().hex())
    assert not [text for text in texts if any(form in text for form in forms)]
    assert f"Login of registry '{HOST}' set" in str(state.events)


def test_a_login_is_no_secret_of_applications(keyed: tuple[Node, FlaskClient]) -> None:
    """It is in no list of theirs, at none of their paths, and no spec can name it."""
    _, client = keyed
    assert client.put("/api/v1/registries/registry.example", json=BODY).status_code == 200
    assert client.get("/api/v1/secrets").get_json() == {"secrets": [], "total": 0}
    for name in ("%40registry%2Fregistry.example", "@registry"):
        assert client.get(f"/api/v1/secrets/{name}").status_code in (400, 404)
    for key in ("@registry/registry.example", "registry/registry.example"):
        uses = spec(spec={**SPEC["spec"], "environment": [
            {"name": "A", "source": "secret", "key": key, "field": "password"}]})
        answer = client.post("/api/v1/apps/register", json=uses)
        assert answer.status_code == 400, answer.text


@pytest.mark.parametrize("host", [
    "team", "Registry.example", "registry.example:0", "registry.example:port", "-a.example", "a..b",
    "https:%2F%2Fregistry.example", "registry.example%0a", "a." + "b" * 300, "[::1]:5000",
])
def test_hosts_that_are_none(keyed: tuple[Node, FlaskClient], host: str) -> None:
    """They are refused by name, and nothing is kept."""
    node, client = keyed
    answer = client.put(f"/api/v1/registries/{host}", json=BODY)
    assert answer.status_code in (400, 404), answer.text
    assert not node.log.state().secrets


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "registry:5000", "docker.io"])
def test_hosts_that_images_can_have(keyed: tuple[Node, FlaskClient], host: str) -> None:
    """Also those without a dot, where a port shows that they are hosts."""
    _, client = keyed
    assert client.put(f"/api/v1/registries/{host}", json=BODY).status_code == 200


@pytest.mark.parametrize("host", ["index.docker.io", "registry-1.docker.io"])
def test_another_name_of_the_hub_is_told_the_right_one(
    keyed: tuple[Node, FlaskClient], host: str
) -> None:
    """Under it a login would never be used."""
    answer = keyed[1].put(f"/api/v1/registries/{host}", json=BODY)
    assert answer.status_code == 400
    assert "log in to docker.io" in json.dumps(answer.get_json())


def test_a_registry_must_be_one_of_those_that_are_allowed(keyed: tuple[Node, FlaskClient]) -> None:
    """What `limits.images` has no image of needs no login."""
    _, client = keyed
    limits = {"limits": {"images": ["registry.example/team/*", "docker.io/library/*"]}}
    assert client.put("/api/v1/config", json=limits).status_code == 200
    refused = client.put(PATH, json=BODY)
    assert refused.status_code == 400
    assert "limits.images" in json.dumps(refused.get_json()["details"])
    for host in ("registry.example", "docker.io"):
        assert client.put(f"/api/v1/registries/{host}", json=BODY).status_code == 200


def test_without_a_key_nothing_is_kept_and_with_another_nothing_is_opened() -> None:
    """The refusal names the setting, and the leader says why it cannot pull."""
    node, _, client = make()
    refused = client.put(PATH, json=BODY)
    assert (refused.status_code, refused.get_json()["code"]) == (409, "CONFLICT")
    assert "ORCHESTRY_SECRETS_KEY" in refused.get_json()["details"]
    node, _, client = make({"ORCHESTRY_SECRETS_KEY": KEY})
    assert client.put(PATH, json=BODY).status_code == 200
    with pytest.raises(Unresolved, match="ORCHESTRY_SECRETS_KEY"):
        registry_login(HOST, node.log.state().secrets, Keyring([b"k" * 32]))


def test_a_login_is_sealed_under_another_key() -> None:
    """As secrets are; it stays what it is."""
    node, _, client = make({"ORCHESTRY_SECRETS_KEY": KEY})
    assert client.put(PATH, json=BODY).status_code == 200
    node.keyring = Keyring([base64.b64decode(OTHER), bytes.fromhex(KEY)])
    assert client.post(f"{PATH}/rotate").status_code == 200
    only_new = Keyring([base64.b64decode(OTHER)])
    assert registry_login(HOST, node.log.state().secrets, only_new) == Login("robot", PLAIN)


def test_a_repeat_under_the_same_key_is_one_version(keyed: tuple[Node, FlaskClient]) -> None:
    """And the key with another password is refused, without a digest that tells it."""
    _, client = keyed
    headers: dict[str, Any] = {"Idempotency-Key": "once"}
    first = client.put(PATH, json=BODY, headers=headers)
    again = client.put(PATH, json=BODY, headers=headers)
    assert first.get_json() == again.get_json()
    other = client.put(PATH, json={**BODY, "password": "x"}, headers=headers)
    assert other.status_code == 409


@pytest.mark.parametrize("role", ["viewer", "deployer"])
def test_logins_are_for_admins(role: Any) -> None:
    """Who deploys uses them without seeing them."""
    node, _, client = make({**ON, "ORCHESTRY_SECRETS_KEY": KEY})
    headers = bearer(give(node, role))
    assert client.put(PATH, json=BODY, headers=headers).status_code == 403
    assert client.get("/api/v1/registries", headers=headers).status_code == 403
    admin = bearer(give(node, "admin"))
    assert client.put(PATH, json=BODY, headers=admin).status_code == 200
