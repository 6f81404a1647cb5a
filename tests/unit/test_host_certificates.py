"""Certificates of hosts in a folder: which are taken, which are not, and when."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster import config
from cluster.clock import SystemClock
from cluster.control.ingress_sync import host_https
from cluster.tls.hosts import HostCertificates
from tests.certificates import TestCa


@pytest.fixture
def ca(tmp_path: Path) -> TestCa:
    """A CA that issues into the watched folder, without being in it itself."""
    found = TestCa(tmp_path / "certs")
    Path(found.file).unlink()
    return found


def test_hosts_come_from_the_certificates(ca: TestCa) -> None:
    """Names and wildcards; of two for one host the one that ends later holds."""
    ca.issue("old", "a.example", days=2)
    ca.issue("wild", "*.b.example", "B.example", days=3)
    ca.issue("new", "a.example", days=9)
    found = HostCertificates(str(ca.folder), SystemClock())
    found.refresh()
    assert [one.name for one in found.current] == ["old", "wild", "new"]
    assert found.current[1].hosts == ("*.b.example", "b.example")
    assert found.fault() == ""
    assert all(one.chain.startswith("-----BEGIN ") for one in found.current)
    assert "BEGIN" not in repr(found.current[0]).partition("key")[2]


def test_what_cannot_be_used_is_left_out_and_told(ca: TestCa) -> None:
    """Others are served all the same; what was good before stays."""
    good = ca.issue("good", "a.example")
    ca.issue("expired", "b.example", days=-1)
    ca.issue("address", "127.0.0.1")
    Path(ca.issue("lonely", "c.example").key).unlink()
    (ca.folder / "nonsense.crt").write_text("nonsense")
    (ca.folder / "nonsense.key").write_text("nonsense")
    found = HostCertificates(str(ca.folder), SystemClock())
    found.refresh()
    assert [one.name for one in found.current] == ["good"]
    for part in ("expired.crt", "address.crt", "lonely.key", "nonsense.crt"):
        assert part in found.fault()
    before = found.current
    Path(good.key).write_text("nonsense")
    found.refresh()
    assert found.current is before
    assert "good.crt" in found.fault()
    for name in ("expired", "address", "lonely", "nonsense"):
        (ca.folder / f"{name}.crt").unlink()
    ca.issue("good", "d.example")
    found.refresh()
    assert found.fault() == ""
    assert [one.hosts for one in found.current] == [("d.example",)]
    Path(good.cert).unlink()
    found.refresh()
    assert found.current == ()


def test_all_together_are_bounded(ca: TestCa) -> None:
    """What would fill the table of the ingress is left out and told, until there is room."""
    pair = ca.issue("c00", "a.example")
    chain = Path(pair.cert).read_text()
    padded = chain + "\n" * (60_000 - len(chain))
    for number in range(40):
        (ca.folder / f"c{number:02}.crt").write_text(padded)
        (ca.folder / f"c{number:02}.key").write_text(Path(pair.key).read_text())
    found = HostCertificates(str(ca.folder), SystemClock())
    found.refresh()
    total = sum(len(one.chain) + len(one.key) for one in found.current)
    assert 2 * 1024**2 - 61_000 < total <= 2 * 1024**2
    assert f"{40 - len(found.current)} certificates are left out, c34.crt first" in found.fault()
    for number in range(30, 40):
        (ca.folder / f"c{number:02}.crt").unlink()
    found.refresh()
    assert (len(found.current), found.fault()) == (30, "")


def test_answers_of_an_acme_client(ca: TestCa) -> None:
    """What it writes below its webroot is told; what is no token or no answer is not."""
    found = HostCertificates(str(ca.folder), SystemClock())
    https = host_https(config.load({}), found)
    found.refresh()
    assert found.challenges is None
    assert not https().acme
    webroot = ca.folder / ".well-known" / "acme-challenge"
    webroot.mkdir(parents=True)
    found.refresh()
    assert https().acme
    (webroot / "tok-1").write_text("tok-1.print\n")
    (webroot / "tok.2").write_text("tok.print")
    (webroot / "tok-3").write_text("two words")
    (webroot / "tok-0").mkdir()
    found.refresh()
    assert https().challenges == (("tok-1", "tok-1.print"),)
    (webroot / "tok-1").unlink()
    found.refresh()
    assert https().challenges == ()


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """And one that was not asked for is no fault."""
    missing = HostCertificates(str(tmp_path / "nowhere"), SystemClock())
    missing.refresh()
    assert "nowhere" in missing.fault()
    none = HostCertificates("", SystemClock())
    none.refresh()
    assert none.fault() == ""


def test_what_the_ingress_gets(ca: TestCa) -> None:
    """The same value until something changes, with the port of redirects only where wanted."""
    ca.issue("a", "a.example")
    hosts = HostCertificates(str(ca.folder), SystemClock())
    hosts.refresh()
    https = host_https(config.load({"INGRESS_HTTPS_REDIRECT": "true", "INGRESS_HSTS": "9"}), hosts)
    first = https()
    assert (first.redirect_port, first.hsts_s) == (443, 9)
    assert [one.hosts for one in first.certificates] == [("a.example",)]
    hosts.refresh()
    assert https() is first
    ca.issue("b", "b.example")
    hosts.refresh()
    assert len(https().certificates) == 2
    assert host_https(config.load({}), hosts)().redirect_port == 0
