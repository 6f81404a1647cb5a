"""Peers: what a slow or silent client may cost the threads that read requests."""

from __future__ import annotations

import select
import socket
import threading
import time

from gunicorn.http.unreader import SocketUnreader

SILENCE_S = 10
REQUEST_S = 30
# Requests that are there as a whole need no place, so that slow peers slow down each other only.
SLOW_PEERS_MAX = 32
PLACE_WAIT_S = 0.2

_places = threading.BoundedSemaphore(SLOW_PEERS_MAX)


class BoundedUnreader(SocketUnreader):  # type: ignore[misc]
    """Reads a request that must come within REQUEST_S, with no pause longer than SILENCE_S.

    At most SLOW_PEERS_MAX threads wait for the rest of a request. A peer that is too slow
    is from then on read as one that has closed the connection, so that what it sends later
    is never taken for another request.
    """

    def __init__(self, peer: socket.socket) -> None:
        super().__init__(peer)
        self._deadline_s = 0.0
        self.given_up = False

    def begin(self) -> None:
        """A request begins."""
        self._deadline_s = time.monotonic() + REQUEST_S

    def chunk(self) -> bytes:
        """The next bytes; none when the peer has closed, or is too slow."""
        if self.given_up or time.monotonic() > self._deadline_s:
            self.given_up = True
            return b""
        while True:
            try:
                # Most requests lie there as a whole: one system call, and no wait for the GIL.
                return bytes(self.sock.recv(self.mxchunk, socket.MSG_DONTWAIT))
            except BlockingIOError:
                pass  # also when half a record of TLS has come
            if not self._waited() or time.monotonic() > self._deadline_s:
                self.given_up = True
                return b""

    def _waited(self) -> bool:
        if not _places.acquire(timeout=PLACE_WAIT_S):
            return self._readable(0)
        try:
            return self._readable(min(SILENCE_S, self._deadline_s - time.monotonic()))
        finally:
            _places.release()

    def _readable(self, timeout_s: float) -> bool:
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(max(0.0, timeout_s) * 1000))
