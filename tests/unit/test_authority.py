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
from cluster.tls.authority import Authority, pin_of, pinned, request_for, was_issued
from cluster.tls.certificates import facts_of_pem
from cluster.tls.errors import TlsError
from cluster.tls.identity import Identity
from cluster.tls.tokens import is_proven, proof

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
    (("token", "--dir", "{}", "--name", "b", "--ttl", "soon"), "--ttl"),
    (("token", "--dir", "{}", "--name", "b", "--ttl", "25h"), "24h at most"),
    (("token", "--dir", "{}", "--name", "b", "--host", "b c"), "is not a host name"),
    (("join", "--dir", "{}/c", "--url", "https://a:1", "--token", "x"), "give a join token"),
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
    """Good until they end, for one controller, and for nothing that was altered."""
    ca, other = Authority.make("one"), Authority.make("two")
    token = ca.token("two", ["10.0.0.2", "b.example"], 1000)
    claim = ca.admits(token, 999)
    assert claim is not None
    assert (claim.pins, claim.ends_s) == ((ca.pin,), 1000)
    assert claim.names == ("two", "10.0.0.2", "b.example", "localhost", "127.0.0.1", "::1")
    assert ca.admits(f" {token}\n", 0) == claim
    assert ca.admits(token, 1000) is None
    assert other.admits(token, 0) is None
    parts = token.split(".")
    for at, changed in (
        (1, f"{ca.pin}+{other.pin}"), (1, other.pin), (2, "9000"),
        (3, ca.token("three", ["10.0.0.2", "b.example"], 1000).split(".")[3]),
        (4, parts[4][:-1] + ("0" if parts[4][-1] != "0" else "1")),
    ):
        assert ca.admits(".".join([*parts[:at], changed, *parts[at + 1:]]), 0) is None
    assert ca.admits("", 0) is None
    assert ca.admits(ca.token("two", [], 36_500 * 86_400), 0) is None
    assert ca.admits(ca.token("two", [], 86_400), 0) is not None


@pytest.mark.parametrize(("name", "hosts", "said"), [
    ("Two", [], "1-63 characters"), ("a\nb", [], "1-63 characters"),
    ("two", ["a\nb"], "is not a host name"), ("two", ["*.example"], "is not a host name"),
    ("two", [f"10.0.0.{n}" for n in range(17)], "16 hosts at most"),
])
def test_tokens_name_controllers_only(name: str, hosts: list[str], said: str) -> None:
    """An id and hosts that a controller could have; the message says what is wrong."""
    with pytest.raises(TlsError, match=said):
        Authority.make("one").token(name, hosts, 1000)


def test_requests_are_held_against_the_token() -> None:
    """What is no request, was altered, or names anybody but the token does is not signed."""
    ca = Authority.make("one")
    claim = ca.admits(ca.token("two", ["10.0.0.2"], 1000), 0)
    assert claim is not None
    request, key = request_for("two", claim.names)
    signed = ca.sign_for(claim, request.decode())
    facts = facts_of_pem(signed)[0]
    assert facts.addresses == {"10.0.0.2", "127.0.0.1", "::1"}
    assert facts.names == {"two", "localhost"}
    assert facts.common_name == "two"
    assert was_issued(signed, ca.certificate, key)
    assert not was_issued(signed, Authority.make("one").certificate, key)
    assert not was_issued(signed, ca.certificate, ca.issue("two", []).key)
    for bad in ("", "nonsense", ca.certificate.decode()):
        with pytest.raises(TlsError, match="no signing request"):
            ca.sign_for(claim, bad)
    for name, names in (
        ("two", (*claim.names, "10.0.0.1")), ("two", ("10.0.0.2",)), ("one", claim.names),
        ("two", (*claim.names, "one")),
    ):
        other = request_for(name, names)[0].decode()
        with pytest.raises(TlsError, match=r"which is for two, 10\.0\.0\.2"):
            ca.sign_for(claim, other)


def test_a_proof_is_of_one_token_and_one_request() -> None:
    """It shows the secret for these two alone; without a secret nothing is proven."""
    good = proof("a secret", "token", b"request")
    assert is_proven(good, "a secret", " token\n", b"request")
    assert not is_proven(good, "another", "token", b"request")
    assert not is_proven(good, "a secret", "other", b"request")
    assert not is_proven(good, "a secret", "token", b"another")
    assert not is_proven("\udcff", "a secret", "token", b"request")
    assert not is_proven(proof("", "token", b"request"), "", "token", b"request")


def test_while_one_ca_replaces_another_both_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The new CA's files are read without a restart; tokens then pin both, the new one first."""
    run(capsys, "init", "--dir", str(tmp_path), "--name", "one")
    found = Identity(settings(tmp_path), SystemClock())
    assert found.authority is not None
    old, new = found.authority.certificate, Authority.make("new")
    (tmp_path / "ca.crt").write_bytes(old + new.certificate)
    (tmp_path / "ca.key").write_bytes(new.key)
    found.refresh()
    assert found.status().fault == ""
    assert found.authority.trusted == new.certificate + old
    claim = found.authority.admits(found.authority.token("two", [], 1000), 0)
    assert claim is not None
    assert claim.pins == (new.pin, pin_of(old))
    shown = found.authority.trusted + Authority.make("stranger").certificate
    assert pinned(shown.decode(), claim.pins) == new.certificate + old
    with pytest.raises(TlsError, match="another CA than the token names"):
        pinned(old.decode(), claim.pins)
    out = tmp_path / "two"
    told = run(capsys, "issue", "--dir", str(tmp_path), "--name", "two", "--out", str(out),
               "--no-ca-key")
    assert (out / "ca.crt").read_bytes() == new.certificate + old
    assert "ORCHESTRY_TLS_CA_KEY" not in told["settings"]
    assert not (out / "ca.key").exists()


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
