"""kill -9 of the leader to the first acknowledged write through a survivor, beside etcd."""

from __future__ import annotations

import http.client
import signal
import statistics
import threading
import time
from pathlib import Path

from bench.etcd import Etcd, post, there
from bench.report import Figure, spread
from tests.live import LiveCluster, app_spec, until

GAP_S = 0.01
ATTEMPT_S = 0.5
"""A write that was swallowed by the election is sent anew after this long, to either system."""


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
                return post(port, path, {"timeout": grace}, ATTEMPT_S)[0] == 200

            began_s = time.monotonic()
            cluster.kill(leader)
            took.append(Writers().run(ports, write, began_s + 20) - began_s)
            cluster.boot(leader)
    return took


def etcd(folder: Path, trials: int) -> list[float]:
    """etcd with its default timers."""
    took: list[float] = []
    if not there():
        return took
    with Etcd(folder) as peer:
        def write(port: int) -> bool:
            return peer.write(port, ATTEMPT_S)

        for _ in range(trials):
            found = str(until("an etcd leader", peer.leader, 30))
            until("etcd writes", lambda found=found: write(peer.ports[found]), 30)  # type: ignore[misc]
            time.sleep(1.5)
            began_s = time.monotonic()
            peer.processes[found].send_signal(signal.SIGKILL)
            peer.processes[found].wait()
            rest = [peer.ports[name] for name in peer.names if name != found]
            took.append(Writers().run(rest, write, began_s + 20) - began_s)
            peer.boot(found)
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
