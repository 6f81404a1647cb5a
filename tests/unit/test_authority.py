"""The cluster's own CA: what it signs, whom it admits, and how certificates are renewed."""

from __future__ import annotations

import json
import socket
import ssl
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from api.ca import main
from cluster import config
from cluster.clock import SystemClock
from cluster.tls.authority import Authority, pin_of, read_token, request_for
from cluster.tls.certificates import facts_of_pem
from cluster.tls.errors import TlsError
from cluster.tls.identity import Identity

DAY_MS = 86_400_000


class At(SystemClock):
    """A clock that is some days ahead."""

    days = 0

    def wall_ms(self) -> int:
        return super().wall_ms() + self.days * DAY_MS


def settings(folder: Path) -> config.Settings:
    """Those that `ca init` prints."""
    return config.load({
        "ORCHESTRY_TLS_CERT": str(folder / "node.crt"),
        "ORCHESTRY_TLS_KEY": str(folder / "node.key"),
        "ORCHESTRY_TLS_CA": str(folder / "ca.crt"),
        "ORCHESTRY_TLS_CA_KEY": str(folder / "ca.key"), "CLUSTER_TLS": "on"})


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """What a command says as JSON."""
    assert main(["--json", *arguments]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def shaken(server: ssl.SSLContext, client: ssl.SSLContext, name: str | None) -> Any:
    """What the server learns of a client that connects to it."""
    ours, theirs = socket.socketpair()
    found: list[Any] = []

    def serve() -> None:
        with ours, server.wrap_socket(ours, server_side=True) as secure:
            found.append(secure.getpeercert())
            secure.sendall(b"x")

    thread = threading.Thread(target=serve)
    thread.start()
    with theirs, client.wrap_socket(theirs, server_hostname=name) as secure:
        assert secure.recv(1) == b"x"
    thread.join()
    return found[0]


def test_files_of_a_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`init` and `issue` make what two controllers need to know one another, keys for us alone."""
    first, second = tmp_path / "one", tmp_path / "two"
    told = run(capsys, "init", "--dir", str(first), "--name", "one", "--host", "10.0.0.1")
    run(capsys, "issue", "--dir", str(first), "--name", "two", "--host", "b.example",
        "--out", str(second))
    assert told["settings"]["ORCHESTRY_TLS_CERT"] == str(first / "node.crt")
    assert told["pin"] == pin_of((second / "ca.crt").read_bytes())
    for folder in (first, second):
        for name in ("ca.key", "node.key"):
            assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    facts = facts_of_pem((second / "node.crt").read_bytes())[0]
    assert facts.names == {"two", "b.example", "localhost"}
    assert facts.addresses == {"127.0.0.1", "::1"}
    one, two = (Identity(settings(folder), SystemClock()).contexts for folder in (first, second))
    assert one.api is not None
    assert one.raft_server is not None
    assert two.raft_client is not None
    shaken(one.api, Identity(settings(second), SystemClock()).for_call(), "10.0.0.1")
    seen = shaken(one.raft_server, two.raft_client, None)
    assert ("DNS", "two") in seen["subjectAltName"]


@pytest.mark.parametrize(("arguments", "said"), [
    (("init", "--dir", "{}", "--name", "a"), "has a CA already"),
    (("issue", "--dir", "{}", "--name", "b", "--out", "{}"), "has a certificate already"),
    (("issue", "--dir", "{}/none", "--name", "b", "--out", "{}/b"), "cannot be read"),
    (("token", "--dir", "{}", "--ttl", "soon"), "--ttl"),
    (("token", "--dir", "{}", "--ttl", "25h"), "24h at most"),
    (("join", "--dir", "{}/c", "--name", "c", "--url", "https://a:1", "--token", "x"),
     "give a join token"),
])
def test_what_cannot_be_done_says_why(
    arguments: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And changes no file."""
    run(capsys, "init", "--dir", str(tmp_path), "--name", "a")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert main([one.format(tmp_path) for one in arguments]) == 1
    assert said in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_join_tokens() -> None:
    """Good until they end, only with the CA that made them, and for nothing that was altered."""
    ca, other = Authority.make("one"), Authority.make("two")
    token = ca.token(1000)
    assert ca.admits(token, 999)
    assert ca.admits(f" {token}\n", 0)
    assert not ca.admits(token, 1000)
    assert not other.admits(token, 0)
    assert not ca.admits(token.replace(".1000.", ".9000."), 0)
    assert not ca.admits(f"{token[:-1]}{'0' if token[-1] != '0' else '1'}", 0)
    assert not ca.admits("", 0)
    long = ca.token(36_500 * 86_400)
    assert not ca.admits(long, 0)
    assert ca.admits(ca.token(86_400), 0)
    found = read_token(token)
    assert found is not None
    assert (found.pin, found.ends_s) == (ca.pin, 1000)


def test_requests_are_checked() -> None:
    """What is no request, or was altered, is not signed."""
    ca = Authority.make("one")
    request, _ = request_for("two", ["10.0.0.2"])
    facts = facts_of_pem(ca.sign_pem(request.decode()))[0]
    assert facts.addresses == {"10.0.0.2"}
    for bad in ("", "nonsense", ca.certificate.decode()):
        with pytest.raises(TlsError):
            ca.sign_pem(bad)


def test_certificates_are_renewed_in_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After two thirds of its time there is a new one with the same names, and it is used."""
    run(capsys, "init", "--dir", str(tmp_path), "--name", "one", "--host", "a.example")
    clock = At()
    found = Identity(settings(tmp_path), clock)
    first = found.contexts
    clock.days = 59
    found.refresh()
    assert found.contexts is first
    clock.days = 61
    found.refresh()
    assert found.contexts is not first
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode)
             for name in ("node.crt", "node.key")}
    assert modes == {"node.crt": 0o644, "node.key": 0o600}
    facts = facts_of_pem((tmp_path / "node.crt").read_bytes())[0]
    assert facts.names == {"one", "a.example", "localhost"}
    assert found.status().fault == ""


def test_a_renewal_that_was_cut_short_is_done_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A crash between key and certificate keeps no controller from starting; only ours are made."""
    run(capsys, "init", "--dir", str(tmp_path), "--name", "one", "--host", "a.example")
    authority = Authority.load(str(tmp_path / "ca.crt"), str(tmp_path / "ca.key"))
    (tmp_path / "node.key").write_bytes(authority.issue("one", ["a.example"]).key)
    found = Identity(settings(tmp_path), At())
    assert found.status().fault == ""
    facts = facts_of_pem((tmp_path / "node.crt").read_bytes())[0]
    assert facts.names == {"one", "a.example", "localhost"}
    stranger = Authority.make("stranger").issue("one", ["a.example"])
    (tmp_path / "node.crt").write_bytes(stranger.certificate)
    with pytest.raises(TlsError, match="not that of the certificate"):
        Identity(settings(tmp_path), At())
    assert (tmp_path / "node.crt").read_bytes() == stranger.certificate


def test_a_renewal_that_fails_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The old certificate stays until its end; it is tried again each minute."""
    run(capsys, "init", "--dir", str(tmp_path), "--name", "one")
    clock = At()
    found = Identity(settings(tmp_path), clock)
    held = (tmp_path / "node.crt").read_bytes()
    blocked = tmp_path / ".node.key.new"
    blocked.mkdir()
    clock.days = 61
    found.refresh()
    assert "cannot be renewed" in found.status().fault
    assert (tmp_path / "node.crt").read_bytes() == held
    blocked.rmdir()
    clock.days = 62
    found.refresh()
    assert found.status().fault == ""
    assert (tmp_path / "node.crt").read_bytes() != held
