"""Three controllers as processes that faults are done to, on loopback or on hosts of their own."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.live import LiveCluster, call, until

SAME_S = 30.0


@dataclass(frozen=True, slots=True)
class Effect:
    """Something that a controller did to a container, at a Unix time."""

    node: str
    at_s: float
    verb: str
    name: str


@dataclass(frozen=True, slots=True)
class Epoch:
    """A leader's time in office; `begun_s` is just before its first entry was committed."""

    number: int
    holder: str
    begun_s: float


class FaultCluster(LiveCluster):
    """A LiveCluster whose side effects are recorded; `local_reads` breaks it on purpose."""

    def __init__(self, folder: Path, *, local_reads: bool = False) -> None:
        super().__init__(folder, engine="fake", ingress=False)
        self._local_reads = local_reads

    def command(self, node: str) -> list[str]:
        """How one controller is started."""
        command = [sys.executable, "-m", "tests.faults.launcher",
                   "--effects", str(self.folder / f"{node}.effects")]
        return [*command, "--local-reads"] if self._local_reads else command

    def boot(self, node: str) -> None:
        """Start one controller in a process group of its own."""
        with (self.folder / f"{node}.log").open("ab") as log:
            self.processes[node] = subprocess.Popen(
                self.command(node), env=self.variables(node), stdout=log,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True)

    def urls(self) -> dict[str, str]:
        """Where each controller answers."""
        return {node: self.url(node) for node in self.ids}

    def kill_all(self, nodes: list[str]) -> None:
        """kill -9 of several, as nearly at once as can be."""
        processes = [self.processes.pop(node) for node in nodes]
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)
        for process in processes:
            process.wait(5)

    @contextmanager
    def paused(self, node: str) -> Iterator[None]:
        """SIGSTOP now, SIGCONT at the end."""
        group = self.processes[node].pid
        os.killpg(group, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(group, signal.SIGCONT)

    def elected(self, *, other_than: str = "") -> str:
        """The leader, once there is one; `other_than` must not be it."""
        def look() -> str | None:
            for node in self.alive():
                status, body, _ = call("GET", self.url(node, "/cluster/is-leader"), timeout_s=1)
                if status == 200 and node != other_than:
                    return str(body["node_id"])
            return None

        return str(until("a leader", look, 20, 0.01))

    def same_state(self) -> str:
        """A hash of apps, specs and events, once all controllers show the same."""
        def look() -> str | None:
            hashes = {self._hash(node) for node in self.ids}
            return hashes.pop() if len(hashes) == 1 else None

        return str(until("the same state on all controllers", look, SAME_S, 0.1))

    def _hash(self, node: str) -> str:
        found = hashlib.sha256()
        for path in ("/api/v1/apps", "/api/v1/events?limit=1000"):
            status, body, _ = call("GET", self.url(node, path))
            assert status == 200, body
            found.update(json.dumps(body, sort_keys=True).encode())
        return found.hexdigest()

    def apps(self, node: str) -> dict[str, Any]:
        """The row of each app in the list of one controller."""
        status, body, _ = call("GET", self.url(node, "/api/v1/apps"))
        assert status == 200, body
        return {row["name"]: row for row in body["apps"]}

    def effects(self) -> list[Effect]:
        """All side effects so far, by time."""
        found = []
        for node in self.ids:
            path = self.folder / f"{node}.effects"
            lines = path.read_text().splitlines() if path.exists() else []
            found += [Effect(node, **json.loads(line)) for line in lines]
        return sorted(found, key=lambda effect: effect.at_s)

    def epochs(self) -> list[Epoch]:
        """Every change of the leader that the event log still knows, oldest first."""
        node = self.alive()[0]
        _, body, _ = call("GET", self.url(node, "/api/v1/events?type=cluster&limit=1000"))
        found = [
            Epoch(event["details"]["epoch"], event["details"]["by"],
                  datetime.fromisoformat(event["timestamp"]).timestamp())
            for event in body["events"] if "epoch" in event["details"]
        ]
        return sorted(found, key=lambda epoch: epoch.number)


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
            self._run(f"ip netns del {self.name(host)}", check=False)
        self._run(f"ip link del orf{self.number}", check=False)
        self._run(f"iptables -D FORWARD -i orf{self.number} -o orf{self.number} -j ACCEPT",
                  check=False)

    def _add(self, host: int) -> None:
        name, link = self.name(host), f"orf{self.number}v{host}"
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
                              check=False, timeout=20)
        assert not check or done.returncode == 0, f"{line}: {done.stderr}"
        return done

    def name(self, host: int) -> str:
        """The namespace of a host; the first is 1."""
        return f"orf{self.number}-{host}"

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
            ["ip", "netns", "exec", self.name(host), sys.executable, "-I", "-S", "-c", code],
            capture_output=True, check=False, timeout=20)
        return done.returncode == 0


class HostsCluster(FaultCluster):
    """Each controller on a host of its own."""

    def __init__(self, folder: Path, hosts: Hosts, *, local_reads: bool = False) -> None:
        super().__init__(folder, local_reads=local_reads)
        self.hosts = hosts
        self.host_of = {node: number for number, node in enumerate(self.ids, 1)}

    def command(self, node: str) -> list[str]:
        """How one controller is started on its host."""
        inside = ["ip", "netns", "exec", self.hosts.name(self.host_of[node])]
        return [*inside, *super().command(node)]

    def variables(self, node: str) -> dict[str, str]:
        """The environment of one controller."""
        address = {n: self.hosts.address(h) for n, h in self.host_of.items()}
        return super().variables(node) | {
            "ORCHESTRY_HOST": address[node],
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
