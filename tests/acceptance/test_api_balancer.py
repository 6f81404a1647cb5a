"""The load balancers before the API: a real nginx with their configurations, and real nodes.

That of the compose file sends requests to the leader; that of hosts without Docker to any.
"""

from __future__ import annotations

import http.client
import json
import re
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from cluster.ingress import lua
from orchestry.chart.load import load_chart
from orchestry.chart.render import rendered
from orchestry.chart.values import merged
from tests.architecture.files import ROOT
from tests.asking_cluster import SECRET, AskingCluster
from tests.live import app_spec, call, until
from tests.ports import free_ports

pytestmark = [pytest.mark.acceptance, pytest.mark.nginx, pytest.mark.beside]
WAIT_S = 30.0
PER_MINUTE = 20
SPOOFED = "203.0.113.9"


def of_compose(folder: Path, port: int, controllers: list[int]) -> str:
    """api.conf; only its folders, its port and where its Lua lies are this test's."""
    for name, text in lua.sources().items():
        (folder / "lua" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "lua" / name).write_text(text)
    text = (resources.files("cluster.ingress.image") / "api.conf").read_text()
    for old, new in (('"/tmp/', f'"{folder}/'), ("/opt/orchestry-ingress/lua", f"{folder}/lua"),
                     ("listen 8000 ", f"listen 127.0.0.1:{port} ")):
        assert old in text
        text = text.replace(old, new)
    return text


def of_hosts(folder: Path, port: int, controllers: list[int]) -> str:
    """What the chart of a cluster renders for hosts without Docker; ports are this test's."""
    chart = load_chart(ROOT / "helm-like" / "cluster")
    secret = "0123456789abcdef"
    values = merged(chart.values, {
        "hosts": [{"name": "a", "address": "127.0.0.1", "controllers": len(controllers)}],
        "ports": {"balancer": port}, "secrets": {"cluster": secret, "ingressToken": secret},
        "paths": {"data": str(folder)}})
    text = rendered(chart, values)["a/balancer.conf"]
    (folder / "balancer").mkdir()
    for number, api in enumerate(controllers):
        assert f"127.0.0.1:{8001 + number} " in text
        text = text.replace(f"127.0.0.1:{8001 + number} ", f"127.0.0.1:{api} ")
    return f"daemon off;\n{text}"


class Balancer:
    """nginx as one of the two configures it."""

    def __init__(self, kind: str, folder: Path, controllers: list[int]) -> None:
        self.kind = kind
        self.port = free_ports(1)[0]
        make = of_compose if kind == "compose" else of_hosts
        text = make(folder, self.port, controllers)
        # As one user throughout: nginx that is root would drop to another for its worker.
        file = folder / "nginx.conf"
        file.write_text(f"user root;\n{text}")
        nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")
        assert nginx, "nginx is not installed"
        addresses = ",".join(f"127.0.0.1:{one}" for one in controllers)
        self._log = folder / "nginx.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [nginx, "-p", str(folder), "-c", str(file), "-e", "stderr"],
                env={"API_CONTROLLERS": addresses}, stderr=log)

    def url(self, path: str = "") -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}{path}"

    def leads(self) -> bool:
        """Whether it sends requests to the leader by now."""
        assert self._process.poll() is None, self._log.read_text()
        return call("GET", self.url("/cluster/is-leader"))[0] == 200

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(WAIT_S)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AskingCluster]:
    """Three controllers that ask for tokens, trust one proxy, and limit requests."""
    folder = tmp_path_factory.mktemp("balanced") / "cluster"
    with AskingCluster(folder, engine="fake", ingress=False, environ={
        "ORCHESTRY_AUTH": "on", "CLUSTER_SECRET": SECRET,
        "RATE_LIMIT_PER_MINUTE": str(PER_MINUTE), "RATE_LIMIT_TRUSTED_PROXIES": "127.0.0.1",
    }) as found:
        yield found


