"""Commands in containers of the fake engine: a few programs, each on a thread of its own."""

from __future__ import annotations

import contextlib
import shlex
import socket
import threading
from collections.abc import Callable, Iterator, Sequence

from cluster.engine.execution import (
    END_OF_INPUT,
    STDERR,
    STDOUT,
    Channel,
    ExecOrder,
    ExecState,
    Size,
    framed,
)

KILLED = 137
NOT_FOUND = 127
PIECE_BYTES = 32 * 1024
LINE_BYTES_MAX = 64 * 1024


class FakeExecution:
    """One command: `echo`, `cat`, `true`, `false`, `sleep`, `stty size`, and `sh` with these.

    It ends with its container, whose state `runs` tells.
    """

    def __init__(self, order: ExecOrder, runs: Callable[[], bool]) -> None:
        self.sock, self._ours = socket.socketpair()
        self.sock.setblocking(False)
        self.first = b""
        self.size = order.terminal
        self._order = order
        self._runs = runs
        self._code: int | None = None
        self._over = threading.Event()
        threading.Thread(target=self._run, name="fake-exec", daemon=True).start()

    def resize(self, size: Size) -> None:
        """Give its terminal another size."""
        self.size = size

    def state(self) -> ExecState:
        """How it does."""
        return ExecState(self._code, self._runs())

    def close(self) -> None:
        """Nothing but the socket belongs to it."""

    def kill(self) -> None:
        """Its container has ended."""
        self._code = KILLED if self._code is None else self._code
        self._over.set()
        with contextlib.suppress(OSError):
            self._ours.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        with self._ours:
            code = KILLED
            with contextlib.suppress(OSError):
                code = self._program(list(self._order.command))
            self._code = code if self._code is None else self._code

    def _program(self, words: Sequence[str]) -> int:
        match words:
            case ["true"]:
                return 0
            case ["false"]:
                return 1
            case ["echo", *rest]:
                return self._say(" ".join(rest))
            case ["sleep", seconds]:
                self._over.wait(float(seconds))
                return 0
            case ["stty", "size"] if self.size is not None:
                return self._say(f"{self.size.rows} {self.size.columns}")
            case ["cat"]:
                for piece in self._input():
                    self._write(STDOUT, piece)
                return 0
            case ["sh", "-c", script]:
                return self._script(script)
            case ["sh"]:
                return self._lines()
        self._say(f'OCI runtime exec failed: exec: "{words[0]}": executable file not found')
        return NOT_FOUND

    def _script(self, script: str) -> int:
        code = 0
        for step in script.split(";"):
            words = shlex.split(step)
            if words[0] == "exit":
                return int(words[1])
            if words[-1] == ">&2":
                self._write(STDERR, " ".join(words[1:-1]).encode() + b"\n")
            else:
                code = self._program(words)
        return code

    def _lines(self) -> int:
        """Of a shell that is typed at; a terminal shows what is typed."""
        code, line = 0, bytearray()
        for piece in self._input():
            if self.size is not None and piece:
                self._write(STDOUT, piece)
            line += piece
            while b"\n" in line:
                script, _, rest = bytes(line).partition(b"\n")
                line[:] = rest
                if script.startswith(b"exit"):
                    return int(script.split()[1])
                code = self._script(script.decode()) if script.strip() else code
            del line[LINE_BYTES_MAX:]
        return code

    def _input(self) -> Iterator[bytes]:
        while self._order.stdin and (piece := self._ours.recv(PIECE_BYTES)):
            if self.size is None:
                yield piece
                continue
            before, end, _ = piece.partition(END_OF_INPUT)
            yield before.replace(b"\r", b"\n")
            if end:
                return

    def _say(self, text: str) -> int:
        self._write(STDOUT, text.encode() + b"\n")
        return 0

    def _write(self, channel: Channel, data: bytes) -> None:
        if self._order.terminal is None:
            self._ours.sendall(framed(channel, data))
        else:
            self._ours.sendall(data.replace(b"\n", b"\r\n"))
