"""A real Docker daemon behind TLS: who it is and who we are is verified, whatever the environment.

The test ends TLS before the daemon's socket, as a daemon with --tlsverify does itself.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster.engine.base import EngineError, EngineEvent
from cluster.engine.docker import DockerEngine
from cluster.engine.docker_api import DockerTls
from cluster.engine.execution import ExecOrder, Splitter
from tests.certificates import TestCa
from tests.contract.engine_hosts import DEADLINE_S, DockerHost, Listener, request_for

pytestmark = pytest.mark.docker


def _pass_on(secure: ssl.SSLSocket, path: str) -> None:
    """Bytes both ways until one side closes."""
    with secure, socket.socket(socket.AF_UNIX) as daemon, selectors.DefaultSelector() as ready, \
            contextlib.suppress(OSError):
        daemon.connect(path)
        secure.setblocking(False)
        ready.register(secure, selectors.EVENT_READ, daemon)
        ready.register(daemon, selectors.EVENT_READ, secure)
        while True:
            for key, _ in ready.select(DEADLINE_S):
                try:
                    data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    while key.fileobj is secure and secure.pending():
                        data += secure.recv(65536)
                except ssl.SSLWantReadError:
                    continue
                if not data:
                    return
                secure.setblocking(True)
                key.data.sendall(data)
                secure.setblocking(False)


@contextmanager
def tls_before(docker_socket: str, server: ssl.SSLContext) -> Iterator[str]:
    """The address of somebody who speaks TLS before the daemon; handshakes may fail."""
    listener = socket.create_server(("127.0.0.1", 0))

    def shake(peer: socket.socket) -> None:
        peer.settimeout(DEADLINE_S)
        try:
            secure = server.wrap_socket(peer, server_side=True)
        except OSError:
            peer.close()
        else:
            _pass_on(secure, docker_socket.removeprefix("unix://"))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = listener.accept()
                threading.Thread(target=shake, args=(peer,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(DEADLINE_S)


def server_of(ca: TestCa, *hosts: str) -> ssl.SSLContext:
    """A daemon with a certificate for these hosts, which asks for one of its clients."""
    pair = ca.issue("daemon", *hosts)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(ca.file)
    return context


def files_of(ca: TestCa) -> DockerTls:
    """What a controller has."""
    pair = ca.issue("controller", "controller-1")
    return DockerTls(ca.file, pair.cert, pair.key)


def output(host: DockerHost, container_id: str) -> bytes:
    """What a command in a container writes, over the connection that it was begun on."""
    order = ExecOrder(("/app", "once", "0", "0", "said"))
    execution, found = host.engine.execute(container_id, order), b""
    splitter = Splitter(terminal=False)
    with execution.sock as sock:
        sock.setblocking(True)
        sock.settimeout(DEADLINE_S)
        data = execution.first
        while data or not found:
            found += b"".join(piece for _, piece in splitter.feed(data))
            data = sock.recv(65_536)
    execution.close()
    return found


def test_replicas_and_events_over_tls(
    docker_socket: str, docker_host: DockerHost, tmp_path: Path
) -> None:
    """A replica is started, seen, told of, entered and stopped; streams and calls are encrypted."""
    ca = TestCa(tmp_path / "ca")
    with tls_before(docker_socket, server_of(ca, "127.0.0.1")) as address:
        plain, docker_host.engine = docker_host.engine, DockerEngine(
            base_url=address, timeout_s=DEADLINE_S, tls=files_of(ca))
        try:
            with Listener(docker_host) as events:
                started = docker_host.engine.run(request_for(docker_host))
                seen = docker_host.engine.observe(docker_host.cluster_id)
                assert [one.id for one in seen] == [started.id]
                events.wait_for(EngineEvent("started", started.id))
                assert output(docker_host, started.id) == b"said\n"
                docker_host.engine.stop(started.id, grace_s=0)
            assert not docker_host.exists(started.id)
        finally:
            docker_host.engine.close()
            docker_host.engine = plain


@pytest.mark.parametrize(("what", "said"), [
    ("another CA", "certificate verify failed"), ("another host", "doesn't match|IP address"),
    ("nothing to show", "Docker does not answer"),
    ("the environment's CA", "certificate verify failed"),
])
def test_who_cannot_be_verified_is_not_asked(
    what: str, said: str, docker_socket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither side talks to a stranger, and no CA of the environment is believed instead."""
    ca, other = TestCa(tmp_path / "ca"), TestCa(tmp_path / "other")
    hosts = ["10.0.0.9"] if what == "another host" else ["127.0.0.1"]
    tls = files_of(ca)
    if what == "another CA":
        tls = DockerTls(other.file, tls.cert, tls.key)
    elif what == "nothing to show":
        tls = DockerTls(ca.file)
    elif what == "the environment's CA":
        tls = DockerTls(other.file, tls.cert, tls.key)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", ca.file)
        monkeypatch.setenv("CURL_CA_BUNDLE", ca.file)
        monkeypatch.setenv("DOCKER_TLS_VERIFY", "")
    with tls_before(docker_socket, server_of(ca, *hosts)) as address:
        engine = DockerEngine(base_url=address, timeout_s=DEADLINE_S, tls=tls)
        with pytest.raises(EngineError, match=said) as caught:
            engine.info()
        assert caught.value.fault == "unavailable"
        engine.close()
