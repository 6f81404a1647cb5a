"""The API over TLS: a real process, real sockets, certificates made here."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from orchestry.cli import main as cli
from orchestry.client import AsyncClient, Client, ClientError, InvalidRequest, NotReachable
from tests.api.process import ANSWER_S, START_S, Process, everything, serving
from tests.certificates import Pair, TestCa
from tests.live import until


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> TestCa:
    """The CA of the node."""
    return TestCa(tmp_path_factory.mktemp("ca"))


def context(ca: str | None, pair: Pair | None = None) -> ssl.SSLContext:
    """What a careful client uses."""
    found = ssl.create_default_context(cafile=ca)
    if pair is not None:
        found.load_cert_chain(pair.cert, pair.key)
    return found


@contextmanager
def secured(ca: TestCa, pair: Pair, **environ: str) -> Iterator[Process]:
    """A local node with HTTPS, once it answers."""
    with serving(ORCHESTRY_TLS_CERT=pair.cert, ORCHESTRY_TLS_KEY=pair.key,
                 ORCHESTRY_TLS_CA=ca.file, **environ) as node:
        until("it answers", lambda: get(node, ca), START_S)
        yield node


def get(node: Process, ca: TestCa, path: str = "/livez") -> Any:
    """One request with a connection of its own."""
    url = f"https://127.0.0.1:{node.port}{path}"
    answer = requests.get(url, verify=ca.file, timeout=ANSWER_S)
    return answer.json() if answer.ok else None


@pytest.fixture(scope="module")
def node(ca: TestCa) -> Iterator[Process]:
    """One process for the tests that leave it as it was."""
    with secured(ca, ca.issue("node", "127.0.0.1")) as found:
        yield found


def command(*arguments: str) -> int:
    """One command line; its exit code."""
    return cli(list(arguments))


def dialled(node: Process, ca: TestCa) -> ssl.SSLSocket:
    """A verified connection."""
    return context(ca.file).wrap_socket(node.connection(), server_hostname="127.0.0.1")


def test_requests_answers_and_kept_connections(node: Process, ca: TestCa) -> None:
    """Several requests on one connection, pipelined ones, and large bodies and answers."""
    with requests.Session() as session:
        session.trust_env, session.verify = False, ca.file
        for _ in range(3):
            assert session.get(f"https://127.0.0.1:{node.port}/api/v1/apps/app-0").ok
        refused = session.post(
            f"https://127.0.0.1:{node.port}/api/v1/apps/register", data=b"x" * 2 * 1024**2,
            headers={"Content-Type": "application/json"})
        assert refused.status_code == 413
    with dialled(node, ca) as peer:
        peer.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 20
                     + b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert everything(peer).count(b"HTTP/1.1 200") == 21


def test_a_request_may_come_in_small_records(node: Process, ca: TestCa) -> None:
    """Each byte in a record of its own is a request all the same."""
    with dialled(node, ca) as peer:
        for byte in b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":
            peer.sendall(bytes([byte]))
        assert everything(peer).startswith(b"HTTP/1.1 200")


def test_plain_http_is_told_to_use_https(node: Process) -> None:
    """A request in the clear is refused in the clear, with the remedy."""
    answer = node.raw(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert "https://" in json.loads(answer.partition(b"\r\n\r\n")[2])["details"]
    with Client(f"http://127.0.0.1:{node.port}") as client, pytest.raises(InvalidRequest) as told:
        client.system_health()
    assert "https://" in str(told.value)


def test_silent_and_half_shaken_connections_cost_no_thread(node: Process, ca: TestCa) -> None:
    """Hundreds of clients that never end their handshake do not keep others waiting."""
    peers = [node.connection() for _ in range(300)]
    try:
        for number, peer in enumerate(peers):
            peer.sendall(b"\x16\x03\x01\x02\x00\x01" if number % 2 else b"\x16")
        assert get(node, ca) == {"status": "alive"}
        with dialled(node, ca) as quiet:
            assert get(node, ca) == {"status": "alive"}
            quiet.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert everything(quiet).startswith(b"HTTP/1.1 200")
    finally:
        for peer in peers:
            peer.close()


def test_what_is_no_tls_ends_the_connection(node: Process, ca: TestCa) -> None:
    """Garbage after the first byte ends that connection, and nothing else."""
    with node.connection() as peer:
        peer.sendall(b"\x16" + b"garbage" * 10)
        with suppress(ConnectionResetError):
            assert b"HTTP" not in everything(peer)
    assert get(node, ca) == {"status": "alive"}


def stream_head(path: str, *headers: str) -> bytes:
    """The beginning of a request for a stream."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


