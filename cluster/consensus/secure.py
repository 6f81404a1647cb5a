"""TlsLink: TLS on a connection of PySyncObj, which takes it for the socket that it was.

Never blocks: a handshake goes on with each receive, and until it is done both ways say that
they would block, as a full or an empty socket does.
Source: docs/adr/0023-tls.md.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from cluster.tls.certificates import Facts, facts_of
from cluster.tls.errors import TlsError
from cluster.tls.identity import Identity

T = TypeVar("T")
Mode = Literal["off", "both", "on"]

ENDED = "it ended our TLS handshake; is its CLUSTER_TLS off, or another program at its port?"
HELLO = b"\x16\x03"
DECIDED_BYTES = 3
"""TLS begins with HELLO and a byte that is not 0; a frame of ours that does is longer than a
stranger may send."""
_PLAIN = frozenset({"WRONG_VERSION_NUMBER", "UNSUPPORTED_PROTOCOL", "RECORD_LAYER_FAILURE"})


@dataclass(frozen=True, slots=True)
class RaftTls:
    """Whether controllers talk over TLS, and as whom."""

    mode: Mode
    identity: Identity

    def wrap(self, sock: socket.socket, *, server_side: bool) -> ssl.SSLSocket:
        """Begin TLS with what holds now; nothing is sent or read yet."""
        contexts = self.identity.contexts
        context = contexts.raft_server if server_side else contexts.raft_client
        assert context is not None
        sock.getpeername()  # the wrapper of a connection that is gone would be left open
        return context.wrap_socket(sock, server_side=server_side, do_handshake_on_connect=False)


def begins_tls(data: bytes) -> bool:
    """Whether a connection's first bytes are those of TLS."""
    return data.startswith(HELLO) and data[len(HELLO):DECIDED_BYTES] > b"\0"


class TlsLink:
    """`opened` is told the peer's certificate, and says why it is refused, else "".

    `failed` is told why there is no TLS with this peer. `ready` is called once the handshake is
    done: what is sent before would keep the library busy, for a socket can nearly always be
    written to.
    """

    def __init__(
        self, sock: socket.socket, tls: RaftTls, *, server_side: bool,
        opened: Callable[[Facts], str], failed: Callable[[str], None],
        ready: Callable[[], None],
    ) -> None:
        self._tls = tls
        self._opened = opened
        self._failed = failed
        self._ready = ready
        self._open = self._closed = False
        self.facts: Facts | None = None
        self._sock: socket.socket = sock
        # Who accepts both looks at the first bytes before it decides.
        self._undecided = server_side and tls.mode == "both"
        if self._undecided:
            # Fewer bytes, which are looked at and left, would wake the poller without end.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, DECIDED_BYTES)
        else:
            self._sock = tls.wrap(sock, server_side=server_side)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def close(self) -> None:
        """Close the socket."""
        self._closed = True
        self._sock.close()

    def start(self) -> None:
        """Begin the handshake, if it is ours to begin.

        Raises:
            OSError: the connection is gone.
        """
        if isinstance(self._sock, ssl.SSLSocket) and not self._sock.server_side:
            with contextlib.suppress(BlockingIOError):
                self._begin()

    def send(self, data: bytes) -> int:
        """As that of a socket that does not block."""
        if not self._open:
            raise _would_block()
        return self._done(lambda: self._sock.send(data))

    def recv(self, size: int) -> bytes:
        """As that of a socket that does not block."""
        if not self._open:
            self._begin()
            self._ready()
            if self._closed:
                raise _would_block()
        return self._done(lambda: self._sock.recv(size))

    def _begin(self) -> None:
        if self._undecided:
            first = self._sock.recv(DECIDED_BYTES, socket.MSG_PEEK)
            if len(first) < DECIDED_BYTES:
                raise ConnectionResetError(errno.ECONNRESET, "it ended before it began")
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
            self._undecided = False
            if not begins_tls(first):
                self._open = True
                return
            self._sock = self._tls.wrap(self._sock, server_side=True)
        sock = self._sock
        assert isinstance(sock, ssl.SSLSocket)
        ours = not sock.server_side and self._tls.mode == "on"
        self._done(sock.do_handshake, ENDED if ours else "")
        try:
            self.facts = facts_of(sock.getpeercert(binary_form=True) or b"")
            reason = self._opened(self.facts)
        except TlsError as error:
            reason = error.reason
        if reason:
            self._failed(reason)
            raise ConnectionResetError(errno.ECONNRESET, reason)
        self._open = True

    def _done(self, step: Callable[[], T], ended: str = "") -> T:
        """The outcome of a step; `ended` is what it means when the connection just ended."""
        try:
            return step()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            raise _would_block() from error
        except (ssl.SSLError, ConnectionError) as error:
            reason = (why(error) if isinstance(error, ssl.SSLError) else "") or ended
            if reason:
                self._failed(reason)
            raise ConnectionResetError(errno.ECONNRESET, str(error)) from error


def why(error: ssl.SSLError) -> str:
    """What a failure means, for people; "" for a connection that just ended."""
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return ""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (f"its certificate is not valid: {error.verify_message.rstrip('.')}; "
                "see ORCHESTRY_TLS_CERT there and ORCHESTRY_TLS_CA here")
    reason = str(error.reason or error)
    if "ALERT" in reason:
        said = reason.rpartition("ALERT_")[2].replace("_", " ").lower()
        return (f"it refuses our certificate: {said}; see ORCHESTRY_TLS_CERT here and "
                "ORCHESTRY_TLS_CA there")
    if reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return "it shows no certificate; set ORCHESTRY_TLS_CERT there"
    if reason in _PLAIN:
        return "it does not speak TLS; set CLUSTER_TLS alike on all controllers"
    return f"TLS failed: {reason.replace('_', ' ').lower()}"


def _would_block() -> BlockingIOError:
    return BlockingIOError(errno.EAGAIN, "the TLS handshake goes on")
