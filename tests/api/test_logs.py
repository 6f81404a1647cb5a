"""Logs over HTTP: several replicas as one, bounded, and whole when one of them fails."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from flask.testing import FlaskClient

from api import replica_logs
from api.routes import logs as route
from cluster.control.vitals import NOT_ASKED, Component
from cluster.engine.base import LOGS_BYTES_MAX, EngineError, LogLine
from cluster.state.commands import SetConfig
from tests.api.support import Node, shop
from tests.live import until

LOGS = "/api/v1/apps/shop/logs"


def _line(at_s: float, text: str) -> LogLine:
    return LogLine(int(at_s * 1_000_000_000), "stdout", text)


@pytest.fixture
def logging_node() -> tuple[Node, FlaskClient]:
    """A node whose application has two replicas with log lines."""
    node, client = shop("healthy", "healthy")
    node.text_engine.lines = {
        "id-shop-1": [_line(1, "one"), _line(3, "ERROR three")],
        "id-shop-2": [_line(2, '{"level": "warning", "msg": "two"}'), _line(4, "four")],
    }
    return node, client


def _messages(client: FlaskClient, query: str = "") -> list[str]:
    body = client.get(f"{LOGS}{query}").get_json()
    return [line["message"] for line in body["logs"]]


def test_logs_of_all_replicas_in_order(logging_node: tuple[Node, FlaskClient]) -> None:
    """Lines of all containers are merged by time, cut to the tail, and show their level."""
    _, client = logging_node
    body = client.get(LOGS).get_json()
    assert [(line["container"], line["level"]) for line in body["logs"]] == [
        ("shop-1", "INFO"), ("shop-2", "WARN"), ("shop-1", "ERROR"), ("shop-2", "INFO")]
    assert body["logs"][0]["timestamp"] == "1970-01-01T00:00:01.000000000Z"
    assert (body["total_lines"], body["has_more"], body["unavailable"]) == (4, False, [])
    tail = client.get(f"{LOGS}?tail=1").get_json()
    assert [line["message"] for line in tail["logs"]] == ["four"]
    assert tail["has_more"] is True
    for name in ("shop-1", "shop.1", "id-shop-1"):
        since = "1970-01-01T00:00:02Z"
        assert _messages(client, f"?container={name}&since={since}") == ["ERROR three"]
    short = client.get(f"{LOGS}?container=id-sh")
    assert short.get_json()["details"][0]["field"] == "container"
    assert client.get(f"{LOGS}?tail=0").get_json()["logs"] == []


def test_order_and_since_are_finer_than_milliseconds(
    logging_node: tuple[Node, FlaskClient]
) -> None:
    """Lines of one millisecond keep their order over replicas; `since` tells them apart."""
    node, client = logging_node
    node.text_engine.lines = {
        "id-shop-1": [LogLine(10**18 + 2, "stdout", "b"), LogLine(10**18 + 2, "stdout", "c")],
        "id-shop-2": [LogLine(10**18 + 1, "stderr", "a"), LogLine(10**18 + 3, "stdout", "d")],
    }
    body = client.get(LOGS).get_json()
    assert [line["message"] for line in body["logs"]] == ["a", "b", "c", "d"]
    times = [line["timestamp"] for line in body["logs"]]
    assert times == sorted(times)
    assert times[0] == "2001-09-09T01:46:40.000000001Z"
    assert _messages(client, f"?since={times[1]}") == ["b", "c", "d"]


def test_level_is_a_minimum(logging_node: tuple[Node, FlaskClient]) -> None:
    """Only lines at least as bad are told, of which the tail is taken."""
    _, client = logging_node
    warn = ['{"level": "warning", "msg": "two"}', "ERROR three"]
    assert _messages(client, "?level=WARN") == _messages(client, "?level=warning") == warn
    body = client.get(f"{LOGS}?level=warn&tail=1").get_json()
    assert [line["level"] for line in body["logs"]] == ["ERROR"]
    assert (body["total_lines"], body["has_more"]) == (2, True)
    assert len(_messages(client, "?level=DEBUG")) == 4
    refused = client.get(f"{LOGS}?level=loud")
    assert (refused.status_code, refused.get_json()["details"][0]["field"]) == (400, "level")


def test_a_level_is_searched_in_so_many_lines(logging_node: tuple[Node, FlaskClient]) -> None:
    """When a container has more lines than are looked at, older ones may match: has_more."""
    node, client = logging_node
    node.text_engine.lines["id-shop-1"] = [
        _line(number, "plain") for number in range(20_000)]
    body = client.get(f"{LOGS}?level=ERROR").get_json()
    assert (body["logs"], body["total_lines"], body["has_more"]) == ([], 0, True)


def test_follow_needs_a_websocket(logging_node: tuple[Node, FlaskClient]) -> None:
    """Following over plain HTTP is refused with what to do instead."""
    _, client = logging_node
    answer = client.get(f"{LOGS}?follow=true")
    (fault,) = answer.get_json()["details"]
    assert (answer.status_code, answer.get_json()["code"]) == (400, "VALIDATION_ERROR")
    assert fault["field"] == "follow"
    assert "/api/v1/apps/shop/logs/stream" in fault["message"]
    assert len(_messages(client, "?follow=false")) == 4


@pytest.mark.parametrize("fault", ["unavailable", "rejected"])
def test_logs_without_an_engine(logging_node: tuple[Node, FlaskClient], fault: Any) -> None:
    """An engine that gives no line at all is a DOCKER_ERROR with its reason."""
    node, client = logging_node
    node.text_engine.fault = EngineError(fault, "the daemon does not answer")
    answer = client.get(LOGS)
    assert (answer.status_code, answer.get_json()["code"]) == (500, "DOCKER_ERROR")
    assert answer.get_json()["details"] == "the daemon does not answer"


def test_one_unreadable_replica_does_not_hide_the_others(
    logging_node: tuple[Node, FlaskClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it fails or does not answer in time, it is named with the reason."""
    node, client = logging_node
    node.text_engine.faults["id-shop-1"] = EngineError("gone", "container id-shop-1 is gone")
    body = client.get(LOGS).get_json()
    assert [line["container"] for line in body["logs"]] == ["shop-2", "shop-2"]
    assert body["unavailable"] == [
        {"container": "shop-1", "reason": "container id-shop-1 is gone"}]
    del node.text_engine.faults["id-shop-1"]
    monkeypatch.setattr(replica_logs, "WHOLE_S", 2.0)
    node.text_engine.held["id-shop-2"] = threading.Event()
    try:
        body = client.get(LOGS).get_json()
    finally:
        node.text_engine.held["id-shop-2"].set()
    assert [line["container"] for line in body["logs"]] == ["shop-1", "shop-1"]
    assert body["unavailable"] == [
        {"container": "shop-2", "reason": "it did not answer within 2 s"}]


