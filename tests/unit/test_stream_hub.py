"""The hub's clients: slow ones, silent ones, rude ones, and those that are told good-bye."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import immutables
import pytest

from api.streams import peer as peers
from api.streams.hub import Hub
from api.streams.metrics import Metrics
from api.streams.peer import Feed, Peer
from api.streams.wire import Message, SseWire
from cluster.state.model import App, ClusterState
from tests.live import until

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
WAIT_S = 30.0


class Told:
    """A feed that does what the test says, on the hub's thread."""

    def __init__(self) -> None:
        self.peer: Peer | None = None
        self.drains = 0
        self.closed = False

    def begin(self, hub: Hub, peer: Peer) -> Feed:
        self.peer = peer
        return self

    def drained(self) -> None:
        self.drains += 1

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub of three places."""
    found = Hub(3)
    yield found
    found.stop()


def attached(hub: Hub) -> tuple[socket.socket, Told]:
    """A client's end of a stream, with what feeds it."""
    place = hub.reserve()
    assert place is not None
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    theirs.settimeout(WAIT_S)
    told = Told()
    hub.attach(ours, HEAD, SseWire(chunked=False), told.begin, place)
    begin = HEAD + SseWire(chunked=False).begin
    assert exactly(theirs, len(begin)) == begin
    until("it is fed", lambda: told.peer, WAIT_S, gap_s=0.001)
    return theirs, told


def exactly(end: socket.socket, count: int) -> bytes:
    """So many bytes; what comes behind them is left."""
    found = b""
    while len(found) < count:
        piece = end.recv(count - len(found))
        assert piece, f"closed after {found!r}"
        found += piece
    return found


def on_hub(hub: Hub, call: Callable[..., Any], *args: Any) -> None:
    """Run on the hub's thread, and wait for it."""
    done = []
    hub.soon(lambda: done.append(call(*args)))
    until("the hub ran it", lambda: done, WAIT_S, gap_s=0.005)


def rest(end: socket.socket) -> bytes:
    """All that comes until the hub closes."""
    found = b""
    while chunk := end.recv(65536):
        found += chunk
    return found


def test_places_are_few_and_come_back(hub: Hub) -> None:
    """One stream too many gets no place; a client that goes gives its place back."""
    ends = [attached(hub) for _ in range(3)]
    assert hub.reserve() is None
    assert hub.count == 3
    ends[0][0].close()
    until("the place is free", lambda: hub.count == 2, WAIT_S)
    assert ends[0][1].closed
    place = hub.reserve()
    assert place is not None
    place.release()
    place.release()
    assert hub.count == 2
    for end, _ in ends[1:]:
        end.close()


def test_a_slow_client_is_dropped_with_1013_and_costs_little(hub: Hub) -> None:
    """Beyond its bound nothing is kept; whole messages and the reason come before the end."""
    end, told = attached(hub)
    assert told.peer is not None
    many = [Message(b"%06d" % n + b"x" * 994) for n in range(100)]
    sent = 0
    while not told.peer.closing:
        on_hub(hub, told.peer.send, many)
        sent += 100_000
        assert sent < 4 * 1024**2, "nothing was bounded"
    assert told.peer._queued_bytes == 0
    found = rest(end)
    events = found.split(b"\n\n")
    assert all(event.startswith(b"data: 0") and len(event) == 1006 for event in events[:-2])
    assert events[-2].startswith(b'event: close\ndata: {"code":1013,')
    assert events[-1] == b""
    until("it is counted", lambda: hub.dropped == 1, WAIT_S)
    end.close()


def test_a_client_that_reads_in_time_gets_everything(hub: Hub) -> None:
    """Past messages beyond every bound arrive whole and in order, as the client reads."""
    end, told = attached(hub)
    assert told.peer is not None
    past = [Message(b"%06d" % n + b"x" * 994) for n in range(3000)]
    on_hub(hub, told.peer.send_past, past)
    on_hub(hub, told.peer.send, [Message(b"live")])
    found = b""
    while not found.endswith(b"data: live\n\n"):
        chunk = end.recv(65536)
        assert chunk, f"closed after {found[-100:]!r}"
        found += chunk
    numbers = [int(event[6:12]) for event in found.split(b"\n\n")[:-2]]
    assert numbers == list(range(3000))
    assert told.drains >= 1
    end.close()


def test_a_slow_client_of_measurements_misses_some_but_never_the_last(hub: Hub) -> None:
    """They replace one another, so that it is not dropped while it reads at all."""
    apps = {"shop": App("shop", "{}", 1, True, 0, 0, 0)}
    state = ClusterState(apps=immutables.Map(apps))
    now: dict[str, Any] = {"shop": {"n": 0, "pad": "x" * 2000}}
    source = Metrics(hub, lambda: now, lambda: state)
    place = hub.reserve()
    assert place is not None
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(WAIT_S)
    hub.attach(ours, HEAD, SseWire(chunked=False), source.feed("shop"), place)
    until("it is fed", lambda: source._feeds, WAIT_S, gap_s=0.001)
    for number in range(1, 1001):
        now["shop"] = {"n": number, "pad": "x" * 2000}
        on_hub(hub, source._tell, "shop", apps["shop"], now["shop"])
    found = b""
    while b'"n":1000' not in found:
        chunk = theirs.recv(65536)
        assert chunk
        found += chunk
    numbers = [int(part.split(b",")[0]) for part in found.split(b'"n":')[1:]]
    assert numbers == sorted(set(numbers))
    assert len(numbers) < 1000
    theirs.close()


def test_silent_clients_are_pinged_and_stalled_ones_dropped(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proxies see traffic; whoever takes nothing for too long is ended, and aborted if need be."""
    for name, value in (("PING_S", 0.1), ("STALL_S", 0.2), ("LINGER_S", 0.2)):
        monkeypatch.setattr(peers, name, value)
    end, told = attached(hub)
    assert exactly(end, 8) == b": ping\n\n"
    stalled, other = attached(hub)
    assert other.peer is not None
    on_hub(hub, other.peer.send, [Message(b"x" * 1000) for _ in range(200)])
    until("the stalled one is gone", lambda: other.closed, WAIT_S)
    assert not told.closed
    end.close()
    stalled.close()


def test_a_stop_says_good_bye(hub: Hub) -> None:
    """Each client is told why, the thread ends, and no place is given any more."""
    end, told = attached(hub)
    thread = hub._thread
    assert thread is not None
    hub.stop()
    assert b'"code":1001' in rest(end)
    assert told.closed
    assert hub.reserve() is None
    until("the thread has ended", lambda: not thread.is_alive(), WAIT_S)
    end.close()
