"""Access over HTTP: every route for every kind of caller, failed logins, limits."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from flask.testing import FlaskClient

from api.roles import TABLE, Right
from cluster.live.relay_mark import HEADER, RelayMark
from cluster.live.tokens import new_token
from cluster.state.commands import RevokeToken, SetConfig, StartApp
from orchestry.access import Role
from tests.api.callers import OLD_REGISTER, ON, REGISTER, SECRET, ask, asking, bearer, give
from tests.api.support import SPEC, Node, Part, make, spec


class Persona(NamedTuple):
    """A kind of caller: the role of its token, if it has a good one, and its apps."""

    name: str
    role: Role | None
    apps: str = ""
    made: bool = True


PERSONAS = (
    Persona("none", None, made=False), Persona("wrong", None), Persona("expired", None),
    Persona("revoked", None), Persona("viewer", "viewer"),
    Persona("viewer-in-scope", "viewer", "shop"), Persona("viewer-out-of-scope", "viewer", "blog-"),
    Persona("deployer", "deployer"), Persona("deployer-in-scope", "deployer", "sh"),
    Persona("deployer-out-of-scope", "deployer", "shop-"), Persona("admin", "admin"),
)


@pytest.fixture
def asks() -> tuple[Node, FlaskClient]:
    """A node that asks for tokens and has the app `shop`."""
    return asking()


def headers_of(node: Node, persona: Persona) -> dict[str, str]:
    """What this persona sends along."""
    if not persona.made:
        return {}
    if persona.role is not None:
        return bearer(give(node, persona.role, persona.apps, name=persona.name))
    if persona.name == "wrong":
        return bearer(new_token())
    expires_at_ms = node.clock.wall_ms() - 1 if persona.name == "expired" else 0
    token = give(node, "admin", name=persona.name, expires_at_ms=expires_at_ms)
    if persona.name == "revoked":
        assert node.submit(RevokeToken("revoked")).rejected is None
    return bearer(token)


RELEASES = frozenset({
    ("PUT", "/api/v1/releases/<release>"), ("DELETE", "/api/v1/releases/<release>"),
    ("POST", "/api/v1/releases/<release>/rollback")})
"""Their applications are found in a body or in the state: see tests/api/test_releases.py."""


def expected(
    persona: Persona, right: Right, name: str, *, registers: bool, by_content: bool = False
) -> int:
    """401, 403, or 0 for a request that is let through, from the table alone.

    `name` is that of the app, and of the secret, in the path or in what is registered.
    """
    if right.need == "open":
        return 0
    if persona.role is None:
        return 401
    order = ("viewer", "deployer", "admin")
    wanted = "admin" if right.need == "peer" else right.need
    if order.index(persona.role) < order.index(wanted):
        return 403
    if right.scope == "all":
        return 403 if persona.apps else 0
    if by_content:
        return 0
    about_one = right.scope in ("app", "secret") or registers
    return 403 if about_one and not name.startswith(persona.apps) else 0


def test_every_route_for_every_caller(asks: tuple[Node, FlaskClient]) -> None:
    """Each line of the table, for each persona: refused as it says, or let through.

    A query that no route knows keeps writes from changing anything once they are let through.
    """
    node, client = asks
    node.submit(SetConfig((("exec.enabled", True),)))  # else everybody is refused there
    shown = {persona: headers_of(node, persona) for persona in PERSONAS}
    count = 0
    for (method, rule), right in TABLE.items():
        path = (rule.replace("<app_name>", "shop").replace("<file_name>", "start.js")
                .replace("<node_id>", "two").replace("<token_id>", "t1")
                .replace("<secret_name>", "shop").replace("<registry_host>", "r.example")
                .replace("<volume_name>", "orchestry-shop-data"))
        for persona, headers in shown.items():
            if rule in (REGISTER, OLD_REGISTER):
                answer = ask(client, method, path, headers, SPEC)
            else:
                answer = ask(client, method, f"{path}{'' if method == 'GET' else '?x=1'}", headers)
            found = answer.status_code if answer.status_code in (401, 403) else 0
            wanted = expected(
                persona, right, "shop", registers=rule in (REGISTER, OLD_REGISTER),
                by_content=(method, rule) in RELEASES)
            assert found == wanted, (persona, method, path, answer.text)
            if found == 401:
                assert answer.get_json()["code"] == "UNAUTHORIZED"
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")
            elif found == 403:
                assert answer.get_json()["code"] == "FORBIDDEN"
            elif method != "GET":
                assert answer.status_code in (400, 409), (persona, path, answer.text)
            assert answer.status_code != 500
            count += 1
    # Registering again what is there is refused where commands are ordered, and only there.
    assert node.log.state().apps["shop"].revision == 2
    print(f"{count} combinations of {len(TABLE)} routes and {len(shown)} callers")
    assert count == len(TABLE) * len(PERSONAS) >= 500


def test_every_route_has_a_line_and_every_line_a_route() -> None:
    """Nobody may call a route that the table does not know; and it is refused to an admin."""
    node, app, client = make(ON)
    rules = {(method, rule.rule) for rule in app.url_map.iter_rules()
             for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}}
    assert rules == set(TABLE)
    app.add_url_rule("/forgotten", view_func=lambda: "secret")
    answer = client.get("/forgotten", headers=bearer(give(node, "admin")))
    assert (answer.status_code, answer.get_json()["code"]) == (403, "FORBIDDEN")


def test_what_is_open_and_what_is_for_admins() -> None:
    """The two lists that matter most, written down a second time."""
    assert {rule for (_, rule), right in TABLE.items() if right.need == "open"} == {
        "/livez", "/readyz", "/health", "/cluster/health", "/cluster/is-leader", "/docs",
        "/docs/<file_name>", "/openapi.json", "/cluster/ca", "/cluster/ca/certificate"}
    assert {(verb, rule) for (verb, rule), right in TABLE.items()
            if right.need in ("viewer", "deployer") and verb != "GET"} == {
        ("POST", REGISTER), ("DELETE", "/api/v1/apps/<app_name>"),
        *(("POST", f"/api/v1/apps/<app_name>/{verb}") for verb in (
            "start", "stop", "scale", "health/check", "scaling/simulate", "rollback",
            "restart", "pause", "resume", "promote", "run", "runs/<run_id>/cancel")),
        *(("POST", f"/api/v1/jobs/<app_name>/{verb}") for verb in (
            "trigger", "suspend", "resume")),
        ("PUT", "/api/v1/apps/<app_name>"), ("PUT", "/api/v1/apps/<app_name>/scaling"),
        ("PUT", "/api/v1/secrets/<secret_name>"), ("DELETE", "/api/v1/secrets/<secret_name>"),
        ("POST", "/api/v1/secrets/<secret_name>/rotate"),
        ("POST", OLD_REGISTER), ("DELETE", "/apps/<app_name>"),
        *(("POST", f"/apps/<app_name>/{verb}") for verb in ("up", "down", "scale", "policy")),
        *RELEASES}
    assert all(right.scope == "all" for right in TABLE.values() if right.need in ("admin", "peer"))


def test_a_barrier_in_the_log_is_for_those_who_show_a_token(
    asks: tuple[Node, FlaskClient],
) -> None:
    """Also where everybody may ask otherwise, however it is written."""
    node, client = asks
    for query in ("consistency=linearizable", "consistency=linea%72izable"):
        index = node.log.state().index
        assert client.get(f"/cluster/health?{query}").status_code == 401
        assert node.log.state().index == index
        shown = bearer(give(node, "viewer"))
        assert client.get(f"/cluster/health?{query}", headers=shown).status_code == 200


def test_head_is_as_get(asks: tuple[Node, FlaskClient]) -> None:
    """The method that Flask adds by itself asks for the same."""
    node, client = asks
    assert client.head("/api/v1/apps").status_code == 401
    assert client.head("/api/v1/apps", headers=bearer(give(node, "viewer"))).status_code == 200
    assert client.head("/livez").status_code == 200


def test_a_refusal_comes_before_body_and_leader() -> None:
    """A follower refuses by itself, and what is no JSON is not looked at."""
    node, _, client = make(ON)
    node.announce("two", "http://two.example:8002")
    token = give(node, "viewer")
    node.local.leader = "two"
    for headers, status in (({}, 401), (bearer(token), 403)):
        answer = client.post(REGISTER, data=b"{", headers=headers)
        assert answer.status_code == status
    answer = client.post(REGISTER, data=b"{", headers=bearer(give(node, "deployer")))
    assert answer.status_code == 307


@pytest.mark.parametrize("header", [
    "Basic dXNlcjpwYXNz", "Bearer", "Bearer ", "Bearer x y", "bearer\t", "Bearer " + "x" * 5000,
    "Bearer \u00e9", "Bearer a, Bearer b", "",
])
def test_headers_that_show_no_token(asks: tuple[Node, FlaskClient], header: str) -> None:
    """Whatever else stands there is refused, and is no crash."""
    _, client = asks
    assert ask(client, "GET", "/api/v1/apps", {"Authorization": header}).status_code == 401


def test_scope_holds_for_bodies_lists_events_and_metrics(asks: tuple[Node, FlaskClient]) -> None:
    """Apps that are not the token's are left out, and refused where they are named."""
    node, client = asks
    root = bearer(give(node, "admin", name="me"))
    assert client.post(REGISTER, json=spec("blog"), headers=root).status_code == 201
    mine = bearer(give(node, "deployer", "shop"))
    assert client.post(REGISTER, json=spec("blog-2"), headers=mine).status_code == 403
    assert client.post(REGISTER, json=spec("shop-2"), headers=mine).status_code == 201
    for query in ("", "?status=registered", "?format=summary"):
        body = client.get(f"/api/v1/apps{query}", headers=mine).get_json()
        assert body["total"] == 2
        assert {row["name"] for row in body.get("apps", [])} <= {"shop", "shop-2"}
    assert client.get("/api/v1/apps", headers=root).get_json()["total"] == 3
    events = client.get("/api/v1/events", headers=mine).get_json()
    assert {event["app_name"] for event in events["events"]} == {"shop", "shop-2"}
    assert events["total"] == 2
    assert client.get("/api/v1/events?app=blog", headers=mine).status_code == 403
    assert client.get("/api/v1/events/stream?app=blog", headers=mine).status_code == 403
    rows = client.get("/api/v1/metrics", headers=mine).get_json()["applications"]
    assert {row["name"] for row in rows} == {"shop", "shop-2"}


