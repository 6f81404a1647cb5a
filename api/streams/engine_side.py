"""EngineSide: the connection to a command in a container, on the hub's thread."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Protocol, cast

from cluster.engine.execution import END_OF_INPUT, Execution, Splitter

BUFFER_BYTES = 64 * 1024
PIECE_BYTES_MAX = 32 * 1024


class Side(Protocol):
    """Who is told of it."""

    def opened(self) -> None:
        """The engine's connection is ours."""

    def output(self, pieces: Sequence[tuple[int, bytes]]) -> None:
        """What the command wrote."""

    def full(self, *, full: bool) -> None:
        """Whether the command takes no more for now."""

    def ended(self) -> None:
        """The engine's connection is over."""


class EngineSide(asyncio.Protocol):
    """What is written to it waits until the command reads; what comes is told at once."""

    def __init__(self, feed: Side, execution: Execution, *, terminal: bool) -> None:
        self._feed = feed
        self._first = execution.first
        self._terminal = terminal
        self._splitter = Splitter(terminal=terminal)
        self._transport: asyncio.Transport | None = None
        self._input_ended = self._left = False

    @property
    def is_open(self) -> bool:
        """Whether it takes input."""
        return not self._left and self._transport is not None and (
            not self._transport.is_closing())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is ours."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=BUFFER_BYTES)
        if self._first:
            self._feed.output(self._splitter.feed(self._first))
        self._feed.opened()

    def data_received(self, data: bytes) -> None:
        """The command writes."""
        if self._left:
            return
        self._feed.output(self._splitter.feed(data))

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._feed.ended()

    def pause_writing(self) -> None:
        """The command reads too slowly."""
        self._feed.full(full=True)

    def resume_writing(self) -> None:
        """It has read."""
        self._feed.full(full=False)

    def listen(self, *, deaf: bool = False) -> None:
        """Take what the command writes, or let it wait."""
        if self._left or self._transport is None or self._transport.is_closing():
            return
        if deaf:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def write(self, data: bytes) -> None:
        """Input."""
        if self._transport is not None and not self._input_ended:
            self._transport.write(data)

    def end_input(self) -> None:
        """There is no more."""
        if self._transport is None or self._input_ended:
            return
        self._input_ended = True
        if self._terminal:
            self._transport.write(END_OF_INPUT)
        else:
            self._transport.write_eof()

    def leave(self) -> bool:
        """The client is gone: the input ends; False when that was done already.

        A connection that is closed with output unread takes the last input with it, so that of a
        terminal stays open until the command ends, or `abort` is called.
        """
        if self._left or self._transport is None or self._transport.is_closing():
            return False
        self.listen()
        self._left = True
        if self._terminal:
            self.end_input()
        else:
            self._transport.close()
        return True

    def abort(self) -> None:
        """It does not take what it was sent."""
        if self._transport is not None:
            self._transport.abort()


def joined(pieces: Sequence[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Neighbours of one channel as one, since a command may write byte by byte, up to
    PIECE_BYTES_MAX."""
    found: list[tuple[int, list[bytes]]] = []
    for channel, piece in pieces:
        if found and found[-1][0] == channel:
            found[-1][1].append(piece)
        else:
            found.append((channel, [piece]))
    for channel, parts in found:
        whole = b"".join(parts)
        for at in range(0, len(whole), PIECE_BYTES_MAX):
            yield channel, whole[at:at + PIECE_BYTES_MAX]