def test_replicas_that_are_gone_are_no_failure_of_the_engine(
    logging_node: tuple[Node, FlaskClient]
) -> None:
    """All containers of the last report may have been removed a moment ago."""
    node, client = logging_node
    node.text_engine.fault = EngineError("gone", "the container is gone")
    answer = client.get(LOGS)
    assert (answer.status_code, answer.get_json()["logs"]) == (200, [])
    assert len(answer.get_json()["unavailable"]) == 2


def test_two_replicas_of_one_name_are_both_read(
    logging_node: tuple[Node, FlaskClient]
) -> None:
    """While an update goes on, an old and a new one share their slot, and so their name."""
    node, _ = logging_node
    engine = node.text_engine
    engine.lines = {"old": [_line(1, "a")], "new": [_line(2, "b")]}
    reader = replica_logs.LogReader(lambda: node.engine)
    found = reader.read({"old": "shop-1", "new": "shop-1"}, tail=10, since_ns=0)
    assert [line.text for _, line in found.lines] == ["a", "b"]
    assert found.unavailable == {}


def test_the_answer_is_bounded(logging_node: tuple[Node, FlaskClient]) -> None:
    """Of lines that make up too many bytes the newest are told, and that there are more."""
    node, client = logging_node
    text = "é" * 30_000
    node.text_engine.lines = {
        f"id-shop-{slot}": [_line(2 * number + slot, text) for number in range(200)]
        for slot in (1, 2)
    }
    answer = client.get(f"{LOGS}?tail=10000")
    body = answer.get_json()
    assert len(answer.data) <= route.ANSWER_BYTES_MAX + 1000
    assert len(answer.data) > route.ANSWER_BYTES_MAX - 2 * len(text.encode())
    assert body["has_more"] is True
    assert body["total_lines"] == 400
    assert body["logs"][-1]["timestamp"] == "1970-01-01T00:06:40.000000000Z"


