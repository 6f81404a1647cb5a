"""Commands in containers: a session over a WebSocket, on a thread of its own.

One thread has the connection, since TLS allows no two; it also shows the controller that this
client lives while nobody reads. Source: docs/adr/0037-commands-in-containers.md.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypedDict

from orchestry.client import websocket as ws
from orchestry.client.connections import Response
from orchestry.client.errors import ClientError, InvalidRequest, TimedOut, from_answer
from orchestry.client.exchange import READ_TIMEOUT_S, Request
from orchestry.client.parts import app_path, encoded, given
from orchestry.errors import Code

OUTPUT_BYTES_MAX = 1024**2
"""Of each stream that `exec_app` keeps."""
AHEAD_BYTES_MAX = 1024**2
"""What is read before somebody asks for it."""
WAITING_BYTES_MAX = 256 * 1024
PIECE_BYTES = 32 * 1024
HEARTBEAT_S = 20.0
SILENCE_S = 60.0
"""A controller sends something every 20 s."""
CLOSE_S = 1.0
EXEC_S = 60.0
LOST = "SESSION_LOST"

Stream = Literal["stdout", "stderr"]
_STREAMS: Mapping[int, Stream] = {1: "stdout", 2: "stderr"}
_INPUT = b"\0"


class Executed(TypedDict):
    """What came of a command; of output beyond the limit only the beginning, `truncated`.

    `reason` tells what ended it beside itself, such as the end of its replica.
    """

    app_name: str
    replica: str
    exit_code: int
    stdout: str
    stderr: str
    truncated: bool
    reason: str | None


def exec_request(app_name: str, replica: int | None, timeout_s: float) -> Request:
    """What opens a session, at any controller."""
    return Request(
        "GET", app_path(app_name, "/exec"), given(replica=replica), budget_s=timeout_s,
        read_timeout_s=min(READ_TIMEOUT_S, timeout_s), stream=True, upgrade=ws.new_key())


def start_message(
    command: Sequence[str], *, stdin: bool, terminal: tuple[int, int] | None
) -> bytes:
    """What a session begins with; raises InvalidRequest."""
    if isinstance(command, str) or not command or not all(isinstance(one, str) for one in command):
        raise InvalidRequest(
            "VALIDATION_ERROR", "Request validation failed",
            [{"field": "command", "message": "give a program and its arguments as a list"}])
    size = None if terminal is None else {"rows": terminal[0], "columns": terminal[1]}
    return encoded({
        "type": "start", "command": list(command), "stdin": stdin, "terminal": size})


class Session:
    """A command in a container, whose connection ends with it.

    Iterating over it gives `("stdout" or "stderr", bytes)` as they come, until the command has
    ended; with a terminal all is stdout. `exit_code` and `reason` are known then. Whoever does
    not read slows the command down. Threads may share it, and one of them iterate.

    A session cannot be resumed: when its connection is lost, iterating raises TimedOut with the
    code SESSION_LOST, since the command may go on. What is written after its end goes nowhere.
    """

    def __init__(self, response: Response, start: bytes) -> None:
        self.replica = ""
        self.exit_code: int | None = None
        self.reason: str | None = None
        self._error: ClientError | None = None
        self._response = response
        self._sock, first = response.taken()
        self._parser = ws.Parser()
        self._changed = threading.Condition()
        self._read: deque[tuple[Stream, bytes]] = deque()
        self._read_bytes = 0
        self._write = bytearray(ws.frame(ws.TEXT, start))
        self._input_over = False
        self._started = False
        self._over = False
        self._closing_s: float | None = None
        self._wake, self._woken = socket.socketpair()
        for one in (self._sock, self._wake, self._woken):
            one.setblocking(False)
        self._thread = threading.Thread(
            target=self._run, args=(first,), name="orchestry-exec", daemon=True)
        self._thread.start()

    # What users call

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[tuple[Stream, bytes]]:
        while (found := self.read()) is not None:
            yield found

    def read(self, timeout: float | None = None) -> tuple[Stream, bytes] | None:
        """What the command wrote next; None when it has ended.

        Raises:
            TimedOut: the session was lost, or nothing came in `timeout` seconds.
            ClientError: the cluster refuses the command, or ended it.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._read or self._over, timeout):
                raise TimedOut("TIMEOUT", "The command has written nothing in time")
            if self._read:
                found = self._read.popleft()
                self._read_bytes -= len(found[1])
                self._touch()
                return found
            if self._error is not None:
                raise self._error
            return None

    def wait_started(self) -> str:
        """Wait until it has begun; the name of its replica. Raises as `read`."""
        with self._changed:
            self._changed.wait_for(lambda: self._started or self._over)
            if self._error is not None and not self._started:
                raise self._error
            return self.replica

    def write(self, data: bytes) -> None:
        """Give the command input; waits while it does not take it."""
        for at in range(0, len(data), PIECE_BYTES):
            with self._changed:
                self._changed.wait_for(
                    lambda: self._over or len(self._write) < WAITING_BYTES_MAX)
                if self._over or self._input_over:
                    return
                self._say(ws.BINARY, _INPUT + data[at:at + PIECE_BYTES])

    def close_stdin(self) -> None:
        """The input has ended; in a terminal as if Ctrl-D was typed."""
        with self._changed:
            if not self._input_over:
                self._input_over = True
                self._say(ws.TEXT, b'{"type":"eof"}')

    def resize(self, rows: int, columns: int) -> None:
        """The terminal has this size now."""
        with self._changed:
            self._say(ws.TEXT, encoded({
                "type": "resize", "terminal": {"rows": rows, "columns": columns}}))

    def close(self) -> None:
        """Leave: a command that has not ended loses its input, and may go on."""
        with self._changed:
            if not self._over and self._closing_s is None:
                self._closing_s = time.monotonic() + CLOSE_S
                self._say(ws.CLOSE, (1000).to_bytes(2, "big"))
        self._thread.join(2 * CLOSE_S)

    # Inside; `_changed` is held by who calls

    def _say(self, opcode: int, data: bytes) -> None:
        if not self._over:
            self._write += ws.frame(opcode, data)
            self._touch()

    def _touch(self) -> None:
        with contextlib.suppress(OSError):  # enough of them wait there already
            self._wake.send(b"\0")

    def _end(self, error: ClientError | None) -> None:
        if not self._over:
            self._over, self._error = True, error
            self._changed.notify_all()

    # The thread

    def _run(self, first: bytes) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._woken, selectors.EVENT_READ)
                selector.register(self._sock, selectors.EVENT_READ)
                self._heard(first)
                self._exchange(selector)
        except (OSError, ws.ProtocolError, ValueError, KeyError, TypeError) as error:
            with self._changed:
                self._end(_lost(str(error) or type(error).__name__))
        finally:
            with self._changed:
                self._end(_lost("it was closed"))
            self._response.close()
            self._wake.close()
            self._woken.close()

    def _exchange(self, selector: selectors.BaseSelector) -> None:
        heard_s = beat_s = time.monotonic()
        watched = selectors.EVENT_READ
        while True:
            now_s = time.monotonic()
            with self._changed:
                if self._over or (self._closing_s is not None and now_s > self._closing_s):
                    return
                room = self._read_bytes < AHEAD_BYTES_MAX
                if now_s - beat_s >= HEARTBEAT_S:
                    beat_s = now_s
                    self._write += ws.frame(ws.PONG, b"")
                wanted = (selectors.EVENT_READ if room else 0) | (
                    selectors.EVENT_WRITE if self._write else 0)
            if not room:
                heard_s = now_s
            elif now_s - heard_s >= SILENCE_S:
                raise OSError("the controller is silent")
            if wanted != watched:
                if watched:
                    selector.unregister(self._sock)
                if wanted:
                    selector.register(self._sock, wanted)
                watched = wanted
            # Of what was decrypted already no selector tells.
            decrypted = room and isinstance(self._sock, ssl.SSLSocket) and self._sock.pending() > 0
            ready = {key.fileobj: event for key, event in selector.select(
                0 if decrypted else CLOSE_S)}
            if self._woken in ready:
                self._woken.recv(4096)
            readable = decrypted or ready.get(self._sock, 0) & selectors.EVENT_READ
            if room and readable and self._receive():
                heard_s = time.monotonic()
            if wanted & selectors.EVENT_WRITE:
                self._send()

    def _receive(self) -> bool:
        try:
            data = self._sock.recv(PIECE_BYTES)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            return False
        if not data:
            raise OSError("the controller is gone")
        self._heard(data)
        return True

    def _send(self) -> None:
        with self._changed:
            try:
                sent = self._sock.send(bytes(self._write[:PIECE_BYTES]))
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                return
            del self._write[:sent]
            self._changed.notify_all()

    def _heard(self, data: bytes) -> None:
        for opcode, message in self._parser.push(data):
            with self._changed:
                self._take(opcode, message)
                self._changed.notify_all()

    def _take(self, opcode: int, message: bytes) -> None:
        if opcode == ws.BINARY and message:
            self._read.append((_STREAMS[message[0]], message[1:]))
            self._read_bytes += len(message) - 1
        elif opcode == ws.TEXT:
            self._told(json.loads(message))
        elif opcode == ws.PING:
            self._write += ws.frame(ws.PONG, message)
        elif opcode == ws.CLOSE:
            code, reason = ws.closing(message)
            self._end(_lost(reason or f"it was closed with code {code}"))
            with contextlib.suppress(OSError):
                self._sock.send(ws.frame(ws.CLOSE, message[:2]))

    def _told(self, message: Mapping[str, Any]) -> None:
        kind = message["type"]
        if kind == "started":
            self.replica, self._started = str(message["replica"]), True
        elif kind == "exit":
            self.exit_code, self.reason = int(message["exit_code"]), message["reason"]
            self._end(None)
        elif kind == "error":
            status = next((one.value.http_status for one in Code
                           if one.value.code == message["code"]), 500)
            self._end(from_answer(status, message, {}))


