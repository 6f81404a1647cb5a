"""Traffic through a real nginx: routes, failures, hostile clients, upgrades, streams."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cluster.ingress.base import Peer, Route
from cluster.ingress.client import NginxIngress
from cluster.ingress.local import LocalNginx
from tests.ingress_parts import (
    DEADLINE_S,
    ask,
    counters,
    one_route,
    raw,
    replicas,
    table,
    until,
)

pytestmark = [pytest.mark.acceptance, pytest.mark.nginx, pytest.mark.beside]


def test_hosts_and_paths_choose_the_app(nginx: LocalNginx, ingress: NginxIngress) -> None:
    """The host is exact but for case, port and final dot; the longest path of segments wins."""
    with replicas("root", "api", "deep", "other") as (root, api, deep, other):
        ingress.push(table(
            1,
            Route("root", ("shop.localhost", "www.shop.localhost"), "/", (root.peer,)),
            Route("api", ("shop.localhost",), "/api/", (api.peer,)),
            Route("deep", ("shop.localhost",), "/api/v1/deep", (deep.peer,)),
            Route("other", ("other.localhost",), "/only", (other.peer,)),
        ))
        for host, path, name in (
            ("shop.localhost", "/", "root"),
            ("SHOP.LocalHost", "/x/y?api=/api", "root"),
            ("shop.localhost:8080", "/api", "api"),
            ("shop.localhost.", "/api/", "api"),
            ("www.shop.localhost", "/api", "root"),
            ("shop.localhost", "/apix", "root"),
            ("shop.localhost", "/api/v1", "api"),
            ("shop.localhost", "/api/v1/deeper", "api"),
            ("shop.localhost", "/api/v1/deep/x", "deep"),
            ("shop.localhost", "/a/../api/v1/deep?q", "deep"),
            ("shop.localhost", "/%61pi/x", "api"),
            ("other.localhost", "/only/this", "other"),
        ):
            assert ask(nginx.port, host, path).text == name, (host, path)
        for host, path in (
            ("other.localhost", "/"), ("other.localhost", "/onlyx"),
            ("localhost", "/"), ("x.shop.localhost", "/"), ("127.0.0.1", "/"),
        ):
            assert ask(nginx.port, host, path).status == 404, (host, path)
        assert root.seen[1].path == "/x/y?api=/api"


def test_every_one_of_many_apps_is_found(nginx: LocalNginx, ingress: NginxIngress) -> None:
    """A new app needs no reload, and the number of apps has no limit that matters."""
    with replicas("a", "b") as pair:
        ingress.push(table(1, *(
            one_route(pair[i % 2].peer, app=f"app-{i}") for i in range(300)
        )))
        for i in range(0, 300, 7):
            assert ask(nginx.port, f"app-{i}.localhost").text == pair[i % 2].name


def test_unknown_hosts_and_idle_apps_get_json(nginx: LocalNginx, ingress: NginxIngress) -> None:
    """404 and 503 tell apart what does not exist from what is down."""
    ingress.push(table(1, one_route(app="idle")))
    unknown = ask(nginx.port, "nobody.localhost", method="POST", body=b"x" * 100_000)
    assert unknown.status == 404
    assert unknown.error()["code"] == "NOT_FOUND"
    idle = ask(nginx.port, "idle.localhost")
    assert idle.status == 503
    assert idle.error()["code"] == "NO_HEALTHY_REPLICA"
    assert idle.headers["Retry-After"] == "1"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", idle.error()["timestamp"])


@pytest.mark.parametrize("host", [
    b"a.com;}server{", b"a.com\x00b", b"shop.localhost/../x", b"", b"..",
    b"a" * 300, b"a" * 20_000, b"'\"><script>", b"\xff\xfe", b"*", b"$http_cookie",
    b"shop.localhost\r\nHost: other.localhost", b"[::1", b"shop.localhost@evil",
])
def test_hostile_hosts_get_a_json_refusal(
    nginx: LocalNginx, ingress: NginxIngress, host: bytes
) -> None:
    """No host that a client makes up reaches an app or breaks the ingress."""
    with replicas("r") as (replica,):
        ingress.push(table(1, one_route(replica.peer)))
        answer = raw(nginx.port, b"GET / HTTP/1.1\r\nHost: " + host
                     + b"\r\nConnection: close\r\n\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert int(head.split()[1]) in (400, 404, 431)
        assert json.loads(body)["code"] in ("VALIDATION_ERROR", "NOT_FOUND")
        assert not replica.seen
        assert ask(nginx.port, "shop.localhost").text == "r"


def test_a_request_without_host_is_refused(nginx: LocalNginx, ingress: NginxIngress) -> None:
    """HTTP/1.1 demands one, and HTTP/1.0 without one names no app."""
    assert b" 400 " in raw(nginx.port, b"GET / HTTP/1.1\r\n\r\n").splitlines()[0]
    assert b" 404 " in raw(nginx.port, b"GET / HTTP/1.0\r\n\r\n").splitlines()[0]


def test_the_host_in_the_request_line_holds(nginx: LocalNginx, ingress: NginxIngress) -> None:
    """The app sees the host by which it was chosen, not another one in the header."""
    with replicas("r") as (replica,):
        ingress.push(table(1, one_route(replica.peer)))
        raw(nginx.port, b"GET http://shop.localhost/p HTTP/1.1\r\nHost: evil.localhost\r\n"
                        b"Connection: close\r\n\r\n")
        assert replica.seen[0].headers["Host"] == "shop.localhost"


def test_the_app_sees_the_client_and_no_forgery(
    nginx: LocalNginx, ingress: NginxIngress
) -> None:
    """The ingress says who asks; what the client claims about itself is dropped."""
    with replicas("r") as (replica,):
        ingress.push(table(1, one_route(replica.peer)))
        forged = {"X-Forwarded-For": "6.6.6.6", "X-Real-IP": "6.6.6.6", "Forwarded": "for=6.6.6.6",
                  "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil"}
        ask(nginx.port, "shop.localhost:8080", headers=forged)
        headers = replica.seen[0].headers
        assert headers["X-Real-IP"] == headers["X-Forwarded-For"] == "127.0.0.1"
        assert headers["X-Forwarded-Proto"] == "http"
        assert headers["X-Forwarded-Host"] == headers["Host"] == "shop.localhost:8080"
        assert re.fullmatch(r"[0-9a-f]{32}", headers["X-Request-Id"])
        assert "Forwarded" not in headers


def test_requests_spread_evenly(nginx: LocalNginx, ingress: NginxIngress) -> None:
    """Idle replicas take turns, and weights hold."""
    with replicas("a", "b", "heavy") as (a, b, heavy):
        weighted = Peer("heavy", "127.0.0.1", heavy.port, weight=2)
        ingress.push(table(1, one_route(a.peer, b.peer, weighted)))
        for _ in range(80):
            assert ask(nginx.port, "shop.localhost").status == 200
        # Each of the two workers rounds by itself.
        assert abs(len(a.seen) - 20) <= 4
        assert abs(len(heavy.seen) - 40) <= 4


def test_a_busy_replica_is_passed_over(ingress: NginxIngress, nginx: LocalNginx) -> None:
    """Requests go where the fewest are in flight."""
    with replicas("a", "b") as pair, ThreadPoolExecutor(8) as pool:
        ingress.push(table(1, one_route(pair[0].peer, pair[1].peer)))
        slow = [pool.submit(ask, nginx.port, "shop.localhost", "/slow") for _ in range(8)]
        until(lambda: len(pair[0].seen) + len(pair[1].seen) == 8, "all are in flight")
        assert min(len(pair[0].seen), len(pair[1].seen)) >= 2
        for replica in pair:
            replica.release.set()
        assert all(answer.result().status == 200 for answer in slow)


def test_a_dead_replica_costs_no_request(nginx: LocalNginx, ingress: NginxIngress) -> None:
    """A refused connection goes on to the next replica, also for a POST with its body."""
    with replicas("alive", "dead") as (alive, dead):
        ingress.push(table(1, one_route(alive.peer, dead.peer)))
        dead.close()
        for i in range(30):
            answer = ask(nginx.port, "shop.localhost", method="POST" if i % 2 else "GET",
                         body=b"payload" if i % 2 else None)
            assert (answer.status, answer.text) == (200, "alive")
        assert [seen.body for seen in alive.seen if seen.method == "POST"] == [b"payload"] * 15
        until(lambda: counters(ingress, "alive").requests == 30, "all are counted")
        until(lambda: counters(ingress, "alive").in_flight
              == counters(ingress, "dead").in_flight == 0, "nothing is in flight")


def test_the_last_replica_is_never_given_up(nginx: LocalNginx, ingress: NginxIngress) -> None:
    """It refuses, is tried all the same, and serves as soon as it can."""
    with replicas("r") as (replica,):
        port = replica.port
        ingress.push(table(1, one_route(replica.peer)))
        replica.close()
        refused = ask(nginx.port, "shop.localhost")
        assert refused.status == 502
        assert refused.error()["code"] == "REPLICA_FAILED"
        until(lambda: counters(ingress, "r").errors == 1, "the failure is counted")
        with socket.create_server(("127.0.0.1", port)) as again:
            again.settimeout(DEADLINE_S)
            with ThreadPoolExecutor(1) as pool:
                answer = pool.submit(ask, nginx.port, "shop.localhost")
                connection, _ = again.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nback")
                    assert answer.result().text == "back"


def test_a_request_that_may_have_run_is_not_sent_twice(
    nginx: LocalNginx, ingress: NginxIngress
) -> None:
    """A replica breaks off after it has read a POST: the client hears 502, once is once."""
    with replicas("a", "b") as (a, b):
        ingress.push(table(1, one_route(a.peer, b.peer)))
        for method in ("POST", "PATCH"):
            a.seen.clear()
            b.seen.clear()
            answer = raw(nginx.port, f"{method} /break HTTP/1.1\r\nHost: shop.localhost\r\n"
                                     "Content-Length: 2\r\nConnection: close\r\n\r\nhi".encode())
            assert b" 502 " in answer.splitlines()[0]
            assert b'"REPLICA_FAILED"' in answer
            assert len(a.seen) + len(b.seen) == 1


def test_a_kept_connection_that_closed_fails_nobody(
    nginx: LocalNginx, ingress: NginxIngress
) -> None:
    """Replicas that close idle connections at once and clients that pause do not collide."""
    with replicas("r", idle_s=0.05) as (replica,):
        ingress.push(table(1, one_route(replica.peer)))
        connection = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=DEADLINE_S)
        for i in range(40):
            method, body = (("GET", None), ("POST", b"x"), ("GET", b"x"), ("DELETE", None))[i % 4]
            connection.request(method, "/", body, {"Host": "shop.localhost"})
            response = connection.getresponse()
            assert (response.status, response.read()) == (200, b"r")
            time.sleep((0, 0.049, 0.05, 0.051)[i // 4 % 4])
        connection.close()
        assert len(replica.seen) == 40


def _queued(listener: socket.socket) -> int:
    """How many connections wait to be accepted: `tcpi_unacked` of struct tcp_info."""
    return int.from_bytes(
        listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 28)[24:28], sys.byteorder)


def test_a_replica_that_cannot_be_reached_gives_504(
    nginx: LocalNginx, ingress: NginxIngress
) -> None:
    """Connecting takes a second a try, not a minute."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), DEADLINE_S):
            until(lambda: _queued(full) == 1, "nobody else finds room")
            ingress.push(table(1, one_route(Peer("r", "127.0.0.1", port))))
            answer = ask(nginx.port, "shop.localhost")
        assert answer.status == 504
        assert answer.error()["code"] == "REPLICA_TIMEOUT"


