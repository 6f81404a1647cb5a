"""Connections over HTTP/1.1, of which some are kept. The door of `http.client`.

`requests` would take longer to load than all of the rest of a command together.
"""

from __future__ import annotations

import contextlib
import http
import io
import math
import os
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from typing import Any, cast
from urllib.parse import SplitResult, unquote, urlsplit

from orchestry.client.keep_alive import probes
from orchestry.client.trust import Trust

KEPT_MAX = 10  # of each controller
PIECE_BYTES = 64 * 1024
FAULTS = (OSError, HTTPException)
"""What goes wrong between us and a controller."""


class _Wire:
    """A socket as `http.client` uses it, with a limit of time for all of an exchange, too."""

    def __init__(self, wire: socket.socket) -> None:
        self.wire = wire
        self.silence_s = self.until_s = self.head_until_s = math.inf

    def wait(self) -> None:
        """Let the next step take what is left; raises TimeoutError."""
        left_s = min(
            self.silence_s, min(self.until_s, self.head_until_s) - time.monotonic())
        if left_s <= 0:
            raise TimeoutError("timed out")
        self.wire.settimeout(left_s)

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        self.wait()
        self.wire.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        """What to read an answer from."""
        return io.BufferedReader(_Reading(self))

    def close(self) -> None:
        """Close it, once nobody reads from it."""
        self.wire.close()


class _Reading(io.RawIOBase):
    """The bytes of a wire."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire
        self._raw = wire.wire.makefile("rb", buffering=0)

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Some bytes; none at the end."""
        self._wire.wait()
        return self._raw.readinto(buffer)

    def close(self) -> None:
        """Read no more."""
        self._raw.close()
        super().close()


class Connection:
    """One connection, for one request after the other."""

    def __init__(self, made: HTTPConnection, prefix: str, headers: Mapping[str, str]) -> None:
        self._wire = _Wire(made.sock)
        made.sock = cast(socket.socket, self._wire)
        self._made = made
        self._prefix = prefix
        self._headers = headers
        self._read: HTTPResponse | None = None
        self.whole = True

    def ask(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None, *,
        silence_s: float, left_s: float = math.inf, head_s: float = math.inf,
    ) -> Response:
        """Send a request and read the head of its answer, due in `head_s`; raises FAULTS.

        Raises:
            ValueError: the request cannot be sent, and nothing of it was.
        """
        self._wire.silence_s, self._wire.until_s = silence_s, time.monotonic() + left_s
        try:
            self._made.request(method, self._prefix + target, body, {**self._headers, **headers})
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            self.whole = False  # who has read enough may have answered before it closed
        self._wire.head_until_s = time.monotonic() + head_s
        self._read = self._made.getresponse()
        self._wire.head_until_s = math.inf
        upgraded = "Upgrade" in headers and self._read.status == http.HTTPStatus.SWITCHING_PROTOCOLS
        if self._read.status < http.HTTPStatus.OK and not upgraded:
            raise HTTPException(f"status {self._read.status} is no answer")
        return Response(self, self._read)

    def go_on(self) -> None:
        """The answer is a stream, which only silence ends."""
        self._wire.until_s = math.inf

    def taken(self) -> tuple[socket.socket, bytes]:
        """The socket, which stays ours to close, and what was read from it already."""
        self._wire.silence_s = 0.0  # so that nothing more is read
        first = b""
        if self._read is not None:
            with contextlib.suppress(TimeoutError):
                first = self._read.fp.peek()
        return self._wire.wire, first

    def is_quiet(self) -> bool:
        """Nothing has come since the last answer, as the end of the connection would."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._wire.wire, selectors.EVENT_READ)
            return not selector.select(0)

    def close(self) -> None:
        """Close it, and an answer that is being read."""
        if self._read is not None:
            self._read.close()
        self._made.close()


class Response:
    """An answer whose body comes in pieces."""

    def __init__(self, connection: Connection, read: HTTPResponse) -> None:
        self._connection = connection
        self._read = read
        self.go_on = connection.go_on
        self.taken = connection.taken
        self.status = read.status
        self.headers = cast(Mapping[str, str], read.headers)

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes; raises FAULTS, also when it ends too soon."""
        while piece := self._read.read1(PIECE_BYTES):
            yield piece
        if self._read.length:
            raise IncompleteRead(b"", self._read.length)

    def may_be_kept(self) -> bool:
        """Whether the connection serves for another request; the body was read to its end."""
        self._read.close()
        return not self._read.will_close and self._connection.whole

    def close(self) -> None:
        """Close the connection, too."""
        self._connection.close()