@pytest.fixture(params=["compose", "hosts"])
def balancer(
    cluster: AskingCluster, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Balancer]:
    """One address for all three, once it has seen who leads."""
    folder = tmp_path / "balancer"
    folder.mkdir()
    found = Balancer(request.param, folder, list(cluster.api_ports.values()))
    try:
        until("it knows the leader", found.leads, WAIT_S)
        yield found
    finally:
        found.stop()


def token(cluster: AskingCluster, name: str, role: str) -> str:
    """A token that all controllers know; what it is shown for counts for it, not for an address."""
    status, made = cluster.write("POST", "/api/v1/tokens", {"name": name, "role": role})
    assert status == 201, made
    text = str(made["token"])
    for node in cluster.ids:
        until(f"{node} knows it", lambda node=node: (  # type: ignore[misc]
            cluster.status_of(node, "/api/v1/apps", text) == 200), WAIT_S, 1.0)
    return text


class Events:
    """Events through the load balancer, over a WebSocket that opens again where it was."""

    def __init__(self, balancer: Balancer, token: str) -> None:
        self._url = balancer.url("/api/v1/events/stream").replace("http:", "ws:")
        self._token = token
        self.last = 0
        self.seen: list[str] = []
        self.opened = 0
        self._socket = self._open()

    def _open(self) -> ClientConnection:
        self.opened += 1
        query = f"?access_token={self._token}" + (f"&since_id={self.last}" if self.last else "")
        return connect(self._url + query, legacy=True, open_timeout=WAIT_S)

    def has(self, app: str) -> bool:
        """Whether an event of the app has come by now."""
        try:
            event = json.loads(self._socket.recv(timeout=0.2))
            self.last = event["id"]
            self.seen += [str(event["app_name"])] if event["type"] == "config" else []
        except TimeoutError:
            pass
        except ConnectionClosed:
            try:
                self._socket = self._open()
            except Exception as error:  # while there is no leader, whatever it is
                raise OSError(str(error)) from error
        return app in self.seen

    def close(self) -> None:
        """End it."""
        self._socket.close()


def register(balancer: Balancer, headers: dict[str, str], app: str) -> None:
    """A write through the load balancer, which finds the leader."""
    body = app_spec(app, "x:1")
    until(f"{app} is registered", lambda: call(
        "POST", balancer.url("/api/v1/apps/register"), body,
        headers={**headers, "Idempotency-Key": f"key-{app}"}, timeout_s=WAIT_S)[0] == 201, WAIT_S)


def test_streams_go_through_and_come_back(cluster: AskingCluster, balancer: Balancer) -> None:
    """WebSocket and server-sent events pass; after the leader's death the stream has no gap."""
    first, second = f"{balancer.kind}-one", f"{balancer.kind}-two"
    deployer = {"Authorization": f"Bearer {token(cluster, f'{balancer.kind}-ci', 'deployer')}"}
    events = Events(balancer, token(cluster, f"{balancer.kind}-watcher", "viewer"))
    with closing(events):
        request = urllib.request.Request(
            balancer.url("/api/v1/events/stream"), headers={
                **deployer, "Accept": "text/event-stream"})
        with urllib.request.urlopen(request, timeout=WAIT_S) as lines:
            assert lines.headers["Content-Type"].startswith("text/event-stream")
            register(balancer, deployer, first)
            until("the WebSocket tells of it", lambda: events.has(first), WAIT_S)
            assert any(f'"{first}"'.encode() in line for line in lines)
        assert events.opened == 1
        leader = cluster.led()
        cluster.kill(leader)
        register(balancer, deployer, second)
        until("it tells of the next one", lambda: events.has(second), WAIT_S)
        assert events.opened >= 2 or balancer.kind == "hosts"
        assert events.seen == [first, second]
        cluster.boot(leader)
        cluster.wait_ready()


