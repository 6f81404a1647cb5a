"""Bad input to three real controllers that ask for tokens: refused, and nothing changes."""

from __future__ import annotations

import http.client
import json
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cluster.live.relay_mark import HEADER
from tests import bad_input
from tests.asking_cluster import SECRET, AskingCluster
from tests.live import app_spec, call, until

pytestmark = [pytest.mark.acceptance, pytest.mark.beside]
ANSWER_S = 30.0
AUDITED_S = 120.0
CASES_MIN = 550
AGAIN = (307, 503)
"""The leader has changed, under the load of other tests."""


@contextmanager
def asking(folder: Path) -> Iterator[AskingCluster]:
    """Three controllers without containers, with the app `shop` and limits of images and hosts."""
    with AskingCluster(folder, engine="fake", ingress=False, environ={
        "ORCHESTRY_AUTH": "on", "CLUSTER_SECRET": SECRET,
    }) as found:
        limits = {"images": bad_input.IMAGES, "reserved_hosts": bad_input.RESERVED}
        assert found.write("PUT", "/api/v1/config", {"limits": limits})[0] == 200
        shop = leading(found, bad_input.Case(
            "shop", "POST", bad_input.REGISTER, json.dumps(app_spec("shop", "shop:1")).encode(),
            201, "", headers={"Idempotency-Key": "key-of-shop"}))
        assert shop[0] == 201, shop
        yield found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AskingCluster]:
    """One for all tests: what they send must not change it."""
    with asking(tmp_path_factory.mktemp("bad-input") / "cluster") as found:
        yield found


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[AskingCluster]:
    """One whose audit nobody has filled."""
    with asking(tmp_path / "cluster") as found:
        yield found


def send(port: int, case: bad_input.Case, headers: dict[str, str]) -> tuple[int, Any]:
    """One request exactly as it is written, no client's care in between."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
    try:
        connection.putrequest(case.method, case.path, skip_accept_encoding=True)
        for name, value in ({"Content-Type": "application/json"} | headers | dict(
                case.headers)).items():
            connection.putheader(name, value.encode("latin-1"))
        if case.body is not None:
            connection.putheader("Content-Length", str(len(case.body)))
        connection.endheaders(case.body)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.headers.get_content_type() == "application/json", (case.what, text[:200])
        return answer.status, json.loads(text)
    finally:
        connection.close()


def leading(cluster: AskingCluster, case: bad_input.Case) -> tuple[int, Any]:
    """The leader's answer, whoever that is by now."""
    found: list[tuple[int, Any]] = []

    def answered() -> bool:
        leader = cluster.leader()
        if leader is None:
            return False
        found[:] = [send(cluster.api_ports[leader], case, cluster.headers)]
        return found[0][0] not in AGAIN

    until(f"an answer to {case.what}", answered, ANSWER_S)
    return found[0]


def wrong(case: bad_input.Case, status: int, body: Any) -> str:
    """Why this answer is not the refusal that the table asks for; "" when it is."""
    if (status, body.get("code")) != (case.status, case.code):
        return f"{status} {body.get('code')}, not {case.status} {case.code}"
    if set(body) != {"error", "details", "code", "timestamp"} or "Traceback" in str(body):
        return "the body of an error has other keys"
    fields = [str(fault["field"]) for fault in body["details"] or []] if case.at else []
    if case.at and not any(field.startswith(case.at) for field in fields):
        return f"names {fields}, not {case.at}"
    return ""


def confirmed(cluster: AskingCluster, path: str, query: str = "") -> Any:
    """What is read after a barrier, once there is a leader for one."""
    def found() -> Any:
        status, body, _ = call(
            "GET", cluster.url(cluster.led(), f"{path}?consistency=linearizable{query}"),
            headers=cluster.headers, timeout_s=ANSWER_S)
        assert status in (200, *AGAIN), body
        return body if status == 200 else None

    return until(f"{path} is read", found, ANSWER_S)


def known(cluster: AskingCluster) -> dict[str, Any]:
    """What users can change."""
    found: dict[str, Any] = {}
    for path in ("/api/v1/apps", "/api/v1/apps/shop/spec", "/api/v1/apps/shop/scaling",
                 "/api/v1/config", "/api/v1/tokens", "/cluster/members"):
        found[path] = confirmed(cluster, path)
    found["/api/v1/config"].pop("node_id")
    members = found["/cluster/members"]  # besides, who was heard of when
    found["/cluster/members"] = [members["members_index"], sorted(
        (one["node_id"], one["raft_address"]) for one in members["members"])]
    for token in found["/api/v1/tokens"]["tokens"]:
        token.pop("last_used", None)
    return found


def last_event(cluster: AskingCluster) -> Any:
    """The newest event: every change that a user makes is one."""
    events = confirmed(cluster, "/api/v1/events", "&type=config&limit=1")["events"]
    return events[0]["id"] if events else 0


