"""What goes over the socket of a stream: frames and server-sent events."""

from __future__ import annotations

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from api.streams.wire import Message, Refused, SseWire, WebSocketWire

HEADERS = [
    ("Host", "here"), ("Upgrade", "websocket"), ("Connection", "keep-alive, Upgrade"),
    ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
]


def pair() -> tuple[WebSocketWire, ClientProtocol]:
    """Our side, and the library's client beside it, after the handshake."""
    client = ClientProtocol(parse_uri("ws://here/x"))
    request = client.connect()
    client.send_request(request)
    client.data_to_send()
    wire = WebSocketWire("/x", [*request.headers.raw_items()])
    head = [b"HTTP/1.1 101 Switching Protocols",
            *(f"{name}: {value}".encode() for name, value in wire.response_headers)]
    client.receive_data(b"\r\n".join([*head, b"", b""]))
    assert isinstance(client.events_received()[0], Response)
    assert client.handshake_exc is None
    return wire, client


def test_a_client_understands_handshake_messages_pings_and_close() -> None:
    """The library's client takes all that we send, and we what it answers."""
    wire, client = pair()
    client.receive_data(wire.encode(Message("{\"a\":\"ü\"}".encode(), 7)))
    ping = wire.ping()
    assert ping is not None
    client.receive_data(ping)
    frames = client.events_received()
    assert [f.opcode for f in frames if isinstance(f, Frame)] == [Opcode.TEXT, Opcode.PING]
    assert isinstance(frames[0], Frame)
    assert frames[0].data == "{\"a\":\"ü\"}".encode()
    assert wire.ping() is None, "the first was not answered"
    assert wire.received(b"".join(client.data_to_send())) == (b"", True)
    assert wire.ping() is not None
    client.receive_data(wire.close(1013, "too slow"))
    assert client.close_rcvd == Close(1013, "too slow")
    assert wire.received(b"".join(client.data_to_send()))[1] is False


def test_a_client_that_closes_is_answered() -> None:
    """A close is echoed, and ends the stream; so does a message that is too large."""
    wire, client = pair()
    client.send_close(1000, "enough")
    out, goes_on = wire.received(b"".join(client.data_to_send()))
    assert not goes_on
    client.receive_data(out)
    assert client.close_rcvd == Close(1000, "enough")
    wire, client = pair()
    client.send_text(b"x" * 5000)
    out, goes_on = wire.received(b"".join(client.data_to_send()))
    client.receive_data(out)
    assert (goes_on, client.close_rcvd is not None and client.close_rcvd.code) == (False, 1009)


@pytest.mark.parametrize(("name", "value", "word"), [
    ("Sec-WebSocket-Version", "8", "Version"), ("Sec-WebSocket-Key", "short", "Key"),
    ("Connection", "close", "Connection"), ("Upgrade", "h2c", "Upgrade"),
])
def test_a_wrong_handshake_is_refused_with_its_reason(name: str, value: str, word: str) -> None:
    """The client learns which header is wrong."""
    headers = [(key, value if key == name else kept) for key, kept in HEADERS]
    with pytest.raises(Refused) as refused:
        WebSocketWire("/x", headers)
    assert word in refused.value.reason


def test_server_sent_events_carry_ids_and_end_with_a_reason() -> None:
    """The text is what EventSource reads, in chunks only where the client knows them."""
    plain, chunked = SseWire(chunked=False), SseWire(chunked=True)
    message = Message(b'{"a":1}', 7)
    assert plain.encode(message) == b'id: 7\ndata: {"a":1}\n\n'
    assert plain.encode(Message(b"{}")) == b"data: {}\n\n"
    assert chunked.encode(message) == b'15\r\nid: 7\ndata: {"a":1}\n\n\r\n'
    assert plain.close(1013, "slow") == (
        b'event: close\ndata: {"code":1013,"reason":"slow"}\n\n')
    assert chunked.close(1013, "slow").endswith(b"\r\n0\r\n\r\n")
    assert plain.begin.startswith(b"retry: ")
    assert (plain.ping() or b"").startswith(b":")
