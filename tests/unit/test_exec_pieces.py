"""Bytes of commands and frames of WebSockets, wherever they are cut; and which replica it is."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from api.models_exec import EndOfInput, Resize, Start, said_of, start_of
from api.streams.wire import WebSocketWire
from cluster.engine.execution import STDERR, STDOUT, Channel, Splitter, framed
from cluster.state.model import Replica
from cluster.state.replicas import chosen
from orchestry.client import websocket as ws
from orchestry.errors import Code, OrchestryError

PIECES = st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(max_size=300)),
                  max_size=8)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The data in pieces."""
    ends = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(ends)]


@given(PIECES, st.lists(st.integers(0, 10_000), max_size=10))
def test_pieces_of_a_command_are_split_wherever_they_are_cut(
    pieces: list[tuple[Channel, bytes]], places: list[int]
) -> None:
    """Output and errors each in order, nothing added and nothing lost."""
    splitter = Splitter(terminal=False)
    data = b"".join(framed(channel, piece) for channel, piece in pieces)
    found = [one for part in cut(data, places) for one in splitter.feed(part)]
    for channel in (STDOUT, STDERR):
        assert b"".join(piece for to, piece in found if to == channel) == b"".join(
            piece for to, piece in pieces if to == channel)


def test_bytes_of_a_terminal_are_as_they_are() -> None:
    """No header is looked for."""
    assert Splitter(terminal=True).feed(b"\1\0\0\0\0\0\0\1x") == [(1, b"\1\0\0\0\0\0\0\1x")]
    assert Splitter(terminal=True).feed(b"") == []


@given(st.lists(st.binary(max_size=70_000), max_size=4), st.lists(st.integers(0, 300_000)))
def test_frames_of_a_server_are_read_wherever_they_are_cut(
    messages: list[bytes], places: list[int]
) -> None:
    """Of every length of header, also those in several frames with a ping between."""
    data = b""
    for message in messages:
        half = len(message) // 2
        data += Frame(Opcode.BINARY, message[:half], fin=False).serialize(mask=False)
        data += Frame(Opcode.PING, b"p").serialize(mask=False)
        data += Frame(Opcode.CONT, message[half:]).serialize(mask=False)
        data += Frame(Opcode.TEXT, b"t").serialize(mask=False)
    parser = ws.Parser()
    found = [one for part in cut(data, places) for one in parser.push(part)]
    assert found == [one for message in messages for one in (
        (ws.PING, b"p"), (ws.BINARY, message), (ws.TEXT, b"t"))]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_frames_of_ours_are_read_by_others(size: int) -> None:
    """With their masks, and after a handshake that they accept."""
    server, key = ServerProtocol(max_size=None), ws.new_key()
    lines = [f"{name}: {value}" for name, value in {"Host": "x", **ws.handshake(key)}.items()]
    server.receive_data("\r\n".join(["GET / HTTP/1.1", *lines, "", ""]).encode())
    (request,) = server.events_received()
    response = server.accept(request)  # type: ignore[arg-type]
    server.send_response(response)
    assert ws.accepts(key, response.headers)
    assert not ws.accepts(ws.new_key(), response.headers)
    message = bytes(number % 251 for number in range(size))
    server.receive_data(ws.frame(ws.BINARY, message))
    (heard,) = server.events_received()
    assert isinstance(heard, Frame)
    assert (heard.opcode, heard.data) == (Opcode.BINARY, message)


@pytest.mark.parametrize("data", [
    b"\x82\x80\0\0\0\0", b"\xc2\0", b"\x80\0", b"\x02\0\x82\0", b"\x89\x7e\0\x7e",
    b"\x82\x7f\0\0\0\0\1\0\0\0", b"\x02\x7f\0\0\0\0\0\x10\0\0" + bytes(2**20) + b"\x80\1x",
])
def test_a_server_that_breaks_the_rules_is_not_listened_to(data: bytes) -> None:
    """Masked, extended, out of order, or too large."""
    with pytest.raises(ws.ProtocolError):
        list(ws.Parser().push(data))


