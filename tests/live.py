"""A real cluster on loopback for acceptance tests and the benchmark: processes, nginx, Docker."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from tests.ports import free_ports, is_free
from tests.preloaded import Forked

READY_S = 60.0
ENDED_S = 30.0
PRELOADED = False
"""Whether controllers are forked from a process with the imports done; the tests say so."""
BY_THE_LOADER = {"LD_PRELOAD"}
"""What counts only where a program is loaded."""
MODULE = [sys.executable, "-m"]
ON_HOST = ["ip", "netns", "exec"]
INGRESS_GRACE_S = 0.5
CALL_S = 30.0
INGRESS_S = 30.0
STATUS_S = 30.0


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Redirects are part of what is tested."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Follow none."""
        return


_OPENER = urllib.request.build_opener(NoRedirect)


def _body(text: bytes) -> Any:
    """JSON where it is JSON, else the text."""
    try:
        return json.loads(text or b"null")
    except ValueError:
        return text.decode(errors="replace")


def call(
    method: str, url: str, body: Any = None, *, headers: Mapping[str, str] | None = None,
    timeout_s: float = CALL_S,
) -> tuple[int, Any, Mapping[str, str]]:
    """One request: (status, JSON body, headers); OSError when nobody answers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method)
    if data is not None:
        request.add_header("Content-Type", "application/json")
    for name, value in (headers or {}).items():
        request.add_header(name, value)
    try:
        with _answered(request, timeout_s) as answer:
            return answer.status, _body(answer.read()), dict(answer.headers)
    except http.client.HTTPException as error:  # killed in the midst of its answer
        raise ConnectionError(repr(error)) from error


def _answered(request: urllib.request.Request, timeout_s: float) -> Any:
    """The answer, whatever its status."""
    try:
        return _OPENER.open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        return error


def until(what: str, check: Callable[[], Any], timeout_s: float, gap_s: float = 0.05) -> Any:
    """Wait for a true value; the failure says what did not come."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            found = check()
        except OSError as error:
            found, problem = None, repr(error)
        else:
            problem = repr(found)
        if found:
            return found
        if time.monotonic() > deadline_s:
            raise AssertionError(f"{what}: not within {timeout_s} s (last: {problem})")
        time.sleep(gap_s)


def until_free(*ports: int, timeout_s: float) -> None:
    """Wait until nobody listens on these ports of this host."""
    for port in ports:
        until(f"port {port} is free", lambda port=port: is_free(port), timeout_s)  # type: ignore[misc]


def listening(address: str, port: int = 8080, timeout_s: float = 20.0) -> None:
    """Wait until somebody accepts connections: a container runs before its program listens."""
    def accepts() -> bool:
        socket.create_connection((address, port), timeout_s).close()
        return True

    until(f"{address}:{port} listens", accepts, timeout_s)


def kill_container(container_id: str) -> None:
    """SIGKILL behind the cluster's back."""
    import docker

    client = docker.APIClient(version="auto")
    try:
        client.kill(container_id)
    finally:
        client.close()


