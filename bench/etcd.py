"""The peer: three members of etcd on loopback, with its defaults, through its JSON gateway."""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.live import until
from tests.ports import free_ports

KEY = base64.b64encode(b"k").decode()


def post(port: int, path: str, body: object, timeout_s: float) -> tuple[int, dict[str, Any]]:
    """One POST on a connection of its own: status and JSON body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text or b"{}")
    finally:
        connection.close()


def there() -> bool:
    """Whether this machine has it (Debian: etcd-server)."""
    return shutil.which("etcd") is not None


class Etcd:
    """A cluster of three; `ports` are those for clients, by name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.names = ["e1", "e2", "e3"]
        found = free_ports(6)
        self.ports = dict(zip(self.names, found[:3], strict=True))
        self._peers = dict(zip(self.names, found[3:], strict=True))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Etcd:
        for name in self.names:
            self.boot(name)
        until("an etcd leader", self.leader, 30)
        return self

    def __exit__(self, *exc: object) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()

    def boot(self, name: str) -> None:
        """Start one member."""
        client = f"http://127.0.0.1:{self.ports[name]}"
        peer = f"http://127.0.0.1:{self._peers[name]}"
        initial = ",".join(f"{n}=http://127.0.0.1:{port}" for n, port in self._peers.items())
        self.processes[name] = subprocess.Popen(
            ["etcd", "--name", name, "--data-dir", str(self._folder / name),
             "--listen-client-urls", client, "--advertise-client-urls", client,
             "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
             "--initial-cluster", initial, "--initial-cluster-state", "new"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def write(self, port: int, timeout_s: float) -> bool:
        """One put."""
        return post(port, "/v3/kv/put", {"key": KEY, "value": KEY}, timeout_s)[0] == 200

    def leader(self) -> str | None:
        """The name of the leader."""
        for name in self.names:
            try:
                status, body = post(self.ports[name], "/v3/maintenance/status", {}, 2.0)
            except OSError:
                continue
            if status == 200 and body.get("leader") == body["header"].get("member_id"):
                return name
        return None
