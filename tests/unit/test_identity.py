"""Certificates in files: what they are for, which cannot be used, and when they are read."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from cluster import config
from cluster.clock import SystemClock
from cluster.tls.certificates import facts_of_pem, objection, unnamed
from cluster.tls.errors import TlsError
from cluster.tls.identity import Contexts, Identity
from tests.certificates import Pair, TestCa


class At(SystemClock):
    """A clock that is some days ahead."""

    days = 0

    def wall_ms(self) -> int:
        return super().wall_ms() + self.days * 86_400_000


@pytest.fixture
def ca(tmp_path: Path) -> TestCa:
    """A CA."""
    return TestCa(tmp_path / "ca")


def identity(ca: str, pair: Pair, clock: SystemClock | None = None, **more: str) -> Identity:
    """That of a controller with these files."""
    settings = config.load({
        "ORCHESTRY_TLS_CERT": pair.cert, "ORCHESTRY_TLS_KEY": pair.key, "ORCHESTRY_TLS_CA": ca,
        **more})
    return Identity(settings, clock or SystemClock())


def test_whom_a_certificate_is_for(ca: TestCa) -> None:
    """Names, wildcards of one label, and addresses, in any writing."""
    pair = ca.issue("node", "a.example", "*.b.example", "127.0.0.1", "::1")
    facts = facts_of_pem(Path(pair.cert).read_bytes())[0]
    good = ("a.example", "A.Example.", "x.b.example", "127.0.0.1", "[::1]", "0:0:0:0:0:0:0:1")
    for name in good:
        assert facts.is_for(name), name
    for name in ("", "b.example", "y.x.b.example", "127.0.0.2", "example", "a.example.org"):
        assert not facts.is_for(name), name
    assert facts.common_name == "node"
    assert unnamed(facts, ("c.example", "127.0.0.1")) == ""
    assert unnamed(facts, ("c.example", "node-1")) == (
        "its certificate is for *.b.example, 127.0.0.1, ::1, a.example, "
        "not for c.example or node-1")


def test_when_a_certificate_holds(ca: TestCa) -> None:
    """Between its two dates."""
    facts = facts_of_pem(Path(ca.issue("node", "a.example").cert).read_bytes())[0]
    assert "not valid before" in objection(facts, facts.begins_ms - 1)
    assert objection(facts, facts.begins_ms) == ""
    assert objection(facts, facts.ends_ms - 1) == ""
    assert "expired at" in objection(facts, facts.ends_ms)


@pytest.mark.parametrize(("what", "said"), [
    ("expired", "expired at"), ("mixed", "the key is not that of the certificate"),
    ("missing", "cannot be read"), ("no-ca", "no readable CA"), ("no-cert", "no readable certif"),
    ("no-key", "no certificate and key"), ("phrase", "has a pass phrase"),
])
def test_files_that_cannot_be_used(what: str, said: str, ca: TestCa, tmp_path: Path) -> None:
    """Each fault names a file and what is wrong with it."""
    good, nonsense = ca.issue("good", "127.0.0.1"), tmp_path / "nonsense"
    nonsense.write_text("nonsense")
    if what == "phrase":
        subprocess.run(["openssl", "ec", "-in", good.key, "-aes256", "-passout", "pass:secret",
                        "-out", str(tmp_path / "phrase")], check=True, capture_output=True)
    pair, trusted = {
        "expired": (ca.issue("expired", "127.0.0.1", days=-1), ca.file),
        "mixed": (Pair(good.cert, ca.issue("mixed", "127.0.0.1").key), ca.file),
        "missing": (Pair(good.cert, str(tmp_path / "missing")), ca.file),
        "no-ca": (good, good.key),
        "no-cert": (Pair(str(nonsense), good.key), ca.file),
        "no-key": (Pair(good.cert, str(nonsense)), ca.file),
        "phrase": (Pair(good.cert, str(tmp_path / "phrase")), ca.file),
    }[what]
    with pytest.raises(TlsError) as caught:
        identity(trusted, pair)
    assert said in caught.value.reason
    assert str(ca.folder) in caught.value.reason or str(tmp_path) in caught.value.reason


def test_files_are_read_when_they_change(ca: TestCa) -> None:
    """New files make new contexts; broken ones change nothing, and are tried until they work."""
    pair = ca.issue("node", "127.0.0.1")
    found = identity(ca.file, pair)
    first = found.contexts
    found.refresh()
    assert found.contexts is first
    ca.issue("node", "127.0.0.1")
    found.refresh()
    second = found.contexts
    assert second is not first
    os.rename(pair.key, f"{pair.key}.gone")
    found.refresh()
    assert found.contexts is second
    assert "node.key" in found.status().fault
    found.refresh()
    os.rename(f"{pair.key}.gone", pair.key)
    found.refresh()
    assert found.contexts is not second
    assert found.status().fault == ""


def test_files_that_change_while_they_are_read_are_read_again(
    ca: TestCa, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also at the start of a controller."""
    pair, read = ca.issue("node", "127.0.0.1"), Identity._first

    def slowly(one: Identity) -> Contexts:
        contexts = read(one)
        ca.issue("node", "127.0.0.1")
        return contexts

    monkeypatch.setattr(Identity, "_first", slowly)
    found = identity(ca.file, pair)
    first = found.contexts
    found.refresh()
    assert found.contexts is not first


def test_an_end_that_comes_near_is_told(ca: TestCa) -> None:
    """A week before its end a certificate counts as a fault, and after it all the more."""
    clock = At()
    found = identity(ca.file, ca.issue("node", "127.0.0.1", days=20), clock)
    assert found.status().fault == ""
    clock.days = 14
    assert "expires within a week" in found.status().fault
    clock.days = 21
    assert "has expired" in found.status().fault


def test_without_certificates_there_is_no_tls() -> None:
    """Then the API speaks HTTP, and calls to others believe the CAs of the system."""
    found = Identity(config.load({}), SystemClock())
    assert not found.on
    assert found.contexts.api is None
    assert found.for_call() is found.for_call()
    assert found.status().fault == ""
