"""The Python SDK against stub controllers over real HTTP."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import orchestry
from orchestry import client as sdk
from tests.unit.both_clients import Connect
from tests.unit.sealed_calls import SEALED_CALLS
from tests.unit.stub_cluster import Says, Script, Seen, error, free_url, nodes, redirect

STATUS = {"name": "web", "status": "running",
          "replicas": {"current": 3, "desired": 3, "healthy": 3}}
SPEC: dict[str, Any] = {"apiVersion": "v1", "kind": "App", "metadata": {"name": "web"}}
NAMED: dict[str, Any] = {"metadata": {"name": "web"}}


def always(says: Says) -> Script:
    """A node that always answers the same."""
    return lambda _: says


def test_the_reference_snippet_runs_as_written(tmp_path: Path) -> None:
    """The user's own first lines of Python work."""
    (tmp_path / "app.yml").write_text("apiVersion: v1\nkind: App\nmetadata: {name: my-app}\n")
    answers = {
        ("POST", "/api/v1/apps/register"): Says(201, {"status": "registered"}),
        ("POST", "/api/v1/apps/my-app/start"): Says(200, {"status": "running", "replicas": 3}),
        ("GET", "/api/v1/apps/my-app"): Says(200, STATUS),
    }
    with nodes(lambda seen: answers[seen.method, seen.path]) as (node,):
        snippet = f"""
import yaml
import orchestry
client = orchestry.Client({node.url!r})

# Register application
with open('app.yml') as f:
    spec = yaml.safe_load(f)
client.register_app(spec)

# Start application
client.start_app("my-app", replicas=3)

# Get status
status = client.get_app_status("my-app")
print(f"App is {{status['status']}} with {{status['replicas']['current']}} replicas")
"""
        done = subprocess.run([sys.executable, "-c", snippet], cwd=tmp_path, text=True,
                              capture_output=True, timeout=60, check=False)
    assert done.stderr == ""
    assert done.stdout == "App is running with 3 replicas\n"
    assert node.seen[0].document["metadata"] == {"name": "my-app"}
    assert node.seen[1].document == {"wait": True, "timeout": 300, "replicas": 3}


def test_importing_the_package_does_not_load_the_http_library() -> None:
    """`import orchestry` stays quick."""
    code = "import sys, orchestry; print([m for m in sys.modules if m in ('requests', 'yaml')])"
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True,
                          timeout=60, check=True)
    assert done.stdout == "[]\n"