def test_streams_take_the_token_from_the_query_and_nothing_else_does(
    asks: tuple[Node, FlaskClient],
) -> None:
    """Only what a browser's WebSocket asks for; a stream in a plain request is a 400."""
    node, client = asks
    token = give(node, "deployer")
    node.submit(SetConfig((("exec.enabled", True),)))
    node.submit(StartApp("shop", 1))
    node.report("shop", "healthy")
    for path in ("/api/v1/apps/shop/exec", "/api/v1/events/stream", "/api/v1/apps/shop/logs/stream",
                 "/api/v1/apps/shop/metrics/stream"):
        assert ask(client, "GET", path, {}).status_code == 401
        assert ask(client, "GET", f"{path}?access_token=no", {}).status_code == 401
        answer = ask(client, "GET", f"{path}?access_token={token}", {})
        assert answer.status_code == 400
        assert token not in answer.text
    assert ask(client, "GET", f"/api/v1/apps?access_token={token}", {}).status_code == 401


def test_wrong_tokens_are_limited_and_good_ones_are_not(asks: tuple[Node, FlaskClient]) -> None:
    """Ten wrong ones a minute from one address; a good one from there, and others, go on."""
    node, client = asks
    for _ in range(10):
        assert client.get("/api/v1/apps", headers=bearer(new_token())).status_code == 401
    answer = client.get("/api/v1/apps", headers=bearer(new_token()))
    assert (answer.status_code, answer.get_json()["code"]) == (429, "RATE_LIMIT_EXCEEDED")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    good = bearer(give(node, "viewer"))
    assert client.get("/api/v1/apps", headers=good).status_code == 200
    assert client.get("/api/v1/apps").status_code == 401
    assert ask(client, "GET", "/api/v1/apps", bearer(new_token())).status_code == 401