def test_a_body_beyond_every_limit_is_refused(
    cluster: AskingCluster, balancer: Balancer
) -> None:
    """By the load balancer itself, in the API's words; one that controllers judge goes on."""
    headers = {"Authorization": f"Bearer {token(cluster, f'{balancer.kind}-big', 'admin')}"}

    def answer(size_bytes: int) -> tuple[int, str]:
        found = call("POST", balancer.url("/api/v1/apps/register"), {"x": "x" * size_bytes},
                     headers=headers, timeout_s=WAIT_S)
        return found[0], found[1]["code"]

    until("a controller refuses it", lambda: answer(100_000) == (400, "INVALID_SPEC"), WAIT_S)
    request = (f"POST /api/v1/apps/register HTTP/1.1\r\nHost: a\r\n"
               f"Content-Length: {5 * 1024**2}\r\nConnection: close\r\n\r\n")
    with socket.create_connection(("127.0.0.1", balancer.port), WAIT_S) as client:
        client.sendall(request.encode())
        head, _, body = client.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"application/json" in head
    assert json.loads(body)["code"] == "PAYLOAD_TOO_LARGE"


def ask(port: int, source: str, headers: dict[str, str], method: str = "GET") -> tuple[int, Any]:
    """A request from an address of this machine."""
    connection = http.client.HTTPConnection(
        "127.0.0.1", port, timeout=WAIT_S, source_address=(source, 0))
    with closing(connection):
        connection.request(method, "/api/v1/apps/nobody/stop" if method == "POST" else
                           "/api/v1/apps", headers=headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def test_clients_are_told_apart_and_forge_nothing(
    cluster: AskingCluster, balancer: Balancer
) -> None:
    """Limits and the audit go by the client's own address, whatever it says of itself."""
    forged = {"X-Forwarded-For": SPOOFED, "Forwarded": f"for={SPOOFED}", "X-Real-IP": SPOOFED}

    # Each controller counts for itself; the balancer of the compose file asks the leader alone.
    controllers = 1 if balancer.kind == "compose" else len(cluster.ids)
    here = "127.0.1." if balancer.kind == "compose" else "127.0.2."

    def allowed(source: str, **headers: str) -> int:
        """How many requests get through until the limit says no."""
        for count in range(PER_MINUTE * 4):
            if ask(balancer.port, source, headers)[0] == 429:
                return count
        raise AssertionError(f"{source} is never limited")

    assert PER_MINUTE <= allowed(f"{here}2", **forged) <= PER_MINUTE * controllers
    assert allowed(f"{here}2", **{"X-Forwarded-For": "203.0.113.10"}) < controllers + 2
    assert ask(balancer.port, f"{here}3", {})[0] == 401, "another client is not limited"

    admin = {"Authorization": f"Bearer {token(cluster, f'{balancer.kind}-me', 'admin')}"}
    until("the leader answers", lambda: ask(
        balancer.port, f"{here}4", {**admin, **forged}, "POST")[0] == 404, WAIT_S)
    leader = cluster.api_ports[cluster.led()]
    assert ask(leader, f"{here}5", {**admin, **forged}, "POST")[0] == 404
    assert ask(leader, "127.0.0.1", {
        **admin, "X-Forwarded-For": f"{SPOOFED}, 198.51.100.7"}, "POST")[0] == 404

    def audited() -> list[dict[str, Any]]:
        url = f"http://127.0.0.1:{leader}/api/v1/audit"
        found: list[dict[str, Any]] = call("GET", url, headers=admin)[1]["entries"]
        return [entry for entry in found if entry["code"] == "APP_NOT_FOUND"]

    entries = until("all three are in the audit", lambda: (
        audited() if audited()[:1] and audited()[0]["client"] == "198.51.100.7" else None), WAIT_S)
    assert [entry["client"] for entry in entries[:3]] == [
        "198.51.100.7", f"{here}5", f"{here}4"]
    assert not re.search(re.escape(SPOOFED), json.dumps(entries))
