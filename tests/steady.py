"""Load at a fixed rate through the ingress, of which each request is accounted for.

Keep-alive connections that ask for `/id` and send bodies to `/echo` in turn, some of them
slowly, and WebSockets that stay open and send a message each second. The pace does not wait for
answers, as that of many users does not.

A request has failed unless it was answered with a 200 and the body that belongs to it, within
`ANSWER_S`. A connection that is closed before the answer counts, and so does one that cannot be
opened. A WebSocket has failed when it does not open, when a message does not come back, or when
it is closed before its replica was out of the ingress for `drain_s`: a replica is taken to be out
after the last request that it answered was sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

ANSWER_S = 10.0
TICK_S = 0.005
MESSAGE_S = 1.0
REOPEN_S = 0.05
SLACK_S = 0.5
"""From the decision that a replica leaves until no request is sent to it any more."""
SLOW_MS = (50, 300)
SLOW_SHARE = 0.05
BODY_BYTES = (1, 8192)
HEAD_BYTES_MAX = 65536

Check = Callable[[bytes], bool]


class Line(asyncio.Protocol):
    """A kept connection: one request after another, each with its outcome in a word."""

    def __init__(self) -> None:
        self.open = False
        self._buffer = bytearray()
        self._waits: asyncio.Future[str] | None = None
        self._check: Check = lambda _: True
        self._transport: asyncio.Transport | None = None
        self.replica = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        assert isinstance(transport, asyncio.Transport)
        self._transport, self.open = transport, True

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed by the other side; between two requests that is no failure."""
        self.open = False
        self._settle(f"closed before the answer: {exc!r}" if exc else "closed before the answer")

    def data_received(self, data: bytes) -> None:
        """Some of an answer."""
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._buffer[:end])
        if not head.startswith(b"HTTP/1.1 200 "):
            self._settle(f"status {head[9:12].decode(errors='replace')}")
            self.close()
            return
        length = _header(head, b"content-length")
        if length is None:
            self._settle("no length")
            self.close()
            return
        whole = end + 4 + int(length)
        if len(self._buffer) < whole:
            return
        body = bytes(self._buffer[end + 4:whole])
        del self._buffer[:whole]
        self.replica = (_header(head, b"x-replica") or b"").decode()
        self._settle("ok" if self._check(body) and not self._buffer else "wrong body")

    def ask(self, request: bytes, check: Check) -> asyncio.Future[str]:
        """Send a request; its outcome comes."""
        assert self._transport is not None
        self._buffer.clear()
        self._waits = asyncio.get_running_loop().create_future()
        self._check = check
        self._transport.write(request)
        return self._waits

    def close(self) -> None:
        """For good."""
        self.open = False
        if self._transport is not None:
            self._transport.abort()

    def _settle(self, outcome: str) -> None:
        if self._waits is not None and not self._waits.done():
            self._waits.set_result(outcome)


@dataclass
class Closed:
    """A WebSocket that the other side closed (monotonic seconds)."""

    replica: str
    at_s: float


@dataclass
class Told:
    """What came of everything so far."""

    requests: Counter[str] = field(default_factory=Counter)
    """Outcomes of requests in words, "ok" among them."""
    sockets: Counter[str] = field(default_factory=Counter)
    """The same of WebSockets: "opened" and "messages", all else has failed."""
    closed: list[Closed] = field(default_factory=list)
    served_s: dict[str, float] = field(default_factory=dict)
    """By replica, when the last request was sent that it answered (monotonic)."""
    took_s: list[float] = field(default_factory=list)
    """From when a request was due, sent or not, until its answer."""
    due: int = 0
    reopened: int = 0
    """Connections that were closed between two requests."""

    def premature(self, drain_s: float) -> list[Closed]:
        """WebSockets that were closed before their replica was drained."""
        least_s = max(0.0, drain_s - SLACK_S)
        return [one for one in self.closed
                if one.at_s - self.served_s.get(one.replica, one.at_s) < least_s]

    def failures(self, drain_s: float) -> dict[str, int]:
        """Everything that is no success, by its name; a request without an outcome too."""
        found = {what: n for what, n in self.requests.items() if what != "ok"}
        found |= {f"WebSocket: {what}": n for what, n in self.sockets.items()
                  if what not in ("opened", "messages")}
        lost = self.due - self.requests.total()
        early = len(self.premature(drain_s))
        return found | ({"no outcome": lost} if lost else {}) | (
            {"WebSocket: closed too early": early} if early else {})

    def line(self) -> str:
        """The figures in words."""
        took = sorted(self.took_s) or [0.0]
        at = [took[min(len(took) - 1, int(share * len(took)))] for share in (0.5, 0.99, 1.0)]
        return (f"{self.requests['ok']} of {self.due} requests answered, "
                f"{self.sockets['messages']} messages over {self.sockets['opened']} WebSockets, "
                f"{len(self.closed)} of them closed by drains; "
                f"median {at[0] * 1000:.1f} ms, 99 % {at[1] * 1000:.0f} ms, "
                f"worst {at[2] * 1000:.0f} ms; {len(self.served_s)} replicas, "
                f"{self.reopened} connections closed while idle")


