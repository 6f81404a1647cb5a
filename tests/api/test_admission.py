"""What administrators allow: images, hosts, names of other teams, and who sees secrets."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

import api.admission
from tests.api.callers import REGISTER, ask, asking, bearer, give
from tests.api.support import SPEC, Node, make, spec

CONFIG = "/api/v1/config"


@pytest.fixture
def client() -> FlaskClient:
    """A client of a node without applications."""
    return make()[2]


def limited(client: FlaskClient, **limits: list[str]) -> None:
    """The node's configuration has these limits."""
    answer = client.put(CONFIG, json={"limits": limits})
    assert answer.status_code == 200, answer.get_json()


def image(name: str) -> dict[str, Any]:
    """An app with this image."""
    return spec(spec={**SPEC["spec"], "image": name})


def test_images_are_asked_for_at_registration_and_at_start(client: FlaskClient) -> None:
    """A refused image changes nothing; a running app stays, and does not start again."""
    assert client.post(REGISTER, json=image("evil.example/x:1")).status_code == 201
    limited(client, images=["registry.example/team/*"])
    found = client.get(CONFIG).get_json()
    assert found["limits"]["images"] == ["registry.example/team/*"]
    assert found["sources"]["limits.images"] == "cluster"
    index = client.get("/livez").headers["X-Orchestry-Index"]
    answer = client.post(REGISTER, json=image("shop:1"))
    assert (answer.status_code, answer.get_json()["code"]) == (400, "INVALID_SPEC")
    (fault,) = answer.get_json()["details"]
    assert fault["field"] == "spec.image"
    assert "docker.io/library/shop" in fault["message"]
    answer = client.post("/api/v1/apps/shop/start", json={"wait": False})
    assert (answer.status_code, answer.get_json()["code"]) == (403, "FORBIDDEN")
    assert client.get("/livez").headers["X-Orchestry-Index"] == index
    limited(client, images=["registry.example/team/*", "evil.example/x"])
    answer = client.post("/api/v1/apps/shop/start", json={"wait": False})
    assert answer.status_code == 200


def test_what_was_taken_before_is_answered_again(client: FlaskClient) -> None:
    """A repeat under its key, whatever administrators forbid since; the same without it is new."""
    def send() -> list[tuple[int, Any]]:
        return [(one.status_code, one.get_json()) for one in (
            client.post(REGISTER, json=image("evil.example/x:1"),
                        headers={"Idempotency-Key": "register"}),
            client.put("/api/v1/apps/shop", json=image("evil.example/x:2"),
                       headers={"Idempotency-Key": "update"}),
            client.post("/api/v1/apps/shop/start", json={"wait": False},
                        headers={"Idempotency-Key": "start"}),
            client.post("/api/v1/apps/shop/run", json={"command": ["x"]},
                        headers={"Idempotency-Key": "run"}),
            client.post("/api/v1/apps/shop/restart", headers={"Idempotency-Key": "restart"}))]

    first = send()
    assert [status for status, _ in first] == [201, 200, 200, 202, 200]
    limited(client, images=["registry.example/team/*"])
    assert send() == first
    assert client.put("/api/v1/apps/shop", json=image("evil.example/x:2")).status_code == 400
    assert client.post("/api/v1/apps/shop/start", json={"wait": False}).status_code == 403


@pytest.mark.parametrize("path", ["/api/v1/apps/shop/scale", "/apps/shop/scale"])
def test_scaling_starts_no_image_that_is_not_allowed(client: FlaskClient, path: str) -> None:
    """What does not run is asked as a start is; what runs may be scaled."""
    assert client.post(REGISTER, json=image("evil.example/x:1")).status_code == 201
    limited(client, images=["registry.example/team/*"])
    index = client.get("/livez").headers["X-Orchestry-Index"]
    answer = client.post(path, json={"replicas": 2, "wait": False})
    assert (answer.status_code, answer.get_json()["code"]) == (403, "FORBIDDEN")
    assert client.get("/livez").headers["X-Orchestry-Index"] == index
    limited(client, images=["*"])
    assert client.post(path, json={"replicas": 2, "wait": False}).status_code == 200
    limited(client, images=["registry.example/team/*"])
    assert client.post(path, json={"replicas": 2, "wait": False}).status_code == 200