class LiveCluster:
    """Controllers as processes of this one; `kill` and `boot` play the operator."""

    forked = True
    """Whether what controllers import may be loaded before they are."""

    def __init__(
        self, folder: Path, *, size: int = 3, engine: str = "docker", ingress: bool = True,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.ids = [f"controller-{n}" for n in range(1, size + 1)]
        self.engine = engine
        ports = free_ports(2 * size + 1)
        self.api_ports = dict(zip(self.ids, ports[:size], strict=True))
        self.raft_ports = dict(zip(self.ids, ports[size:2 * size], strict=True))
        self.ingress_port = ports[-1]
        self.environ = dict(environ or {})
        self.headers: dict[str, str] = {}
        self.processes: dict[str, subprocess.Popen[bytes] | Forked] = {}
        self.index = 0
        self.nginx: Any = None
        self._ingress = ingress

    # -- processes ---------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            if self._ingress:
                self.start_ingress()
            for node in self.ids:
                self.boot(node)
            self.wait_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        """Without a farewell: who leaves last would wait for others to lead."""
        for node in self.alive():
            os.killpg(self.processes[node].pid, signal.SIGKILL)
        for process in self.processes.values():
            process.wait(ENDED_S)
        if self.nginx is not None:
            self.nginx.stop(grace_s=INGRESS_GRACE_S)
        self.purge()

    def purge(self) -> None:
        """Remove the cluster's containers, volumes and network."""
        ids = set()
        for file in self.folder.glob("*/node.json"):
            ids.add(json.loads(file.read_text()).get("cluster_id"))
        if self.engine != "docker":
            return
        from cluster.engine.docker import DockerEngine

        engine = DockerEngine(None, base_url=None, timeout_s=30)
        try:
            for cluster_id in ids - {None, ""}:
                engine.purge(cluster_id)
        finally:
            engine.close()

    def start_ingress(self) -> None:
        """One nginx of this cluster's own."""
        from cluster.ingress.local import LocalNginx

        self.nginx = LocalNginx(self.folder / "ingress", self.ingress_port)
        self.nginx.start()

    def variables(self, node: str) -> dict[str, str]:
        """The environment of one controller."""
        keep = ("PATH", "HOME", "LANG", "PYTHONPATH", "DOCKER_HOST")
        variables = {name: os.environ[name] for name in keep if name in os.environ}
        peers = ",".join(f"{n}=127.0.0.1:{port}" for n, port in self.raft_ports.items())
        variables |= {
            "CONTROLLER_NODE_ID": node,
            "ORCHESTRY_PORT": str(self.api_ports[node]),
            "ORCHESTRY_DATA_DIR": str(self.folder / node),
            "ORCHESTRY_ENGINE": self.engine,
            "CLUSTER_PEERS": peers if len(self.ids) > 1 else "",
            "CLUSTER_RAFT_PORT": str(self.raft_ports[node]),
            "CLUSTER_LIMITS_MIN_MEMORY": "4Mi",
            "INGRESS_PORT": str(self.ingress_port),
            # Tests and benchmarks ask as fast as they can; those of the limits set their own.
            "RATE_LIMIT_PER_HOUR": "0",
            "RATE_LIMIT_PER_MINUTE": "0",
            "PYTHONUNBUFFERED": "1",
        }
        if self._ingress:
            variables["INGRESS_ADMIN"] = self.nginx.endpoint
        return {name: value for name, value in (variables | self.environ).items() if value}

    def boot(self, node: str) -> None:
        """Start one controller in a process group of its own."""
        command, environ = self.command(node), self.variables(node)
        path = self.folder / f"{node}.log"
        host, program = ("", command) if command[:3] != ON_HOST else (command[3], command[4:])
        if (PRELOADED and self.forked and program[:2] == MODULE
                and not environ.keys() & BY_THE_LOADER):
            self.processes[node] = Forked(program[2:], environ, path, host)
            return
        with path.open("ab") as log:
            self.processes[node] = subprocess.Popen(
                command, env=environ, stdout=log, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )

    def command(self, node: str) -> list[str]:
        """How one controller is started."""
        return [*MODULE, "api.node"]

    def kill(self, node: str) -> None:
        """kill -9 the whole controller."""
        process = self.processes.pop(node)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(ENDED_S)
        self.gone(node)

    def gone(self, node: str) -> None:
        """Wait until a killed controller's ports are free: its worker dies a moment later."""
        until_free(self.api_ports[node], self.raft_ports[node], timeout_s=ENDED_S)

    def log(self, node: str) -> str:
        """What one controller said."""
        return (self.folder / f"{node}.log").read_text(errors="replace")

    # -- requests ----------------------------------------------------------------------

    def url(self, node: str, path: str = "") -> str:
        """Where one controller answers."""
        return f"http://127.0.0.1:{self.api_ports[node]}{path}"

    def alive(self) -> list[str]:
        """Controllers that run."""
        return [node for node, process in list(self.processes.items())
                if process.poll() is None]

    def wait_ready(self, timeout_s: float = READY_S) -> None:
        """All controllers that run are ready, and the leader may act."""
        for node in self.alive():
            try:
                until(f"{node} ready", lambda node=node: call(  # type: ignore[misc]
                    "GET", self.url(node, "/readyz"))[0] == 200, timeout_s)
            except AssertionError as error:
                raise AssertionError(f"{error}\n{self.log(node)[-3000:]}") from error
        until("a leader with a lease", self.acting, timeout_s)

    def acting(self) -> bool:
        """True while the leader holds a lease, by the word of any that answers."""
        for node in self.alive():
            with contextlib.suppress(OSError):
                body = call("GET", self.url(node, "/cluster/leader"), timeout_s=2,
                            headers=self.headers)[1]
                if body.get("lease_expires_at") and body["leader_id"] in self.alive():
                    return True
        return False

    def leader(self) -> str | None:
        """The controller that leads, by the word of the first that answers."""
        for node in self.alive():
            try:
                status, body, _ = call(
                    "GET", self.url(node, "/cluster/leader"), timeout_s=5, headers=self.headers)
            except OSError:
                continue
            if status == 200 and body["leader_id"] in self.alive():
                return str(body["leader_id"])
        return None

    def led(self) -> str:
        """The controller that leads, once there is one: a busy machine may change leaders."""
        return str(until("a leader", self.leader, READY_S))

    def follower(self) -> str:
        """One that runs and does not lead."""
        leader = self.led()
        return next(node for node in self.alive() if node != leader)

    def write(
        self, method: str, path: str, body: Any = None, *, timeout_s: float = 60.0,
    ) -> tuple[int, Any]:
        """A write through whoever leads, following redirects and elections by hand.

        A read is asked again until it shows the last write: the first follower may be late.
        """
        deadline_s = time.monotonic() + timeout_s
        headers = {"Idempotency-Key": os.urandom(8).hex(), **self.headers}
        while True:
            for node in self.alive():
                url = self.url(node, path)
                for _ in range(3):
                    try:
                        status, answer, got = call(
                            method, url, body, headers=headers, timeout_s=timeout_s)
                    except OSError:
                        break
                    if status == 307:
                        url = got["Location"]
                        continue
                    if status == 503 and answer.get("code") == "CLUSTER_NOT_READY":
                        break
                    index = int(got.get("X-Orchestry-Index", self.index))
                    if method == "GET" and index < self.index:
                        break
                    self.index = index
                    if status == 504 and "unknown" in str(answer.get("details")):
                        break  # repeated with the same key, as every client should
                    return status, answer
            if time.monotonic() > deadline_s:
                raise AssertionError(f"{method} {path}: no answer within {timeout_s} s")
            time.sleep(0.02)

    def status(self, app: str) -> Any:
        """The status object of an app after the last write, from any controller; None without it.

        A cluster that is busy, or between two leaders, is asked again.
        """
        path = f"/api/v1/apps/{app}?min_index={self.index}"
        deadline_s = time.monotonic() + STATUS_S
        while True:
            for node in self.alive():
                try:
                    code, body, _ = call(
                        "GET", self.url(node, path), timeout_s=5, headers=self.headers)
                except OSError:
                    continue
                if code in (200, 404):
                    return body if code == 200 else None
            if time.monotonic() > deadline_s:
                raise AssertionError(f"{app}: nobody tells its status within {STATUS_S} s")
            time.sleep(0.05)

    def through_ingress(self, host: str, path: str = "/", timeout_s: float = INGRESS_S) -> int:
        """The status of one request through the ingress."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ingress_port}{path}", headers={"Host": host})
        with _answered(request, timeout_s) as answer:
            answer.read()
            return int(answer.status)


def app_spec(name: str, image: str, *, port: int = 8080, **extra: Any) -> dict[str, Any]:
    """A small HTTP app whose health is checked each second, and that users scale by hand."""
    return {
        "apiVersion": "v1", "kind": "App", "metadata": {"name": name},
        "spec": {
            "type": "http", "image": image,
            "ports": [{"containerPort": port, "protocol": "HTTP"}],
            "resources": {"cpu": "100m", "memory": "16Mi"},
        },
        "healthCheck": {
            "path": "/health", "periodSeconds": 1, "timeoutSeconds": 5,
            "initialDelaySeconds": 5, "failureThreshold": 2,
        },
        "termination": {"terminationGracePeriodSeconds": 2, "drainSeconds": 0},
        "scaling": {"mode": "manual"},
        **extra,
    }
