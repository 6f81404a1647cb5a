"""A TLS connection that begun elsewhere, on an event loop: paused, and ended in one direction."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from pathlib import Path

import pytest

from api.streams.tls import SocketTransport
from tests.certificates import TestCa

WAIT_S = 10.0
MUCH = bytes(range(256)) * 8192


class Side(asyncio.Protocol):
    """Collects what comes."""

    def __init__(self) -> None:
        self.data = b""
        self.over = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        """More."""
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self.over.set()


def pair(folder: Path) -> tuple[ssl.SSLSocket, ssl.SSLSocket]:
    """Both ends of a connection that has shaken hands."""
    ca = TestCa(folder)
    issued = ca.issue("server", "127.0.0.1")
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(issued.cert, issued.key)
    one, two = socket.socketpair()
    one.settimeout(WAIT_S)
    two.settimeout(WAIT_S)
    found: list[ssl.SSLSocket] = []
    shaking = threading.Thread(
        target=lambda: found.append(serving.wrap_socket(two, server_side=True)))
    shaking.start()
    ours = ssl.create_default_context(cafile=ca.file).wrap_socket(
        one, server_hostname="127.0.0.1")
    shaking.join(WAIT_S)
    return ours, found[0]


@pytest.mark.parametrize("data", [b"in", MUCH])
def test_the_end_of_what_we_send_is_not_that_of_what_we_get(tmp_path: Path, data: bytes) -> None:
    """As the input of a command ends, and its output comes then; nothing waits for the other."""
    ours, theirs = pair(tmp_path)

    def serve() -> None:
        with theirs:
            heard = b""
            while piece := theirs.recv(65_536):
                heard += piece
            theirs.sendall(b"%d bytes" % len(heard))

    async def talk() -> bytes:
        side = Side()
        transport = SocketTransport(asyncio.get_running_loop(), ours, side)
        await asyncio.sleep(0)
        transport.write(data)
        assert transport.can_write_eof()
        transport.write_eof()
        await asyncio.wait_for(side.over.wait(), WAIT_S)
        return side.data

    serving = threading.Thread(target=serve)
    serving.start()
    try:
        assert asyncio.run(talk()) == b"%d bytes" % len(data)
    finally:
        serving.join(WAIT_S)


def test_what_comes_waits_while_nobody_wants_it(tmp_path: Path) -> None:
    """And comes as a whole afterwards, also what was decrypted already."""
    ours, theirs = pair(tmp_path)

    def serve() -> None:
        with theirs:
            theirs.sendall(MUCH)
            theirs.unwrap()

    async def talk() -> bytes:
        side = Side()
        transport = SocketTransport(asyncio.get_running_loop(), ours, side)
        transport.pause_reading()
        await asyncio.sleep(0.2)
        assert side.data == b""
        transport.resume_reading()
        while len(side.data) < len(MUCH):
            transport.pause_reading()
            before = len(side.data)
            await asyncio.sleep(0.002)
            assert len(side.data) == before
            transport.resume_reading()
            await asyncio.sleep(0.002)
        transport.close()
        await asyncio.wait_for(side.over.wait(), WAIT_S)
        return side.data

    serving = threading.Thread(target=serve)
    serving.start()
    try:
        assert asyncio.run(talk()) == MUCH
    finally:
        serving.join(WAIT_S)
