"""SocketTransport: a connection that begun elsewhere, for a protocol of asyncio.

With TLS asyncio's own transport would want a handshake of its own. Without, it drops what has
come already as soon as the other side takes no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from typing import Any

from api.secure import say_goodbye

RECEIVE_BYTES = 64 * 1024
RECORD_BYTES = 17 * 1024


class SocketTransport(asyncio.Transport):
    """Owns the socket, with or without TLS; every method belongs to the loop's thread.

    With `reads_on` it ends when nothing more comes, also when nothing more is taken before.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, protocol: asyncio.Protocol, *,
        reads_on: bool = False,
    ) -> None:
        super().__init__()
        self._loop = loop
        self._sock = sock
        self._protocol = protocol
        self._reads_on = reads_on
        self._mute = False
        self._waiting = bytearray()
        self._high, self._low = 64 * 1024, 16 * 1024
        self._paused = False
        self._deaf = False
        self._eof = False
        self._farewell = b""
        self._closing = False
        self._lost = False
        sock.setblocking(False)
        loop.call_soon(self._begin)

    def _begin(self) -> None:
        self._protocol.connection_made(self)
        if not self._closing and not self._deaf:
            self._loop.add_reader(self._sock.fileno(), self._readable)
            self._readable()  # of what was decrypted already no poll tells

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Nothing but the socket."""
        return self._sock if name == "socket" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """When the protocol is paused, and when it goes on."""
        self._high = self._high if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_write_buffer_size(self) -> int:
        """How much waits for the system."""
        return len(self._waiting)

    def is_closing(self) -> bool:
        """Nothing more is taken."""
        return self._closing

    def pause_reading(self) -> None:
        """Let what comes wait."""
        if not self._deaf and not self._closing:
            self._deaf = True
            self._loop.remove_reader(self._sock.fileno())

    def resume_reading(self) -> None:
        """Take it again."""
        if self._deaf and not self._closing:
            self._deaf = False
            self._loop.add_reader(self._sock.fileno(), self._readable)
            self._loop.call_soon(self._readable)  # some may be decrypted already

    def can_write_eof(self) -> bool:
        """The end of one direction is told apart from that of the other."""
        return True

    def write_eof(self) -> None:
        """Send what waits, and then that no more comes."""
        if self._lost or self._eof or self._mute:
            return
        self._eof = True
        if not self._waiting:
            self._send_eof()

    def _send_eof(self) -> None:
        self._eof = False
        if not isinstance(self._sock, ssl.SSLSocket):
            with contextlib.suppress(OSError):  # it is over already
                self._sock.shutdown(socket.SHUT_WR)
            return
        self._farewell = self._farewell or _close_notify(self._sock)
        try:
            sent = socket.socket.send(self._sock, self._farewell) if self._farewell else 0
        except BlockingIOError:  # what was written last fills the system's buffer
            sent = 0
        except OSError as error:
            self._refused(error)
            return
        self._farewell = self._farewell[sent:]
        if self._farewell:
            self._eof = True
            self._loop.add_writer(self._sock.fileno(), self._writable)

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Send now what the system takes, the rest when it takes more."""
        if self._closing or self._mute or not data:
            return
        first = not self._waiting
        self._waiting += data
        if first:
            self._send()
            if self._waiting and not self._lost:
                self._loop.add_writer(self._sock.fileno(), self._writable)
        if len(self._waiting) > self._high and not self._paused and not self._lost:
            self._paused = True
            self._protocol.pause_writing()

    def close(self) -> None:
        """Send what waits, and end."""
        if self._closing:
            return
        self._closing = True
        self._loop.remove_reader(self._sock.fileno())
        if not self._waiting:
            self._lose(None)

    def abort(self) -> None:
        """End at once."""
        self._lose(None)

    def _send(self) -> None:
        sent = 0
        try:
            with memoryview(self._waiting) as view:
                while sent < len(view):
                    sent += self._sock.send(view[sent:])
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        except OSError as error:
            self._refused(error)
            sent = len(self._waiting)
        del self._waiting[:sent]

    def _refused(self, error: OSError) -> None:
        """What we send is taken no more."""
        if self._closing or not self._reads_on:
            self._lose(error)
        self._mute = True

    def _writable(self) -> None:
        self._send()
        if self._lost:
            return
        if not self._waiting:
            self._loop.remove_writer(self._sock.fileno())
            if self._eof and not self._mute:
                self._send_eof()
        if self._paused and len(self._waiting) <= self._low:
            self._paused = False
            self._protocol.resume_writing()
        if self._closing and not self._waiting:
            self._lose(None)

    def _readable(self) -> None:
        while not self._closing and not self._deaf:
            try:
                data = self._sock.recv(RECEIVE_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError as error:
                self._lose(error)
                return
            if not data:
                if self._reads_on:
                    self._lose(None)  # what waits for the other side is not wanted any more
                elif not self._protocol.eof_received():
                    self.close()
                return
            self._protocol.data_received(data)
            if not self._lost and not self._pending():
                return

    def _pending(self) -> bool:
        return isinstance(self._sock, ssl.SSLSocket) and self._sock.pending() > 0

    def _lose(self, error: OSError | None) -> None:
        if self._lost:
            return
        self._lost = self._closing = True
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._loop.call_soon(self._end, error)

    def _end(self, error: OSError | None) -> None:
        self._waiting.clear()
        if error is None:
            say_goodbye(self._sock)
        self._sock.close()
        self._protocol.connection_lost(error)


def _close_notify(sock: ssl.SSLSocket) -> bytes:
    """The record that says that no more comes, to be sent; nothing of what came is read.

    `unwrap` looks for the other's end as well, and what came in its place is lost: so it has
    another connection under it meanwhile, on which nothing comes.
    """
    inner, outer = socket.socketpair()
    fd = sock.fileno()
    kept = os.dup(fd)
    try:
        inner.setblocking(False)
        outer.setblocking(False)
        os.dup2(inner.fileno(), fd, inheritable=False)
        try:
            with contextlib.suppress(OSError, ValueError):  # the other's end does not come
                sock.unwrap()
        finally:
            os.dup2(kept, fd, inheritable=False)
        try:
            return outer.recv(RECORD_BYTES)
        except BlockingIOError:
            return b""
    finally:
        os.close(kept)
        inner.close()
        outer.close()