class Pool:
    """Connections that are open and unused; threads may share it.

    Raises ValueError when files of `trust` cannot be used.
    """

    def __init__(self, trust: Trust) -> None:
        self._context = trust.context()
        self._lock = threading.Lock()
        # A process that forks must not share connections with its child.
        self._kept: dict[tuple[int, str], list[Connection]] = {}
        self._closed = False

    def __del__(self) -> None:
        """A client that nobody closes leaves nothing open, and Python does not warn of it."""
        if hasattr(self, "_kept"):
            self.close()

    def taken(self, node: str, timeout_s: float) -> Connection:
        """A kept one, or a new one, for which nothing was sent yet; raises FAULTS."""
        while True:
            with self._lock:
                kept = self._kept.get((os.getpid(), node))
                found = kept.pop() if kept else None
            if found is None:
                return self._connected(node, timeout_s)
            if found.is_quiet():
                return found
            found.close()

    def give(self, node: str, connection: Connection) -> None:
        """Keep it for the next request."""
        with self._lock:
            kept = self._kept.setdefault((os.getpid(), node), [])
            if not self._closed and len(kept) < KEPT_MAX:
                kept.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Keep no more."""
        with self._lock:
            self._closed = True
            kept = [one for some in self._kept.values() for one in some]
            self._kept.clear()
        for one in kept:
            one.close()

    def _connected(self, node: str, timeout_s: float) -> Connection:
        parts = urlsplit(node)
        secure = parts.scheme == "https"
        if secure and self._context is None:
            self._context = ssl.create_default_context()
        proxy = _proxy(parts)
        where, login = proxy or parts, _login(proxy)
        made: HTTPConnection
        if secure:
            made = HTTPSConnection(
                where.hostname or "", where.port, timeout=timeout_s, context=self._context)
        else:
            made = HTTPConnection(where.hostname or "", where.port, timeout=timeout_s)
        if proxy and secure:
            made.set_tunnel(parts.hostname or "", parts.port, login)
        try:
            made.connect()
            for option in probes():
                made.sock.setsockopt(*option)
        except BaseException as error:
            made.close()
            if isinstance(error, UnicodeError):
                raise OSError("that is no name of a host") from None
            raise
        through = proxy is not None and not secure
        return Connection(made, node if through else "", login if through else {})


def _proxy(node: SplitResult) -> SplitResult | None:
    """The proxy of the environment for a controller, as `http_proxy` and `no_proxy` say."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    from urllib.request import getproxies_environment, proxy_bypass

    proxies = getproxies_environment()
    found = proxies.get(node.scheme) or proxies.get("all")
    if not found or proxy_bypass(node.netloc):
        return None
    try:
        proxy = urlsplit(found if "://" in found else f"http://{found}")
        port = proxy.port
    except ValueError:  # whose text may have the login
        raise OSError("the proxy of the environment is no address") from None
    if proxy.scheme != "http" or not proxy.hostname:
        raise OSError(f"the proxy {proxy.scheme}://{proxy.hostname} is none with http://")
    return proxy._replace(netloc=proxy.netloc if port else f"{proxy.netloc}:80")


def _login(proxy: SplitResult | None) -> dict[str, str]:
    if proxy is None or proxy.username is None:
        return {}
    from base64 import b64encode

    words = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(words.encode()).decode()}"}