def test_what_the_engine_left_out_shows(logging_node: tuple[Node, FlaskClient]) -> None:
    """An engine that read as much as it may has left older lines out."""
    node, client = logging_node
    node.text_engine.lines = {"id-shop-1": [_line(1, "x" * LOGS_BYTES_MAX)], "id-shop-2": []}
    body = client.get(f"{LOGS}?tail=10000").get_json()
    assert body["has_more"] is True


def test_many_replicas_share_the_lines_that_are_looked_at(
    logging_node: tuple[Node, FlaskClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one request reads is bounded; what is shown has no holes, and says that it is cut."""
    node, client = logging_node
    monkeypatch.setattr(replica_logs, "LINES_MAX", 10)
    node.text_engine.lines = {
        "id-shop-1": [_line(number, f"one {number}") for number in range(100, 200)],
        "id-shop-2": [_line(number + 0.5, f"two {number}") for number in range(193, 197)],
    }
    body = client.get(f"{LOGS}?tail=100").get_json()
    assert [line["message"] for line in body["logs"]] == [
        "one 195", "two 195", "one 196", "two 196", "one 197", "one 198", "one 199"]
    assert body["has_more"] is True


def test_few_requests_read_logs_at_once(
    logging_node: tuple[Node, FlaskClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logs take memory: one request too many is told to come back."""
    node, client = logging_node
    monkeypatch.setattr(replica_logs, "WAIT_S", 0.05)
    monkeypatch.setattr(replica_logs, "WHOLE_S", 60.0)  # those that wait keep their places
    node.text_engine.held["id-shop-1"] = threading.Event()
    app = client.application
    threads = [
        threading.Thread(target=lambda: app.test_client().get(LOGS))
        for _ in range(replica_logs.AT_ONCE)
    ]
    for thread in threads:
        thread.start()
    places = app.extensions["orchestry"].logs._places
    try:
        until("all places are taken", lambda: places._value == 0, 30)
        answer = client.get(LOGS)
    finally:
        node.text_engine.held["id-shop-1"].set()
        for thread in threads:
            thread.join(30)
    assert (answer.status_code, answer.get_json()["code"]) == (503, "CLUSTER_NOT_READY")
    assert answer.headers["Retry-After"] == "1"
    assert client.get(LOGS).status_code == 200


@pytest.mark.parametrize(("engine", "code"), [
    (Component("unavailable", "nobody listens"), "DOCKER_ERROR"),
    (NOT_ASKED, "VALIDATION_ERROR"),
    (Component("healthy"), "VALIDATION_ERROR"),
])
def test_an_engine_that_nobody_has_asked_yet_may_well_answer(
    logging_node: tuple[Node, FlaskClient], engine: Any, code: str
) -> None:
    """Streams and commands are refused where it is known not to; else for being plain HTTP here."""
    node, client = logging_node
    node.submit(SetConfig((("exec.enabled", True),)))
    node.parts["docker"] = engine
    for path in ("logs/stream", "exec"):
        assert client.get(f"/api/v1/apps/shop/{path}").get_json()["code"] == code, path
