"""Both Python clients before a server that misbehaves, byte by byte."""

from __future__ import annotations

import json
import os
import pickle
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from orchestry import Client
from orchestry.client import InvalidRequest, NoLeader, NotFound, NotReachable, TimedOut, files
from orchestry.client.exchange import Exchange, Request
from orchestry.client.trust import Trust
from tests.architecture.files import ROOT
from tests.certificates import TestCa
from tests.unit.both_clients import Connect
from tests.unit.stub_cluster import Says, nodes

ANSWER = b'{"apps": [], "total": 0}'
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(ANSWER) + ANSWER
TLS_ALERT_OF_A_MAC = b"\x15\x03\x03\x00\x02\x02\x14"
PASSWORD = "open sesame"

Script = Callable[[socket.socket], None]


@contextmanager
def server(script: Script) -> Iterator[str]:
    """Serves each connection by the script; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        running: list[threading.Thread] = []

        def serve(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                connection.settimeout(30)
                script(connection)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    one = threading.Thread(target=serve, args=(listening.accept()[0],))
                    running.append(one)
                    one.start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        accepting.join()
        for one in running:
            one.join()


def asked(connection: socket.socket) -> bytes:
    """The head of a request, which is read whole."""
    head, rest = b"", b""
    while b"\r\n\r\n" not in head:
        more = connection.recv(65536)
        if not more:
            raise OSError("it ended")
        head += more
    head, _, rest = head.partition(b"\r\n\r\n")
    size = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    while size and len(rest) < int(size[1]):
        rest += connection.recv(65536)
    return head


def test_a_head_that_drips_ends_with_the_call(connect: Connect) -> None:
    """Each byte comes in time, and all of them do not."""
    def drip(connection: socket.socket) -> None:
        asked(connection)
        for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 200:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)

    with server(drip) as url, connect(url, timeout=0.5) as client, \
            pytest.raises(NotReachable, match="in time"):
        client.list_apps()


def test_a_quiet_stream_outlives_the_timeout_of_calls(connect: Connect) -> None:
    """Controllers say nothing for longer than a call may take."""
    opened = []

    def quiet(connection: socket.socket) -> None:
        opened.append(asked(connection))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        time.sleep(4.5)
        connection.sendall(b'data: {"id": 5}\n\n')

    with server(quiet) as url, connect(url, timeout=3) as client:
        events = client.stream_events(since_id=1)
        assert next(events) == {"id": 5}
        events.close()
    assert len(opened) == 1


def test_a_head_before_the_answer_is_none(connect: Connect) -> None:
    """What comes after it must not become the answer to another request."""
    def hints(connection: socket.socket) -> None:
        while True:
            asked(connection)
            connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            time.sleep(0.05)
            connection.sendall(GOOD)

    with server(hints) as url, connect(url, timeout=0.5) as client:
        for _ in range(3):
            with suppress(NotReachable):
                assert client.list_apps()["total"] == 0


def test_an_answer_before_the_request_was_read() -> None:
    """A server that refuses a body need not read it."""
    def refuse(connection: socket.socket) -> None:
        connection.recv(100)
        body = b'{"error": "Request body too large", "code": "PAYLOAD_TOO_LARGE"}'
        connection.sendall(b"HTTP/1.1 413 Large\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with server(refuse) as url, Client(url, timeout=20) as client:
        with pytest.raises(InvalidRequest) as told:
            client.set_secret("large", "x" * 20_000_000)
        assert told.value.code == "PAYLOAD_TOO_LARGE"


def test_a_fault_of_tls_after_the_request_is_an_unknown_outcome(tmp_path: Path) -> None:
    """Only who refuses our certificate has surely not read the request."""
    ca = TestCa(tmp_path)
    pair = ca.issue("controller", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    keys = []

    def garble(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            keys.append(asked(secure))
            os.write(secure.fileno(), TLS_ALERT_OF_A_MAC)

    with server(garble) as url, \
            Client(url.replace("http:", "https:"), ca=ca.file, timeout=3) as client, \
            pytest.raises(TimedOut) as told:
        client.scale_app("web", 2, wait=False)
    assert isinstance(told.value.details, dict)
    assert told.value.details["outcome"] == "unknown"
    assert len({re.search(b"Idempotency-Key: (.*)", key)[1] for key in keys}) == 1  # type: ignore[index]


@contextmanager
def downgrading(folder: Path, plain: str) -> Iterator[tuple[str, str]]:
    """A controller with TLS whose leader has none; its address, and the file of its CA."""
    ca = TestCa(folder)
    pair = ca.issue("controller", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    status = json.dumps({"lease": {"api_url": plain}, "nodes": [{"api_url": plain}]}).encode()

    def redirect(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            while head := asked(secure):
                secure.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(status), status)
                    if b"/cluster/status" in head else
                    b"HTTP/1.1 307 There\r\nContent-Length: 2\r\nLocation: %s/x\r\n\r\n{}"
                    % plain.encode())

    with server(redirect) as url:
        yield url.replace("http:", "https:"), ca.file


def test_tls_is_never_given_up(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the token nor a secret goes on in clear, whatever a controller names."""
    # Redirects in a circle end the call, and not its deadline in the midst of a try.
    monkeypatch.setattr("orchestry.client.attempts.backoff_s", lambda *_: 0.05)
    with nodes(lambda _: Says(200, {"done": True})) as (leader,), \
            downgrading(tmp_path, leader.url) as (url, ca), \
            connect(url, token=PASSWORD.replace(" ", "-"), ca=ca, timeout=20) as client:
        with pytest.raises(NoLeader, match="is not followed"):
            client.set_secret("db", PASSWORD)
        assert (leader.seen, client.urls) == ([], (url,))


