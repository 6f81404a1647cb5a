"""The compose file on real images: up, the leader killed, down and up again, nothing left."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cluster.engine.docker import DockerEngine
from orchestry import Client
from tests.images.compose import ROOT, build_all, tools
from tests.live import app_spec, call, until
from tests.ports import free_ports
from tests.schemas import cyclonedx

pytestmark = [
    pytest.mark.acceptance, pytest.mark.docker, pytest.mark.nginx, pytest.mark.beside,
    pytest.mark.long, pytest.mark.timeout(900)]

COMPOSE_S = 120
UP_S = 110.0


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say how long it took; no verdict."""
    begun_s = time.monotonic()
    yield
    print(f"compose: {time.monotonic() - begun_s:6.1f} s  {what}")


def docker(*arguments: str) -> str:
    """One call of the client; its output."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False,
                          timeout=COMPOSE_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Stack:
    """The compose file under a project, ports, networks and secrets of its own."""

    def __init__(self, folder: Path, images: dict[str, str], tool: list[str]) -> None:
        self.tool = tool
        self.project = f"orchestry-test-{os.getpid()}"
        self.network = f"{self.project}-apps"
        self.env_file = folder / "env"
        self.gateway = ""
        ports = free_ports(5)
        names = ("API_PORT", "CONTROLLER_1_PORT", "CONTROLLER_2_PORT", "CONTROLLER_3_PORT",
                 "INGRESS_PUBLIC_PORT")
        self.ports = dict(zip(names, ports, strict=True))
        self.images = images
        self.cluster_id = ""
        self.token = ""
        self.file = ROOT / "docker-compose.cluster.yml"
        self.scheme = "http"

    def get(self, path: str, timeout_s: float = 5.0) -> tuple[int, Any]:
        """Status and body of a read through the load balancer, with the first token."""
        headers = {"Authorization": f"Bearer {self.token}"}
        status, body, _ = call("GET", f"{self.api}{path}", headers=headers, timeout_s=timeout_s)
        return status, body

    def prepare(self, socket: str) -> None:
        """The network of the applications and the secrets, as docs/production.md has it."""
        docker("network", "create", "--label", "orchestry.shared=true", self.network)
        (config,) = json.loads(docker("network", "inspect", self.network))
        self.gateway = config["IPAM"]["Config"][0]["Gateway"]
        variables = {"PUBLIC_HOST": self.gateway, "DOCKER_SOCKET": socket.removeprefix("unix://")}
        tool = [str(ROOT / "tools" / "secrets.sh"), str(self.env_file)]
        subprocess.run(tool, env=os.environ | variables, check=True, capture_output=True,
                       timeout=COMPOSE_S)
        more = {**self.images, **{k: str(v) for k, v in self.ports.items()},
                "APPS_NETWORK": self.network, "CONTROL_NET": "10.231.78",
                "RATE_LIMIT_PER_MINUTE": "0", "RATE_LIMIT_PER_HOUR": "0",
                "CLUSTER_LIMITS_MIN_MEMORY": "4Mi"}
        with self.env_file.open("a") as file:
            file.writelines(f"{name}={value}\n" for name, value in more.items())
        lines = self.env_file.read_text().splitlines()
        self.token = dict(line.split("=", 1) for line in lines if "=" in line)[
            "ORCHESTRY_BOOTSTRAP_TOKEN"]

    def compose(self, *arguments: str) -> str:
        """The tool on this stack."""
        done = subprocess.run(
            [*self.tool, "-p", self.project, "--env-file", str(self.env_file), "-f",
             str(self.file), *arguments],
            capture_output=True, text=True, check=False, timeout=COMPOSE_S)
        assert done.returncode == 0, f"{done.stdout[-2000:]}{done.stderr[-3000:]}"
        return done.stdout

    @property
    def api(self) -> str:
        """The load balancer."""
        return f"{self.scheme}://127.0.0.1:{self.ports['API_PORT']}"

    def up(self) -> None:
        """Start all, and wait for a leader that acts."""
        self.compose("up", "-d")
        try:
            until("a leader with a lease", self.leader, UP_S, 0.5)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.compose('logs', '--tail', '30')}") from error

    def leader(self) -> str:
        """Who leads and may act, by the word of the load balancer's controller."""
        status, body = self.get("/cluster/leader", 2)
        return str(body["leader_id"]) if status == 200 and body.get("lease_expires_at") else ""

    def container(self, service: str) -> str:
        """The id of a service's container."""
        return self.compose("ps", "-q", service).strip()

    def healthy(self) -> bool:
        """Each container that has a health check passes it."""
        ids = self.compose("ps", "-q").split()
        states = [item["State"] for item in json.loads(docker("inspect", *ids))]
        return all(s["Running"] and s.get("Health", {}).get("Status", "healthy") == "healthy"
                   for s in states)

    def served(self, path: str = "/") -> int:
        """The status of the app through the ingress; 0 when nobody answers."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports['INGRESS_PUBLIC_PORT']}{path}",
            headers={"Host": "shop.localhost"})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0

    def clean_up(self) -> None:
        """Remove the stack, its data, the applications and their network."""
        if self.env_file.exists():
            self.compose("down", "-v", "--remove-orphans", "-t", "5")
        if self.cluster_id:
            engine = DockerEngine(timeout_s=30)
            engine.purge(self.cluster_id)
            engine.close()
        docker("network", "rm", self.network)


@pytest.fixture(params=["1", "2"])
def stack(tmp_path: Path, docker_socket: str, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A stack that is not up yet, for either generation of the tool."""
    tool = tools()[request.param]
    with step(f"images, for {' '.join(tool)}"):
        images = build_all(tmp_path)
    made = Stack(tmp_path, images, tool)
    try:
        made.prepare(docker_socket)
        yield made
    finally:
        with step("clean up"):
            made.clean_up()