def received(peer: ssl.SSLSocket, wanted: bytes) -> bytes:
    """What comes until `wanted` is in it."""
    found, until_s = b"", time.monotonic() + ANSWER_S
    while wanted not in found:
        assert time.monotonic() < until_s, found
        chunk = peer.recv(65536)
        assert chunk, found
        found += chunk
    return found


def test_server_sent_events_and_websockets(node: Process, ca: TestCa) -> None:
    """Streams are taken over from the HTTP server with their TLS, both kinds, both ways."""
    key = base64.b64encode(os.urandom(16)).decode()
    with dialled(node, ca) as sse, dialled(node, ca) as socket_:
        sse.sendall(stream_head("/api/v1/events/stream?since_id=0", "Accept: text/event-stream"))
        socket_.sendall(stream_head(
            "/api/v1/events/stream?since_id=0", "Upgrade: websocket", "Connection: Upgrade",
            "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}"))
        assert b"data: {" in received(sse, b"data: {")
        assert received(socket_, b"\"app-1\"").startswith(b"HTTP/1.1 101")
        socket_.sendall(b"\x88\x80\x00\x00\x00\x00")  # a close frame, masked with zeros
        assert received(socket_, b"\x88")
        assert get(node, ca) == {"status": "alive"}


def test_the_client_follows_events(node: Process, ca: TestCa) -> None:
    """The Python client reads a stream over a verified connection."""
    with Client(f"https://127.0.0.1:{node.port}", ca=ca.file) as client:
        events = client.stream_events(since_id=0)
        assert next(events)["id"] == 1
        events.close()


def test_the_client_that_does_not_block(node: Process, ca: TestCa) -> None:
    """AsyncClient verifies as the other does, and says the same."""
    async def ask(file: str | None) -> Any:
        async with AsyncClient(f"https://127.0.0.1:{node.port}", ca=file) as client:
            return await client.list_apps()

    assert len(asyncio.run(ask(ca.file))["apps"]) == 2
    with pytest.raises(NotReachable) as told:
        asyncio.run(ask(None))
    assert "--ca-file" in str(told.value), str(told.value)


