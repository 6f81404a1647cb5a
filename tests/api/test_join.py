"""A new controller gets its certificate: pin, token, request, over real sockets."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from api.ca import main
from cluster import config
from cluster.clock import SystemClock
from cluster.tls.authority import Authority, request_for
from cluster.tls.certificates import facts_of_pem
from cluster.tls.identity import Identity
from tests.api.process import ANSWER_S, START_S, Process, serving
from tests.api.support import make
from tests.live import until


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the first controller."""
    found = tmp_path_factory.mktemp("first")
    assert main(["init", "--dir", str(found), "--name", "one"]) == 0
    return found


@pytest.fixture(scope="module")
def node(folder: Path) -> Iterator[Process]:
    """The first controller, which asks for tokens of access."""
    with serving(
        ORCHESTRY_TLS_CERT=str(folder / "node.crt"), ORCHESTRY_TLS_KEY=str(folder / "node.key"),
        ORCHESTRY_TLS_CA=str(folder / "ca.crt"), ORCHESTRY_TLS_CA_KEY=str(folder / "ca.key"),
        ORCHESTRY_AUTH="on",
    ) as found:
        until("it answers", lambda: requests.get(
            f"https://127.0.0.1:{found.port}/livez", verify=str(folder / "ca.crt"),
            timeout=ANSWER_S).ok, START_S)
        yield found


def joined(node: Process, where: Path, token: str) -> int:
    """`orchestry cluster ca join`."""
    return main(["join", "--url", f"https://127.0.0.1:{node.port}", "--dir", str(where),
                 "--name", "two", "--host", "10.0.0.2", "--token", token])