def test_limits_count_for_each_token_and_else_for_each_address() -> None:
    """Two tokens of one address have an allowance each; refusals count for the address."""
    node, _, client = make({**ON, "RATE_LIMIT_PER_MINUTE": "3"})
    one, two = bearer(give(node, "viewer")), bearer(give(node, "viewer"))
    for headers in (one, two):
        for _ in range(3):
            assert client.get("/api/v1/apps", headers=headers).status_code == 200
        assert client.get("/api/v1/apps", headers=headers).status_code == 429
        elsewhere = ask(client, "GET", "/api/v1/apps", headers)
        assert elsewhere.status_code == 429
        assert "token viewer-" in elsewhere.get_json()["details"]
    assert [client.get("/api/v1/apps").status_code for _ in range(4)] == [401, 401, 401, 429]


def test_controllers_know_one_another_by_their_mark(asks: tuple[Node, FlaskClient]) -> None:
    """A mark opens what controllers ask of one another, and nothing else."""
    node, client = asks
    mark = RelayMark(SECRET, node.clock)
    for path in ("/cluster/measurements", "/cluster/history/events", "/cluster/history/samples"):
        answer = ask(client, "GET", path, mark.headers(path))
        assert answer.status_code != 401, answer.text
        assert ask(client, "GET", path, mark.headers("/other")).status_code == 401
        forged = RelayMark("another secret", node.clock).headers(path)
        assert ask(client, "GET", path, forged).status_code == 401
    for path in ("/api/v1/apps", "/cluster/backup"):
        assert ask(client, "GET", path, mark.headers(path)).status_code == 401