CALLS: list[tuple[Callable[[orchestry.Client], Any], str, str, Any]] = [
    (lambda c: c.register_app(SPEC), "POST", "/api/v1/apps/register", SPEC),
    (lambda c: c.start_app("web", wait=False), "POST", "/api/v1/apps/web/start",
     {"wait": False, "timeout": 300}),
    (lambda c: c.stop_app("web", force=True, timeout=5), "POST", "/api/v1/apps/web/stop",
     {"force": True, "timeout": 5}),
    (lambda c: c.stop_app("web"), "POST", "/api/v1/apps/web/stop", {"force": False}),
    (lambda c: c.scale_app("web", 4, timeout=9), "POST", "/api/v1/apps/web/scale",
     {"replicas": 4, "wait": True, "timeout": 9}),
    (lambda c: c.remove_app("web", keep_data=True), "DELETE",
     "/api/v1/apps/web?force=false&keep_data=true", None),
    (lambda c: c.get_app_status("web"), "GET", "/api/v1/apps/web", None),
    (lambda c: c.list_apps(), "GET", "/api/v1/apps", None),
    (lambda c: c.list_apps("error", format="summary"), "GET",
     "/api/v1/apps?status=error&format=summary", None),
    (lambda c: c.update_app(NAMED), "PUT", "/api/v1/apps/web",
     {"metadata": {"name": "web"}}),
    (lambda c: c.update_app(NAMED, dry_run=True), "PUT",
     "/api/v1/apps/web?dry_run=true", {"metadata": {"name": "web"}}),
    (lambda c: c.list_revisions("web"), "GET", "/api/v1/apps/web/revisions", None),
    (lambda c: c.rollback_app("web"), "POST", "/api/v1/apps/web/rollback", {}),
    (lambda c: c.rollback_app("web", 7), "POST", "/api/v1/apps/web/rollback", {"revision": 7}),
    (lambda c: c.restart_app("web"), "POST", "/api/v1/apps/web/restart", None),
    (lambda c: c.pause_app("web"), "POST", "/api/v1/apps/web/pause", None),
    (lambda c: c.resume_app("web"), "POST", "/api/v1/apps/web/resume", None),
    (lambda c: c.promote_app("web"), "POST", "/api/v1/apps/web/promote", {}),
    (lambda c: c.promote_app("web", all=True), "POST", "/api/v1/apps/web/promote", {"all": True}),
    (lambda c: c.list_deployments("web"), "GET", "/api/v1/apps/web/deployments", None),
    (lambda c: c.get_deployment("web", 9), "GET", "/api/v1/apps/web/deployments/9", None),
    (lambda c: c.get_app_spec("web"), "GET", "/api/v1/apps/web/spec", None),
    (lambda c: c.get_app_spec("web", resolved=True), "GET",
     "/api/v1/apps/web/spec?resolved=true", None),
    (lambda c: c.get_app_events("web", type="scaling", limit=5), "GET",
     "/api/v1/apps/web/events?type=scaling&limit=5", None),
    (lambda c: c.get_events(app="web", since="1h"), "GET", "/api/v1/events?app=web&since=1h", None),
    (lambda c: c.get_app_logs("web", container="web-1", tail=0), "GET",
     "/api/v1/apps/web/logs?container=web-1&tail=0", None),
    (lambda c: c.get_health("web"), "GET", "/api/v1/apps/web/health", None),
    (lambda c: c.get_config(), "GET", "/api/v1/config", None),
    (lambda c: c.update_config({"limits": {"per_hour": None}}), "PUT", "/api/v1/config",
     {"limits": {"per_hour": None}}),
    *SEALED_CALLS,
    (lambda c: c.system_health(), "GET", "/health", None),
    (lambda c: c.cluster_status(), "GET", "/cluster/status", None),
    (lambda c: c.cluster_leader(), "GET", "/cluster/leader", None),
    (lambda c: c.cluster_health(), "GET", "/cluster/health", None),
    (lambda c: c.get_app_status("../../health"), "GET", "/api/v1/apps/..%2F..%2Fhealth", None),
]


@pytest.mark.parametrize(("call", "method", "path", "body"), CALLS)
def test_each_call_sends_what_the_contract_says(
    connect: Connect, call: Callable[[orchestry.Client], Any], method: str, path: str, body: Any
) -> None:
    """Method, path, query and body of every call; only writes carry a key."""
    with nodes(always(Says(200, {"ok": True}))) as (node,), connect(node.url) as client:
        assert call(client) == {"ok": True}
    seen = node.seen[0]
    assert (seen.method, seen.path) == (method, path)
    assert (seen.document if seen.body else None) == body
    assert ("Idempotency-Key" in seen.headers) is (method != "GET")


ERRORS = [
    (error(400, "INVALID_SPEC", [{"field": "spec.image", "message": "give one"}]),
     sdk.InvalidRequest),
    (error(401, "UNAUTHORIZED"), sdk.Forbidden),
    (error(403, "FORBIDDEN"), sdk.Forbidden),
    (error(404, "APP_NOT_FOUND", "Application 'web' does not exist"), sdk.NotFound),
    (error(409, "APP_ALREADY_EXISTS"), sdk.Conflict),
    (error(413, "PAYLOAD_TOO_LARGE"), sdk.InvalidRequest),
    (error(429, "RATE_LIMIT_EXCEEDED"), sdk.RateLimited),
    (error(500, "DOCKER_ERROR", "no such image"), sdk.ApiError),
    (error(503, "INSUFFICIENT_RESOURCES"), sdk.ApiError),
    (error(503, "NO_LEADER"), sdk.NoLeader),
    (error(504, "TIMEOUT", "the operation goes on"), sdk.TimedOut),
    (error(418, "FROM_THE_FUTURE"), sdk.ApiError),
]