def test_an_apps_own_errors_pass_untouched(nginx: LocalNginx, ingress: NginxIngress) -> None:
    """Only what the ingress says itself is in its JSON."""
    with replicas("r") as (replica,):
        ingress.push(table(1, one_route(replica.peer)))
        for status in (418, 400, 404, 500, 502, 503, 504):
            answer = ask(nginx.port, "shop.localhost", f"/status/{status}")
            assert (answer.status, answer.text) == (status, "r")
        assert len(replica.seen) == 7
        until(lambda: counters(ingress, "r").errors == 4, "the failures are counted")


def test_an_app_cannot_redirect_inside_the_ingress(
    nginx: LocalNginx, ingress: NginxIngress
) -> None:
    """X-Accel-Redirect from an app is a header like any other, and dropped."""
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        server.settimeout(DEADLINE_S)
        ingress.push(table(1, one_route(Peer("r", "127.0.0.1", server.getsockname()[1]))))
        answer = pool.submit(ask, nginx.port, "shop.localhost")
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"
                               b"X-Accel-Redirect: /.orchestry-ingress-error\r\n\r\nown")
            assert answer.result().text == "own"
        until(lambda: counters(ingress, "r").in_flight == 0, "it is counted out")


def _websocket_echo(server: socket.socket, requests: list[bytes]) -> None:
    connection, _ = server.accept()
    with connection:
        request = connection.recv(65536)
        requests.append(request)
        match = re.search(rb"(?i)sec-websocket-key: (\S+)", request)
        assert match is not None
        accept = base64.b64encode(hashlib.sha1(
            match[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                           b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept
                           + b"\r\n\r\n")
        while part := connection.recv(65536):
            connection.sendall(part[::-1])


def test_a_websocket_passes_both_ways(nginx: LocalNginx, ingress: NginxIngress) -> None:
    """RFC 6455 handshake, then bytes as they come, while the table changes."""
    requests: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(DEADLINE_S)
        echo = threading.Thread(target=_websocket_echo, args=(server, requests))
        echo.start()
        ingress.push(table(1, one_route(Peer("ws", "127.0.0.1", server.getsockname()[1]))))
        with socket.create_connection(("127.0.0.1", nginx.port), DEADLINE_S) as client:
            client.sendall(b"GET /ws HTTP/1.1\r\nHost: shop.localhost\r\nUpgrade: WebSocket\r\n"
                           b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                           b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(65536)
            assert head.startswith(b"HTTP/1.1 101")
            assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
            for i in range(5):
                ingress.push(table(2 + i))
                client.sendall(b"\x81\x03abc")
                assert client.recv(65536) == b"cba\x03\x81"
            until(lambda: counters(ingress, "ws").in_flight == 1, "it is counted in")
        echo.join(DEADLINE_S)
        assert b"connection: upgrade" in requests[0].lower()
    until(lambda: counters(ingress, "ws").in_flight == 0, "the connection is counted out")
    count = counters(ingress, "ws")
    assert (count.requests, sum(count.latency_counts)) == (1, 0)


def test_other_upgrades_are_not_passed_on(nginx: LocalNginx, ingress: NginxIngress) -> None:
    """HTTP/2 in clear text would carry requests past the routes."""
    with replicas("r") as (replica,):
        ingress.push(table(1, one_route(replica.peer)))
        ask(nginx.port, "shop.localhost", headers={
            "Upgrade": "h2c", "Connection": "Upgrade, HTTP2-Settings", "HTTP2-Settings": "AA"})
        assert "Upgrade" not in replica.seen[0].headers
        assert replica.seen[0].headers.get("Connection", "") == ""


def test_bodies_stream_both_ways(nginx: LocalNginx, ingress: NginxIngress) -> None:
    """The replica sees the first part of an upload before the last is sent, and so back."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(DEADLINE_S)
        ingress.push(table(1, one_route(Peer("s", "127.0.0.1", server.getsockname()[1]))))
        with socket.create_connection(("127.0.0.1", nginx.port), DEADLINE_S) as client:
            client.sendall(b"POST /up HTTP/1.1\r\nHost: shop.localhost\r\n"
                           b"Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            replica, _ = server.accept()
            replica.settimeout(DEADLINE_S)
            with replica:
                received = b""
                while b"first" not in received:
                    received += replica.recv(65536)
                client.sendall(b"4\r\nlast\r\n0\r\n\r\n")
                while not received.endswith(b"0\r\n\r\n"):
                    received += replica.recv(65536)
                replica.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
                                b"data: 1\n\n")
                answer = b""
                while b"data: 1" not in answer:
                    answer += client.recv(65536)
                replica.sendall(b"data: 2\n\n")
                while b"data: 2" not in answer:
                    answer += client.recv(65536)
