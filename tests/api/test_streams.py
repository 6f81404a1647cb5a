"""Streams over real sockets: WebSockets and server-sent events beside plain requests."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from orchestry.client import answers
from tests.api.process import ANSWER_S, Process, ready
from tests.api.support import spec

PLACES = 40


@pytest.fixture(scope="module")
def node() -> Iterator[Process]:
    """One process for the tests that leave it as it was."""
    with ready(ORCHESTRY_STREAMS_MAX=str(PLACES), LOOPS="1") as found:
        yield found


def opened(node: Process, path: str, **headers: str) -> ClientConnection:
    """A WebSocket, to be used as a context."""
    return connect(
        f"ws://127.0.0.1:{node.port}{path}", additional_headers=headers, open_timeout=ANSWER_S,
        compression=None)


def message(stream: ClientConnection) -> dict[str, Any]:
    """The next one."""
    found: dict[str, Any] = json.loads(stream.recv(timeout=ANSWER_S))
    return found


class Sse:
    """An EventSource over a bare socket."""

    def __init__(self, node: Process, path: str, **headers: str) -> None:
        self.peer = node.connection()
        lines = [f"GET {path} HTTP/1.1", "Host: x", "Accept: text/event-stream",
                 *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
        self.peer.sendall("\r\n".join([*lines, "", ""]).encode())
        self.file = self.peer.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers = {}
        while line := self.file.readline().strip():
            name, _, value = line.decode().partition(": ")
            self.headers[name.lower()] = value

    def __enter__(self) -> Sse:
        return self

    def __exit__(self, *exc: object) -> None:
        self.file.close()
        self.peer.close()

    def event(self) -> tuple[int | None, dict[str, Any]]:
        """Id and data of the next event; comments and the first chunk are passed over."""
        while True:
            size = int(self.file.readline(), 16)
            text = self.file.read(size).decode()
            self.file.readline()
            fields = dict(line.split(": ", 1) for line in text.strip().split("\n"))
            if "data" in fields:
                number = fields.get("id")
                return None if number is None else int(number), json.loads(fields["data"])


def register(node: Process, name: str) -> None:
    """Makes an event."""
    assert node.call("POST", "/api/v1/apps/register", spec(name))[0] == 201


def newest(node: Process) -> int:
    """The id of the last event."""
    status, found = node.call("GET", "/api/v1/events?limit=1")
    assert status == 200, found
    return int(found["events"][0]["id"])


def test_events_arrive_as_they_happen_over_both_kinds(node: Process) -> None:
    """Every client gets the same events with the keys of the contract, in order."""
    first = newest(node)
    with opened(node, "/api/v1/events/stream") as one, Sse(node, "/api/v1/events/stream") as two:
        assert two.status == 200
        assert two.headers["content-type"].startswith("text/event-stream")
        assert two.headers["x-orchestry-node"] == "one"
        assert one.response is not None
        assert one.response.headers["X-Orchestry-Node"] == "one"
        for name in ("both-1", "both-2"):
            register(node, name)
        for wanted in (first + 1, first + 2):
            found = message(one)
            assert (found["id"], found["type"]) == (wanted, "config")
            assert set(found) == answers.Event.__required_keys__
            assert two.event() == (wanted, found)


def test_a_stream_resumes_without_a_gap_or_a_double(node: Process) -> None:
    """`since_id`, or what EventSource sends by itself, brings exactly what was missed."""
    register(node, "missed")
    last = newest(node)
    with opened(node, "/api/v1/events/stream?since_id=0") as all_of_them:
        assert [message(all_of_them)["id"] for _ in range(last)] == list(range(1, last + 1))
    with Sse(node, "/api/v1/events/stream", Last_Event_ID=str(last - 2)) as stream:
        assert [stream.event()[0] for _ in range(2)] == [last - 1, last]
        register(node, "and-then")
        assert stream.event()[0] == last + 1
    path = f"/api/v1/events/stream?since_id={last + 50}"
    with opened(node, path) as future, pytest.raises(TimeoutError):
        future.recv(timeout=0.5)


def test_a_stream_resumes_from_disk(node: Process) -> None:
    """Events that the replicated state holds no longer come from the history, all of them."""
    for number in range(620):
        wanted = {"max_replicas": 10 + number % 2}
        assert node.call("PUT", "/api/v1/apps/app-0/scaling", wanted)[0] == 200
    last = newest(node)
    assert last > 600
    with opened(node, "/api/v1/events/stream?since_id=0") as stream:
        assert [message(stream)["id"] for _ in range(last)] == list(range(1, last + 1))


def test_filters_leave_out_what_is_not_asked_for(node: Process) -> None:
    """`app` and `type` hold for the past and for what comes."""
    first = newest(node)
    register(node, "wanted")
    path = f"/api/v1/events/stream?app=wanted&type=config&since_id={first}"
    with opened(node, path) as stream:
        assert message(stream)["app_name"] == "wanted"
        register(node, "other")
        assert node.call("DELETE", "/api/v1/apps/other?force=true")[0] == 200
        assert node.call("POST", "/api/v1/apps/wanted/start", {"wait": False})[0] == 200
        found = message(stream)
        assert (found["app_name"], found["type"]) == ("wanted", "config")


def test_metrics_begin_at_once_and_end_with_the_application(node: Process) -> None:
    """What is unknown is null; a removed application ends its streams with a reason."""
    register(node, "brief")
    with opened(node, "/api/v1/apps/brief/metrics/stream") as stream:
        found = message(stream)
        assert found["app_name"] == "brief"
        assert found["cpu_percent"] is None
        assert answers.AppMeasured.__required_keys__ <= set(found)
        assert node.call("DELETE", "/api/v1/apps/brief?force=true")[0] == 200
        with pytest.raises(ConnectionClosed) as closed:
            stream.recv(timeout=ANSWER_S)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, "brief" in closed.value.rcvd.reason) == (1000, True)


@pytest.mark.parametrize(("path", "status", "field"), [
    ("/api/v1/apps/none/metrics/stream", 404, None),
    ("/api/v1/events/stream?since_id=-1", 400, "since_id"),
    ("/api/v1/events/stream?type=other", 400, "type"),
    ("/api/v1/events/stream?since=1h", 400, "since"),
])
def test_refusals_come_before_the_upgrade(
    node: Process, path: str, status: int, field: str | None
) -> None:
    """A client sees the status and the error body of plain HTTP."""
    with pytest.raises(InvalidStatus) as refused, opened(node, path):
        pass
    response = refused.value.response
    assert response.status_code == status
    body = json.loads(response.body or b"")
    assert set(body) == {"error", "details", "code", "timestamp"}
    if field is not None:
        assert [fault["field"] for fault in body["details"]] == [field]


def test_what_is_no_stream_is_told_how_to_be_one(node: Process) -> None:
    """A plain GET, a HEAD and a broken handshake get 400 with the remedy."""
    status, body = node.call("GET", "/api/v1/events/stream")
    assert (status, body["details"][0]["field"]) == (400, "Accept")
    assert "text/event-stream" in body["details"][0]["message"]
    handshake = (b"GET /api/v1/events/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                 b"Connection: Upgrade\r\nSec-WebSocket-Version: 12\r\n"
                 b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
    with node.connection() as peer:
        peer.sendall(handshake)
        answer = b""
        while b"timestamp" not in answer:
            answer += peer.recv(65536)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Sec-WebSocket-Version" in answer
    bad_id = (b"GET /api/v1/events/stream HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
              b"Last-Event-ID: x\r\nConnection: close\r\n\r\n")
    assert b"Last-Event-ID" in node.raw(bad_id)
    head = b"HEAD /api/v1/events/stream HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
    assert node.raw(head + b"Connection: close\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_an_upgrade_that_no_stream_wants_is_ignored(node: Process) -> None:
    """A plain route answers a request that offers another protocol, as HTTP has it."""
    with node.connection() as peer:
        peer.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                     b"Connection: Upgrade\r\n\r\n")
        assert peer.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_old_clients_get_events_without_chunks(node: Process) -> None:
    """HTTP/1.0, which proxies speak by default, has none."""
    with node.connection() as peer:
        peer.sendall(b"GET /api/v1/events/stream?since_id=0 HTTP/1.0\r\n"
                     b"Accept: text/event-stream\r\n\r\n")
        found = b""
        while b"id: 2\n" not in found:
            found += peer.recv(65536)
    head, _, body = found.partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    assert body.startswith(b"retry: 1000\n\nid: 1\ndata: {")


def threads(node: Process) -> int:
    """Threads of the worker."""
    worker = int(node_children(node)[0])
    return len(os.listdir(f"/proc/{worker}/task"))


def node_children(node: Process) -> list[str]:
    """Ids of the processes below the arbiter."""
    pid = node.process.pid
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return file.read().split()


def test_streams_have_their_own_places_and_no_threads() -> None:
    """With all places taken one more is refused with 503, and plain requests find theirs."""
    with ready(ORCHESTRY_STREAMS_MAX=str(PLACES)) as node, ExitStack() as stack:
        for _ in range(10):
            assert node.call("GET", "/livez")[0] == 200
        before = threads(node)
        kept = [stack.enter_context(opened(node, "/api/v1/events/stream"))
                for _ in range(PLACES)]
        with pytest.raises(InvalidStatus) as refused, opened(node, "/api/v1/events/stream"):
            pass
        response = refused.value.response
        assert response.status_code == 503
        assert json.loads(response.body or b"")["code"] == "CLUSTER_NOT_READY"
        assert "Retry-After" in response.headers
        assert threads(node) < before + PLACES // 2  # some answer a request while they end another
        assert node.call("GET", "/api/v1/apps")[0] == 200
        register(node, "for-all")
        assert {message(stream)["app_name"] for stream in kept} == {"for-all"}
        kept[0].close()
        with opened(node, "/api/v1/events/stream?since_id=0") as again:
            assert message(again)["id"] == 1


def test_a_stop_ends_streams_with_a_reason() -> None:
    """Clients learn that they should go elsewhere, and the process ends in time."""
    with ready() as node, opened(node, "/api/v1/events/stream") as stream:
        node.process.terminate()
        with pytest.raises(ConnectionClosed) as closed:
            stream.recv(timeout=ANSWER_S)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
        assert node.process.wait(ANSWER_S) == 0


def test_a_client_that_vanishes_leaves_nothing(node: Process) -> None:
    """A reset connection gives its place back, without an error in the log."""
    for _ in range(PLACES + 5):
        with Sse(node, "/api/v1/events/stream?since_id=0") as stream:
            stream.event()
            stream.peer.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    with opened(node, "/api/v1/events/stream?since_id=0") as last:
        assert message(last)["id"] == 1
