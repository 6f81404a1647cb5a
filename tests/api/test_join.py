"""A new controller gets its certificate: pin, token, request, over real sockets."""

from __future__ import annotations

import base64
import json
import ssl
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest
import requests

from api.ca import main
from cluster import config
from cluster.clock import SystemClock
from cluster.tls import tokens
from cluster.tls.authority import Authority, request_for
from cluster.tls.certificates import facts_of_pem
from cluster.tls.identity import Identity
from cluster.tls.tokens import LOOPBACK, PROOF_HEADER, proof
from tests.api.process import ANSWER_S, START_S, Process, serving
from tests.api.support import make
from tests.live import until

SECRET = "a secret of these tests"


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
        ORCHESTRY_AUTH="on", CLUSTER_SECRET=SECRET,
    ) as found:
        until("it answers", lambda: requests.get(
            f"https://127.0.0.1:{found.port}/livez", verify=str(folder / "ca.crt"),
            timeout=ANSWER_S).ok, START_S)
        yield found


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a machine that joins knows."""
    monkeypatch.setenv("CLUSTER_SECRET", SECRET)


def joined(node: Process, where: Path, token: str) -> int:
    """`orchestry cluster ca join`."""
    return main(["join", "--url", f"https://127.0.0.1:{node.port}", "--dir", str(where),
                 "--token", token])


def soon() -> int:
    """An end of a token."""
    return int(time.time()) + 600


def test_a_controller_joins(
    node: Process, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a token it gets all that it needs to be one of them, and to renew by itself."""
    assert main(["token", "--dir", str(folder), "--ttl", "10m", "--name", "two",
                 "--host", "10.0.0.2"]) == 0
    token = capsys.readouterr().out.strip()
    where = tmp_path / "two"
    assert joined(node, where, token) == 0, capsys.readouterr().err
    assert f"ORCHESTRY_TLS_CERT={where}/node.crt" in capsys.readouterr().out
    facts = facts_of_pem((where / "node.crt").read_bytes())[0]
    assert {"two"} <= facts.names
    assert facts.addresses == {"10.0.0.2", "127.0.0.1", "::1"}
    identity = Identity(config.load({
        "ORCHESTRY_TLS_CERT": str(where / "node.crt"),
        "ORCHESTRY_TLS_KEY": str(where / "node.key"),
        "ORCHESTRY_TLS_CA": str(where / "ca.crt"),
        "ORCHESTRY_TLS_CA_KEY": str(where / "ca.key"), "CLUSTER_TLS": "on"}), SystemClock())
    assert identity.authority is not None
    assert identity.authority.admits(token, time.time())
    assert stat.S_IMODE((where / "ca.key").stat().st_mode) == 0o600


def test_without_the_secret_of_the_cluster_a_token_gives_nothing(
    node: Process, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who found a token gets neither a certificate nor the key of the CA."""
    ca = Authority.load(str(folder / "ca.crt"), str(folder / "ca.key"))
    token, where = ca.token("two", ["10.0.0.2"], soon()), tmp_path / "two"
    file = tmp_path / "secret"
    file.write_text("another secret of these\n")
    monkeypatch.delenv("CLUSTER_SECRET")
    assert joined(node, where, token) == 1
    assert "set CLUSTER_SECRET or CLUSTER_SECRET_FILE" in capsys.readouterr().err
    monkeypatch.setenv("CLUSTER_SECRET_FILE", str(file))
    assert joined(node, where, token) == 1
    assert "has to know the CLUSTER_SECRET" in capsys.readouterr().err
    assert not where.exists()
    file.write_text(f"{SECRET}\n")
    assert joined(node, where, token) == 0, capsys.readouterr().err


def test_a_token_is_for_the_controller_that_it_names(node: Process, folder: Path) -> None:
    """Nobody gets the certificate of another controller with it, whatever he asks for."""
    ca = Authority.load(str(folder / "ca.crt"), str(folder / "ca.key"))
    token = ca.token("two", ["10.0.0.2"], soon())
    for name, hosts in (("one", ("10.0.0.2",)), ("two", ("10.0.0.1",)), ("two", ("one",))):
        request, _ = request_for(name, (*hosts, *LOOPBACK))
        answer = requests.get(
            f"https://127.0.0.1:{node.port}/cluster/ca/certificate", timeout=ANSWER_S,
            params={"request": base64.urlsafe_b64encode(request).decode()},
            verify=str(folder / "ca.crt"), headers=shown(token, request))
        assert answer.status_code == 400, answer.text
        assert "which is for two, 10.0.0.2" in answer.json()["details"][0]["message"]


def shown(token: str, request: bytes) -> dict[str, str]:
    """What a machine that joins sends with its request."""
    return {"Authorization": f"Bearer {token}", PROOF_HEADER: proof(SECRET, token, request)}


def test_what_is_issued_leaves_a_trace(folder: Path) -> None:
    """An event names the controller and who asked, and never a key."""
    node, _, client = make({"CLUSTER_SECRET": SECRET} | {
        f"ORCHESTRY_TLS_{what}": str(folder / name) for what, name in (
            ("CERT", "node.crt"), ("KEY", "node.key"), ("CA", "ca.crt"), ("CA_KEY", "ca.key"))})
    token = Authority.load(str(folder / "ca.crt"), str(folder / "ca.key")).token(
        "two", ["10.0.0.2"], soon())
    request, key = request_for("two", ("10.0.0.2", *LOOPBACK))
    query = base64.urlsafe_b64encode(request).decode()
    answer = client.get(f"/cluster/ca/certificate?request={query}", headers=shown(token, request))
    assert answer.status_code == 200
    event = node.log.state().events[-1]
    assert (event.type, event.message) == (
        "cluster", "A certificate was issued for controller two")
    assert dict(event.details)["client"] == "127.0.0.1"
    assert "10.0.0.2" in dict(event.details)["names"]
    assert key.decode() not in repr(node.log.state())
    assert token not in repr(node.log.state())


def test_what_is_issued_is_audited_and_wrong_proofs_are_few(folder: Path) -> None:
    """Who got a certificate is in the chain, and nobody tries secrets as often as he likes."""
    node, _, client = make({"CLUSTER_SECRET": SECRET, "ORCHESTRY_AUTH": "on"} | {
        f"ORCHESTRY_TLS_{what}": str(folder / name) for what, name in (
            ("CERT", "node.crt"), ("KEY", "node.key"), ("CA", "ca.crt"), ("CA_KEY", "ca.key"))})
    token = Authority.load(str(folder / "ca.crt"), str(folder / "ca.key")).token(
        "two", ["10.0.0.2"], soon())
    request, _ = request_for("two", ("10.0.0.2", *LOOPBACK))
    path = f"/cluster/ca/certificate?request={base64.urlsafe_b64encode(request).decode()}"
    assert client.get(path, headers=shown(token, request)).status_code == 200
    (entry,) = (dict(one.details) for one in node.log.state().events if one.type == "audit")
    assert (entry["method"], entry["path"], entry["client"]) == (
        "GET", "/cluster/ca/certificate", "127.0.0.1")
    wrong = shown(token, request) | {PROOF_HEADER: proof("another", token, request)}
    statuses = [client.get(path, headers=wrong).status_code for _ in range(12)]
    assert statuses == [403] * 10 + [429] * 2


def test_who_is_not_the_ca_of_the_token_gets_nothing(
    node: Process, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody between, or another cluster, is told neither token nor request."""
    other = Authority.make("another")
    assert joined(node, tmp_path / "two", other.token("two", [], soon())) == 1
    assert "another CA than the token names" in capsys.readouterr().err
    assert not (tmp_path / "two").exists()


@contextmanager
def pretending(
    ca: Authority, folder: Path, answers: Mapping[str, Mapping[str, str]],
    sign: Callable[[str], Mapping[str, str]] | None = None,
) -> Iterator[tuple[int, list[tuple[str, str | None]]]]:
    """Somebody with a certificate of this CA who gives these answers; what he was asked."""
    asked: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            asked.append((path, self.headers.get("Authorization")))
            found = sign(query) if sign is not None and query else answers[path]
            body = json.dumps(found).encode()
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
                     "--token", real.token("two", [], soon())]) == 1
    assert "has no valid certificate" in capsys.readouterr().err
    assert asked == [("/cluster/ca", None)]
    assert not where.exists()


