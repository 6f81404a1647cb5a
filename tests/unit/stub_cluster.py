"""Small in-process HTTP servers that play controllers: followers, leaders, failures."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from orchestry.client.exchange import PULSE_PATH
from tests.ports import free_ports


@dataclass(frozen=True)
class Seen:
    """One request as the stub received it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The JSON of the body."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Says:
    """What the stub answers; `drop` closes the connection instead.

    With `open_s` the answer does not end for so long, as a stream's. `as_is` is for answers that
    no controller would give.
    """

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    delay_s: float = 0.0
    open_s: float = 0.0
    as_is: bool = False


Script = Callable[[Seen], Says]
Judge = Callable[[Seen, Any], Any]
judge: list[Judge] = []
"""What makes a good answer of a script whole, where one is set; raises AssertionError for a lie."""


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 256
    """Beyond it a connection waits for a second before it is tried again."""


class StubNode:
    """One controller: `script` answers each request, `seen` keeps them.

    Whether it is there at all, which clients ask before they wait for long, is counted only.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.seen: list[Seen] = []
        self.pulses = 0
        self.lies: list[str] = []
        self.released = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def judged(self, seen: Seen, says: Says) -> Says:
        """The answer as a controller would give it; a lie is kept for the end of the test."""
        if not judge or says.as_is or says.status >= 300 or not isinstance(says.body, dict):
            return says
        try:
            return replace(says, body=judge[-1](seen, says.body))
        except AssertionError as error:
            self.lies.append(f"{seen.method} {seen.path}: {error}")
            return says

    def stop(self) -> None:
        """End the server; later connections are refused."""
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        node = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                seen = Seen(self.command, self.path, dict(self.headers), body)
                if seen.path == PULSE_PATH:
                    node.pulses += 1
                    says = Says(200, {"is_leader": True})
                else:
                    node.seen.append(seen)
                    says = node.judged(seen, node.script(seen))
                self.close_connection = True
                if says.delay_s:
                    node.released.wait(says.delay_s)
                if says.drop:
                    return
                text = says.body if isinstance(says.body, bytes) else json.dumps(says.body).encode()
                try:
                    self.send_response(says.status)
                    for name, value in says.headers.items():
                        self.send_header(name, value)
                    if not says.open_s:
                        self.send_header("Content-Length", str(len(text)))
                    self.send_header("Connection", "close")
                    self.end_headers()
                    self.wfile.write(text)
                    if says.open_s:
                        node.released.wait(says.open_s)
                except OSError:
                    return

            do_GET = do_POST = do_PUT = do_DELETE = _serve

            def log_message(self, format: str, *args: Any) -> None:
                return

        return Handler


@contextmanager
def nodes(*scripts: Script) -> Iterator[list[StubNode]]:
    """Run one stub for each script."""
    running: list[StubNode] = []
    try:
        for script in scripts:
            running.append(StubNode(script))
        yield running
    finally:
        for node in running:
            node.stop()
    assert [lie for node in running for lie in node.lies] == []


def error(status: int, code: str, details: Any = None, **headers: str) -> Says:
    """An error answer in the shape of the contract."""
    body = {"error": code.capitalize(), "details": details, "code": code,
            "timestamp": "2026-01-01T00:00:00Z"}
    return Says(status, body, headers)


def redirect(target: str, path: str = "") -> Says:
    """A follower's answer to a write."""
    return error(307, "NOT_LEADER", None, Location=target + path)


def free_url() -> str:
    """An address where nothing listens."""
    return f"http://127.0.0.1:{free_ports(1)[0]}"
