"""Health over HTTP: what the leader's checks said, and checks on demand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient

from api import relay
from api.routes import health
from cluster.control import checks
from cluster.control.checks import Check, Checked
from cluster.control.judge import Probe, Record
from cluster.engine.base import Container
from cluster.live.relay_mark import HEADER
from tests.api.support import Node, shop

HEALTH = "/api/v1/apps/shop/health"


@pytest.fixture
def running() -> tuple[Node, FlaskClient]:
    """A node whose application has two replicas."""
    return shop("healthy", "unhealthy")


def _record(failures: int) -> Record:
    return Record(
        0, 0, health="unhealthy" if failures else "healthy", failures=failures, checks=5,
        checked_at_ms=1_700_000_000_250, response_ms=4.5)


@contextmanager
def monitor(node: Node, carry_out: Callable[[Check], None]) -> Iterator[None]:
    """Stands in for the control thread."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.01):
            for check in node.checks.open():
                carry_out(check)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def answer_checks(check: Check) -> None:
    for slot in (1, 2):
        container = Container(f"id-shop-{slot}", f"shop.{slot}", "shop", slot, 1, 1, "running")
        check.asked.add(container.id)
        probe = Probe(ok=slot == 1, response_ms=4.5, error="" if slot == 1 else "status 500")
        check.answered(Checked(container, probe, _record(slot - 1)))
    check.finish()


def test_what_the_checks_said(running: tuple[Node, FlaskClient]) -> None:
    """Time, failures in a row and duration of the last check; null where none was made."""
    node, client = running
    node.records = {"id-shop-2": _record(2), "id-shop-1": Record(0, 0)}
    first, second = client.get(HEALTH).get_json()["containers"]
    assert (first["last_check"], first["consecutive_failures"], first["response_time_ms"]) == (
        None, None, None)
    assert (second["last_check"], second["consecutive_failures"]) == (
        "2023-11-14T22:13:20.250Z", 2)
    assert second["response_time_ms"] == 4.5


def test_a_follower_asks_the_leader(
    running: tuple[Node, FlaskClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its replicas by its own state, their checks by the leader; null without an answer."""
    node, client = running
    node.announce("two", "http://two.example:8002")
    node.local.leader = "two"
    asked: list[str] = []
    told: list[Any] = [{"containers": [
        {"id": "id-shop-2", "last_check": "2026-01-01T00:00:00Z", "consecutive_failures": 1,
         "response_time_ms": 2.5, "health": "starting"}, {"id": "another"}]}]

    def fetch(url: str, *_: Any, **__: Any) -> tuple[int, str, bytes]:
        asked.append(url)
        return 200, "application/json", orjson.dumps(told[0])

    monkeypatch.setattr(relay, "fetch", fetch)
    first, second = client.get(f"{HEALTH}?min_index=1").get_json()["containers"]
    assert asked == [f"http://two.example:8002{HEALTH}"]
    assert (first["last_check"], second["last_check"]) == (None, "2026-01-01T00:00:00Z")
    assert (second["response_time_ms"], second["health"]) == (2.5, "unhealthy")
    client.get(HEALTH, headers={HEADER: "1"})
    assert len(asked) == 1, "what was relayed is not relayed again"
    for nonsense in ([1], {"containers": 3}, {"containers": [3]}, {}):
        told[0] = nonsense
        answer = client.get(HEALTH)
        assert answer.status_code == 200
        assert answer.get_json()["containers"][1]["last_check"] is None
    monkeypatch.setattr(relay, "fetch", lambda *_, **__: None)
    assert client.get(HEALTH).get_json()["containers"][1]["last_check"] is None


def test_check_now(running: tuple[Node, FlaskClient]) -> None:
    """Every replica is asked, and the answer counts those that passed and says what failed."""
    node, client = running
    with monitor(node, answer_checks):
        answer = client.post(f"{HEALTH}/check")
    body = answer.get_json()
    assert answer.status_code == 200
    assert (body["message"], body["app_name"]) == ("Health check triggered", "shop")
    assert (body["containers_checked"], body["healthy"], body["unhealthy"]) == (2, 1, 1)
    assert body["results"][1] == {
        "id": "id-shop-2", "name": "shop-2", "container_name": "shop.2", "ok": False,
        "health": "unhealthy", "last_error": "status 500", "consecutive_failures": 1,
        "last_check": "2023-11-14T22:13:20.250Z", "response_time_ms": 4.5}


def test_check_of_a_stopped_app(running: tuple[Node, FlaskClient]) -> None:
    """Nothing runs, nothing is checked, and that is no failure."""
    node, client = running
    with monitor(node, Check.finish):
        body = client.post(f"{HEALTH}/check").get_json()
    assert (body["containers_checked"], body["results"]) == (0, [])
    missing = client.post("/api/v1/apps/ghost/health/check")
    assert (missing.status_code, missing.get_json()["code"]) == (404, "APP_NOT_FOUND")
    bad = client.post(f"{HEALTH}/check?now=1")
    assert (bad.status_code, bad.get_json()["details"][0]["field"]) == (400, "now")


def test_check_that_does_not_end(
    running: tuple[Node, FlaskClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait is bounded; the answer says where the checks can be seen."""
    _, client = running
    monkeypatch.setattr(health, "CHECK_S_MAX", 0.05)
    answer = client.post(f"{HEALTH}/check")
    assert (answer.status_code, answer.get_json()["code"]) == (504, "TIMEOUT")
    assert HEALTH in answer.get_json()["details"]


def test_too_many_checks(
    running: tuple[Node, FlaskClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more than may be open is told to come back."""
    _, client = running
    monkeypatch.setattr(checks, "OPEN_MAX", 0)
    answer = client.post(f"{HEALTH}/check")
    assert (answer.status_code, answer.get_json()["code"]) == (503, "CLUSTER_NOT_READY")


def test_a_leader_that_loses_its_office_sends_on(running: tuple[Node, FlaskClient]) -> None:
    """A check that is given up with the lease is answered as any write on a follower."""
    node, client = running
    node.announce("two", "http://two.example:8002")

    def depose(check: Check) -> None:
        node.local.leader = "two"
        check.finish(abandoned=True)

    with monitor(node, depose):
        answer = client.post(f"{HEALTH}/check")
    assert answer.status_code == 307
    assert answer.headers["Location"] == f"http://two.example:8002{HEALTH}/check"
