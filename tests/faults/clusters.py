"""Three controllers as processes that faults are done to, on loopback or on hosts of their own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.launcher import RESTLESS
from tests.live import ENDED_S, MODULE, ON_HOST, LiveCluster, app_spec, call, until

SAME_S = 60.0
ACTS_S = 30.0
ELECTED_S = 60.0
State = dict[str, Any]
RESTLESS_REPLICAS = 5
CALM = {"FAULT_RAFT": "2 4"}
"""For who leads to stay so, however busy the machine is: elections are seldom called."""


@dataclass(frozen=True, slots=True)
class Effect:
    """Something that a controller did to a container, at a Unix time."""

    node: str
    at_s: float
    verb: str
    name: str


class FaultCluster(LiveCluster):
    """A LiveCluster whose side effects are recorded; `broken` are flags of the launcher."""

    def __init__(
        self, folder: Path, *, broken: tuple[str, ...] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(folder, engine="fake", ingress=False, environ=environ)
        self._broken = broken
        self.forked = not broken  # what is broken has to be so before others import it

    def command(self, node: str) -> list[str]:
        """How one controller is started."""
        return [*MODULE, "tests.faults.launcher",
                "--effects", str(self.folder / f"{node}.effects"), *self._broken]

    def urls(self) -> dict[str, str]:
        """Where each controller answers."""
        return {node: self.url(node) for node in self.ids}

    def kill_all(self, nodes: list[str]) -> None:
        """kill -9 of several, as nearly at once as can be."""
        processes = [self.processes.pop(node) for node in nodes]
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)
        for process in processes:
            process.wait(ENDED_S)
        for node in nodes:
            self.gone(node)

    @contextmanager
    def restless(self) -> Iterator[str]:
        """An app that always gives the leader something to do; gone at the end."""
        app = f"{RESTLESS}-{os.urandom(4).hex()}"
        assert self.write("POST", "/api/v1/apps/register", app_spec(app, "x:1"))[0] == 201
        status, body = self.write(
            "POST", f"/api/v1/apps/{app}/start", {"replicas": RESTLESS_REPLICAS, "wait": False})
        assert status == 200, body
        began_s = time.time()
        until("somebody acts", lambda: self.effects(began_s), ACTS_S)
        yield app
        status, body = self.write("DELETE", f"/api/v1/apps/{app}?force=true")
        assert status == 200, body

    @contextmanager
    def paused(self, node: str) -> Iterator[None]:
        """SIGSTOP now, SIGCONT at the end."""
        group = self.processes[node].pid
        os.killpg(group, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(group, signal.SIGCONT)

    def verify(self, *nodes: str) -> tuple[int, dict[str, Any]]:
        """What `orchestry cluster verify` says: its exit code and its report."""
        urls = [part for node in nodes or self.ids for part in ("--url", self.url(node))]
        done = subprocess.run(
            [sys.executable, "-m", "orchestry.cli", "--json", *urls, "cluster", "verify"],
            capture_output=True, text=True, check=False, timeout=120)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    def elected(self, *, other_than: str = "") -> str:
        """The leader, once there is one; `other_than` must not be it."""
        def look() -> str | None:
            for node in self.alive():
                with contextlib.suppress(OSError):
                    if node != other_than and call(
                            "GET", self.url(node, "/cluster/is-leader"), timeout_s=1)[0] == 200:
                        return node
            return None

        return str(until("a leader", look, ELECTED_S, 0.01))

    def same_state(self) -> State:
        """Apps and events, once all controllers show the same and no app is on its way."""
        def look() -> State | None:
            first, *others = (self._state(node) for node in self.ids)
            settled = all(
                row["replicas"]["current"] == row["replicas"]["desired"]
                == row["replicas"]["healthy"] and row["status"] != "deleting"
                for row in first["apps"]
            )
            return first if settled and all(other == first for other in others) else None

        found: State = until("the same state on all controllers", look, SAME_S, 0.1)
        return found

    def _state(self, node: str) -> State:
        state: State = {}
        for path in ("/api/v1/apps", "/api/v1/events?limit=1000"):
            status, body, _ = call("GET", self.url(node, path))
            assert status == 200, body
            state |= body
        return state

    def apps(self, node: str) -> dict[str, Any]:
        """The row of each app in the list of one controller."""
        status, body, _ = call("GET", self.url(node, "/api/v1/apps"))
        assert status == 200, body
        return {row["name"]: row for row in body["apps"]}

    def effects(self, since_s: float, until_s: float = float("inf")) -> list[Effect]:
        """All side effects between two Unix times, by time."""
        found = []
        for node in self.ids:
            path = self.folder / f"{node}.effects"
            lines = path.read_text().splitlines() if path.exists() else []
            found += [Effect(node, **json.loads(line)) for line in lines]
        wanted = (effect for effect in found if since_s < effect.at_s < until_s)
        return sorted(wanted, key=lambda effect: effect.at_s)

    def acts(self, node: str, since_s: float) -> float:
        """When a controller did something for the first time after a moment, once it has."""
        def look() -> float | None:
            times = [e.at_s for e in self.effects(since_s) if e.node == node]
            return times[0] if times else None

        return float(until(f"{node} acts", look, ACTS_S))


class Hosts:
    """Network namespaces on one bridge; `cut` drops packets between them.

    A free number N is found by the creation of the bridge; the addresses are 10.231.N.0/24.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.number = 0

    def __enter__(self) -> Hosts:
        self.number = next(n for n in range(77, 255) if not self._run(
            f"ip link add orf{n} type bridge", check=False).returncode)
        try:
            self._run(f"iptables -I FORWARD -i orf{self.number} -o orf{self.number} -j ACCEPT")
            self._run(f"ip addr add {self.address(254)}/24 dev orf{self.number}")
            self._run(f"ip link set orf{self.number} up")
            for host in range(1, self.count + 1):
                self._add(host)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        for host in range(1, self.count + 1):
            # Not left to the end of the namespace, which dying connections may put off.
            self._run(f"ip link del {self.link(host)}", check=False)
            self._run(f"ip netns del {self.name(host)}", check=False)
        self._run(f"ip link del orf{self.number}", check=False)
        self._run(f"iptables -D FORWARD -i orf{self.number} -o orf{self.number} -j ACCEPT",
                  check=False)

    def _add(self, host: int) -> None:
        name, link = self.name(host), self.link(host)
        self._run(f"ip netns add {name}")
        self._run(f"ip link add {link} type veth peer name eth0 netns {name}")
        self._run(f"ip link set {link} master orf{self.number} up")
        self._run(f"ip -n {name} addr add {self.address(host)}/24 dev eth0")
        for device in ("lo", "eth0"):
            self._run(f"ip -n {name} link set {device} up")

    def _run(
        self, line: str, *, check: bool = True, text: str = ""
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(line.split(), input=text, text=True, capture_output=True,
                              check=False, timeout=60)
        assert not check or done.returncode == 0, f"{line}: {done.stderr}"
        return done

    def name(self, host: int) -> str:
        """The namespace of a host; the first is 1."""
        return f"orf{self.number}-{host}"

    def link(self, host: int) -> str:
        """The bridge's end of a host's link."""
        return f"orf{self.number}v{host}"

    def address(self, host: int) -> str:
        """The IP address of a host."""
        return f"10.231.{self.number}.{host}"

    def cut(self, host: int, others: list[int], *, hears: bool = False, says: bool = False) -> None:
        """Drop all packets between a host and others, or leave one direction open."""
        rules = [] if hears else [f"-A INPUT -s {self.address(o)} -j DROP" for o in others]
        rules += [] if says else [f"-A OUTPUT -d {self.address(o)} -j DROP" for o in others]
        self._filter(host, rules)

    def heal(self, host: int) -> None:
        """Drop nothing any more."""
        self._filter(host, [])

    def _filter(self, host: int, rules: list[str]) -> None:
        self._run(f"ip netns exec {self.name(host)} iptables-restore",
                  text="\n".join(["*filter", *rules, "COMMIT", ""]))

    def reaches(self, host: int, other: int, port: int) -> bool:
        """Whether a new connection from one host to another comes to stand."""
        code = f"import socket; socket.create_connection(('{self.address(other)}', {port}), 0.4)"
        done = subprocess.run(
            [*ON_HOST, self.name(host), sys.executable, "-I", "-S", "-c", code],
            capture_output=True, check=False, timeout=60)
        return done.returncode == 0


class HostsCluster(FaultCluster):
    """Each controller on a host of its own."""

    def __init__(
        self, folder: Path, hosts: Hosts, *, broken: tuple[str, ...] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(folder, broken=broken, environ=environ)
        self.hosts = hosts
        self.host_of = {node: number for number, node in enumerate(self.ids, 1)}

    def command(self, node: str) -> list[str]:
        """How one controller is started on its host."""
        return [*ON_HOST, self.hosts.name(self.host_of[node]), *super().command(node)]

    def variables(self, node: str) -> dict[str, str]:
        """The environment of one controller."""
        address = {n: self.hosts.address(h) for n, h in self.host_of.items()}
        return super().variables(node) | {
            "ORCHESTRY_HOST": address[node],
            "ORCHESTRY_AUTH": "off",
            "CLUSTER_PEERS": ",".join(f"{n}={address[n]}:{self.raft_ports[n]}" for n in self.ids),
            "CLUSTER_SECRET": "a secret of these tests",
        }

    def url(self, node: str, path: str = "") -> str:
        """Where one controller answers; clients are on the bridge, which no cut concerns."""
        return f"http://{self.hosts.address(self.host_of[node])}:{self.api_ports[node]}{path}"

    @contextmanager
    def partition(
        self, node: str, others: list[str], *, hears: bool = False, says: bool = False
    ) -> Iterator[None]:
        """Cut a controller off from others, prove that it is, and heal at the end."""
        host, them = self.host_of[node], [self.host_of[other] for other in others]
        self.hosts.cut(host, them, hears=hears, says=says)
        try:
            yield
        finally:
            self.hosts.heal(host)

    def connects(self, node: str, other: str) -> bool:
        """Whether one controller's host can open a connection to another's Raft port."""
        return self.hosts.reaches(
            self.host_of[node], self.host_of[other], self.raft_ports[other])