class Steady:
    """The load, in a thread of its own from entry to exit; then `told` is complete."""

    def __init__(
        self, port: int, host: str, *, rate_per_s: float, connections: int = 64,
        sockets: int = 30,
    ) -> None:
        self.told = Told()
        self._port, self._host = port, host
        self._rate_per_s, self._connections, self._sockets = rate_per_s, connections, sockets
        self._dice = random.Random(20)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(3 * ANSWER_S)
        assert not self._thread.is_alive(), "the load does not end"

    async def _run(self) -> None:
        due: asyncio.Queue[float | None] = asyncio.Queue()
        clients = [self._guarded(self._client(due)) for _ in range(self._connections)]
        sockets = [asyncio.create_task(self._socket(number)) for number in range(self._sockets)]
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(client)
            await self._pace(due)
            for _ in clients:
                due.put_nowait(None)
        for socket in sockets:
            socket.cancel()
        for found in await asyncio.gather(*sockets, return_exceptions=True):
            if isinstance(found, Exception):
                self.told.sockets[f"{found!r}"] += 1

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """A fault of the load itself is a failure too, and not a silence."""
        try:
            await work
        except Exception as error:
            self.told.requests[f"{error!r}"] += 1

    async def _pace(self, due: asyncio.Queue[float | None]) -> None:
        next_s = time.monotonic()
        while not self._stop.is_set():
            now_s = time.monotonic()
            while next_s <= now_s:
                due.put_nowait(next_s)
                self.told.due += 1
                next_s += 1 / self._rate_per_s
            await asyncio.sleep(TICK_S)

    # -- requests ----------------------------------------------------------------------

    async def _client(self, due: asyncio.Queue[float | None]) -> None:
        line, told = Line(), self.told
        opened = False
        while (due_s := await due.get()) is not None:
            sent_s = time.monotonic()
            try:
                async with asyncio.timeout(ANSWER_S):
                    if not line.open:
                        told.reopened += opened
                        _, line = await asyncio.get_running_loop().create_connection(
                            Line, "127.0.0.1", self._port)
                        opened = True
                    outcome = await line.ask(*self._request())
            except TimeoutError:
                outcome = f"no answer within {ANSWER_S:.0f} s"
            except OSError as error:
                outcome = f"not connected: {type(error).__name__}"
            told.requests[outcome] += 1
            told.took_s.append(time.monotonic() - due_s)
            if outcome == "ok":
                told.served_s[line.replica] = max(told.served_s.get(line.replica, 0.0), sent_s)
            else:
                line.close()
                opened = False
        line.close()

    def _request(self) -> tuple[bytes, Check]:
        dice = self._dice
        slow = f"?delay={dice.randint(*SLOW_MS)}" if dice.random() < SLOW_SHARE else ""
        if dice.random() < 0.5:
            return (f"GET /id{slow} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode(),
                    lambda got: len(got) > 1 and got.endswith(b"\n"))
        body = dice.randbytes(dice.randint(*BODY_BYTES))
        head = (f"POST /echo{slow} HTTP/1.1\r\nHost: {self._host}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n")
        return head.encode() + body, lambda got: got == body

    # -- WebSockets --------------------------------------------------------------------

    async def _socket(self, number: int) -> None:
        await asyncio.sleep(number * MESSAGE_S / self._sockets)
        while not self._stop.is_set():
            try:
                await self._converse()
            except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
                self.told.sockets[f"not opened: {error!r}"] += 1
            await asyncio.sleep(REOPEN_S)

    async def _converse(self) -> None:
        """Open one and hold it until the other side closes it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write((f"GET /ws HTTP/1.1\r\nHost: {self._host}\r\nUpgrade: websocket\r\n"
                          "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode())
            async with asyncio.timeout(ANSWER_S):
                head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 101 "):
                raise ValueError(head[:12])
            self.told.sockets["opened"] += 1
            replica = (_header(head, b"x-replica") or b"").decode()
            count = 0
            while True:
                count += 1
                text = f"message {count}".encode()
                try:
                    # A mask of zeros leaves the text as it is.
                    writer.write(bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text)
                    async with asyncio.timeout(ANSWER_S):
                        answer = await reader.readexactly(2 + len(text))
                except (asyncio.IncompleteReadError, ConnectionError):
                    self.told.closed.append(Closed(replica, time.monotonic()))
                    return
                except TimeoutError:
                    self.told.sockets["no answer to a message"] += 1
                    return
                self.told.sockets["messages" if answer[2:] == text else "wrong message"] += 1
                # It is seen at once when it is closed meanwhile.
                with contextlib.suppress(TimeoutError, ConnectionError):
                    async with asyncio.timeout(MESSAGE_S):
                        more = await reader.read(1)
                    if more:
                        self.told.sockets["more than was asked for"] += 1
                    self.told.closed.append(Closed(replica, time.monotonic()))
                    return
        finally:
            writer.close()


def _header(head: bytes, name: bytes) -> bytes | None:
    for row in head.split(b"\r\n")[1:]:
        key, _, value = row.partition(b":")
        if key.lower() == name:
            return value.strip()
    return None