def test_the_reason_of_a_close_is_read() -> None:
    """Also where there is none."""
    assert ws.closing(b"") == (1005, "")
    assert ws.closing(b"\x03\xe9why") == (1001, "why")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(
        inner, max_size=3) | st.dictionaries(st.sampled_from(
            ["type", "command", "stdin", "terminal", "rows", "columns"]), inner, max_size=4))
SAID = st.binary(max_size=200) | st.dictionaries(
    st.sampled_from(["type", "command", "stdin", "terminal", "x"]),
    st.sampled_from(["start", "eof", "resize"]) | JSON, max_size=4).map(
        lambda found: json.dumps(found).encode())


@given(st.booleans(), SAID)
def test_whatever_a_client_says_is_understood_or_refused(binary: bool, data: bytes) -> None:
    """With the code of a wrong request; never otherwise."""
    for read in (start_of, said_of):
        found: object
        try:
            found = read(binary, data)
        except OrchestryError as error:
            found = error.code
        assert isinstance(found, Start | Resize | EndOfInput | bytes) \
            or found is Code.VALIDATION_ERROR


@given(st.lists(st.binary(max_size=100) | st.tuples(
    st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.CONT, Opcode.PING, Opcode.CLOSE]),
    st.binary(max_size=100), st.booleans()).map(
        lambda one: Frame(one[0], one[1], fin=one[2] or one[0] > 7).serialize(mask=True)),
    max_size=8))
def test_whatever_a_client_sends_ends_its_stream_at_worst(pieces: list[bytes]) -> None:
    """Broken frames, masks, orders and closes: no exception, and nothing is kept."""
    wire = WebSocketWire("/exec", [("Host", "x"), *ws.handshake(ws.new_key()).items()],
                         listens_bytes_max=65_536)
    goes_on = True
    for piece in pieces:
        if goes_on:
            _, goes_on = wire.received(piece)
            assert sum(len(message) for _, message in wire.heard()) <= 1000


def test_a_message_in_empty_pieces_keeps_nothing() -> None:
    """They have no bytes, which are bounded, but would have places."""
    wire = WebSocketWire("/exec", [("Host", "x"), *ws.handshake(ws.new_key()).items()],
                         listens_bytes_max=65_536)
    wire.received(Frame(Opcode.BINARY, b"0a", fin=False).serialize(mask=True))
    empty = Frame(Opcode.CONT, b"", fin=False).serialize(mask=True)
    for _ in range(10):
        assert wire.received(empty * 1000)[1]
    assert len(wire._pieces) == 1
    wire.received(Frame(Opcode.CONT, b"b", fin=True).serialize(mask=True))
    assert wire.heard() == [(True, b"0ab")]


def replica(
    slot: int, health: str = "healthy", revision: int = 3, phase: str = "running"
) -> Replica:
    """One of an app."""
    return Replica(slot=slot, revision=revision, container_id=f"c{slot}-{revision}",
                   container_name="", ip="", port=80, phase=phase,  # type: ignore[arg-type]
                   health=health, started_at_ms=0)  # type: ignore[arg-type]


@pytest.mark.parametrize(("replicas", "slot", "wanted"), [
    ([], None, None),
    ([replica(2), replica(1)], None, "c1-3"),
    ([replica(1, "unhealthy"), replica(2)], None, "c2-3"),
    ([replica(1, "unhealthy"), replica(2, "unknown")], None, "c1-3"),
    ([replica(1), replica(2, revision=4)], None, "c2-4"),
    ([replica(1), replica(2)], 2, "c2-3"),
    ([replica(1), replica(2, "unhealthy")], 2, "c2-3"),
    ([replica(1), replica(2, phase="exited")], 2, None),
    ([replica(1, phase="created")], None, None),
    ([replica(1), replica(1, "unhealthy", revision=4)], 1, "c1-3"),
    ([replica(1), replica(1, revision=4)], 1, "c1-4"),
])
def test_which_replica_it_is(
    replicas: list[Replica], slot: int | None, wanted: str | None
) -> None:
    """One that runs; healthy before new, new before the first."""
    found = chosen(replicas, slot)
    assert (found.container_id if found else None) == wanted