def test_every_bad_input_is_refused_and_changes_nothing(
    cluster: AskingCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole table: the right 4xx and field for each, and the same state as before."""
    before, event = known(cluster), last_event(cluster)
    faults, codes = [], Counter[str]()
    for case in bad_input.cases():
        status, body = leading(cluster, case)
        codes[f"{status} {body.get('code')}"] += 1
        fault = wrong(case, status, body)
        if not fault and last_event(cluster) != event:
            fault, event = "changed the state", last_event(cluster)
        if fault:
            faults.append(f"{case.what}: {fault}; {str(body.get('details'))[:200]}")
    with capsys.disabled():
        told = ", ".join(f"{count} of {code}" for code, count in sorted(codes.items()))
        print(f"\n{codes.total()} cases of bad input: {told}")
    assert faults == []
    assert codes.total() >= CASES_MIN
    assert known(cluster) == before
    assert all("Traceback" not in cluster.log(node) for node in cluster.ids)
    assert all(process.poll() is None for process in cluster.processes.values())


def raw(port: int, data: bytes) -> bytes:
    """What comes back for these bytes until the server closes or has said all."""
    with socket.create_connection(("127.0.0.1", port), ANSWER_S) as peer:
        peer.sendall(data)
        found = b""
        while chunk := peer.recv(65_536):
            found += chunk
    return found


def test_requests_that_no_client_would_send(cluster: AskingCluster) -> None:
    """Two tokens, huge headers, forged marks, a foreign Host: refused, and followed nowhere."""
    leader = cluster.led()
    follower = next(node for node in cluster.ids if node != leader)
    port, token = cluster.api_ports[leader], cluster.headers["Authorization"]

    def get(*lines: str, path: str = "/api/v1/tokens") -> tuple[int, str]:
        head = "\r\n".join((f"GET {path} HTTP/1.1", "Host: x", "Connection: close", *lines))
        found = raw(port, f"{head}\r\n\r\n".encode("latin-1"))
        return int(found.split(b" ", 2)[1]), found.decode("latin-1")

    assert get(f"Authorization: {token}")[0] == 200
    assert get(f"Authorization: {token}", "Authorization: Bearer x")[0] in (400, 401)
    assert get("Authorization: Bearer " + "x" * 4000)[0] == 401
    for lines in (("Authorization: Bearer " + "x" * 65_536,), ("X: y" * 20_000,),
                  ("Authorization: Bearer x\x00y",), (f"Authorization : {token}",),
                  tuple(f"X-{number}: y" for number in range(200))):
        status, text = get(*lines)
        assert 400 <= status < 500, text[:200]
        assert "Traceback" not in text
    forged = ("99999999999.aa", "1.", "", "x", "1." + "0" * 64)
    assert {get(f"{HEADER}: {mark}", path="/cluster/host")[0] for mark in forged} == {401}
    assert {get("X-Forwarded-For: 127.0.0.1", f"{HEADER}: x", path="/cluster/host")[0]} == {401}

    redirected = raw(cluster.api_ports[follower], (
        "POST /api/v1/apps/shop/stop HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n"
        f"X-Forwarded-Host: evil.example\r\nAuthorization: {token}\r\n"
        "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}").encode())
    head = redirected.split(b"\r\n\r\n", 1)[0].decode()
    assert " 307 " in head
    assert f"Location: http://127.0.0.1:{port}/api/v1/apps/shop/stop" in head
    assert "evil" not in head
    smuggled = raw(port, (
        "POST /api/v1/apps/shop/stop HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        f"DELETE /api/v1/apps/shop HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n").encode())
    assert smuggled.startswith(b"HTTP/1.1 400 ")
    assert smuggled.count(b"\r\n\r\n") == 1
    assert [app["name"] for app in known(cluster)["/api/v1/apps"]["apps"]] == ["shop"]


def test_another_teams_application_is_out_of_reach(cluster: AskingCluster) -> None:
    """Reads, logs, containers and writes of it are FORBIDDEN, whoever the token belongs to."""
    for role in ("viewer", "deployer"):
        status, made = cluster.write("POST", "/api/v1/tokens", {
            "name": f"team-{role}", "role": role, "apps": "team-"})
        assert status == 201, made
        headers = {"Authorization": f"Bearer {made['token']}"}
        node = cluster.led()
        for method, path in (
            ("GET", ""), ("GET", "/spec"), ("GET", "/logs"), ("GET", "/logs?container=shop-1"),
            ("GET", "/events"), ("GET", "/metrics"), ("POST", "/stop"), ("POST", "/start"),
            ("DELETE", ""), ("POST", "/health/check"),
        ):
            answer = call(method, cluster.url(node, f"/api/v1/apps/shop{path}"),
                          {} if method == "POST" else None, headers=headers)
            assert (answer[0], answer[1]["code"]) == (403, "FORBIDDEN"), (role, method, path)


@pytest.mark.long
def test_refusals_are_in_the_audit(fresh: AskingCluster) -> None:
    """Each refused write of the whole table is counted there after a minute, and no other."""
    sent = 0
    for case in bad_input.cases():
        status, body = leading(fresh, case)
        assert status == case.status, (case.what, body)
        sent += case.method != "GET"

    def counted() -> int:
        node = fresh.led()
        entries = call("GET", fresh.url(node, "/api/v1/audit?limit=1000"),
                       headers=fresh.headers)[1]["entries"]
        # What met no leader was sent again.
        return sum(entry["count"] for entry in entries if entry["code"] not in (
            "OK", "CLUSTER_NOT_READY", "NO_LEADER"))

    until("the audit counts them", lambda: counted() >= sent, AUDITED_S, 1.0)
    assert counted() == sent