class Load(threading.Thread):
    """Asks all the time; `bad` keeps what was no 200."""

    def __init__(self, ask: Callable[[], int]) -> None:
        super().__init__(daemon=True)
        self._ask = ask
        self._end = threading.Event()
        self.good, self.bad = 0, list[int]()

    def run(self) -> None:
        """Until it is told to end."""
        while not self._end.wait(0.02):
            status = self._ask()
            if status == 200:
                self.good += 1
            else:
                self.bad.append(status)

    def end(self) -> None:
        """Stop asking."""
        self._end.set()
        self.join(10)


def check_confined(stack: Stack) -> None:
    """No container is root, may become it, may write to its image or has a capability."""
    for item in json.loads(docker("inspect", *stack.compose("ps", "-q").split())):
        host = item["HostConfig"]
        assert host["ReadonlyRootfs"], item["Name"]
        assert "no-new-privileges:true" in host["SecurityOpt"]
        assert host["CapDrop"] == ["ALL"]
        assert not host["CapAdd"]
        assert host["Memory"]
        assert host["PidsLimit"]
        user = item["Config"]["User"]
        assert user not in ("", "root", "0"), item["Name"]
        listed = docker("exec", item["Id"], "cat", "/proc/1/status")
        effective = {line.split()[0]: line.split()[1] for line in listed.splitlines()}
        assert effective["Uid:"] != "0"
        assert int(effective["CapEff:"], 16) == 0
        secrets = [line.partition("=")[2] for line in stack.env_file.read_text().splitlines()
                   if not line.startswith("#")
                   and any(word in line for word in ("SECRET", "PASSWORD", "TOKEN"))]
        assert len(secrets) == 6
        commands = docker("top", item["Id"], "-eo", "pid,args")
        assert not any(secret in commands for secret in secrets)


def check_bills(stack: Stack) -> None:
    """The bills of materials in our images name just what is installed in them."""
    code = ("import importlib.metadata as m, json; print(json.dumps(sorted([d.name.lower()"
            ".replace('_', '-'), d.version] for d in m.distributions())))")
    python = json.loads(docker(
        "exec", stack.container("controller-1"), "/opt/orchestry/bin/python", "-c", code))
    for service, expected in (("controller-1", python), ("ingress", [])):
        container = stack.container(service)
        bill = json.loads(docker("exec", container, "cat", "/usr/share/orchestry/sbom.json"))
        cyclonedx().validate(bill)
        of = {kind: sorted([part["name"], part["version"]] for part in bill["components"]
                           if part["purl"].startswith(f"pkg:{kind}/")) for kind in ("pypi", "deb")}
        assert sorted([name.lower().replace("_", "-"), version]
                      for name, version in of["pypi"]) == expected
        listed = docker("exec", container, "dpkg-query", "-W", "-f",
                        "${db:Status-Abbrev} ${Package} ${Version}\n")
        rows = [line.split() for line in listed.splitlines()]
        assert of["deb"] == sorted(row[1:] for row in rows if row[0] == "ii")
        assert len(bill["components"]) == len(of["pypi"]) + len(of["deb"])


def replicas(stack: Stack) -> set[str]:
    """Ids of the running containers of the applications."""
    engine = DockerEngine(timeout_s=30)
    try:
        found = engine.observe(stack.cluster_id)
        return {item.id for item in found if item.phase == "running"}
    finally:
        engine.close()


def test_the_compose_file(stack: Stack, test_app_image: str) -> None:
    """An app is deployed through the load balancer and served; the leader's container is killed
    under requests and no answer is lost; the whole stack goes down and finds everything again.
    """
    with step("up"):
        stack.up()
        until("all healthy", stack.healthy, UP_S, 0.5)
    stack.cluster_id = stack.get("/cluster/status")[1]["cluster_id"]
    check_confined(stack)
    check_bills(stack)
    assert call("GET", f"{stack.api}/api/v1/apps")[0] == 401
    with Client([stack.api], token=stack.token) as client:
        with step("an app through the load balancer"):
            client.register_app(app_spec("shop", test_app_image))
            client.start_app("shop", 2)
            until("served", lambda: stack.served() == 200, 20)
        with step("the leader's container killed"):
            leader = stack.leader()
            loads = [Load(stack.served), Load(lambda: stack.get("/api/v1/apps/shop")[0])]
            for load in loads:
                load.start()
            docker("kill", stack.container(leader))
            client.scale_app("shop", 3)
            until("another leader", lambda: stack.leader() not in ("", leader), 30)
            for load in loads:
                load.end()
            assert [load.bad for load in loads] == [[], []]
            assert all(load.good for load in loads)
        assert len(replicas(stack)) == 3
    before = replicas(stack)
    with step("down"):
        stack.compose("down", "-t", "15")
    assert stack.compose("ps", "-q") == ""
    with step("up again"):
        stack.up()
        until("served", lambda: stack.served() == 200, 30)
    assert replicas(stack) == before
    history = stack.get("/api/v1/events?limit=100")[1]
    assert any(event["app_name"] == "shop" for event in history["events"]), history
    assert stack.get("/cluster/status")[1]["cluster_id"] == stack.cluster_id