def _lost(why: str) -> TimedOut:
    return TimedOut(LOST, "The command's connection is lost",
                    f"{why}; the command may go on, and how it ends is not known")


def collect(
    session: Session, app_name: str, *, stdin: bytes | str | None, timeout_s: float,
    output_bytes_max: int = OUTPUT_BYTES_MAX,
) -> Executed:
    """Give a session its input, and take all that it writes until its end; then it is closed.

    Raises:
        TimedOut: the command has not ended within `timeout_s`, or the session was lost.
        ClientError: the cluster refuses the command, or ended it.
    """
    until_s = time.monotonic() + timeout_s
    kept: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
    truncated = False
    with session:
        if stdin is not None:
            data = stdin.encode() if isinstance(stdin, str) else stdin
            threading.Thread(target=_feed, args=(session, data), name="orchestry-exec-input",
                             daemon=True).start()
        while True:
            try:
                found = session.read(max(0.0, until_s - time.monotonic()))
            except TimedOut as error:
                if error.code == LOST:
                    raise
                raise TimedOut(
                    "TIMEOUT", "The command has not ended in time",
                    f"its connection was closed after {timeout_s:g} s; it may go on") from None
            if found is None:
                break
            into = kept[found[0]]
            room = output_bytes_max - len(into)
            into += found[1][:room]
            truncated = truncated or len(found[1]) > room
    assert session.exit_code is not None
    return Executed(
        app_name=app_name, replica=session.replica, exit_code=session.exit_code,
        stdout=kept["stdout"].decode("utf-8", "replace"),
        stderr=kept["stderr"].decode("utf-8", "replace"), truncated=truncated,
        reason=session.reason)


def _feed(session: Session, data: bytes) -> None:
    session.write(data)
    session.close_stdin()
