"""Limits over HTTP: headers, 429, who is exempt, whom a request counts for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.limits import EXEMPT
from cluster.clock import SystemClock
from cluster.live import redis_limits
from cluster.live.connect import connect
from cluster.live.relay_mark import RelayMark
from tests.api.support import SPEC, Node, make
from tests.live import until
from tests.redis_server import redis_server

PATIENCE_S = 30.0
SECRET = "correct horse battery"
HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


def limited(
    per_minute: int = 5, per_hour: int = 1000, environ: Mapping[str, str] | None = None
) -> tuple[Node, FlaskClient]:
    """A node that leads, and counts."""
    node, _, client = make({
        "RATE_LIMIT_PER_MINUTE": str(per_minute), "RATE_LIMIT_PER_HOUR": str(per_hour),
        **(environ or {})})
    return node, client


def left(answer: TestResponse) -> int:
    """What the answer says is left."""
    return int(answer.headers["X-RateLimit-Remaining"])


def test_headers_tell_what_is_left() -> None:
    """The limit that is nearest, what is left of it, and when it begins anew."""
    _, client = limited(5, 7)
    for number in range(1, 6):
        answer = client.get("/api/v1/apps")
        assert answer.status_code == 200
        assert answer.headers["X-RateLimit-Limit"] == "5"
        assert left(answer) == 5 - number
        assert 0 < int(answer.headers["X-RateLimit-Reset"]) - time.time() <= 61


def test_too_many_get_429() -> None:
    """With the code of the contract, the time to wait, and the headers; then the hour's limit."""
    node, client = limited(3, 5)
    for _ in range(3):
        assert client.get("/api/v1/apps").status_code == 200
    answer = client.get("/api/v1/apps")
    assert answer.status_code == 429
    body = answer.get_json()
    assert body["code"] == "RATE_LIMIT_EXCEEDED"
    assert "127.0.0.1 may send 3 requests in a minute" in body["details"]
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert (answer.headers["X-RateLimit-Limit"], left(answer)) == ("3", 0)
    assert answer.headers["X-Request-Id"]
    node.limits.configure(per_minute=100)
    assert [client.get("/api/v1/apps").status_code for _ in range(3)] == [200, 200, 429]
    over = client.get("/api/v1/apps")
    assert "5 requests in an hour" in over.get_json()["details"]
    assert 3000 < int(over.headers["Retry-After"]) <= 3600


def test_every_kind_of_answer_counts() -> None:
    """Reads, writes, what does not exist, and what is wrong; a refused write does nothing."""
    _, client = limited(5)
    assert left(client.get("/api/v1/apps?status=nonsense")) == 4
    assert left(client.get("/nowhere")) == 3
    assert left(client.put("/api/v1/apps")) == 2
    assert left(client.get("/cluster/status")) == 1
    assert left(client.head("/api/v1/apps")) == 0
    assert client.post("/api/v1/apps/register", json=SPEC).status_code == 429


def test_zero_is_off_and_limits_change_while_running() -> None:
    """Without limits there are no headers; new limits hold at once."""
    node, client = limited(0, 0)
    answers = [client.get("/api/v1/apps") for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}
    assert not any(name in answer.headers for answer in answers for name in HEADERS)
    node.limits.configure(per_hour=2)
    found = [client.get("/api/v1/apps") for _ in range(3)]
    assert [answer.status_code for answer in found] == [200, 200, 429]
    assert found[0].headers["X-RateLimit-Limit"] == "2"
    node.limits.configure(per_hour=0, per_minute=1)
    assert [client.get("/api/v1/apps").status_code for _ in range(2)] == [200, 429]
    for wrong in ({"per_hour": -1}, {"per_minute": -1}, {"trusted_proxies": ["x"]}):
        with pytest.raises(ValueError, match=r"limit|appear to be"):
            node.limits.configure(**wrong)
    assert client.get("/api/v1/apps").status_code == 429


def test_defaults_are_those_of_the_contract() -> None:
    """100 in a minute and 1000 in an hour."""
    _, client = limited(100, 1000)
    statuses = [client.get("/api/v1/apps").status_code for _ in range(101)]
    assert statuses == [200] * 100 + [429]


def test_checks_are_exempt() -> None:
    """Who watches the node is never refused, and costs its address nothing."""
    _, client = limited(1)
    for _ in range(3):
        for path in EXEMPT:
            answer = client.get(path)
            assert answer.status_code in (200, 503), path
            assert not any(name in answer.headers for name in HEADERS)
    assert client.get("/api/v1/apps").status_code == 200
    assert client.get("/api/v1/apps").status_code == 429
    assert client.get("/health").status_code == 200
    # Each of these writes an entry to the log.
    assert client.get("/health?consistency=linearizable").status_code == 429


def test_a_redirect_is_counted_by_the_leader_alone() -> None:
    """A follower sends writes on and counts them not; over the limit it refuses itself."""
    node, client = limited(2)
    node.announce("two", "http://two.example:8002")
    node.local.leader = "two"
    for _ in range(5):
        answer = client.post("/api/v1/apps/register", json=SPEC)
        assert answer.status_code == 307
        assert left(answer) == 2
    assert left(client.get("/api/v1/apps")) == 1
    assert left(client.get("/api/v1/apps")) == 0
    assert client.post("/api/v1/apps/register", json=SPEC).status_code == 429
    assert client.get("/api/v1/apps").status_code == 429