def test_without_a_secret_a_mark_is_worth_nothing() -> None:
    """One controller on its own has nobody to know."""
    _, _, client = make({"ORCHESTRY_AUTH": "on"})
    assert client.get("/cluster/measurements", headers={HEADER: "1"}).status_code == 401


def test_an_unknown_token_without_a_leader_is_no_refusal(asks: tuple[Node, FlaskClient]) -> None:
    """A controller that may lag behind says 503; a token that it knows is good all the same."""
    node, client = asks
    good = bearer(give(node, "viewer"))
    node.local.leader = None
    answer = client.get("/api/v1/apps", headers=bearer(new_token()))
    assert (answer.status_code, answer.get_json()["code"]) == (503, "CLUSTER_NOT_READY")
    assert client.get("/api/v1/apps", headers=good).status_code == 200


def test_health_tells_details_to_those_who_show_a_token(asks: tuple[Node, FlaskClient]) -> None:
    """How each part does is for load balancers, why it does badly is not."""
    node, client = asks
    node.parts["docker"] = Part("unavailable", "nobody listens at /run/docker.sock")
    found = client.get("/health").get_json()
    docker = found["components"]["docker"]
    assert (docker["status"], docker["detail"]) == ("unavailable", None)
    full = client.get("/health", headers=bearer(give(node, "viewer"))).get_json()
    assert "docker.sock" in full["components"]["docker"]["detail"]
    assert full["warnings"] == found["warnings"] == []


def test_docker_without_tls_is_a_warning() -> None:
    """Who told a controller to ask another machine's Docker in the clear is reminded of it."""
    _, _, client = make({"DOCKER_HOST": "tcp://10.0.0.9:2375", "DOCKER_INSECURE": "true"})
    (told,) = client.get("/health").get_json()["warnings"]
    assert "DOCKER_TLS_CA" in told
    _, _, client = make({"DOCKER_HOST": "tcp://127.0.0.1:2375"})
    assert client.get("/health").get_json()["warnings"] == []


def test_authentication_that_is_off_is_a_warning() -> None:
    """Loopback asks for nothing and says nothing; off everywhere is told by /health."""
    _, _, client = make()
    assert client.get("/api/v1/tokens").status_code == 200
    assert client.get("/health").get_json()["warnings"] == []
    _, _, client = make({"ORCHESTRY_AUTH": "off", "ORCHESTRY_HOST": "0.0.0.0"})
    assert client.get("/api/v1/tokens").status_code == 200
    assert "ORCHESTRY_AUTH=on" in client.get("/health").get_json()["warnings"][0]
    _, _, client = make({"ORCHESTRY_HOST": "0.0.0.0"})
    assert client.get("/api/v1/tokens").status_code == 401
