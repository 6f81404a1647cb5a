"""Certificates of hosts from an ACME server: real pebble, real lego, a real ingress."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.acceptance.test_tls import WAIT_S, IngressCluster
from tests.certificates import TestCa
from tests.ingress_parts import ask, short_directory
from tests.live import app_spec, call, listening, until
from tests.page_table import fences
from tests.ports import free_ports

pytestmark = [pytest.mark.acceptance, pytest.mark.nginx, pytest.mark.beside]

HOST = "shop.example.test"
ISSUE_S = 120
(INSTALL,) = (code for code in fences("docs/tls.md") if code.startswith('cp "$LEGO_'))


@contextmanager
def running(*command: str, **more: str) -> Iterator[None]:
    """A server, for as long as the block takes."""
    process = subprocess.Popen(command, env=os.environ | more, stdout=subprocess.DEVNULL,
                               stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        process.wait(WAIT_S)


class Pebble:
    """Let's Encrypt's server for tests, which finds every name at 127.0.0.1, port `http_port`."""

    def __init__(self, folder: Path, http_port: int) -> None:
        self._ca = TestCa(folder)
        pair = self._ca.issue("localhost", "localhost", file="pebble")
        self._port, self._management, self._dns, self._names = free_ports(4)
        self._config = folder / "pebble.json"
        self._config.write_text(json.dumps({"pebble": {
            "listenAddress": f"127.0.0.1:{self._port}",
            "managementListenAddress": f"127.0.0.1:{self._management}",
            "certificate": str(pair.cert), "privateKey": str(pair.key),
            "httpPort": http_port, "tlsPort": free_ports(1)[0], "ocspResponderURL": "",
            "externalAccountBindingRequired": False}}))
        self.directory = f"https://localhost:{self._port}/dir"
        self.ca = self._ca.file

    @contextmanager
    def running(self) -> Iterator[None]:
        """Until the block ends."""
        with ExitStack() as stack:
            stack.enter_context(running(
                "pebble-challtestsrv", "-dns01", f"127.0.0.1:{self._dns}", "-http01", "",
                "-https01", "", "-tlsalpn01", "", "-defaultIPv4", "127.0.0.1",
                "-defaultIPv6", "", "-management", f"127.0.0.1:{self._names}"))
            listening("127.0.0.1", self._names, WAIT_S)  # as it does for names, begun before
            stack.enter_context(running(
                "pebble", "-config", str(self._config), "-dnsserver", f"127.0.0.1:{self._dns}",
                "-strict", PEBBLE_VA_NOSLEEP="1", PEBBLE_WFE_NONCEREJECT="20"))
            until("pebble listens", lambda: self.root(), WAIT_S)
            yield

    def root(self) -> str:
        """The root that it issues under, another one at each start; "" while it is not up."""
        context = ssl.create_default_context(cafile=self.ca)
        try:
            with socket.create_connection(("localhost", self._management), 5) as plain, \
                    context.wrap_socket(plain, server_hostname="localhost") as secure:
                secure.sendall(b"GET /roots/0 HTTP/1.0\r\nHost: localhost\r\n\r\n")
                answer = b"".join(iter(lambda: secure.recv(65536), b"")).decode()
        except OSError:
            return ""
        return answer.partition("\r\n\r\n")[2]


class Lego:
    """An ACME client that anybody may use; it knows Orchestry's folder and nothing else."""

    def __init__(self, folder: Path, certs: Path, pebble: Pebble) -> None:
        folder.mkdir()
        (folder / "install.sh").write_text(f"set -eu\n{INSTALL}")
        self._hook = f"sh {folder / 'install.sh'}"
        self._environment = {"LEGO_CA_CERTIFICATES": pebble.ca, "CERTS": str(certs)}
        self._base = ["lego", "--accept-tos", "--email", "admin@example.test", "--domains", HOST,
                      "--path", str(folder / "lego"), "--server", pebble.directory,
                      "--http", "--http.webroot", str(certs)]

    def _call(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._base, *arguments], env=os.environ | self._environment, capture_output=True,
            text=True, check=False, timeout=ISSUE_S)
        return "" if done.returncode == 0 else done.stdout + done.stderr

    def run(self) -> str:
        """Get a certificate and install it; what went wrong, or ""."""
        return self._call("run", "--run-hook", self._hook)

    def renew(self) -> str:
        """Get another, however long this one holds."""
        return self._call(
            "renew", "--days", "20000", "--no-random-sleep", "--renew-hook", self._hook)


def served(port: int, root: str) -> str:
    """The serial number of the host's certificate, which has to be good; "" without one."""
    context = ssl.create_default_context(cadata=root)
    try:
        with socket.create_connection(("127.0.0.1", port), WAIT_S) as plain, \
                context.wrap_socket(plain, server_hostname=HOST) as secure:
            found = secure.getpeercert()
    except OSError:
        return ""
    return str(found["serialNumber"]) if found else ""


def test_certificates_come_from_an_acme_server_and_are_renewed() -> None:
    """Issued under the app's host by HTTP-01 and served without a reload, then once more.

    While the ingress redirects to HTTPS, and where no replica runs.
    """
    with short_directory() as folder:
        certs = folder / "certs"
        (certs / ".well-known" / "acme-challenge").mkdir(parents=True)
        with IngressCluster(folder, size=1, engine="fake") as live:
            spec = app_spec("shop", "shop:1")
            spec["spec"]["ingress"] = {"hosts": [HOST]}
            live.write("POST", "/api/v1/apps/register", spec)
            until("routes are there",
                  lambda: ask(live.ingress_port, HOST).status == 503, WAIT_S)
            pebble = Pebble(folder / "pebble", live.ingress_port)
            with pebble.running():
                lego = Lego(folder / "client", certs, pebble)
                assert not served(live.tls_port, pebble.root())
                assert not lego.run()
                first = until("the certificate is served",
                              lambda: served(live.tls_port, pebble.root()), WAIT_S)
                assert ask(live.ingress_port, HOST, "/x").status == 308
                assert not lego.renew()
                until("the new one is served", lambda: served(
                    live.tls_port, pebble.root()) not in ("", first), WAIT_S)
            health = call("GET", live.url(live.ids[0], "/health"))[1]
            assert health["components"]["tls"]["status"] != "degraded"
