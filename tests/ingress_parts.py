"""Real parts to put behind and in front of an ingress."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cluster.ingress.base import Peer, PeerStats, Route, Table
from cluster.ingress.client import NginxIngress
from cluster.ingress.local import LocalNginx
from tests.ports import free_ports

DEADLINE_S = 30.0


def free_port() -> int:
    """A port that nobody listens on right now."""
    return free_ports(1)[0]


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for `condition`, failing with `what` after DEADLINE_S."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {DEADLINE_S} s: {what}"
        time.sleep(0.02)


@contextmanager
def short_directory() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's name."""
    path = Path(tempfile.mkdtemp(prefix="ingress-", dir="/tmp"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


@contextmanager
def running_nginx(*, workers: int = 2) -> Iterator[LocalNginx]:
    """A started LocalNginx on a free port."""
    with short_directory() as directory:
        nginx = LocalNginx(directory / "ö i", free_port(), workers=workers)
        nginx.start()
        try:
            yield nginx
        finally:
            nginx.stop(grace_s=0.5)


@dataclass
class Seen:
    """One request as a replica got it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Replica:
    """A small HTTP server that keeps what it is asked and answers its own name.

    Paths with a meaning: `/break` (reads the request and closes without an answer), `/slow`
    (waits for `release`), `/status/NNN`.
    """

    name: str
    idle_s: float | None = None
    seen: list[Seen] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)
    connections: set[socket.socket] = field(default_factory=set)

    def __post_init__(self) -> None:
        replica = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body at once: the second of two writes waits for an ACK
            served = 0

            def finish(self) -> None:
                super().finish()
                replica.connections.discard(self.connection)

            def handle_one_request(self) -> None:
                # Idle is who has been served: the first request may be long on its way.
                self.connection.settimeout(replica.idle_s if self.served else None)
                super().handle_one_request()
                self.served += 1

            def parse_request(self) -> bool:
                self.connection.settimeout(None)
                return super().parse_request()

            def do_GET(self) -> None:
                replica._serve(self)

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                del format, args

        class Server(ThreadingHTTPServer):
            request_queue_size = 256
            daemon_threads = False

            def get_request(self) -> tuple[socket.socket, Any]:
                found: tuple[socket.socket, Any] = super().get_request()
                replica.connections.add(found[0])  # before its thread may be overtaken by `close`
                return found

            def handle_error(self, request: Any, client_address: Any) -> None:
                del request, client_address

        # One that the system gives to nobody else once the replica is dead.
        self.port = free_port()
        self._server = Server(("127.0.0.1", self.port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        self.seen.append(Seen(handler.command, handler.path, dict(handler.headers), body))
        if handler.path.startswith("/break"):
            handler.close_connection = True
            return
        if handler.path.startswith("/slow"):
            self.release.wait(DEADLINE_S)
        status = 200
        if handler.path.startswith("/status/"):
            status = int(handler.path.rsplit("/", 1)[1])
        handler.send_response(status)
        answer = self.name.encode()
        handler.send_header("Content-Length", str(len(answer)))
        handler.end_headers()
        handler.wfile.write(answer)

    @property
    def peer(self) -> Peer:
        return Peer(self.name, "127.0.0.1", self.port)

    def close(self) -> None:
        """Die: the port refuses, open connections break."""
        self.release.set()
        self._server.shutdown()
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self._server.server_close()
        self._thread.join()


@contextmanager
def replicas(*names: str, idle_s: float | None = None) -> Iterator[list[Replica]]:
    """Running replicas; those still alive are closed at the end."""
    started = [Replica(name, idle_s) for name in names]
    try:
        yield started
    finally:
        for replica in started:
            replica.close()


def one_route(*peers: Peer, app: str = "shop", path: str = "/") -> Route:
    return Route(app, (f"{app}.localhost",), path, peers)


def table(version: int, *routes: Route, epoch: int = 1, cluster_id: str = "c1") -> Table:
    return Table(cluster_id, epoch, version, routes)


def counters(ingress: NginxIngress, peer_id: str) -> PeerStats:
    """What the ingress has counted for one replica."""
    return next(peer for peer in ingress.stats().peers if peer.peer_id == peer_id)


@dataclass
class Answer:
    """What a client got."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def error(self) -> dict[str, Any]:
        """The error body, checked for its form."""
        value = json.loads(self.body)
        assert isinstance(value, dict)
        assert {"error", "details", "code", "timestamp"} == set(value)
        assert self.headers["Content-Type"] == "application/json"
        return value


def ask(port: int, host: str, path: str = "/", *, method: str = "GET",
        body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    try:
        connection.request(method, path, body, {"Host": host, **(headers or {})})
        response = connection.getresponse()
        return Answer(response.status, dict(response.headers), response.read())
    finally:
        connection.close()


def many(port: int, host: str, count: int, *, connections: int = 8) -> Counter[int]:
    """The statuses of so many requests on a few connections, which are kept."""
    def some(share: int) -> Counter[int]:
        found: Counter[int] = Counter()
        with closing(http.client.HTTPConnection("127.0.0.1", port, DEADLINE_S)) as connection:
            for _ in range(share):
                connection.request("GET", "/", headers={"Host": host})
                with connection.getresponse() as response:
                    response.read()
                    found[response.status] += 1
        return found

    with ThreadPoolExecutor(connections) as pool:
        return sum(pool.map(some, [count // connections] * connections), Counter())


def raw(port: int, request: bytes) -> bytes:
    """Send bytes as they are, read until the ingress closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as connection:
        connection.sendall(request)
        received = b""
        while part := connection.recv(65536):
            received += part
        return received


@contextmanager
def static_upstreams(directory: Path, count: int) -> Iterator[list[int]]:
    """Fast upstreams: one nginx that answers `ok` on `count` ports."""
    ports: list[int] = []
    while len(ports) < count:
        port = free_port()
        if port not in ports:
            ports.append(port)
    listens = "\n".join(f"listen 127.0.0.1:{port};" for port in ports)
    user = "user root;" if os.geteuid() == 0 else ""
    config = directory / "static.conf"
    config.write_text(f"""
        {user} daemon off; worker_processes 1; pid {directory}/static.pid;
        error_log {directory}/static.log;
        events {{ worker_connections 4096; }}
        http {{
            access_log off; keepalive_requests 1000000;
            client_body_temp_path {directory}; proxy_temp_path {directory};
            fastcgi_temp_path {directory}; uwsgi_temp_path {directory};
            scgi_temp_path {directory};
            server {{ {listens} location / {{ return 200 "ok"; }} }}
        }}""")
    process = subprocess.Popen(
        ["nginx", "-p", str(directory), "-c", str(config), "-e", str(directory / "static.log")],
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: _listens(ports[-1]), "the static upstream listens")
        yield ports
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
