"""What the cluster's chart renders with TLS: read by the programs that it is for, and run.

Certificates come from the rendered script, everything else from the rendered files.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.ingress import lua
from cluster.ingress.image import context
from cluster.tls.authority import Authority, write_private
from cluster.tls.tokens import LOOPBACK
from orchestry import Client, OrchestryError
from orchestry.chart import load_chart, merged
from orchestry.chart.render import rendered
from tests.architecture.files import ROOT
from tests.certificates import TestCa
from tests.live import app_spec, until
from tests.ports import free_ports
from tests.unit.chart.test_cluster import environment

pytestmark = [pytest.mark.acceptance, pytest.mark.nginx, pytest.mark.beside,
              pytest.mark.timeout(900)]

WAIT_S = 240.0
SECRET = "a-secret-of-these-tests"
BIN = Path(sys.executable).parent
EXPOSURE_MAX = 30
"""Tenths of what `systemd-analyze security` gives; 96 is a unit without any confinement."""


def write(folder: Path, hosts: list[dict[str, Any]], config: Path, **values: Any) -> dict[str, str]:
    """Render with TLS into a folder; `config` is where the hosts would have their files."""
    chart = load_chart(ROOT / "helm-like/cluster")
    files = rendered(chart, merged(chart.values, {
        "hosts": hosts, "tls": {"enabled": True},
        "ingress": {"tls": {"enabled": True, "certs": str(folder / "certs")}},
        "secrets": {"cluster": SECRET, "ingressToken": "t" * 32},
        "paths": {"programs": str(BIN), "config": str(config), "data": str(folder / "data")},
    }, values))
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / "data/balancer").mkdir(parents=True)
    return files


def run(*command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """One program, with both its outputs in `stdout`."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        timeout=WAIT_S, env={**os.environ, "PATH": path, **environ}, stdin=subprocess.DEVNULL)


def hosts_of(counts: tuple[int, ...]) -> list[dict[str, Any]]:
    """Hosts with so many controllers each."""
    return [{"name": f"h{n}", "address": f"10.0.0.{n}", "controllers": count}
            for n, count in enumerate(counts, 1)]


@pytest.mark.parametrize("counts", [(1,), (3,), (5,), (1, 1, 1), (2, 1), (1, 1, 1, 1, 1)])
def test_programs_accept_what_is_rendered(counts: tuple[int, ...], tmp_path: Path) -> None:
    """nginx, keepalived, systemd, docker-compose and the shell find no fault in any file."""
    several, etc = len(counts) > 1, tmp_path / "etc"
    vip = {"enabled": several, "api": "10.0.0.100", "ingress": "10.0.0.101"}
    files = write(tmp_path, hosts_of(counts), etc, vip=vip)
    ca = TestCa(tmp_path / "ca")
    pair = ca.issue("all", "localhost")
    (etc / "tls/ca").mkdir(parents=True)
    (etc / "tls/ca/ca.crt").write_text(Path(ca.file).read_text())
    for number in range(1, sum(counts) + 1):
        own = etc / f"tls/controller-{number}"
        own.mkdir()
        for name, made in (("node.crt", pair.cert), ("node.key", pair.key)):
            (own / name).write_text(Path(made).read_text())
    seen: set[str] = set()
    for path in files:
        file, kind = tmp_path / path, path.rpartition("/")[2]
        seen.add(kind)
        if kind == "balancer.conf":
            done = run("nginx", "-t", "-q", "-e", "stderr", "-c", str(file))
        elif kind == "keepalived.conf":
            done = read_by_keepalived(file)
            assert done.stdout == "", f"{path}: {done.stdout}"
            continue  # this version ends its own check with a signal
        elif kind == "docker-compose.yml":
            variables = ("DOCKER_GID", "CLUSTER_SECRET", "ORCHESTRY_BOOTSTRAP_TOKEN", "PUBLIC_HOST",
                         "POSTGRES_PASSWORD", "REDIS_PASSWORD", "INGRESS_ADMIN_TOKEN")
            done = run("docker-compose", "-f", str(file), "config", "-q",
                       **dict.fromkeys(variables, "1"))
        elif kind == "certificates.sh":
            done = run("sh", "-n", str(file))
        elif kind.endswith((".service", ".path")):
            done = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(file))
        else:
            continue
        assert done.returncode == 0, f"{path}: {done.stdout}"
    assert {"balancer.conf", "certificates.sh", "orchestry-controller@.service"} <= seen
    assert ("keepalived.conf" in seen) == several
    assert ("docker-compose.yml" in seen) == (not several)


