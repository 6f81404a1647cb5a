"""HTTPS of a real nginx: certificates by name, redirects, HSTS, challenges."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cluster.ingress.base import Certificate, Https, IngressError, Table
from cluster.ingress.client import NginxIngress
from cluster.ingress.local import LocalNginx
from tests.certificates import Pair, TestCa
from tests.ingress_parts import (
    DEADLINE_S,
    Answer,
    ask,
    free_port,
    one_route,
    replicas,
    short_directory,
    table,
)

pytestmark = [pytest.mark.acceptance, pytest.mark.nginx, pytest.mark.beside]


@pytest.fixture(scope="module")
def nginx() -> Iterator[LocalNginx]:
    """An ingress with HTTPS and an empty table."""
    with short_directory() as directory:
        found = LocalNginx(directory / "i", free_port(), workers=2, tls_port=free_port())
        found.start()
        try:
            yield found
        finally:
            found.stop(grace_s=0.5)


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> TestCa:
    """Whom clients believe."""
    return TestCa(tmp_path_factory.mktemp("ca"))


def certificate(pair: Pair, *hosts: str) -> Certificate:
    """As it is pushed."""
    return Certificate(hosts, Path(pair.cert).read_text(), Path(pair.key).read_text())


class Versions:
    """Tables with growing versions."""

    def __init__(self, nginx: LocalNginx) -> None:
        self._ingress = NginxIngress("n", nginx.endpoint)

    def push(self, https: Https, *routes: object) -> None:
        """The next table."""
        version = self._ingress.state().version + 1
        plain = table(version, *routes)  # type: ignore[arg-type]
        self._ingress.push(Table("c1", 1, version, plain.routes, https))


@pytest.fixture
def versions(nginx: LocalNginx) -> Versions:
    """What the leader would do."""
    return Versions(nginx)


def connected(nginx: LocalNginx, ca: TestCa, name: str) -> ssl.SSLSocket:
    """A verified connection to `name`."""
    context = ssl.create_default_context(cafile=ca.file)
    plain = socket.create_connection(("127.0.0.1", nginx.tls_port), DEADLINE_S)
    return context.wrap_socket(plain, server_hostname=name)


def asked(nginx: LocalNginx, ca: TestCa, name: str, path: str = "/") -> Answer:
    """One request over HTTPS."""
    connection = http.client.HTTPConnection(name, timeout=DEADLINE_S)
    connection.sock = connected(nginx, ca, name)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return Answer(response.status, dict(response.headers), response.read())
    finally:
        connection.close()


def test_each_host_has_its_certificate(nginx: LocalNginx, ca: TestCa, versions: Versions) -> None:
    """By exact name before wildcards; a name without one is refused, and so is no name."""
    shop = ca.issue("shop", "shop.localhost")
    wild = ca.issue("wild", "*.apps.example")
    with replicas("r") as (replica,):
        versions.push(
            Https((certificate(wild, "*.apps.example"), certificate(shop, "shop.localhost"))),
            one_route(replica.peer), one_route(replica.peer, app="blog"))
        answer = asked(nginx, ca, "shop.localhost")
        assert (answer.status, answer.text) == (200, "r")
        assert replica.seen[-1].headers["X-Forwarded-Proto"] == "https"
        assert "Strict-Transport-Security" not in answer.headers
        with connected(nginx, ca, "shop.localhost") as peer:
            assert peer.getpeercert()["subject"] == ((("commonName", "shop"),),)  # type: ignore[index]
        with connected(nginx, ca, "Blog.apps.example") as peer:
            assert peer.getpeercert()["subject"] == ((("commonName", "wild"),),)  # type: ignore[index]
        for name in ("a.b.apps.example", "apps.example", "127.0.0.1"):
            with pytest.raises(OSError, match=r"alert|EOF|reset"):
                connected(nginx, ca, name)
        assert ask(nginx.port, "shop.localhost").status == 200


def test_certificates_change_without_a_reload(
    nginx: LocalNginx, ca: TestCa, versions: Versions
) -> None:
    """New connections get the new certificate, one that is open goes on."""
    with replicas("r") as (replica,):
        route = one_route(replica.peer)
        versions.push(Https((certificate(ca.issue("one", "shop.localhost"), "shop.localhost"),)),
                      route)
        kept = http.client.HTTPConnection("shop.localhost", timeout=DEADLINE_S)
        kept.sock = connected(nginx, ca, "shop.localhost")
        kept.request("GET", "/")
        assert kept.getresponse().read() == b"r"
        pid = nginx.pid
        versions.push(Https((certificate(ca.issue("two", "shop.localhost"), "shop.localhost"),)),
                      route)
        with connected(nginx, ca, "shop.localhost") as peer:
            assert peer.getpeercert()["subject"] == ((("commonName", "two"),),)  # type: ignore[index]
        kept.request("GET", "/")
        assert kept.getresponse().read() == b"r"
        kept.close()
        assert nginx.pid == pid


def test_redirects_and_hsts(nginx: LocalNginx, ca: TestCa, versions: Versions) -> None:
    """Only hosts with a certificate are redirected, with path and query; browsers are told."""
    pair = ca.issue("shop", "shop.localhost")
    with replicas("r") as (replica,):
        routes = (one_route(replica.peer), one_route(replica.peer, app="blog"))
        https = Https((certificate(pair, "shop.localhost"),), nginx.tls_port, 600)
        versions.push(https, *routes)
        answer = ask(nginx.port, "shop.localhost", "/a%20b?c=d")
        assert answer.status == 308
        assert answer.headers["Location"] == f"https://shop.localhost:{nginx.tls_port}/a%20b?c=d"
        posted = ask(nginx.port, "shop.localhost", "/x", method="POST", body=b"y" * 1000)
        assert posted.status == 308
        assert ask(nginx.port, "blog.localhost").text == "r"
        secure = asked(nginx, ca, "shop.localhost")
        assert secure.headers["Strict-Transport-Security"] == "max-age=600"
        assert "Strict-Transport-Security" not in ask(nginx.port, "blog.localhost").headers
        versions.push(Https(https.certificates, 443), *routes)
        assert ask(nginx.port, "shop.localhost").headers["Location"] == "https://shop.localhost/"


def test_challenges_are_answered_before_redirects(
    nginx: LocalNginx, ca: TestCa, versions: Versions
) -> None:
    """Known tokens on every host, in the clear; what is unknown goes the usual way."""
    pair = ca.issue("shop", "shop.localhost")
    path = "/.well-known/acme-challenge/"
    with replicas("r") as (replica,):
        versions.push(
            Https((certificate(pair, "shop.localhost"),), 443, 0, (("tok-1", "tok-1.print"),)),
            one_route(replica.peer), one_route(replica.peer, app="blog"))
        for host in ("shop.localhost", "new.example"):
            answer = ask(nginx.port, host, f"{path}tok-1")
            assert (answer.status, answer.text) == (200, "tok-1.print")
        assert ask(nginx.port, "shop.localhost", f"{path}tok-2").status == 308
        assert ask(nginx.port, "blog.localhost", f"{path}tok-2").text == "r"


def test_a_challenge_is_waited_for(nginx: LocalNginx, versions: Versions) -> None:
    """Who asks before the answer has come gets it when it comes; what never comes goes on."""
    path = "/.well-known/acme-challenge/"
    with replicas("r") as (replica,), ThreadPoolExecutor(1) as pool:
        route = one_route(replica.peer)
        versions.push(Https(acme=True), route)
        early = pool.submit(ask, nginx.port, "shop.localhost", f"{path}tok-9")
        versions.push(Https(challenges=(("tok-9", "tok-9.print"),), acme=True), route)
        assert early.result(DEADLINE_S).text == "tok-9.print"
        assert ask(nginx.port, "shop.localhost", f"{path}other").text == "r"


@pytest.mark.parametrize("https", [
    Https((Certificate(("a",), "nonsense", "nonsense"),)), Https(redirect_port=70_000),
    Https(challenges=(("../x", "y"),)),
])
def test_what_is_wrong_is_refused(https: Https, versions: Versions) -> None:
    """A table with a bad part changes nothing."""
    with pytest.raises(IngressError, match="https"):
        versions.push(https)
