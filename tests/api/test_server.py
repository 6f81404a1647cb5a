"""The API as a process: gunicorn's worker against rude clients, starts and stops."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from api.waiting import WAITERS_MAX
from tests.api.process import START_S, STOP_S, Process, everything, ready, serving
from tests.api.support import spec
from tests.live import until, until_free


@pytest.fixture(scope="module")
def node() -> Iterator[Process]:
    """One process for the tests that leave it as it was."""
    with ready(SILENCE="3") as found:
        yield found


CLOSE = b"Host: x\r\nConnection: close\r\n"
JSON = b"Content-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"NONSENSE\r\n\r\n", b"400"),
        (b"GET /livez\r\n\r\n", b"400"),
        (b"GET /livez HTTP/9.9\r\nHost: x\r\n\r\n", b"400"),
        (b"GET /livez HTTP/1.1\r\nbad header: x\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"414"),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 70_000 + b"\r\n\r\n", b"431"),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"POST /api/v1/apps/register HTTP/1.1\r\n" + CLOSE + JSON
         + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40 + b"\r\n\r\n", b"400"),
    ],
)
def test_what_is_no_http_gets_the_error_body(node: Process, data: bytes, status: bytes) -> None:
    """Garbage gets the error body and a closed connection, never HTML, and the node lives on."""
    answer = node.raw(data)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 " + status)
    assert b"text/html" not in answer
    assert json.loads(body)["code"] == "VALIDATION_ERROR"
    assert node.call("GET", "/livez")[0] == 200


def test_pipelined_requests_are_answered_in_order(node: Process) -> None:
    """Several requests in one packet get several answers; garbage after them ends it."""
    answer = node.raw(
        b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /nope HTTP/1.1\r\nHost: x\r\n\r\n"
        b"GARBAGE\r\n\r\n")
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"200", b"404", b"400"]
    assert b"text/html" not in answer


def _chunked(size_bytes: int) -> bytes:
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    return chunk * (size_bytes // 0x10000) + b"0\r\n\r\n"


def test_large_bodies_get_their_answer(node: Process) -> None:
    """2 MiB, with a length or in chunks, is read to its end and answered with a 413."""
    post = b"POST /api/v1/apps/register HTTP/1.1\r\n" + CLOSE + JSON
    size_bytes = 2 * 1024**2
    for data in (
        post + b"Content-Length: %d\r\n\r\n" % size_bytes + b"x" * size_bytes,
        post + b"Transfer-Encoding: chunked\r\n\r\n" + _chunked(size_bytes),
    ):
        head, _, body = node.raw(data).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 413")
        assert json.loads(body)["code"] == "PAYLOAD_TOO_LARGE"


def test_endless_body_is_cut_off(node: Process) -> None:
    """A chunked body without an end gets its 413 and then loses the connection."""
    with node.connection() as peer:
        peer.sendall(b"POST /api/v1/apps/register HTTP/1.1\r\nHost: x\r\n" + JSON
                     + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            peer.sendall(chunk * 4096)


def test_slow_body_loses_its_thread(node: Process) -> None:
    """A body that never comes ends with an error within the deadline of a silent peer."""
    with socket.create_connection(("127.0.0.1", node.port), 30) as peer:
        peer.sendall(b"POST /api/v1/apps/app-0/scale HTTP/1.1\r\nHost: x\r\n" + JSON
                     + b"Content-Length: 10\r\n\r\n{")
        head, _, body = everything(peer).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert json.loads(body)["details"][0]["field"] == "body"


@pytest.mark.parametrize("chunked", [False, True])
def test_half_a_body_is_not_taken_for_a_whole_one(node: Process, chunked: bool) -> None:
    """A client that dies after a valid beginning of its YAML has registered nothing."""
    half = json.dumps(spec("half")).encode() + b"\n"
    head = (b"POST /api/v1/apps/register HTTP/1.1\r\nHost: x\r\n"
            b"Content-Type: application/yaml\r\n")
    if chunked:
        data = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(half) + half + b"\r\n"
    else:
        data = head + b"Content-Length: %d\r\n\r\n" % (len(half) + 10) + half
    with node.connection() as peer:
        peer.sendall(data)
        peer.shutdown(socket.SHUT_WR)
        answer, _, body = everything(peer).partition(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert json.loads(body)["details"][0]["message"].startswith("is incomplete")
    assert node.call("GET", "/api/v1/apps/half")[0] == 404


def test_head_has_no_body(node: Process) -> None:
    """HEAD answers as GET does, without the body."""
    head, _, body = node.raw(
        b"HEAD /api/v1/apps HTTP/1.1\r\n" + CLOSE + b"\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"X-Orchestry-Index" in head
    assert body == b""


def test_idle_connections_cost_no_thread(node: Process) -> None:
    """With 300 idle keep-alive connections, and 64 that never send a word, the API answers."""
    peers = [node.connection() for _ in range(364)]
    try:
        for peer in peers[64:]:
            peer.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        for peer in peers[64:]:
            assert peer.recv(4096).startswith(b"HTTP/1.1 200")
        assert node.call("GET", "/api/v1/apps/app-0")[0] == 200
    finally:
        for peer in peers:
            peer.close()


@pytest.mark.parametrize(
    "start",
    [
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: a",
        b"POST /api/v1/apps/app-0/scale HTTP/1.1\r\nHost: x\r\n" + JSON
        + b"Content-Length: 1000\r\n\r\n{",
    ],
)
def test_slow_peers_hold_up_only_each_other(node: Process, start: bytes) -> None:
    """200 clients that send their request in drops leave every other request its thread."""
    peers = [node.connection() for _ in range(200)]
    try:
        for _ in range(3):
            for peer in peers:
                with suppress(OSError):  # those that are too many lose the connection
                    peer.sendall(start)
            start = b"a"
            assert node.call("GET", "/api/v1/apps")[0] == 200
    finally:
        for peer in peers:
            peer.close()


def test_waits_leave_room_and_a_stop_sends_them_on(tmp_path: Path) -> None:
    """64 starts that wait hold up no read; SIGTERM answers them, stops the node, and is quick."""
    marker = tmp_path / "stopped"
    with ready(STOPPED=str(marker)) as node, ThreadPoolExecutor(64) as pool, \
            node.connection() as idle:
        idle.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        idle.recv(4096)
        body = {"replicas": 5, "timeout": 300}
        calls = [pool.submit(node.call, "POST", "/api/v1/apps/app-0/start", body,
                             timeout_s=3 * START_S) for _ in range(64)]
        until("those that are too many are refused",
              lambda: sum(call.done() for call in calls) >= 64 - WAITERS_MAX, START_S)
        refused = [call.result() for call in calls if call.done()]
        assert {(status, answer["code"]) for status, answer in refused} == {
            (503, "CLUSTER_NOT_READY")}
        for _ in range(20):
            assert node.call("GET", "/api/v1/apps")[0] == 200
        node.process.send_signal(signal.SIGTERM)
        waited = [call.result() for call in calls if call.result() not in refused]
        assert len(waited) == WAITERS_MAX
        for status, answer in waited:
            assert (status, answer["details"]["outcome"]) == (504, "unknown")
        assert node.process.wait(STOP_S) == 0
    assert marker.read_text() == "stopped"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_clean_stop(number: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C and SIGTERM stop the controller and end with 0."""
    marker = tmp_path / "stopped"
    with ready(STOPPED=str(marker)) as node:
        node.process.send_signal(number)
        assert node.process.wait(STOP_S) == 0
    assert marker.read_text() == "stopped"


def test_kill_takes_the_worker_along() -> None:
    """kill -9 of the process that was started frees the port at once: nothing lives on."""
    with ready() as node:
        node.process.kill()
        node.process.wait(STOP_S)
        until_free(node.port, timeout_s=STOP_S)


def test_controller_that_cannot_start_ends_the_process() -> None:
    """The reason is one line, the exit code 1, and no worker is started again."""
    with serving(FAIL="the data folder /x belongs to node b; set ORCHESTRY_DATA_DIR") as node:
        assert node.process.wait(START_S) == 1
        lines = node.said().strip().splitlines()
    assert len(lines) == 1
    assert "the data folder /x belongs to node b" in json.loads(lines[0])["event"]