def test_a_controller_joins(
    node: Process, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a token it gets all that it needs to be one of them, and to renew by itself."""
    assert main(["token", "--dir", str(folder), "--ttl", "10m"]) == 0
    token = capsys.readouterr().out.strip()
    where = tmp_path / "two"
    assert joined(node, where, token) == 0, capsys.readouterr().err
    assert f"ORCHESTRY_TLS_CERT={where}/node.crt" in capsys.readouterr().out
    facts = facts_of_pem((where / "node.crt").read_bytes())[0]
    assert {"two"} <= facts.names
    assert {"10.0.0.2"} <= facts.addresses
    identity = Identity(config.load({
        "ORCHESTRY_TLS_CERT": str(where / "node.crt"),
        "ORCHESTRY_TLS_KEY": str(where / "node.key"),
        "ORCHESTRY_TLS_CA": str(where / "ca.crt"),
        "ORCHESTRY_TLS_CA_KEY": str(where / "ca.key"), "CLUSTER_TLS": "on"}), SystemClock())
    assert identity.authority is not None
    assert identity.authority.admits(token, time.time())


def test_what_is_issued_leaves_a_trace(folder: Path) -> None:
    """An event names the controller and who asked, and never a key."""
    node, _, client = make({
        f"ORCHESTRY_TLS_{what}": str(folder / name) for what, name in (
            ("CERT", "node.crt"), ("KEY", "node.key"), ("CA", "ca.crt"), ("CA_KEY", "ca.key"))})
    token = Authority.load(str(folder / "ca.crt"), str(folder / "ca.key")).token(
        int(time.time()) + 600)
    request, key = request_for("two", ("10.0.0.2",))
    query = base64.urlsafe_b64encode(request).decode()
    answer = client.get(f"/cluster/ca/certificate?request={query}",
                        headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    event = node.log.state().events[-1]
    assert (event.type, event.message) == (
        "cluster", "A certificate was issued for controller two")
    assert dict(event.details)["client"] == "127.0.0.1"
    assert "10.0.0.2" in dict(event.details)["names"]
    assert key.decode() not in repr(node.log.state())
    assert token not in repr(node.log.state())


def test_who_is_not_the_ca_of_the_token_gets_nothing(
    node: Process, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody between, or another cluster, is told neither token nor request."""
    other = Authority.make("another")
    assert joined(node, tmp_path / "two", other.token(int(time.time()) + 600)) == 1
    assert "another CA than the token names" in capsys.readouterr().err
    assert not (tmp_path / "two").exists()


@contextmanager
def pretending(
    ca: Authority, folder: Path, answers: Mapping[str, Mapping[str, str]]
) -> Iterator[tuple[int, list[tuple[str, str | None]]]]:
    """Somebody with a certificate of this CA who gives these answers; what he was asked."""
    asked: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            asked.append((path, self.headers.get("Authorization")))
            body = json.dumps(answers[path]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    issued = ca.issue("one", ["127.0.0.1"])
    folder.mkdir()
    (folder / "both.pem").write_bytes(issued.certificate + issued.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1], asked
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("own_first", [False, True])
def test_a_ca_beside_that_of_the_token_is_not_trusted(
    own_first: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody between who shows the right CA and his own as well is told no token."""
    real, own = Authority.make("real"), Authority.make("own")
    shown = [real.certificate.decode(), own.certificate.decode()]
    text = "".join(reversed(shown) if own_first else shown)
    where = tmp_path / "two"
    answers = {
        "/cluster/ca": {"ca": text},
        "/cluster/ca/certificate": {
            "ca": text, "ca_key": own.key.decode(), "certificate": own.certificate.decode()},
    }
    with pretending(own, tmp_path / "own", answers) as (port, asked):
        assert main(["join", "--url", f"https://127.0.0.1:{port}", "--dir", str(where),
                     "--name", "two", "--token", real.token(int(time.time()) + 600)]) == 1
    assert "2 certificates where there should be one" in capsys.readouterr().err
    assert asked == [("/cluster/ca", None)]
    assert not where.exists()


@pytest.mark.parametrize("beside", [False, True])
def test_only_the_ca_of_the_token_is_kept(
    beside: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The answer with the certificate has to hold it; what else is there is not believed."""
    real, other = Authority.make("real"), Authority.make("other")
    where = tmp_path / "two"
    text = other.certificate + (real.certificate if beside else b"")
    answers = {
        "/cluster/ca": {"ca": f"# a remark\n{real.certificate.decode()}"},
        "/cluster/ca/certificate": {
            "ca": text.decode(), "ca_key": real.key.decode(),
            "certificate": real.issue("two", []).certificate.decode()},
    }
    with pretending(real, tmp_path / "real", answers) as (port, _):
        code = main(["join", "--url", f"https://127.0.0.1:{port}", "--dir", str(where),
                     "--name", "two", "--token", real.token(int(time.time()) + 600)])
    if beside:
        assert code == 0, capsys.readouterr().err
        assert (where / "ca.crt").read_bytes() == real.certificate
    else:
        assert code == 1
        assert "another CA than it showed" in capsys.readouterr().err
        assert not where.exists()


def test_tokens_that_ended_or_were_made_up_are_refused(
    node: Process, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the reason; and nobody gets the CA's key without one."""
    ca = Authority.load(str(folder / "ca.crt"), str(folder / "ca.key"))
    ended = ca.token(int(time.time()) - 1)
    for token in (ended, f"{ended[:-4]}0000"):
        assert joined(node, tmp_path / "two", token) == 1
        assert "has ended" in capsys.readouterr().err
    url = f"https://127.0.0.1:{node.port}/cluster/ca"
    for token in ("", "Bearer ", "Bearer x", f"Bearer {ended}"):
        answer = requests.get(f"{url}/certificate?request=eA==", timeout=ANSWER_S,
                              verify=str(folder / "ca.crt"), headers={"Authorization": token})
        assert answer.status_code in {401, 403}, answer.text
    good = {"Authorization": f"Bearer {ca.token(int(time.time()) + 60)}"}
    answer = requests.get(f"{url}/certificate?request=eA==", timeout=ANSWER_S,
                          verify=str(folder / "ca.crt"), headers=good)
    assert answer.status_code == 400
    assert answer.json()["details"][0]["field"] == "request"
    public = requests.get(url, timeout=ANSWER_S, verify=str(folder / "ca.crt")).json()
    assert public == {"ca": ca.certificate.decode(), "pin": ca.pin}


def test_a_controller_without_the_key_says_so() -> None:
    """As all do that were not told of a CA."""
    with serving() as plain:
        until("it answers", lambda: plain.call("GET", "/livez")[0] == 200, START_S)
        for path in ("/cluster/ca", "/cluster/ca/certificate?request=eA=="):
            status, body = plain.call("GET", path)
            assert (status, body["code"]) == (404, "NOT_FOUND")
            assert "ORCHESTRY_TLS_CA_KEY" in body["details"]