def test_a_write_that_a_follower_answers_itself_is_counted() -> None:
    """No way around the limits by what no leader would get."""
    node, client = limited(3)
    node.local.leader = "unknown"
    assert client.post("/api/v1/apps/register", json=SPEC).status_code == 503
    assert left(client.post("/nowhere")) == 1
    assert left(client.post("/nowhere")) == 0
    assert client.post("/nowhere").status_code == 429


def test_a_leader_that_leads_no_longer_gives_the_request_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Counted as the leader, sent on after all: the next leader counts it."""
    node, client = limited(5)
    node.announce("two", "http://two.example:8002")

    monkeypatch.setattr(node.local, "settled_leader", lambda timeout_s: "two")
    assert client.post("/api/v1/apps/register", json=SPEC).status_code == 307
    assert left(client.get("/api/v1/apps")) == 4


def ask(client: FlaskClient, remote: str, forwarded: str = "") -> TestResponse:
    """A request from an address."""
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    return client.get("/api/v1/apps", headers=headers, environ_base={"REMOTE_ADDR": remote})


def test_addresses_are_counted_one_by_one() -> None:
    """IPv4 by address, IPv6 by network; what strangers say about others is ignored."""
    _, client = limited(2)
    assert left(ask(client, "192.0.2.1")) == 1
    assert left(ask(client, "192.0.2.2")) == 1
    assert left(ask(client, "192.0.2.1", "198.51.100.7")) == 0
    assert ask(client, "192.0.2.1", "198.51.100.8").status_code == 429
    assert left(ask(client, "2001:db8::1")) == 1
    assert left(ask(client, "2001:db8::2:1")) == 0
    assert left(ask(client, "2001:db8:0:1::1")) == 1


def test_trusted_proxies_are_believed() -> None:
    """Behind a proxy each of its clients has its own limit; and proxies can be named later."""
    node, client = limited(2, environ={"RATE_LIMIT_TRUSTED_PROXIES": "10.0.0.0/8"})
    assert left(ask(client, "10.0.0.1", "192.0.2.1")) == 1
    assert left(ask(client, "10.0.0.1", "192.0.2.2")) == 1
    assert left(ask(client, "10.9.9.9", "203.0.113.5, 192.0.2.1, 10.0.0.3")) == 0
    assert ask(client, "10.0.0.1", "192.0.2.1").status_code == 429
    node.limits.configure(trusted_proxies=["198.51.100.1"])
    assert left(ask(client, "198.51.100.1", "192.0.2.3")) == 1
    assert left(ask(client, "10.0.0.1", "192.0.2.1")) == 1


def test_what_controllers_ask_each_other_is_exempt() -> None:
    """Only with a mark that needs the secret, for this path, and not for ever."""
    _, client = limited(1, environ={"CLUSTER_SECRET": SECRET})
    path = "/api/v1/apps"
    good = RelayMark(SECRET, SystemClock()).headers(path)
    for _ in range(3):
        assert client.get(path, headers=good).status_code == 200
    assert client.get(path).status_code == 200
    for mark in (
        "1", "", "nonsense", "9" * 40, RelayMark("another secret", SystemClock()).headers(path),
        RelayMark(SECRET, SystemClock()).headers("/api/v1/events"),
        RelayMark("", SystemClock()).headers(path),
    ):
        headers = mark if isinstance(mark, dict) else {"X-Orchestry-Relayed": mark}
        assert client.get(path, headers=headers).status_code == 429, mark
    assert client.get(path, headers=good).status_code == 200


def test_without_a_secret_controllers_are_on_this_machine() -> None:
    """A mark is then good from here, and not through a proxy."""
    _, client = limited(1)
    mark = {"X-Orchestry-Relayed": "1"}
    for _ in range(3):
        assert client.get("/api/v1/apps", headers=mark).status_code == 200
    for remote, more in (("192.0.2.1", {}), ("127.0.0.1", {"X-Forwarded-For": "192.0.2.1"})):
        statuses = [
            client.get("/api/v1/apps", headers={**mark, **more},
                       environ_base={"REMOTE_ADDR": remote}).status_code
            for _ in range(2)]
        assert statuses == [200, 429]


def test_two_nodes_count_together_in_redis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that spreads its requests gets no more, and its redirect costs it one."""
    # A Redis that is slow would be left alone, and each node would count by itself.
    monkeypatch.setattr(redis_limits, "TIMEOUT_S", PATIENCE_S)
    monkeypatch.setattr(redis_limits, "connect", partial(connect, timeout_s=PATIENCE_S))
    with redis_server(tmp_path / "redis") as server:
        found = [limited(4, environ={"REDIS_URL": server.url}) for _ in range(2)]
        for node, _ in found:
            node.announce("one", "http://one.example:8001")
            node.keep_history()  # Which also gives the cluster its id,
            node.limits.start()
        ids = {node.log.state().cluster_id for node, _ in found}
        assert ids == {"c" * 32}  # the same for both.
        for node, _ in found:
            until("Redis answers", lambda node=node: node.limits.answers().up, PATIENCE_S)  # type: ignore[misc]
        (_, first), (other, second) = found
        other.announce("two", "http://two.example:8002")
        other.local.leader = "two"
        assert left(first.get("/api/v1/apps")) == 3
        assert left(second.get("/api/v1/apps")) == 2
        assert second.post("/api/v1/apps/register", json=SPEC).status_code == 307
        assert left(first.post("/api/v1/apps/register", json=SPEC)) == 1
        assert left(second.get("/api/v1/apps")) == 0
        assert first.get("/api/v1/apps").status_code == 429
        assert second.get("/api/v1/apps").status_code == 429
        for node, _ in found:
            node.limits.stop()