def test_the_command_line(
    node: Process, ca: TestCa, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """--ca-file and ORCHESTRY_CA, for calls and downloads; without them the remedy is said."""
    url = f"https://127.0.0.1:{node.port}"
    assert command("list", "--url", url, "--ca-file", ca.file) == 0
    assert "app-1" in capsys.readouterr().out
    assert command("list", "--url", url) == 3
    assert "--ca-file" in capsys.readouterr().err
    assert command("list", "--url", url, "--ca-file", str(tmp_path / "none")) == 2
    assert "is no file with CAs" in capsys.readouterr().err
    monkeypatch.setenv("ORCHESTRY_CA", ca.file)
    backup = tmp_path / "state.backup"
    assert command("cluster", "backup", str(backup), "--url", url) == 0
    assert backup.stat().st_size > 0


def test_whom_a_client_believes(tmp_path: Path, ca: TestCa, node: Process) -> None:
    """Another CA, no CA, another host name: each is refused with what is wrong."""
    other = TestCa(tmp_path / "other", "another CA")
    for file in (None, other.file):
        with Client(f"https://127.0.0.1:{node.port}", ca=file) as client, \
                pytest.raises(NotReachable) as told:
            client.system_health()
        assert "--ca-file" in str(told.value), str(told.value)
    with Client(f"https://localhost:{node.port}", ca=ca.file) as client, \
            pytest.raises(NotReachable) as told:
        client.system_health()
    assert "localhost" in str(told.value)
    with pytest.raises(ValueError, match="is no file"):
        Client("https://127.0.0.1:1", ca=str(tmp_path / "nowhere"))


def test_another_machine_that_speaks_no_tls() -> None:
    """https:// to plain HTTP says so."""
    with serving() as plain:
        until("it answers", lambda: plain.call("GET", "/livez")[0] == 200, START_S)
        with Client(f"https://127.0.0.1:{plain.port}") as client, \
                pytest.raises(NotReachable) as told:
            client.system_health()
    assert "does not speak TLS" in str(told.value)


def test_files_that_change_are_used_and_broken_ones_are_not(tmp_path: Path) -> None:
    """A new certificate serves new connections, old ones go on; a broken one is told of."""
    own = TestCa(tmp_path / "own")
    pair = own.issue("node", "127.0.0.1")

    with secured(own, pair) as node, requests.Session() as kept:
        def serial() -> Any:
            kept.get(url)
            with dialled(node, own) as peer:
                return peer.getpeercert()["serialNumber"]  # type: ignore[index]

        kept.trust_env, kept.verify = False, own.file
        url = f"https://127.0.0.1:{node.port}/health"
        first = serial()
        assert kept.get(url).json()["components"]["tls"]["status"] == "healthy"
        own.issue("node", "127.0.0.1")
        second = until("the new one", lambda: serial() != first and serial(), START_S)
        assert kept.get(url).ok
        Path(pair.key).write_text("nonsense")
        told = until("it tells", lambda: (
            part := kept.get(url).json()["components"]["tls"])["status"] == "degraded" and part,
            START_S)
        assert "node.key" in told["detail"]
        assert serial() == second
        own.issue("node", "127.0.0.1")
        until("it is well again", lambda: kept.get(url).json()["components"]["tls"]["status"]
              == "healthy", START_S)
        assert serial() != second


def test_files_that_cannot_be_used_stop_the_start(ca: TestCa, tmp_path: Path) -> None:
    """The controller says which file is wrong, and does not start."""
    good = ca.issue("good", "127.0.0.1")
    with serving(ORCHESTRY_TLS_CERT=good.cert,
                 ORCHESTRY_TLS_KEY=str(tmp_path / "missing")) as node:
        assert node.process.wait(START_S) == 1
        errors = node.said()
    assert "/missing cannot be read: No such file" in errors
    assert "Traceback" not in errors


def test_clients_with_certificates_only(ca: TestCa, tmp_path: Path) -> None:
    """With a CA of clients, who shows none of its certificates is not heard."""
    people = TestCa(tmp_path / "people", "people")
    mine = people.issue("me", "me.example")
    with serving(ORCHESTRY_TLS_CERT=(pair := ca.issue("strict", "127.0.0.1")).cert,
                 ORCHESTRY_TLS_KEY=pair.key, ORCHESTRY_TLS_CLIENT_CA=people.file) as node:
        url = f"https://127.0.0.1:{node.port}"
        with Client(url, ca=ca.file, cert=(mine.cert, mine.key)) as client:
            def answers() -> Any:
                try:
                    return client.list_apps()["apps"]
                except ClientError as error:
                    raise OSError(str(error)) from error

            assert until("it answers", answers, START_S)
        with Client(url, ca=ca.file) as client, pytest.raises(NotReachable) as told:
            client.list_apps()
        assert "certificate required" in str(told.value)


def test_a_stopped_node_says_goodbye(ca: TestCa) -> None:
    """The end of a connection is TLS's own, so that nothing can be cut off unnoticed."""
    with secured(ca, ca.issue("polite", "127.0.0.1")) as node:
        strict = context(ca.file)
        with strict.wrap_socket(socket.create_connection(("127.0.0.1", node.port), ANSWER_S),
                                server_hostname="127.0.0.1", suppress_ragged_eofs=False) as peer:
            peer.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert everything(peer).startswith(b"HTTP/1.1 200")