@pytest.mark.parametrize(("says", "kind"), ERRORS)
def test_errors_are_typed_and_never_repeated(
    connect: Connect, says: Says, kind: type[sdk.ClientError]
) -> None:
    """A final error is raised at once with its code, details, status and request id."""
    says.headers["X-Request-Id"] = "r-1"
    with nodes(always(says)) as (node,), connect(node.url) as client:
        with pytest.raises(kind) as caught:
            client.start_app("web")
        assert len(node.seen) == 1
    assert caught.value.code == says.body["code"]
    assert caught.value.details == says.body["details"]
    assert caught.value.status == says.status
    assert caught.value.request_id == "r-1"
    assert isinstance(caught.value, orchestry.OrchestryError)


def test_a_write_follows_the_redirect_and_remembers_the_leader(connect: Connect) -> None:
    """The second write goes straight to the leader."""
    with nodes(always(Says(200, {"ok": 1}))) as (leader,), \
            nodes(always(redirect(leader.url, "/api/v1/apps/register"))) as (follower,), \
            connect([follower.url, leader.url], token="t0ken") as client:
        client.register_app(SPEC)
        client.register_app(SPEC)
    assert [len(follower.seen), len(leader.seen)] == [1, 2]
    assert follower.seen[0].headers["Idempotency-Key"] == leader.seen[0].headers["Idempotency-Key"]
    assert leader.seen[0].headers["Idempotency-Key"] != leader.seen[1].headers["Idempotency-Key"]
    assert leader.seen[0].headers["Authorization"] == "Bearer t0ken"
    assert leader.seen[0].document == SPEC


def test_the_token_reaches_a_leader_that_a_member_names(connect: Connect) -> None:
    """A leader that is not configured is learned from `/cluster/status` of a member."""
    with nodes(always(Says(200, {"ok": 1}))) as (leader,):
        def follow(seen: Seen) -> Says:
            if seen.path == "/cluster/status":
                return Says(200, {"lease": {"api_url": leader.url}, "nodes": [{"node_id": "x"}]})
            return redirect(leader.url, seen.path)

        with nodes(follow) as (follower,), \
                connect(follower.url, token="t0ken") as client:
            client.start_app("web", wait=False)
            assert client.urls == (follower.url, leader.url)
    assert leader.seen[0].headers["Authorization"] == "Bearer t0ken"


def test_the_token_never_reaches_a_stranger(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A redirect to a host that no member names is followed without any credentials."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with nodes(always(error(401, "UNAUTHORIZED"))) as (stranger,), \
            nodes(lambda seen: Says(200, {"lease": None, "nodes": []})
                  if seen.path == "/cluster/status"
                  else redirect(stranger.url)) as (follower,), \
            connect(follower.url, token="t0ken") as client:
        with pytest.raises(sdk.Forbidden):
            client.start_app("web")
        assert "Authorization" not in stranger.seen[0].headers
        assert follower.seen[0].headers["Authorization"] == "Bearer t0ken"


def test_a_leader_lost_in_the_middle_gets_the_same_key_and_body_elsewhere(connect: Connect) -> None:
    """A write is carried to the new leader under one key, so that it happens once."""
    with nodes(always(Says(200, {"ok": 1})), always(Says(drop=True))) as (new, old), \
            connect([old.url, new.url]) as client:
        assert client.scale_app("web", 3) == {"ok": 1}
        assert len(old.seen) == len(new.seen) == 1
    assert old.seen[0].headers["Idempotency-Key"] == new.seen[0].headers["Idempotency-Key"]
    assert old.seen[0].body == new.seen[0].body


