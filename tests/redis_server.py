"""A real Redis server of one's own, on a Unix socket, that can be killed, frozen and emptied."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

START_S = 60.0


def _program() -> str:
    path = shutil.which("redis-server")
    assert path, "redis-server is missing"
    return path


class RedisServer:
    """One server, without a file of its data: what is killed comes back empty."""

    def __init__(self, folder: Path, socket: Path) -> None:
        self.folder = folder
        self.socket = socket
        self.url = f"unix://{socket}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str) -> None:
        """Start, and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [_program(), "--port", "0", "--unixsocket", str(self.socket), "--save", "",
                 "--appendonly", "no", "--dir", str(self.folder), *more],
                stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                start_new_session=True)
        until_s = time.monotonic() + START_S
        while time.monotonic() < until_s:
            try:
                with self.client() as client:
                    client.ping()
                return
            except redis.RedisError:
                time.sleep(0.02)
        raise AssertionError((self.folder / "redis.log").read_text())

    def client(self) -> redis.Redis:
        """A client that waits long enough, to be closed by the caller."""
        return redis.Redis(unix_socket_path=str(self.socket), socket_timeout=10.0)

    def flush(self) -> None:
        """Lose all data."""
        with self.client() as client:
            client.flushall()

    def kill(self) -> None:
        """kill -9: from now on nobody listens."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(30)
        self._process = None

    def freeze(self) -> None:
        """SIGSTOP: connections are taken, and nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End, if it runs."""
        if self._process is not None:
            self.kill()


@contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    """A running server, gone at the end; its log stays in `folder`."""
    # The path of a socket has at most 107 characters; pytest's folders can be deeper.
    with tempfile.TemporaryDirectory(prefix="orchestry-redis-") as short:
        server = RedisServer(folder, Path(short) / "s")
        try:
            server.start()
            yield server
        finally:
            server.stop()


def killed(server: RedisServer) -> Callable[[], None]:
    """kill -9, and what undoes it."""
    server.kill()
    return server.start


def frozen(server: RedisServer) -> Callable[[], None]:
    """SIGSTOP, and what undoes it."""
    server.freeze()
    return server.thaw
