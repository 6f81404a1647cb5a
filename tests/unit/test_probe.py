"""Health checks against real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from cluster.clock import SystemClock
from cluster.control.probe import HttpProber
from orchestry.spec.model import HealthCheck

PROBER = HttpProber(SystemClock())
SEEN: list[tuple[str, str, dict[str, str], bytes]] = []


class Handler(BaseHTTPRequestHandler):
    """Answers with the status that the path names."""

    def do_GET(self) -> None:
        """`/204` is answered with 204."""
        length = int(self.headers.get("Content-Length") or 0)
        SEEN.append((self.command, self.path, dict(self.headers), self.rfile.read(length)))
        self.send_response(int(self.path.rsplit("/", 1)[1]))
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A server on a free port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join(5)
    server.server_close()


@pytest.mark.parametrize(("status", "ok"), [(200, True), (399, True), (400, False), (503, False)])
def test_default_statuses(port: int, status: int, ok: bool) -> None:
    """200 to 399 are healthy, and the reason names what came instead."""
    probe = PROBER.probe("127.0.0.1", HealthCheck(path=f"/{status}", port=port))
    assert probe.ok is ok
    assert (str(status) in probe.error) is not ok


def test_expected_statuses(port: int) -> None:
    """Only the listed codes count."""
    policy = HealthCheck(path="/503", port=port, expected_status_codes=frozenset({503}))
    assert PROBER.probe("127.0.0.1", policy).ok
    assert not PROBER.probe("127.0.0.1", replace(policy, path="/200")).ok


def test_redirects_are_not_followed(port: int) -> None:
    """A redirect is an answer: nobody makes the leader ask another address."""
    assert PROBER.probe("127.0.0.1", HealthCheck(path="/302", port=port)).ok
    assert SEEN[-1][1] == "/302"


def test_method_headers_and_body_are_sent(port: int) -> None:
    """What the spec says is what the app gets."""
    policy = HealthCheck(
        path="/200", port=port, method="POST", headers=(("X-Probe", "yes"),), body="ping")
    assert PROBER.probe("127.0.0.1", policy).ok
    method, _, headers, body = SEEN[-1]
    assert (method, headers["X-Probe"], body) == ("POST", "yes", b"ping")


def test_nobody_listens() -> None:
    """A refused connection is a failed check with its reason."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        for protocol in ("HTTP", "TCP"):
            policy = HealthCheck(protocol=protocol, port=port)
            assert PROBER.probe("127.0.0.1", policy).error == f"connection refused on port {port}"


def test_silent_server_is_a_time_out() -> None:
    """A server that accepts and says nothing fails the HTTP check in its time, not the TCP one."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        probe = PROBER.probe("127.0.0.1", HealthCheck(port=port, timeout_s=1))
        assert probe.error == "no answer within 1 s"
        assert PROBER.probe("127.0.0.1", HealthCheck(protocol="TCP", port=port)).ok


def test_a_server_that_trickles_is_a_time_out() -> None:
    """One byte now and then must not hold the check beyond its time."""
    stop = threading.Event()
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def trickle() -> None:
            connection, _ = server.accept()
            with connection:
                while not stop.wait(0.2):
                    try:
                        connection.sendall(b"H")
                    except OSError:
                        return

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            policy = HealthCheck(port=server.getsockname()[1], timeout_s=1)
            probe = PROBER.probe("127.0.0.1", policy)
        finally:
            stop.set()
            thread.join(5)
    assert probe.error == "no answer within 1 s"
