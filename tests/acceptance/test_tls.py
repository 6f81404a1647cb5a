"""A cluster with TLS on everything: its clients, its leaders that die, its certificates."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.ingress.local import LocalNginx
from orchestry.client import Client
from tests.architecture.files import ROOT
from tests.certificates import TestCa
from tests.ingress_parts import ask, short_directory
from tests.live import LiveCluster, app_spec, call, until
from tests.ports import free_ports

pytestmark = [pytest.mark.acceptance, pytest.mark.beside]

SDK = ROOT / "sdk" / "node"
WAIT_S = 60.0
PROGRAM = """
const fs = require('node:fs');
const Orchestry = require('./index.js');
(async () => {
  const ca = fs.readFileSync(process.env.CA);
  const client = new Orchestry(process.env.ORCHESTRY_URL.split(','), { ca });
  await client.registerApp(JSON.parse(process.env.SPEC));
  for await (const event of client.streamEvents({ sinceId: 0 })) {
    if (event.app_name === 'from-node') break;
  }
  const { apps } = await client.listApps();
  const stranger = new Orchestry(process.env.ORCHESTRY_URL.split(','), { timeout: 3 });
  const refused = await stranger.listApps().catch((error) => error.message);
  console.log(JSON.stringify({ apps: apps.map((app) => app.name), refused }));
  client.close();
})();
"""


class SecureCluster(LiveCluster):
    """Each controller has a certificate of its own."""

    ca: TestCa

    def variables(self, node: str) -> dict[str, str]:
        pair = self.ca.folder / node
        return super().variables(node) | {
            "ORCHESTRY_TLS_CERT": f"{pair}.crt", "ORCHESTRY_TLS_KEY": f"{pair}.key",
            "ORCHESTRY_TLS_CA": self.ca.file, "CLUSTER_TLS": "on",
        }

    def url(self, node: str, path: str = "") -> str:
        return super().url(node, path).replace("http://", "https://", 1)

    def issue(self, node: str) -> None:
        """A new certificate for one controller."""
        self.ca.issue(node, "127.0.0.1", node)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SecureCluster]:
    """Three controllers without Docker."""
    live = SecureCluster(tmp_path / "cluster", engine="fake", ingress=False)
    live.ca = TestCa(tmp_path / "ca")
    for node in live.ids:
        live.issue(node)
    monkeypatch.setenv("SSL_CERT_FILE", live.ca.file)
    with live:
        yield live


def last_is_leader(cluster: SecureCluster) -> list[str]:
    """All addresses; the first is that of a follower, so that writes are redirected."""
    leader = cluster.led()
    return [cluster.url(node) for node in sorted(cluster.ids, key=lambda node: node == leader)]


def test_clients_follow_redirects_and_leaders_that_die(cluster: SecureCluster) -> None:
    """Python: writes by way of a follower, a leader that is killed meanwhile, reads of all."""
    urls = last_is_leader(cluster)
    status, _, headers = call("POST", f"{urls[0]}/api/v1/apps/register", app_spec("a", "i"))
    assert status == 307
    assert headers["Location"] == f"{urls[-1]}/api/v1/apps/register"
    with Client(urls, ca=cluster.ca.file, timeout=WAIT_S) as client:
        client.register_app(app_spec("shop", "shop:1"))
        leader = cluster.led()
        killer = threading.Thread(target=cluster.kill, args=(leader,))
        killer.start()
        for number in range(20):
            client.register_app(app_spec(f"app-{number}", "shop:1"))
        killer.join()
        cluster.boot(leader)
        cluster.wait_ready()
        names = {app["name"] for app in client.list_apps()["apps"]}
    assert names == {"shop", *(f"app-{number}" for number in range(20))}
    # Controllers ask one another over verified connections.
    for node in cluster.ids:
        rows = call("GET", cluster.url(node, "/cluster/status"))[1]["nodes"]
        assert all(row["api_url"].startswith("https://") for row in rows)
        reached = until("all controllers ask all", lambda node=node: (  # type: ignore[misc]
            rows := call("GET", cluster.url(node, "/api/v1/metrics"))[1]["nodes"])
            and all(row["reachable"] for row in rows) and rows, WAIT_S)
        assert len(reached) == 3


def test_the_node_client(cluster: SecureCluster) -> None:
    """Node: a write by way of a follower, a stream, and no word to whom it does not know."""
    done = subprocess.run(
        ["node", "-e", PROGRAM], cwd=SDK, text=True, capture_output=True, timeout=2 * WAIT_S,
        check=False, env={
            **{name: cluster.variables(cluster.ids[0])[name] for name in ("PATH",)},
            "CA": cluster.ca.file, "ORCHESTRY_URL": ",".join(last_is_leader(cluster)),
            "SPEC": json.dumps(app_spec("from-node", "shop:1"))})
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["apps"] == ["from-node"]
    assert "certificate" in found["refused"]


def test_certificates_change_while_it_runs(cluster: SecureCluster) -> None:
    """New files are used by all controllers, with no restart; a broken one is told of."""
    def part(node: str) -> Any:
        return call("GET", cluster.url(node, "/health"))[1]["components"]["tls"]

    before = {node: part(node)["expires_at"] for node in cluster.ids}
    for node in cluster.ids:
        cluster.ca.issue(node, "127.0.0.1", node, days=25)
    for node in cluster.ids:
        until("the new certificate", lambda node=node: (  # type: ignore[misc]
            part(node)["expires_at"] > before[node]), WAIT_S)
    broken = cluster.ids[0]
    Path(cluster.ca.folder / f"{broken}.crt").write_text("nonsense")
    told = until("it tells", lambda: (
        found := part(broken))["status"] == "degraded" and found, WAIT_S)
    assert f"{broken}.crt" in told["detail"]
    status, _ = cluster.write("POST", "/api/v1/apps/register", app_spec("shop", "shop:1"))
    assert status == 201


class IngressCluster(LiveCluster):
    """One controller whose ingress speaks HTTPS too."""

    tls_port = 0

    def start_ingress(self) -> None:
        self.tls_port = free_ports(1)[0]
        self.nginx = LocalNginx(
            self.folder / "ingress", self.ingress_port, tls_port=self.tls_port)
        self.nginx.start()

    def variables(self, node: str) -> dict[str, str]:
        return super().variables(node) | {
            "INGRESS_CERTS": str(self.folder / "certs"), "INGRESS_TLS_PORT": str(self.tls_port),
            "INGRESS_HTTPS_REDIRECT": "true", "INGRESS_HSTS": "60",
        }


@pytest.mark.nginx
def test_files_of_hosts_reach_the_ingress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of certificates is served by name, and again when it changes; faults are told."""
    with short_directory() as folder:
        ca = TestCa(folder / "certs")
        Path(ca.file).rename(tmp_path / "ca.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        ca.issue("shop", "shop.localhost", file="shop")
        with IngressCluster(folder, size=1, engine="fake") as live:
            live.write("POST", "/api/v1/apps/register", app_spec("shop", "shop:1"))

            def served() -> str:
                plain = socket.create_connection(("127.0.0.1", live.tls_port), WAIT_S)
                secure = ssl.create_default_context().wrap_socket(
                    plain, server_hostname="shop.localhost")
                with secure:
                    secure.sendall(b"GET / HTTP/1.1\r\nHost: shop.localhost\r\n"
                                   b"Connection: close\r\n\r\n")
                    head = secure.recv(65536)
                    assert b"max-age=60" in head
                    names: Any = secure.getpeercert()
                    return str(names["subject"][0][0][1])

            until("the certificate is served", lambda: served() == "shop", WAIT_S)
            location = f"https://shop.localhost:{live.tls_port}/x"
            redirected = ask(live.ingress_port, "shop.localhost", "/x")
            assert (redirected.status, redirected.headers["Location"]) == (308, location)
            ca.issue("newer", "shop.localhost", file="shop")
            until("the new one is served", lambda: served() == "newer", WAIT_S)
            (folder / "certs" / "shop.key").write_text("nonsense")
            url = live.url(live.ids[0], "/health")
            part = until("it tells", lambda: (
                found := call("GET", url)[1]["components"]["tls"])["status"] == "degraded"
                and found, WAIT_S)
            assert "shop.key" in part["detail"]
            assert served() == "newer"
