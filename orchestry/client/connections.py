"""Connections over HTTP/1.1, of which some are kept. The door of `http.client`.

`requests` would take longer to load than all of the rest of a command together.
"""

from __future__ import annotations

import os
import selectors
import ssl
import threading
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from typing import cast
from urllib.parse import SplitResult, unquote, urlsplit

from orchestry.client.keep_alive import probes
from orchestry.client.trust import Trust

KEPT_MAX = 10  # of each controller
PIECE_BYTES = 64 * 1024
FAULTS = (OSError, HTTPException)
"""What goes wrong between us and a controller."""


class Connection:
    """One connection, for one request after the other."""

    def __init__(self, made: HTTPConnection, prefix: str, headers: Mapping[str, str]) -> None:
        self._made = made
        self._prefix = prefix
        self._headers = headers

    def ask(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None,
        timeout_s: float,
    ) -> Response:
        """Send a request and read the head of its answer; raises FAULTS.

        Raises:
            ValueError: the request cannot be sent, and nothing of it was.
        """
        self._made.sock.settimeout(timeout_s)
        self._made.request(method, self._prefix + target, body, {**self._headers, **headers})
        return Response(self, self._made.getresponse())

    def is_quiet(self) -> bool:
        """Nothing has come since the last answer, as the end of the connection would."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._made.sock, selectors.EVENT_READ)
            return not selector.select(0)

    def close(self) -> None:
        """Close it."""
        self._made.close()


class Response:
    """An answer whose body comes in pieces."""

    def __init__(self, connection: Connection, read: HTTPResponse) -> None:
        self._connection = connection
        self._read = read
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
        return not self._read.will_close

    def close(self) -> None:
        """Close the connection, too."""
        self._read.close()
        self._connection.close()


class Pool:
    """Connections that are open and unused; threads may share it.

    Raises ValueError when files of `trust` cannot be used.
    """

    def __init__(self, trust: Trust) -> None:
        self._context = trust.context()
        self._lock = threading.Lock()
        self._kept: dict[str, list[Connection]] = {}
        self._closed = False

    def taken(self, node: str, timeout_s: float) -> Connection:
        """A kept one, or a new one, for which nothing was sent yet; raises FAULTS."""
        while True:
            with self._lock:
                kept = self._kept.get(node)
                found = kept.pop() if kept else None
            if found is None:
                return self._connected(node, timeout_s)
            if found.is_quiet():
                return found
            found.close()

    def give(self, node: str, connection: Connection) -> None:
        """Keep it for the next request."""
        with self._lock:
            kept = self._kept.setdefault(node, [])
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
        except BaseException:
            made.close()
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
    proxy = urlsplit(found if "://" in found else f"http://{found}")
    if proxy.scheme != "http" or not proxy.hostname:
        raise OSError(f"the proxy {proxy.scheme}://{proxy.hostname} is none with http://")
    return proxy._replace(netloc=proxy.netloc if proxy.port else f"{proxy.netloc}:80")


def _login(proxy: SplitResult | None) -> dict[str, str]:
    if proxy is None or proxy.username is None:
        return {}
    from base64 import b64encode

    words = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(words.encode()).decode()}"}
