"""Wire: what goes over the socket of a stream, as WebSocket frames or as server-sent events.

Sources: RFC 6455; "Server-sent events" in the HTML standard.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

import orjson
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

INCOMING_BYTES_MAX = 4096
"""Most clients have nothing to tell but pongs and a close."""
PINGS_MISSED_MAX = 3
"""Of a client that is listened to, which may be slow in reading."""

Heard = tuple[bool, bytes]
"""What a client said: whether it is binary, and the message."""
RECONNECT_MS = 1000
REASON_BYTES_MAX = 123
GOING_AWAY = 1001
DENIED = 1008
FAILED = 1011
TOO_SLOW = 1013
NORMAL = 1000


@dataclass(slots=True)
class Message:
    """One JSON object, encoded once for all who get it; `id` is where a stream may resume.

    Only over a WebSocket it may be `binary`.
    """

    data: bytes
    id: int | None = None
    binary: bool = False
    _frame: bytes = field(default=b"", repr=False)
    _text: bytes = field(default=b"", repr=False)

    @property
    def frame(self) -> bytes:
        """As a WebSocket frame; a server's are not masked, so all clients get the same."""
        if not self._frame:
            kind = Opcode.BINARY if self.binary else Opcode.TEXT
            self._frame = Frame(kind, self.data).serialize(mask=False)
        return self._frame

    @property
    def text(self) -> bytes:
        """As a server-sent event; JSON has no line breaks."""
        if not self._text:
            head = b"" if self.id is None else b"id: %d\n" % self.id
            self._text = head + b"data: " + self.data + b"\n\n"
        return self._text


class Wire(Protocol):
    """One way to speak to a client; bytes in, bytes out, no socket."""

    begin: bytes
    """What follows the response's head."""
    patient: bool
    """Whether the client closes the connection after `close`, and may be waited for."""

    def encode(self, message: Message) -> bytes:
        """A message."""

    def ping(self, *, deaf: bool = False) -> bytes | None:
        """Something that keeps proxies from closing; None when the last was not answered.

        While we are `deaf` no answer is expected.
        """

    def close(self, code: int, reason: str) -> bytes:
        """The last words."""

    def received(self, data: bytes) -> tuple[bytes, bool]:
        """What to answer to the client's bytes, and whether the stream goes on."""

    def heard(self) -> list[Heard]:
        """The messages that came since, where they are listened to."""


class Refused(Exception):
    """The client's handshake is no valid one; `reason` is for people."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class WebSocketWire:
    """RFC 6455 by the library's protocol without I/O; no extension, no subprotocol.

    With `listens_bytes_max` the client's messages, up to that size, are kept to be heard.
    """

    begin = b""
    patient = True

    def __init__(
        self, target: str, headers: Iterable[tuple[str, str]], *, listens_bytes_max: int = 0
    ) -> None:
        """Check the handshake of a request that was read already.

        Raises:
            Refused: it is no valid one.
        """
        self._protocol = ServerProtocol(max_size=listens_bytes_max or INCOMING_BYTES_MAX)
        lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
        self._protocol.receive_data("\r\n".join([*lines, "", ""]).encode("latin-1"))
        events = self._protocol.events_received()
        if not events or not isinstance(events[0], Request):
            raise Refused("the request is no WebSocket handshake")
        response = self._protocol.accept(events[0])
        if response.status_code != 101:
            reason = self._protocol.handshake_exc
            raise Refused(f"the WebSocket handshake is not valid: {reason}")
        self.response_headers = [
            (name, value) for name, value in response.headers.raw_items() if name != "Date"]
        self._protocol.send_response(response)
        self._protocol.data_to_send()
        self._listens = listens_bytes_max > 0
        self._missed_max = PINGS_MISSED_MAX if self._listens else 0
        self._missed = 0
        self._heard: list[Heard] = []
        self._pieces: list[bytes] = []
        self._binary = False

    def encode(self, message: Message) -> bytes:
        """A text frame."""
        return message.frame

    def ping(self, *, deaf: bool = False) -> bytes | None:
        """A ping frame, which the client has to answer before the next.

        Of one that is listened to, whatever it says is an answer.
        """
        if self._missed > self._missed_max and not deaf:
            return None
        self._missed = 0 if deaf else self._missed + 1
        self._protocol.send_ping(b"")
        return self._out()

    def close(self, code: int, reason: str) -> bytes:
        """A close frame; the client answers with its own and closes."""
        if self._protocol.state is not State.OPEN:
            return b""
        short = reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore")
        self._protocol.send_close(code, short)
        return self._out()

    def received(self, data: bytes) -> tuple[bytes, bool]:
        """Pongs to pings, and the answer to a close; what else clients say is not looked at."""
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if not isinstance(event, Frame):
                continue
            if event.opcode is Opcode.PONG or self._listens:
                self._missed = 0
            if self._listens and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._add(event)
        return self._out(), self._protocol.state is State.OPEN

    def heard(self) -> list[Heard]:
        """What the client said."""
        found, self._heard = self._heard, []
        return found

    def _add(self, frame: Frame) -> None:
        """A message may come in several frames."""
        if frame.opcode is not Opcode.CONT:
            self._binary = frame.opcode is Opcode.BINARY
        if frame.data:  # of empty ones there may be any number
            self._pieces.append(bytes(frame.data))
        if frame.fin:
            self._heard.append((self._binary, b"".join(self._pieces)))
            self._pieces.clear()

    def _out(self) -> bytes:
        return b"".join(self._protocol.data_to_send())


class SseWire:
    """Text for EventSource; unnamed events, so that `onmessage` gets them.

    `chunked` is for HTTP/1.1: many clients hold small pieces of a body back without it.
    """

    patient = False

    def __init__(self, *, chunked: bool) -> None:
        self._chunked = chunked
        self.begin = self._piece(b"retry: %d\n\n" % RECONNECT_MS)

    def encode(self, message: Message) -> bytes:
        """An event."""
        return self._piece(message.text)

    def ping(self, *, deaf: bool = False) -> bytes | None:
        """A comment."""
        return self._piece(b": ping\n\n")

    def close(self, code: int, reason: str) -> bytes:
        """An event named `close`, since the connection's end alone has no reason."""
        last = orjson.dumps({"code": code, "reason": reason})
        end = b"0\r\n\r\n" if self._chunked else b""
        return self._piece(b"event: close\ndata: %s\n\n" % last) + end

    def received(self, data: bytes) -> tuple[bytes, bool]:
        """Clients have nothing to say here."""
        return b"", True

    def heard(self) -> list[Heard]:
        """Nothing."""
        return []

    def _piece(self, text: bytes) -> bytes:
        return b"%x\r\n%s\r\n" % (len(text), text) if self._chunked else text
