"""The accounts of the load, on a server that fails in known ways."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.live import until
from tests.ports import free_ports
from tests.steady import Closed, Steady, Told

RATE_PER_S = 200
WAIT_S = 30.0
Answer = Callable[[bytes, bytes], bytes]
"""From head and body of a request to what is sent; nothing closes the connection."""
ACCEPTED = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"X-Replica: one\r\n\r\n")


def good(head: bytes, body: bytes) -> bytes:
    """What a replica answers."""
    content = body or b"one\n"
    return b"HTTP/1.1 200 OK\r\nX-Replica: one\r\nContent-Length: %d\r\n\r\n%s" % (
        len(content), content)


async def converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer, *, messages: int
) -> None:
    """One connection: requests, or a WebSocket that is closed after so many messages."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"GET /ws"):
                writer.write(ACCEPTED)
                for _ in range(messages):
                    start = await reader.readexactly(6)
                    text = await reader.readexactly(start[1] & 127)
                    writer.write(bytes((0x81, len(text))) + text)
                return
            length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0] or 0)
            sent = answer(head, await reader.readexactly(length))
            if not sent:
                return
            writer.write(sent)
    except (asyncio.IncompleteReadError, ConnectionError):
        return
    finally:
        writer.close()


@contextmanager
def server(answer: Answer, *, messages: int = 100) -> Iterator[int]:
    """A server in a thread; gives its port."""
    loop = asyncio.new_event_loop()
    ports: list[int] = []
    tasks = set[asyncio.Task[None]]()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = loop.create_task(converse(reader, writer, answer, messages=messages))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def serve() -> None:
        listening = await asyncio.start_server(connected, "127.0.0.1", 0)
        ports.append(listening.sockets[0].getsockname()[1])
        listens.set()
        while not over.is_set():
            await asyncio.sleep(0.02)
        listening.close()
        ends: list[Awaitable[None]] = list(tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*ends, return_exceptions=True)

    listens, over = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert listens.wait(WAIT_S)
        yield ports[0]
    finally:
        over.set()
        thread.join(WAIT_S)
        loop.close()


def load(port: int, enough: Callable[[Told], bool]) -> Told:
    """What came of a load that went on until it was enough."""
    with Steady(port, "shop.localhost", rate_per_s=RATE_PER_S, connections=8, sockets=2) as steady:
        until("enough has happened", lambda: enough(steady.told), WAIT_S)
    return steady.told


def answered(told: Told) -> bool:
    """Requests of a second have their outcome."""
    return told.requests.total() >= RATE_PER_S


def test_nothing_fails_where_all_goes_well() -> None:
    """Each request that was due has its outcome, and WebSockets stay open."""
    with server(good) as port:
        told = load(port, lambda told: answered(told) and told.sockets["messages"] >= 3
                    and told.sockets["opened"] >= 2)
    assert told.failures(3) == {}
    assert told.requests == {"ok": told.due}
    assert told.sockets["opened"] == 2
    assert told.reopened == 0


@pytest.mark.parametrize(("sent", "outcome"), [
    (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "status 502"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnot", "wrong body"),
    (b"HTTP/1.1 200 OK\r\n\r\n", "no length"),
    (b"", "closed before the answer"),
])
def test_each_failure_is_counted_once(sent: bytes, outcome: str) -> None:
    """Of the fifth request of each ten; no other is harmed, and none is lost."""
    count = 0

    def answer(head: bytes, body: bytes) -> bytes:
        nonlocal count
        count += 1
        return sent if count % 10 == 5 else good(head, body)

    with server(answer) as port:
        told = load(port, answered)
    failed = count // 10 + (count % 10 >= 5)
    assert told.failures(3) == {outcome: failed}
    assert told.requests["ok"] == told.due - failed


def test_a_server_that_is_not_there_fails_each_request() -> None:
    """Nobody listens."""
    (port,) = free_ports(1)
    told = load(port, answered)
    assert told.requests == {"not connected: ConnectionRefusedError": told.due}


def test_a_websocket_that_is_closed_while_its_replica_serves_has_failed() -> None:
    """It is opened again, and each time counts."""
    with server(good, messages=1) as port:
        told = load(port, lambda told: answered(told) and len(told.closed) >= 3)
    assert told.sockets["opened"] >= 3
    found = told.failures(3)
    assert set(found) == {"WebSocket: closed too early"}
    assert found["WebSocket: closed too early"] == len(told.closed) >= 2


def test_a_websocket_may_be_closed_at_the_end_of_the_drain() -> None:
    """Counted from the last request that its replica was sent."""
    told = Told(closed=[Closed("one", 13.0), Closed("two", 12.0)],
                served_s={"one": 10.0, "two": 10.0})
    assert told.premature(3) == [Closed("two", 12.0)]
    assert told.failures(3) == {"WebSocket: closed too early": 1}
    assert told.failures(2) == {}
