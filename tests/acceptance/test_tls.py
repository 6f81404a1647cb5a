"""A cluster with TLS on everything: its clients, its leaders that die, its certificates."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestry.client import Client
from tests.architecture.files import ROOT
from tests.certificates import TestCa
from tests.live import LiveCluster, app_spec, call, until

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
    leader = until("a leader", cluster.leader, WAIT_S)
    return [cluster.url(node) for node in sorted(cluster.ids, key=lambda node: node == leader)]


def test_clients_follow_redirects_and_leaders_that_die(cluster: SecureCluster) -> None:
    """Python: writes by way of a follower, a leader that is killed meanwhile, reads of all."""
    urls = last_is_leader(cluster)
    status, _, headers = call("POST", f"{urls[0]}/api/v1/apps/register", app_spec("a", "i"))
    assert status == 307
    assert headers["Location"] == f"{urls[-1]}/api/v1/apps/register"
    with Client(urls, ca=cluster.ca.file, timeout=WAIT_S) as client:
        client.register_app(app_spec("shop", "shop:1"))
        leader = until("a leader", cluster.leader, WAIT_S)
        killer = threading.Thread(target=cluster.kill, args=(leader,))
        killer.start()
        for number in range(20):
            client.register_app(app_spec(f"app-{number}", "shop:1"))
        killer.join()
        cluster.boot(leader)
        cluster.wait_ready()
        names = {app["name"] for app in client.list_apps()["apps"]}
    assert names == {"shop", *(f"app-{number}" for number in range(20))}
    # What only the leader knows comes through any controller, over a verified connection.
    for node in cluster.ids:
        rows = call("GET", cluster.url(node, "/cluster/status"))[1]["nodes"]
        assert all(row["api_url"].startswith("https://") for row in rows)


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
