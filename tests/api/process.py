"""The API as a process for tests: gunicorn over a log of one."""

from __future__ import annotations

import json
import os
import socket
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.live import until
from tests.ports import free_ports
from tests.preloaded import Forked

START_S = 60.0
STOP_S = 60.0
ANSWER_S = 30.0


class Process:
    """A running tests.api.local_node."""

    def __init__(self, process: Forked, port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self._log = log

    def said(self) -> str:
        """What it wrote."""
        return self._log.read_text()

    def raw(self, data: bytes) -> bytes:
        """All that the server answers to these bytes until it closes or falls silent."""
        with self.connection() as peer:
            peer.sendall(data)
            return everything(peer)

    def connection(self) -> socket.socket:
        """A connection with a deadline."""
        return socket.create_connection(("127.0.0.1", self.port), ANSWER_S)

    def call(
        self, method: str, path: str, body: Any = None, *, timeout_s: float = ANSWER_S,
    ) -> tuple[int, Any]:
        """Status and JSON of one request."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)


def everything(peer: socket.socket) -> bytes:
    """What comes until the server closes."""
    found = b""
    while chunk := peer.recv(65536):
        found += chunk
    return found


@contextmanager
def serving(**environ: str) -> Iterator[Process]:
    """A local node with two applications on a free port."""
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        process = Forked(
            ["tests.api.local_node"],
            {**os.environ, "ORCHESTRY_PORT": str(port), "APPS": "2", **environ}, log)
        try:
            yield Process(process, port, log)
        finally:
            process.kill()
            process.wait(STOP_S)


@contextmanager
def ready(**environ: str) -> Iterator[Process]:
    """The same, once it answers."""
    with serving(**environ) as node:
        def answers() -> bool:
            assert node.process.poll() is None, node.said()
            return node.call("GET", "/livez")[0] == 200

        until("it answers", answers, START_S)
        yield node
