"""TakeOver: hands the socket of an accepted stream from the HTTP server to the hub.

gunicorn shuts a connection down after its response, so the hub gets a duplicate of the
socket, and gunicorn's descriptor is turned into a dead one, to which it writes an empty
response. A TLS connection has no duplicate: gunicorn has it in a wrapper, which lets it go.
Source: docs/adr/0017-streams-on-one-thread.md.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from api.secure import TlsSocket
from api.streams.hub import Begin, Hub, Place
from api.streams.wire import Wire

STREAM = "orchestry.stream"
SEND_BUFFER_BYTES = 64 * 1024
"""The system would let megabytes wait for each slow client."""
UPGRADE = "orchestry.upgrade"
"""The request's `Upgrade`, kept from Flask, whose routes are either for WebSockets or for HTTP."""
SOCKET = "gunicorn.socket"

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


@dataclass(slots=True)
class Accepted:
    """A stream that a route accepted, in `environ[STREAM]`."""

    wire: Wire
    begin: Begin
    place: Place


class TakeOver:
    """WSGI middleware around the whole application, so that its response headers are sent too."""

    def __init__(self, inner: Application, hub: Hub) -> None:
        self._inner = inner
        self._hub = hub

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """The response, or an empty one to nobody once the stream is the hub's."""
        upgrade = environ.pop("HTTP_UPGRADE", None)
        if upgrade is not None:
            environ[UPGRADE] = upgrade
        begun: list[tuple[str, list[tuple[str, str]]]] = []

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            if STREAM in environ:
                begun.append((status, headers))
                return lambda _: None
            return start_response(status, headers, exc_info)

        try:
            found = self._inner(environ, start)
            accepted: Accepted | None = environ.pop(STREAM, None)
            if accepted is None:
                return found
            close = getattr(found, "close", None)
            if close is not None:
                close()
            taken = _take(environ[SOCKET])
            try:
                self._hub.attach(
                    taken, _head(*begun[-1]), accepted.wire, accepted.begin, accepted.place)
            except BaseException:
                taken.close()
                accepted.place.release()
                raise
        finally:
            left: Accepted | None = environ.pop(STREAM, None)
            if left is not None:
                left.place.release()
        start_response("200 OK", [("Content-Length", "0"), ("Connection", "close")])
        return []


def _take(held: socket.socket | TlsSocket) -> socket.socket:
    if isinstance(held, TlsSocket):
        taken: socket.socket = held.take()
    else:
        taken = held.dup()
        ours, dead = socket.socketpair()
        with ours, dead:
            os.dup2(dead.fileno(), held.fileno(), inheritable=False)
    taken.setblocking(False)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    if taken.family in (socket.AF_INET, socket.AF_INET6):
        taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return taken


def _head(status: str, headers: list[tuple[str, str]]) -> bytes:
    number = int(status.split(" ", 1)[0])
    upgraded = number == HTTPStatus.SWITCHING_PROTOCOLS
    # Flask adds these two by itself; a stream has no length, and frames have no type.
    left_out = {"content-length"} | ({"content-type"} if upgraded else set())
    lines = [f"HTTP/1.1 {number} {HTTPStatus(number).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers if name.lower() not in left_out]
    if not upgraded:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
