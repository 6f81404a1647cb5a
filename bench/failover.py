"""kill -9 of the leader to the first acknowledged write through a survivor, beside etcd."""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import signal
import statistics
import subprocess
import threading
import time
from pathlib import Path

from bench.report import Figure, spread
from tests.live import LiveCluster, app_spec, call, free_ports, until

GAP_S = 0.01
ATTEMPT_S = 0.5
"""A write that was swallowed by the election is sent anew after this long, to either system."""


def _post(port: int, path: str, body: object, timeout_s: float) -> tuple[int, dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text or b"{}")
    finally:
        connection.close()


class Writers:
    """One writer for each survivor; the first acknowledged write ends the clock."""

    def __init__(self) -> None:
        self.first_s = float("inf")
        self._done = threading.Event()
        self._lock = threading.Lock()

    def run(self, ports: list[int], write: object, deadline_s: float) -> float:
        """Seconds (monotonic) of the first acknowledgement."""
        threads = [
            threading.Thread(target=self._write, args=(port, write, deadline_s)) for port in ports
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self.first_s

    def _write(self, port: int, write: object, deadline_s: float) -> None:
        while not self._done.is_set() and time.monotonic() < deadline_s:
            try:
                if write(port):  # type: ignore[operator]
                    with self._lock:
                        self.first_s = min(self.first_s, time.monotonic())
                    self._done.set()
                    return
            except (OSError, http.client.HTTPException, ValueError):
                pass
            time.sleep(GAP_S)


def ours(folder: Path, trials: int) -> list[float]:
    """Orchestry, through its HTTP API, journal on disk, fsync on."""
    took: list[float] = []
    with LiveCluster(folder, engine="fake", ingress=False) as cluster:
        cluster.write("POST", "/api/v1/apps/register", app_spec("bench", "bench:1"))
        for trial in range(trials):
            cluster.wait_ready()
            time.sleep(1.5)
            leader = cluster.leader()
            assert leader is not None
            ports = [cluster.api_ports[n] for n in cluster.ids if n != leader]
            grace = 1 + trial % 2

            def write(port: int, grace: int = grace) -> bool:
                path = "/api/v1/apps/bench/stop"
                return _post(port, path, {"timeout": grace}, ATTEMPT_S)[0] == 200

            began_s = time.monotonic()
            cluster.kill(leader)
            took.append(Writers().run(ports, write, began_s + 20) - began_s)
            cluster.boot(leader)
    return took


def etcd(folder: Path, trials: int) -> list[float]:
    """etcd with its default timers, through its JSON gateway."""
    if shutil.which("etcd") is None:
        return []
    names = ["e1", "e2", "e3"]
    ports = free_ports(6)
    clients, peers = dict(zip(names, ports[:3], strict=True)), dict(
        zip(names, ports[3:], strict=True))
    initial = ",".join(f"{n}=http://127.0.0.1:{peers[n]}" for n in names)
    processes: dict[str, subprocess.Popen[bytes]] = {}

    def boot(name: str) -> None:
        client, peer = f"http://127.0.0.1:{clients[name]}", f"http://127.0.0.1:{peers[name]}"
        processes[name] = subprocess.Popen(
            ["etcd", "--name", name, "--data-dir", str(folder / name),
             "--listen-client-urls", client, "--advertise-client-urls", client,
             "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
             "--initial-cluster", initial, "--initial-cluster-state", "new"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    key = base64.b64encode(b"k").decode()

    def write(port: int) -> bool:
        status, _ = _post(port, "/v3/kv/put", {"key": key, "value": key}, ATTEMPT_S)
        return status == 200

    def leader() -> str | None:
        for name in names:
            status, body = _post(clients[name], "/v3/maintenance/status", {}, 2.0)
            header = body.get("header")
            if status == 200 and isinstance(header, dict) and (
                body.get("leader") == header.get("member_id")
            ):
                return name
        return None

    took: list[float] = []
    try:
        for name in names:
            boot(name)
        for _ in range(trials):
            found = str(until("an etcd leader", leader, 30))
            until("etcd writes", lambda found=found: write(clients[found]), 30)  # type: ignore[misc]
            time.sleep(1.5)
            began_s = time.monotonic()
            processes[found].send_signal(signal.SIGKILL)
            processes[found].wait()
            rest = [clients[n] for n in names if n != found]
            took.append(Writers().run(rest, write, began_s + 20) - began_s)
            boot(found)
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    return took


def measure(folder: Path, trials: int) -> list[Figure]:
    """Both, in turn, on the same machine."""
    mine = ours(folder / "failover", trials)
    peer = etcd(folder / "etcd", max(5, trials // 2))
    median = statistics.median(mine)
    figures = [
        Figure("failover median", median, "s", "<= 0.6", median <= 0.6, spread(mine)),
        Figure("failover worst", max(mine), "s", "<= 1.5", max(mine) <= 1.5, f"n={len(mine)}"),
    ]
    if peer:
        ratio = median / statistics.median(peer)
        figures.append(
            Figure("failover / etcd", ratio, "x", "< 1", ratio < 1, f"etcd {spread(peer)}"))
    return figures


def leaders_of(cluster: LiveCluster) -> set[int]:
    """The epochs that the nodes report, to see elections."""
    epochs = set()
    for node in cluster.ids:
        try:
            epochs.add(call("GET", cluster.url(node, "/cluster/status"))[1]["raft_term"])
        except OSError:
            continue
    return epochs
