"""secure: TLS of one connection of the HTTP server, in steps that wait for nobody.

A handshake goes on whenever bytes have come; meanwhile the connection needs no thread.
"""

from __future__ import annotations

import logging
import select
import socket
import ssl
import threading
import time
from contextlib import suppress
from typing import Any, Literal

import orjson

from api import errors
from orchestry.errors import Code

logger = logging.getLogger(__name__)

HANDSHAKE_S = 10.0
SEND_SILENCE_S = 10.0
SEND_WAIT_MS = 1000
LINGER_S = 0.5
LINGERING_MAX = 8
_lingering = threading.BoundedSemaphore(LINGERING_MAX)
_NEEDS_A_WORD = frozenset({
    "PEER_DID_NOT_RETURN_A_CERTIFICATE", "CERTIFICATE_VERIFY_FAILED",
})
_CLIENT_HELLO = b"\x16"

Step = Literal["open", "wait", "closed"]


class TlsSocket:
    """What gunicorn takes for a socket; `take` leaves it with one that leads nowhere."""

    def __init__(self, inner: ssl.SSLSocket) -> None:
        self._inner: ssl.SSLSocket | socket.socket = inner
        self.until_s = time.monotonic() + HANDSHAKE_S

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def take(self) -> ssl.SSLSocket:
        """The connection, which belongs to the caller from now on."""
        inner = self._inner
        assert isinstance(inner, ssl.SSLSocket)
        self._inner, other = socket.socketpair()
        other.close()
        return inner

    def setblocking(self, flag: bool) -> None:
        """Blocking means: until the peer has taken nothing for SEND_SILENCE_S."""
        self._inner.settimeout(SEND_SILENCE_S if flag else 0)

    def recv(self, size: int, flags: int = 0) -> bytes:
        """As that of a socket, BlockingIOError included."""
        if not flags & socket.MSG_DONTWAIT:
            return self._inner.recv(size)
        timeout_s = self._inner.gettimeout()
        self._inner.settimeout(0)
        try:
            return self._inner.recv(size)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            raise BlockingIOError from error
        finally:
            self._inner.settimeout(timeout_s)

    def waiting(self) -> bool:
        """Whether there is something to read: decrypted already, or in the system's buffer."""
        inner = self._inner
        return (isinstance(inner, ssl.SSLSocket) and inner.pending() > 0) or _readable(inner)

    def shutdown(self, how: int) -> None:
        """Say that nothing more comes, so that the peer knows that nothing was cut off."""
        say_goodbye(self._inner)
        self._inner.shutdown(how)

    def close(self) -> None:
        """The same, and close."""
        say_goodbye(self._inner)
        self._inner.close()


def say_goodbye(sock: socket.socket) -> None:
    """TLS's own end of a connection, without waiting for the peer's."""
    if isinstance(sock, ssl.SSLSocket) and sock.fileno() >= 0:
        with suppress(OSError, ValueError):
            sock.settimeout(0)
            sock.unwrap()


def unread(sock: Any) -> bool:
    """Whether bytes of the next request were decrypted already, of which no poll tells."""
    return isinstance(sock, TlsSocket) and sock.waiting()


def step(conn: Any, context: ssl.SSLContext) -> Step:
    """Go on with the handshake of a connection that has become readable."""
    try:
        if not isinstance(conn.sock, TlsSocket):
            first = conn.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            if first != _CLIENT_HELLO:
                if first:
                    # It has sent its request in the clear already.
                    _tell(conn.sock, "this port speaks HTTPS only: begin the address with https://")
                return "closed"
            conn.sock.getpeername()  # the wrapper of a connection that is gone would be left open
            conn.sock = TlsSocket(context.wrap_socket(
                conn.sock, server_side=True, do_handshake_on_connect=False))
        return _shake(conn.sock)
    except BlockingIOError:
        return "wait"
    except OSError as error:
        # Also what scanners and clients without our CA do: no news for anybody else.
        logger.debug("a TLS handshake failed: %s", error)
        if getattr(error, "reason", None) in _NEEDS_A_WORD:
            _linger(conn.sock)
        return "closed"


def _linger(sock: TlsSocket) -> None:
    """Let the client read why: closing over the request that it sent would reset that away."""
    if not _lingering.acquire(blocking=False):
        return
    until_s = time.monotonic() + LINGER_S
    try:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
            sock.settimeout(LINGER_S)
            while time.monotonic() < until_s and sock.recv(65536):
                pass
    finally:
        _lingering.release()


def refused(sock: socket.socket) -> bool:
    """Answer plain HTTP to a client that wants TLS and would otherwise wait; else False."""
    with suppress(BlockingIOError):
        if sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == _CLIENT_HELLO:
            _tell(sock, "this port speaks plain HTTP: begin the address with http://")
            return True
    return False


def _shake(sock: TlsSocket) -> Step:
    if time.monotonic() > sock.until_s:
        return "closed"
    sock.setblocking(False)
    try:
        sock.do_handshake()
    except ssl.SSLWantReadError:
        return "wait"
    except ssl.SSLWantWriteError:
        # The first answer fits into any send buffer; a peer that keeps it full is left.
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLOUT)
        return _shake(sock) if poll.poll(SEND_WAIT_MS) else "closed"
    return "open"


def _readable(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _tell(sock: socket.socket, why: str) -> None:
    body = orjson.dumps(errors.body(Code.VALIDATION_ERROR, why))
    head = (f"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n")
    sock.settimeout(SEND_SILENCE_S)
    sock.sendall(head.encode() + body)
    sock.shutdown(socket.SHUT_WR)
    sock.settimeout(0)
    with suppress(BlockingIOError):
        sock.recv(65536)  # unread bytes would reset the answer away