def test_an_election_is_waited_out(connect: Connect) -> None:
    """CLUSTER_NOT_READY and an unknown outcome are asked again until a leader answers."""
    turns = [
        error(503, "CLUSTER_NOT_READY", **{"Retry-After": "1"}),
        Says(502, b"<html>bad gateway</html>"),
        error(504, "TIMEOUT", {"outcome": "unknown", "idempotency_key": "k"}),
        Says(200, {"ok": 1}),
    ]
    with nodes(lambda _: turns.pop(0)) as (node,), connect(node.url) as client:
        assert client.start_app("web", idempotency_key="mine") == {"ok": 1}
        assert [seen.headers["Idempotency-Key"] for seen in node.seen] == ["mine"] * 4


def test_the_deadline_is_kept(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that never gets ready, or never answers, ends the call in time."""
    # The last try has seconds left: one that is not answered in time has an unknown outcome.
    monkeypatch.setattr("orchestry.client.attempts.backoff_s", lambda *_: 3.0)
    never = always(error(503, "CLUSTER_NOT_READY"))
    with nodes(never) as (node,), connect(node.url, timeout=5.5) as client:
        with pytest.raises(sdk.NoLeader) as caught:
            client.register_app(SPEC)
        assert caught.value.code == "CLUSTER_NOT_READY"
        assert len(node.seen) == 2
    with nodes(always(Says(delay_s=120))) as (node,), \
            connect(node.url, timeout=0.5) as client:
        with pytest.raises(sdk.TimedOut) as late:
            client.register_app(SPEC, idempotency_key="mine")
        details = late.value.details
        assert isinstance(details, dict)
        assert details["idempotency_key"] == "mine"


def test_reads_fail_over_and_stay_with_who_answers(connect: Connect) -> None:
    """A dead first node costs one try, then the survivor is asked first."""
    with nodes(always(Says(200, STATUS))) as (node,), \
            connect([free_url(), node.url]) as client:
        assert client.get_app_status("web") == STATUS
        assert client.get_app_status("web") == STATUS


def test_reads_see_the_writes_of_this_client(connect: Connect) -> None:
    """After a write, reads ask for its index; a node that lags is left for another."""
    def node(seen: Seen) -> Says:
        if seen.method == "POST":
            return Says(200, {"ok": 1}, {"X-Orchestry-Index": "42"})
        return error(504, "TIMEOUT") if "min_index" in seen.path else Says(200, STATUS)

    with nodes(node) as (stub,), connect(stub.url) as client:
        client.start_app("web")
        assert client.get_app_status("web") == STATUS
        assert client.cluster_status() == STATUS
        assert [seen.path for seen in stub.seen[1:]] == [
            "/api/v1/apps/web?min_index=42", "/api/v1/apps/web", "/cluster/status"]


def test_nobody_there_is_an_error_that_names_whom_was_asked(connect: Connect) -> None:
    """The message lists the addresses and the cause."""
    url = free_url()
    with connect(url) as client, pytest.raises(sdk.NotReachable, match=url) as caught:
        client.list_apps()
    assert "refused" in str(caught.value)


def test_a_leader_that_cannot_be_reached_is_named(connect: Connect) -> None:
    """Redirects to an address that does not answer end with a hint at the setting."""
    gone = free_url()
    with nodes(always(redirect(gone))) as (node,), \
            connect(node.url, timeout=5) as client, \
            pytest.raises(sdk.NoLeader, match="CONTROLLER_API_URL") as caught:
        client.start_app("web", wait=False)
    assert gone in str(caught.value)


def test_a_degraded_health_is_an_answer(connect: Connect) -> None:
    """The health calls hand back the body of a 503."""
    with nodes(always(Says(503, {"status": "degraded"}))) as (node,), \
            connect(node.url) as client:
        assert client.cluster_health() == {"status": "degraded"}
        assert client.system_health() == {"status": "degraded"}


def test_an_address_that_is_no_controller_is_told(connect: Connect) -> None:
    """A web page instead of JSON is an error that names the address."""
    with nodes(always(Says(200, b"<html>hello</html>"))) as (node,), \
            connect(node.url) as client, \
            pytest.raises(sdk.ClientError, match=node.url):
        client.list_apps()


@pytest.mark.parametrize("url", [
    "127.0.0.1:8001", "ftp://a", "http://", "http://a:0", "http://a:x", "http://a/b", "",
    "http://me@a:1", "http://a:1?x=1",
])
def test_malformed_addresses_are_refused(connect: Connect, url: str) -> None:
    """A wrong address is refused when the client is made, with an example."""
    with pytest.raises(ValueError, match=r"like http://127\.0\.0\.1:8001"):
        connect(url)


def test_a_password_in_an_address_is_not_repeated(connect: Connect) -> None:
    """The text goes to terminals and logs."""
    with pytest.raises(ValueError, match=r"//\.\.\.@host:1") as told:
        connect("http://me:open-sesame@host:1")
    assert "sesame" not in str(told.value)


def test_other_malformed_arguments_are_refused(connect: Connect) -> None:
    """Nothing malformed is sent."""
    with pytest.raises(ValueError, match="between 1 and"):
        connect([])
    with pytest.raises(ValueError, match="token"):
        connect("http://a:1", token="a\r\nX: y")
    with pytest.raises(ValueError, match="timeout"):
        connect("http://a:1", timeout=0)
    with connect("http://a:1") as client:
        with pytest.raises(sdk.InvalidRequest, match="app_name"):
            client.get_app_status("..")
        with pytest.raises(sdk.InvalidRequest, match="JSON"):
            client.register_app({"a": float("nan")})


def test_threads_share_a_client(connect: Connect) -> None:
    """Many threads use one client at the same time."""
    with nodes(always(Says(200, {"ok": 1}))) as (node,), connect(node.url) as client:
        answers: list[Any] = []
        threads = [
            threading.Thread(target=lambda: answers.append(client.start_app("web")))
            for _ in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert answers == [{"ok": 1}] * 16
        assert len({seen.headers["Idempotency-Key"] for seen in node.seen}) == 16


def test_a_limit_is_waited_out_or_told(connect: Connect) -> None:
    """429 is asked again after Retry-After while there is time, else it says how long to wait."""
    turns = [error(429, "RATE_LIMIT_EXCEEDED", **{"Retry-After": "1"}), Says(200, {"ok": 1})]
    with nodes(lambda _: turns.pop(0)) as (node,), connect(node.url) as client:
        began_s = time.monotonic()
        assert client.get_app_status("web") == {"ok": 1}
        assert time.monotonic() - began_s >= 1
    late = error(429, "RATE_LIMIT_EXCEEDED", **{"Retry-After": "40"})
    with nodes(always(late)) as (node,), connect(node.url) as client:
        with pytest.raises(sdk.RateLimited) as caught:
            client.get_app_status("web")
        assert caught.value.retry_after_s == 40
        assert len(node.seen) == 1


def test_what_is_left_of_the_limit_is_spread(connect: Connect) -> None:
    """Many calls one after the other slow down before they are refused."""
    says = Says(200, {"ok": 1})
    with nodes(lambda _: says) as (node,), connect(node.url) as client:
        client.get_app_status("web")
        assert client.gap_s(0.5) == 0.5
        for remaining, least_s, most_s in ((99, 0.5, 0.62), (10, 5.5, 6.2), (0, 55.0, 62.0)):
            says.headers.update({
                "X-RateLimit-Remaining": str(remaining),
                "X-RateLimit-Reset": str(int(time.time()) + 60)})
            client.get_app_status("web")
            assert least_s <= client.gap_s(0.5) <= most_s
        for reset in ("soon", "1"):
            says.headers["X-RateLimit-Reset"] = reset
            client.get_app_status("web")
        assert client.gap_s(0.5) == 0.5