def test_tls_is_never_given_up_by_the_node_client(tmp_path: Path) -> None:
    """As by the others."""
    code = """
        const [, url, ca, home] = process.argv;
        const Orchestry = require(home);
        const client = new Orchestry(url, {
          token: 'sesame', timeout: 20, ca: require('node:fs').readFileSync(ca) });
        client.setSecret('db', 'open').catch((told) => console.log(
          told instanceof Orchestry.NoLeader, told.message, client.urls.length));"""
    with nodes(lambda _: Says(200, {"done": True})) as (leader,), \
            downgrading(tmp_path, leader.url) as (url, ca):
        done = subprocess.run(
            ["node", "-e", code, url, ca, str(ROOT / "sdk" / "node")], text=True,
            capture_output=True, timeout=60, check=True)
        assert leader.seen == []
    assert re.fullmatch("true .* is not followed .* 1\n", done.stdout), done.stdout


def test_a_process_that_forks_shares_no_connection() -> None:
    """Parent and child would read each other's answers."""
    def serve(connection: socket.socket) -> None:
        number = connection.getpeername()[1]
        while True:
            asked(connection)
            body = b'{"total": %d}' % number
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with server(serve) as url, Client(url) as client:
        first = client.list_apps()["total"]
        ends = os.pipe()
        if (child := os.fork()) == 0:
            os.write(ends[1], str(client.list_apps()["total"]).encode())
            os._exit(0)
        os.waitpid(child, 0)
        other = int(os.read(ends[0], 100))
        assert client.list_apps()["total"] == first != other
        for end in ends:
            os.close(end)


@pytest.mark.parametrize("url", ["http://" + "a" * 64 + ":8001", "http://a..b:8001"])
def test_a_host_that_cannot_be_looked_up(connect: Connect, url: str) -> None:
    """It may be named by a controller: others are tried, and the user is told."""
    with connect(url, timeout=0.3) as client, pytest.raises(NotReachable):
        client.list_apps()


@pytest.mark.parametrize("proxy", ["http://me:pass@host:port", "http://[::1"])
def test_a_malformed_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    """It is named without its password."""
    monkeypatch.setenv("http_proxy", proxy)
    with Client("http://controller.invalid:8001", timeout=0.3) as client, \
            pytest.raises(NotReachable, match="the proxy of the environment") as told:
        client.list_apps()
    assert "pass" not in str(told.value)


def test_names_that_no_path_can_have(connect: Connect) -> None:
    """Bytes of a command line that are no text."""
    with connect("http://127.0.0.1:1") as client:
        for call in (client.get_app_status, client.get_secret, client.get_job):
            with pytest.raises(InvalidRequest, match="no well-formed text"):
                call("\udcff")


def test_errors_travel_between_processes() -> None:
    """A pool of processes sends them by pickle."""
    made = NotFound("APP_NOT_FOUND", "App not found", {"app": "web"}, status=404, request_id="r")
    found = pickle.loads(pickle.dumps(made))
    assert (type(found), str(found), vars(found)) == (NotFound, str(made), vars(made))


def test_nothing_secret_is_in_the_text_of_a_request() -> None:
    """Reports of errors show what variables were."""
    step = Exchange(Request("PUT", "/", {}, PASSWORD.encode()), "http://a:1", PASSWORD, 1.0)
    assert PASSWORD not in repr(step)


def test_a_download_that_a_proxy_answers() -> None:
    """Its page is no error of a controller, and no stack trace either."""
    def page(connection: socket.socket) -> None:
        asked(connection)
        connection.sendall(b"HTTP/1.1 502 Bad\r\nContent-Length: 2\r\n\r\n[]")

    with server(page) as url, pytest.raises(Exception, match="HTTP status 502"):
        list(files.lines(f"{url}/cluster/backup", None, Trust()))
