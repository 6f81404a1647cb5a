"""A client's side of WebSockets: the handshake and frames; touches no network.

Source: RFC 6455. No extension, no subprotocol.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator, Mapping

CONTINUED, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MESSAGE_BYTES_MAX = 1024**2
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_NO_STATUS = 1005


class ProtocolError(Exception):
    """The other side does not speak as it should."""


def new_key() -> str:
    """What a handshake is known by."""
    return base64.b64encode(os.urandom(16)).decode()


def handshake(key: str) -> dict[str, str]:
    """The headers that ask for a WebSocket."""
    return {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": key,
            "Sec-WebSocket-Version": "13"}


def accepts(key: str, headers: Mapping[str, str]) -> bool:
    """Whether an answer with status 101 is one to this handshake."""
    digest = hashlib.sha1(f"{key}{_GUID}".encode(), usedforsecurity=False).digest()
    return headers.get("Sec-WebSocket-Accept", "").strip() == base64.b64encode(digest).decode()


def frame(opcode: int, data: bytes) -> bytes:
    """A whole message, masked as a client's must be."""
    size = len(data)
    if size < 126:
        head = bytes([0x80 | opcode, 0x80 | size])
    elif size < 65_536:
        head = bytes([0x80 | opcode, 0x80 | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([0x80 | opcode, 0x80 | 127]) + size.to_bytes(8, "big")
    mask = os.urandom(4)
    return head + mask + _masked(mask, data)


def _masked(mask: bytes, data: bytes) -> bytes:
    size = len(data)
    whole = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(whole, "big")).to_bytes(size, "big")


def closing(data: bytes) -> tuple[int, str]:
    """Code and reason of a close frame."""
    if len(data) < 2:
        return _NO_STATUS, ""
    return int.from_bytes(data[:2], "big"), data[2:].decode("utf-8", "replace")


class Parser:
    """A server's bytes, as they come, into messages; keeps one of MESSAGE_BYTES_MAX at most."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._pieces = bytearray()
        self._kind = CONTINUED

    def push(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The messages and control frames that this completes: opcode and data.

        Raises:
            ProtocolError: it is masked, too large, or broken otherwise.
        """
        self._buffer += data
        while (found := self._frame()) is not None:
            first, data = found
            opcode = first & 0x0F
            if opcode >= CLOSE:
                yield opcode, data
                continue
            if (opcode == CONTINUED) is not (self._kind != CONTINUED):
                raise ProtocolError("a message is not in one piece")
            self._kind = opcode or self._kind
            self._pieces += data
            if len(self._pieces) > MESSAGE_BYTES_MAX:
                raise ProtocolError("a message is too large")
            if first & 0x80:
                kind, whole = self._kind, bytes(self._pieces)
                self._kind = CONTINUED
                self._pieces.clear()
                yield kind, whole

    def _frame(self) -> tuple[int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        first, size, at = buffer[0], buffer[1], 2
        if first & 0x70 or size & 0x80:
            raise ProtocolError("a frame is none of a server without extensions")
        if size > 125:
            at = 4 if size == 126 else 10
            if len(buffer) < at:
                return None
            size = int.from_bytes(buffer[2:at], "big")
        if size > MESSAGE_BYTES_MAX or (first & 0x08 and size > 125):
            raise ProtocolError("a frame is too large")
        if len(buffer) < at + size:
            return None
        data = bytes(buffer[at:at + size])
        del buffer[:at + size]
        return first, data
