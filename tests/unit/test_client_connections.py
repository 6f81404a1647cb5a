"""Connections of the blocking client: kept, lost, shared, and through a proxy."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from orchestry import Client
from orchestry.client import InvalidRequest, NotReachable
from orchestry.client.exchange import PULSE_PATH
from tests.unit.stub_cluster import Says, nodes

ANSWER = json.dumps({"apps": [], "total": 0}).encode()


class Keeping(ThreadingHTTPServer):
    """A controller that keeps connections; `ends` says when it ends one without a word."""

    daemon_threads = False
    request_queue_size = 256
    ends = False
    body = b"Content-Length: %d\r\n\r\n" % len(ANSWER) + ANSWER

    def __init__(self) -> None:
        self.connections = 0
        self.requests: list[str] = []
        self.left = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def shutdown_request(self, request: Any) -> None:
        """A connection has ended, and its client can know."""
        super().shutdown_request(request)
        self.left.set()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Keeping
    protocol_version = "HTTP/1.1"
    timeout = 10

    def setup(self) -> None:
        """It begins."""
        super().setup()
        self.server.connections += 1

    def do_GET(self) -> None:
        """Answer."""
        self.server.requests.append(self.path)
        ends = self.server.ends
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.wfile.write(b"HTTP/1.1 200 OK\r\n" + self.server.body)
        self.close_connection = ends

    do_PUT = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def keeping() -> Iterator[Keeping]:
    """Such a controller."""
    with Keeping() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_calls_share_a_connection_until_it_ends(keeping: Keeping) -> None:
    """One that ended while nobody used it is noticed before a write is sent over it."""
    with Client(keeping.url) as client:
        for _ in range(3):
            client.list_apps()
        assert keeping.connections == 1
        keeping.ends = True
        client.list_apps()
        assert keeping.left.wait(30)
        keeping.ends = False
        client.update_config({"scaling": {"default_cooldown": 60}})
    assert (keeping.connections, len(keeping.requests)) == (2, 5)


def test_threads_share_a_client(keeping: Keeping) -> None:
    """Each call has a connection to itself, and at most so many are made as calls at once."""
    with Client(keeping.url) as client, ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: client.list_apps()["total"], range(200)))
    assert found == [0] * 200
    assert keeping.connections <= 8


def test_an_answer_in_chunks(keeping: Keeping) -> None:
    """It is read to its end, and the connection kept."""
    keeping.body = b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(
        b"1\r\n%c\r\n" % byte for byte in ANSWER) + b"0\r\n\r\n"
    with Client(keeping.url) as client:
        assert [client.list_apps()["total"] for _ in range(2)] == [0, 0]
    assert keeping.connections == 1


@pytest.mark.parametrize("body", [
    b"Content-Length: 99\r\n\r\n" + ANSWER,
    b"Transfer-Encoding: chunked\r\n\r\n30\r\n" + ANSWER,
    b"Transfer-Encoding: chunked\r\n\r\nsome\r\n",
])
def test_half_an_answer_is_none(keeping: Keeping, body: bytes) -> None:
    """Whatever was read of it."""
    keeping.body, keeping.ends = body, True
    with Client(keeping.url, timeout=0.5) as client, pytest.raises(NotReachable):
        client.list_apps()


def test_a_request_that_cannot_be_sent(keeping: Keeping) -> None:
    """A key with a line break is refused here, and the next call does not suffer."""
    with Client(keeping.url) as client:
        for key in ("a\r\nb: c", "ü€"):
            with pytest.raises(InvalidRequest, match="cannot be sent"):
                client.scale_app("web", 2, idempotency_key=key)
        assert client.list_apps()["total"] == 0
    assert [one for one in keeping.requests if one != PULSE_PATH] == ["/api/v1/apps"]


def test_a_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets the whole address and its own login, unless `no_proxy` names the controller."""
    with nodes(lambda _: Says(200, json.loads(ANSWER))) as (proxy,):
        address = proxy.url.removeprefix("http://")
        monkeypatch.setenv("http_proxy", f"http://me:a%40b@{address}")
        with Client("http://controller.invalid:8001") as client:
            assert client.list_apps()["total"] == 0
        (seen,) = proxy.seen
        assert seen.path == "http://controller.invalid:8001/api/v1/apps"
        assert seen.headers["Proxy-Authorization"] == "Basic bWU6YUBi"
        assert seen.headers["Host"] == "controller.invalid:8001"
        monkeypatch.setenv("no_proxy", "controller.invalid")
        with Client("http://controller.invalid:8001", timeout=0.5) as client, \
                pytest.raises(NotReachable, match="controller"):
            client.list_apps()
        assert len(proxy.seen) == 1
        monkeypatch.delenv("no_proxy")
        monkeypatch.setenv("http_proxy", "socks5://localhost:1")
        with Client("http://controller.invalid:8001", timeout=0.5) as client, \
                pytest.raises(NotReachable) as told:
            client.list_apps()
        assert "socks5://localhost" in str(told.value.details)


def test_a_tunnel_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """With https the proxy is asked for a tunnel; one that it refuses carried nothing."""
    with Keeping() as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        asked: list[str] = []

        def refuse(handler: Handler) -> None:
            asked.append(handler.path)
            handler.send_error(403, "No tunnel")

        monkeypatch.setattr(Handler, "do_CONNECT", refuse, raising=False)
        thread = threading.Thread(target=proxy.serve_forever, args=(0.02,))
        thread.start()
        with Client("https://controller.invalid:8001", timeout=0.5) as client, \
                pytest.raises(NotReachable) as told:
            client.scale_app("web", 2)
        proxy.shutdown()
        thread.join()
    assert set(asked) == {"controller.invalid:8001"}
    assert "403" in str(told.value.details)


def test_a_call_loads_no_other_library() -> None:
    """What the base install brings, a call does without: they take longer to load than it takes."""
    code = ("import orchestry, sys\n"
            "client = orchestry.Client('http://127.0.0.1:9', timeout=0.1)\n"
            "try: client.list_apps()\n"
            "except orchestry.OrchestryError: pass\n"
            "heavy = {'requests', 'urllib3', 'httpx', 'yaml', 'rich', 'click', 'asyncio',"
            " 'urllib.request'}\n"
            "print(sorted(heavy & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True,
                          timeout=60, check=True)
    assert done.stdout == "[]\n"
