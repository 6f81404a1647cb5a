"""Server-sent events from bytes that come in pieces; pure.

Source: "Server-sent events" in the HTML standard, the parts that controllers use.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

EVENT_BYTES_MAX = 1024**2


@dataclass(slots=True)
class Event:
    """One event; controllers name only the last one of a stream, `close`."""

    name: str = "message"
    data: str = ""


@dataclass(slots=True)
class Parser:
    """What is left of the pieces so far: an event, and a line of it, that go on."""

    _rest: bytes = b""
    _name: str = "message"
    _data: list[bytes] = field(default_factory=list)
    _bytes: int = 0

    def push(self, piece: bytes) -> Iterator[Event]:
        """The events that this piece completes.

        Raises:
            ValueError: an event has more than EVENT_BYTES_MAX.
        """
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            yield from self._line(line.removesuffix(b"\r"))
        self._check(len(self._rest))

    def _line(self, line: bytes) -> Iterator[Event]:
        if not line:
            event = Event(self._name, b"\n".join(self._data).decode(errors="replace"))
            if self._data:
                yield event
            self._name, self._data, self._bytes = "message", [], 0
            return
        self._bytes += len(line)
        self._check(0)
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._name = value.decode(errors="replace")

    def _check(self, more: int) -> None:
        if self._bytes + more > EVENT_BYTES_MAX:
            raise ValueError(f"an event has more than {EVENT_BYTES_MAX} bytes")