def read_by_keepalived(file: Path) -> subprocess.CompletedProcess[str]:
    """What keepalived says of a configuration, where there is an eth0; "" when it likes it."""
    pids = " ".join(f"-{flag} {file}.{flag}" for flag in "prc")
    return run("unshare", "-n", "setsid", "-w", "sh", "-c",
               "ip link add eth0 type veth peer name eth1 && ip addr add 10.0.0.1/24 dev eth0 && "
               f"ip link set eth0 up && exec keepalived -t --vrrp -n -l -f {file} {pids}")


def test_keepalived_would_name_a_fault(tmp_path: Path) -> None:
    """That it says nothing means something."""
    file = tmp_path / "keepalived.conf"
    file.write_text("vrrp_instance x {\n interface eth0\n virtual_router_id 1\n priority abc\n}\n")
    assert "invalid number 'abc'" in read_by_keepalived(file).stdout


def test_units_are_confined(tmp_path: Path) -> None:
    """By the measure of systemd itself."""
    write(tmp_path, hosts_of((3,)), tmp_path / "etc")
    for unit in ("controller@", "ingress", "balancer"):
        file = tmp_path / f"h1/systemd/orchestry-{unit}.service"
        done = run("systemd-analyze", "security", "--offline=true",
                   f"--threshold={EXPOSURE_MAX}", str(file))
        assert done.returncode == 0, done.stdout[-500:]


