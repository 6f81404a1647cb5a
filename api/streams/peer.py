"""Peer: the client of one stream, on the hub's thread; bounded, whatever it does."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol, cast

from api.streams.wire import DENIED, NORMAL, TOO_SLOW, Heard, Message, Wire

QUEUE_BYTES_MAX = 256 * 1024
"""What may wait for one client beyond the buffers of the system."""
PAST_BYTES_MAX = 64 * 1024**2
BUFFER_BYTES = 64 * 1024
ANSWERS_BYTES_MAX = 64 * 1024
PING_S = 20.0
STALL_S = 30.0
"""A client that takes nothing for so long is too slow, however little waits for it."""
LINGER_S = 5.0


class Budget:
    """What all clients of a node together may have waiting of the past."""

    def __init__(self, size_bytes: int = PAST_BYTES_MAX) -> None:
        self.left_bytes = size_bytes


class Feed(Protocol):
    """What one stream tells; called on the hub's thread only."""

    def drained(self) -> None:
        """All that was sent is on its way: there is room for more."""

    def close(self) -> None:
        """The client is gone."""


class Peer(asyncio.Protocol):
    """Sends messages in order; drops the client with 1013 instead of keeping more than it may."""

    def __init__(
        self, wire: Wire, head: bytes, *, begin: Callable[[Peer], Feed],
        gone: Callable[[Peer], None], now_s: Callable[[], float], budget: Budget,
    ) -> None:
        self._wire = wire
        self._head = head
        self._begin = begin
        self._gone = gone
        self._now_s = now_s
        self._budget = budget
        self._transport: asyncio.Transport | None = None
        self._feed: Feed | None = None
        self._queue: deque[tuple[bytes, bool]] = deque()
        self._queued_bytes = 0
        self._paused = False
        self._since_s = 0.0
        self._ping_s = 0.0
        self._end_s: float | None = None
        self.close_code: int | None = None
        self.allowed: Callable[[], bool] = lambda: True
        """Asked at each tick: a stream ends with its client's right to it."""
        self.hear: Callable[[Heard], None] | None = None
        """Is told what the client says, where the wire listens."""
        self.stall_s, self.linger_s = STALL_S, LINGER_S
        self._deaf = False

    # -- asyncio -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ours: answer, and begin to tell."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=BUFFER_BYTES)
        self._ping_s = self._now_s() + PING_S
        self._transport.write(self._head + self._wire.begin)
        self._feed = self._begin(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client went, or we ended."""
        self._forget()
        if self._feed is not None:
            self._feed.close()
        self._gone(self)

    def data_received(self, data: bytes) -> None:
        """What the client says."""
        assert self._transport is not None
        out, goes_on = self._wire.received(data)
        for message in self._wire.heard():
            if self.hear is not None and not self.closing:
                self.hear(message)
        if out:
            self._transport.write(out)
        if not goes_on:
            self.close_code = self.close_code or NORMAL
            self._end_s = self._end_s or self._now_s() + self.linger_s
            self._transport.close()
        elif out and self._transport.get_write_buffer_size() > 3 * BUFFER_BYTES + ANSWERS_BYTES_MAX:
            self._transport.abort()  # asks for pongs and does not read them

    def eof_received(self) -> bool:
        """The client will say no more, and so is gone."""
        return False

    def pause_writing(self) -> None:
        """The system takes no more for now."""
        self._paused, self._since_s = True, self._now_s()

    def resume_writing(self) -> None:
        """The client has read."""
        self._paused = False
        self._pump()

    # -- for feeds ---------------------------------------------------------------------

    @property
    def closing(self) -> bool:
        """Nothing more will be sent."""
        return self._end_s is not None or self._transport is None

    @property
    def busy(self) -> bool:
        """What is sent now would wait."""
        return self._paused

    def listen(self, *, deaf: bool = False) -> None:
        """Take what the client says, or let it wait."""
        self._deaf = deaf
        if self._transport is None or self._transport.is_closing():
            return
        if deaf:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def send(self, messages: Sequence[Message]) -> None:
        """What just happened; a client that is too far behind is dropped."""
        self._put(messages, live=True)
        if self._queued_bytes > QUEUE_BYTES_MAX:
            self.close(TOO_SLOW, "this client reads too slowly; resume where it stopped")

    def send_past(self, messages: Sequence[Message]) -> None:
        """What is asked for from the past, bounded by the asker: sent as the client reads."""
        self._put(messages, live=False)

    def _put(self, messages: Sequence[Message], *, live: bool) -> None:
        if self.closing:
            return
        for message in messages:
            data = self._wire.encode(message)
            self._queue.append((data, live))
            if live:
                self._queued_bytes += len(data)
            else:
                self._budget.left_bytes -= len(data)
        if self._budget.left_bytes < 0 and not live:
            self.close(TOO_SLOW, "too many clients read what is past; try again, or ask for less")
        elif not self._paused:
            self._pump()

    def close(self, code: int, reason: str) -> None:
        """End the stream after what is on its way; what waits is dropped."""
        if self.closing:
            return
        assert self._transport is not None
        self._forget()
        self.close_code = code
        self._end_s = self._now_s() + self.linger_s
        self.listen()
        self._transport.write(self._wire.close(code, reason))
        if not self._wire.patient:
            self._transport.close()

    def _forget(self) -> None:
        self._budget.left_bytes += sum(len(data) for data, live in self._queue if not live)
        self._queue.clear()
        self._queued_bytes = 0

    def _pump(self) -> None:
        assert self._transport is not None
        while self._queue and not self._paused and not self.closing:
            batch, size = [], 0
            while self._queue and size < BUFFER_BYTES:
                data, live = self._queue.popleft()
                if live:
                    self._queued_bytes -= len(data)
                else:
                    self._budget.left_bytes += len(data)
                batch.append(data)
                size += len(data)
            self._transport.write(batch[0] if len(batch) == 1 else b"".join(batch))
        if self._feed is not None and not self._queue and not self._paused and not self.closing:
            self._feed.drained()

    def abort(self) -> None:
        """End at once."""
        if self._transport is not None:
            self._transport.abort()

    # -- for the hub -------------------------------------------------------------------

    def tick(self, now_s: float) -> None:
        """Ping, and end what takes too long."""
        if self._transport is None:
            return
        if self._end_s is not None:
            if now_s >= self._end_s:
                self._transport.abort()
        elif not self.allowed():
            self.close(DENIED, "the token was revoked, or has expired")
        elif self._paused:
            if now_s >= self._since_s + self.stall_s:
                self.close(TOO_SLOW, "this client has read nothing for too long")
        elif now_s >= self._ping_s:
            self._ping_s = now_s + PING_S
            ping = self._wire.ping(deaf=self._deaf)
            if ping is None:
                self._transport.abort()
            else:
                self._transport.write(ping)