@pytest.mark.parametrize("own", [False, True])
def test_only_cas_of_the_token_are_kept(
    own: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All that the token pins and nothing beside; the certificate has to be of the first one."""
    real, old, other = (Authority.make(name) for name in ("real", "old", "other"))
    token = Authority.load(*rotating(tmp_path, real, old)).token("two", [], soon())
    where = tmp_path / "two"
    answers: dict[str, dict[str, str]] = {"/cluster/ca": {"ca": "# a remark\n" + "".join(
        one.certificate.decode() for one in (other, old, real))}}

    def sign(query: str) -> dict[str, str]:
        request = base64.urlsafe_b64decode(parse_qs(query)["request"][0])
        ca = real if own else other
        claim = tokens.claimed(token)
        assert claim is not None
        return {"ca": other.certificate.decode(), "ca_key": real.key.decode(),
                "certificate": ca.sign_for(claim, request.decode()).decode()}

    with pretending(real, tmp_path / "real", answers, sign) as (port, asked):
        code = main(["join", "--url", f"https://127.0.0.1:{port}", "--dir", str(where),
                     "--token", token])
    assert asked[1] == ("/cluster/ca/certificate", f"Bearer {token}")
    if own:
        assert code == 0, capsys.readouterr().err
        assert (where / "ca.crt").read_bytes() == real.certificate + old.certificate
    else:
        assert code == 1
        assert "another CA than it showed" in capsys.readouterr().err
        assert not where.exists()


def rotating(folder: Path, new: Authority, old: Authority) -> tuple[str, str]:
    """The files of a cluster that goes from one CA to another."""
    (folder / "both.crt").write_bytes(old.certificate + new.certificate)
    (folder / "new.key").write_bytes(new.key)
    return str(folder / "both.crt"), str(folder / "new.key")


def test_tokens_that_ended_or_were_made_up_are_refused(
    node: Process, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the reason; and nobody gets the CA's key without one."""
    ca = Authority.load(str(folder / "ca.crt"), str(folder / "ca.key"))
    ended = ca.token("two", [], int(time.time()) - 1)
    for token in (ended, f"{ended[:-4]}0000"):
        assert joined(node, tmp_path / "two", token) == 1
        assert "has ended" in capsys.readouterr().err
    url = f"https://127.0.0.1:{node.port}/cluster/ca"
    for token in ("", "Bearer ", "Bearer x", f"Bearer {ended}"):
        answer = requests.get(f"{url}/certificate?request=eA==", timeout=ANSWER_S,
                              verify=str(folder / "ca.crt"), headers={"Authorization": token})
        assert answer.status_code in {401, 403}, answer.text
    good = shown(ca.token("two", [], soon()), b"x")
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