class Rendered:
    """A host with three controllers and what stands before them, by its rendered files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ports = free_ports(8)
        self.ports = {"balancer": ports[6], "compose": ports[7]}
        host = {"name": "a", "address": "127.0.0.1", "controllers": 3}
        self.files = write(folder, [host], folder / "a", ports={"balancer": ports[6]})
        made = run("sh", str(folder / "certificates.sh"),
                   ORCHESTRY=f"{sys.executable} -m orchestry.cli", PYTHONPATH=str(ROOT))
        assert made.returncode == 0, made.stdout
        self.ca = str(folder / "a/tls/ca/ca.crt")
        self.apis = dict(zip((f"controller-{n}" for n in (1, 2, 3)), ports, strict=False))
        self._rafts = dict(zip(self.apis, ports[3:6], strict=True))
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def place(self, text: str) -> str:
        """The same with ports that are free here: those of the chart are one after the other."""
        for number, node in enumerate(self.apis):
            text = text.replace(f"127.0.0.1:{8001 + number}", f"127.0.0.1:{self.apis[node]}")
            text = text.replace(f"127.0.0.1:{9000 + number}", f"127.0.0.1:{self._rafts[node]}")
        return text

    def start(self, node: str) -> None:
        """A controller by its environment files and the capabilities of its unit: none."""
        environ = environment(self.place(self.files[f"a/{node}.env"])) | environment(
            self.files["a/secrets.env"]) | {
            "ORCHESTRY_PORT": str(self.apis[node]), "CLUSTER_RAFT_PORT": str(self._rafts[node]),
            "ORCHESTRY_ENGINE": "fake", "INGRESS_ADMIN": "",
            "CLUSTER_LIMITS_MIN_MEMORY": "4Mi", "RATE_LIMIT_PER_MINUTE": "0",
            "RATE_LIMIT_PER_HOUR": "0", "PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
        Path(environ["INGRESS_CERTS"]).mkdir(exist_ok=True)
        self.run(node, [sys.executable, "-m", "api.node"], environ, "controller@")

    def balance(self) -> None:
        """The balancer of the chart for hosts, and that of its compose file."""
        conf = self.folder / "a/balancer.conf"
        conf.write_text(self.place(conf.read_text()))
        unit = self.files["a/systemd/orchestry-balancer.service"]
        command = shlex.split(re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)[0])
        self.run("balancer", command, {"PATH": os.environ["PATH"]}, "balancer")
        image = self.folder / "image"
        for name, text in lua.sources().items():
            (image / "lua" / name).parent.mkdir(parents=True, exist_ok=True)
            (image / "lua" / name).write_text(text)
        text = context()["root/opt/orchestry-ingress/api-tls.conf"].decode()
        for old, new in (("/tmp/", f"{image}/"), ("/opt/orchestry-ingress", str(image)),
                         ("listen 8000 ", f"listen 127.0.0.1:{self.ports['compose']} "),
                         ("listen 127.0.0.1:8001;", f"listen unix:{image}/health;"),
                         ("/etc/orchestry/tls", str(self.folder / "a/tls/controller-1")),
                         ("/etc/orchestry/ca.crt", self.ca)):
            assert old in text
            text = text.replace(old, new)
        (image / "api.conf").write_text(f"user root;\n{text}")
        self.run("compose", ["nginx", "-p", str(image), "-c", str(image / "api.conf"), "-e",
                             "stderr"], {
            "API_CONTROLLERS": ",".join(f"127.0.0.1:{port}" for port in self.apis.values()),
            "API_TLS_NAME": "localhost", "PATH": f"{os.environ['PATH']}:/usr/sbin"}, "balancer")

    def run(self, name: str, command: list[str], environ: dict[str, str], unit: str) -> None:
        """A program with the capabilities that a unit leaves it."""
        text = self.files[f"a/systemd/orchestry-{unit}.service"]
        left = re.findall(r"^CapabilityBoundingSet=(.*)$", text, re.MULTILINE)[0].lower().split()
        bounds = ",".join(["-all", *(f"+{one.removeprefix('cap_')}" for one in left)])
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                # Files are nobody else's, also those of nginx for its worker.
                ["setpriv", "--bounding-set", bounds, "--inh-caps=-all", "--no-new-privs",
                 *command], env=environ, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                umask=int(re.findall(r"^UMask=(.*)$", text, re.MULTILINE)[0], 8))

    def reload(self, name: str) -> None:
        """As the balancer's unit does."""
        self._running[name].send_signal(signal.SIGHUP)

    def client(self, kind: str) -> Client:
        """A client that knows one balancer and the cluster's CA, and nothing else."""
        token = next(self.folder.glob("data/*/bootstrap-token"), None)
        return Client(f"https://127.0.0.1:{self.ports[kind]}", ca=self.ca, timeout=WAIT_S,
                      token=token.read_text().strip() if token else "none")

    def leader(self, kind: str) -> str:
        """Who leads, as it is told through a balancer."""
        try:
            with self.client(kind) as client:
                found = client.cluster_leader()
        except OrchestryError:
            return ""
        return str(found["leader_id"]) if found.get("lease_expires_at") else ""

    def kill(self, name: str) -> None:
        """kill -9."""
        process = self._running.pop(name)
        process.kill()
        process.wait(10)

    def stop(self) -> None:
        """End all."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


def check_renewal(cluster: Rendered) -> None:
    """The compose file's balancer shows a new certificate at once, the hosts' after a reload."""
    ca, own = (cluster.folder / "a/tls" / name for name in ("ca", "controller-1"))
    new = Authority.load(str(ca / "ca.crt"), str(ca / "ca.key")).issue("controller-1", LOOPBACK)
    write_private(own / "node.key", new.key)
    write_private(own / "node.crt", new.certificate)

    def shows(kind: str) -> bool:
        address = "127.0.0.1", cluster.ports[kind]
        return ssl.get_server_certificate(address).encode() == new.certificate

    assert shows("compose")
    assert not shows("balancer")
    cluster.reload("balancer")
    until("the balancer shows it", lambda: shows("balancer"), WAIT_S)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Rendered]:
    """Three controllers and their balancers that run."""
    found = Rendered(tmp_path)
    try:
        for node in found.apis:
            found.start(node)
        for node, port in found.apis.items():
            until(f"{node} is ready", lambda port=port: run(  # type: ignore[misc]
                "curl", "-sf", "--cacert", found.ca,
                f"https://127.0.0.1:{port}/readyz").returncode == 0, WAIT_S, 0.5)
        found.balance()
        yield found
    finally:
        found.stop()
    for file in sorted(tmp_path.glob("*.log")):
        print(f"{file.name}: {file.read_text(errors='replace')[-2000:]}")


def test_the_rendered_cluster_works(cluster: Rendered) -> None:
    """Writes go through both balancers, over a leader's death; strangers get nowhere."""
    for kind in cluster.ports:
        until(f"a leader through {kind}", lambda kind=kind: cluster.leader(kind), WAIT_S)  # type: ignore[misc]
        with cluster.client(kind) as client:
            spec = app_spec(f"by-{kind}", "shop:1")
            spec["spec"]["environment"] = [{"name": "LONG", "value": "x" * 100_000}]
            client.register_app(spec)
    cluster.kill(until("a leader", lambda: cluster.leader("compose"), WAIT_S))
    for kind in cluster.ports:
        with cluster.client(kind) as client:
            client.register_app(app_spec(f"after-{kind}", "shop:1"))
            names = {app["name"] for app in client.list_apps()["apps"]}
        assert {"by-balancer", "by-compose", f"after-{kind}"} <= names
    check_renewal(cluster)
    other = TestCa(cluster.folder / "other")
    for kind, port in cluster.ports.items():
        plain = run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}",
                    f"http://127.0.0.1:{port}/readyz")
        assert plain.stdout == "400", kind
        stranger = run("curl", "-sS", "--cacert", other.file, f"https://127.0.0.1:{port}/readyz")
        assert stranger.returncode == 60, stranger.stdout
