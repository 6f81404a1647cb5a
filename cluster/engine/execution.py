"""Execution: a command that runs in a container beside its own process, as engines give it out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

Channel = Literal[1, 2]
STDOUT: Final = 1
STDERR: Final = 2
HEADER_BYTES: Final = 8
END_OF_INPUT: Final = b"\x04"
"""What a terminal is told at the end of its input: it cannot be closed."""


@dataclass(frozen=True, slots=True)
class Size:
    """Of a terminal."""

    rows: int
    columns: int


@dataclass(frozen=True, slots=True)
class ExecOrder:
    """What to run; the words may hold secrets, and are not in its `repr`.

    Without `stdin` the command finds its input at its end. With a `terminal` it has one of that
    size, and its output and errors are one.
    """

    command: tuple[str, ...] = field(repr=False)
    stdin: bool = False
    terminal: Size | None = None


@dataclass(frozen=True, slots=True)
class ExecState:
    """How a command does; `exit_code` is None while it runs. `replica_runs` is its container."""

    exit_code: int | None
    replica_runs: bool


class Execution(Protocol):
    """A command under way.

    `sock`, a socket that does not block, carries both ways: what is sent is its input, which
    shutting down for writing ends, and what comes is for a `Splitter`, after `first`, which came
    already. Closing it does not end the command, but its input, where it has no terminal.
    """

    sock: Any
    first: bytes

    def resize(self, size: Size) -> None:
        """Give its terminal another size; nothing when it has ended. Raises EngineError."""

    def state(self) -> ExecState:
        """How it does; raises EngineError, among them `gone`, with its container."""

    def close(self) -> None:
        """Let go of what belongs to `sock`, which is closed already."""


class Splitter:
    """Bytes of an execution, as they come, into those of its output and of its errors.

    Pieces are preceded by 1 byte channel, 3 zero, 4 length, big-endian; of a terminal they are
    plain. Keeps at most a header. Source: "Attach to a container" in Docker's API.
    """

    def __init__(self, *, terminal: bool) -> None:
        self._plain = terminal
        self._header = bytearray()
        self._channel: Channel = STDOUT
        self._left = 0

    def feed(self, data: bytes) -> list[tuple[Channel, bytes]]:
        """The pieces of this data, in order."""
        if self._plain:
            return [(STDOUT, data)] if data else []
        found: list[tuple[Channel, bytes]] = []
        at = 0
        while at < len(data):
            if self._left:
                piece = data[at:at + self._left]
                found.append((self._channel, piece))
                self._left -= len(piece)
                at += len(piece)
                continue
            wanted = HEADER_BYTES - len(self._header)
            self._header += data[at:at + wanted]
            at += wanted
            if len(self._header) == HEADER_BYTES:
                self._channel = STDERR if self._header[0] == STDERR else STDOUT
                self._left = int.from_bytes(self._header[4:], "big")
                self._header.clear()
        return found


def framed(channel: Channel, data: bytes) -> bytes:
    """A piece as `Splitter` reads it."""
    return bytes([channel, 0, 0, 0]) + len(data).to_bytes(4, "big") + data