def test_an_image_of_the_list_is_taken(client: FlaskClient) -> None:
    """In whatever way it is written."""
    limited(client, images=["docker.io/library/shop"])
    assert client.post(REGISTER, json=image("shop:2")).status_code == 201


def test_reserved_hosts_belong_to_nobody(client: FlaskClient) -> None:
    """Hosts of the spec, and the one that an app without hosts would have."""
    limited(client, reserved_hosts=["shop.localhost", "*.admin.example.org"])
    answer = client.post(REGISTER, json=SPEC)
    assert answer.get_json()["code"] == "INVALID_SPEC"
    assert [fault["field"] for fault in answer.get_json()["details"]] == ["metadata.name"]
    hosts = {"hosts": ["free.example.org", "x.admin.example.org"]}
    answer = client.post(REGISTER, json=spec(spec={**SPEC["spec"], "ingress": hosts}))
    assert [fault["field"] for fault in answer.get_json()["details"]] == ["spec.ingress.hosts[1]"]
    hosts = {"hosts": ["free.example.org"]}
    assert client.post(REGISTER, json=spec(
        spec={**SPEC["spec"], "ingress": hosts})).status_code == 201


def test_nobody_fills_the_ingress_for_the_others(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table of an ingress holds all apps or takes no change: the last one is refused."""
    room = len("one.localhost/") + len("two.localhost/")
    monkeypatch.setattr(api.admission, "ADDRESSES_CHARACTERS_MAX", room)
    assert client.post(REGISTER, json=spec("one")).status_code == 201
    answer = client.post(REGISTER, json=spec("four"))
    assert (answer.status_code, answer.get_json()["code"]) == (503, "INSUFFICIENT_RESOURCES")
    assert client.post(REGISTER, json=spec("two")).status_code == 201


@pytest.fixture
def asks() -> tuple[Node, FlaskClient]:
    """A node that asks for tokens and has the app `shop`."""
    return asking()


@pytest.mark.parametrize(
    ("host", "status"),
    [("blog.localhost", 403), ("x.blog.localhost", 403), ("localhost", 403),
     ("team-web.localhost", 201), ("x.team-web.localhost", 201), ("www.example.org", 201)],
)
def test_a_team_cannot_take_anothers_name(
    asks: tuple[Node, FlaskClient], host: str, status: int
) -> None:
    """A token of some apps has hosts below the domain only under names of its own."""
    node, client = asks
    team = bearer(give(node, "deployer", "team-"))
    answer = ask(client, "POST", REGISTER, team, spec(
        "team-shop", spec={**SPEC["spec"], "ingress": {"hosts": [host]}}))
    assert answer.status_code == status, answer.get_json()
    assert (answer.get_json().get("code") == "FORBIDDEN") == (status == 403)


@pytest.mark.parametrize(("role", "sees"), [("viewer", False), ("deployer", True), ("admin", True)])
@pytest.mark.parametrize(
    "path", ["/api/v1/apps/blog/spec", "/api/v1/apps/blog/spec?resolved=true", "/apps/blog/raw"])
def test_a_viewer_sees_no_secrets_of_a_spec(
    asks: tuple[Node, FlaskClient], role: Any, sees: bool, path: str
) -> None:
    """Who may not change an app gets values that are called like secrets masked."""
    node, client = asks
    owner = bearer(give(node, "deployer"))
    variables = [{"name": "DB_PASSWORD", "value": "s3cr3t"}, {"name": "PORT", "value": "80"}]
    assert ask(client, "POST", REGISTER, owner, spec(
        "blog", spec={**SPEC["spec"], "environment": variables})).status_code == 201
    answer = ask(client, "GET", path, bearer(give(node, role, name="reader")))
    text = answer.get_data(as_text=True)
    assert ("s3cr3t" in text) == sees
    assert ("********" in text) != sees
    body = answer.get_json()
    found = body.get("raw", body)["spec"]["environment"]
    assert [variable["name"] for variable in found] == ["DB_PASSWORD", "PORT"]
    assert found[1]["value"] == "80"
