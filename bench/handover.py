"""Planned hand-overs: the longest write that clients see, by request and by SIGTERM."""

from __future__ import annotations

import http.client
import json
import os
import statistics
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from bench.report import Figure, spread
from tests.live import LiveCluster, app_spec, call, until

GAP_S = 0.002
AROUND_S = 1.0


class Client:
    """Writes one after another, through whoever takes it, and times each from first to last try."""

    def __init__(self, cluster: LiveCluster) -> None:
        self._urls = [cluster.url(node) for node in cluster.ids]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.took: list[tuple[float, float]] = []
        self.tries = 0

    def __enter__(self) -> Client:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def worst_s(self, since_s: float, until_s: float) -> float:
        """The longest write that was under way between two moments."""
        return max(end - begin for begin, end in self.took if end > since_s and begin < until_s)

    def _run(self) -> None:
        base, turn = self._urls[0], 0
        while not self._stop.is_set():
            turn += 1
            begin_s = time.monotonic()
            key = os.urandom(8).hex()
            while not self._stop.is_set():
                self.tries += 1
                done, base = self._try(base, turn, key)
                if done:
                    self.took.append((begin_s, time.monotonic()))
                    break
            time.sleep(GAP_S)

    def _try(self, base: str, turn: int, key: str) -> tuple[bool, str]:
        """Whether it is done, and whom to ask next."""
        parts = urlsplit(base)
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port or 80, timeout=5)
        try:
            connection.request(
                "POST", "/api/v1/apps/bench/stop", json.dumps({"timeout": turn % 300}),
                {"Content-Type": "application/json", "Idempotency-Key": key})
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return False, self._next(base)
        finally:
            connection.close()
        if answer.status == 307:
            target = urlsplit(answer.headers["Location"])
            return False, f"{target.scheme}://{target.netloc}"
        return answer.status == 200, base if answer.status == 200 else self._next(base)

    def _next(self, base: str) -> str:
        time.sleep(GAP_S)
        place = self._urls.index(base) if base in self._urls else 0
        return self._urls[(place + 1) % len(self._urls)]


def measure(folder: Path, trials: int) -> list[Figure]:
    """`trials` of each kind."""
    with LiveCluster(folder / "handover", engine="fake", ingress=False) as cluster:
        cluster.write("POST", "/api/v1/apps/register", app_spec("bench", "bench:1"))
        found = {"transfer": _transfers(cluster, trials), "SIGTERM": _stops(cluster, trials)}
    figures = []
    for kind, worst in found.items():
        median, longest = statistics.median(worst), max(worst)
        figures += [
            Figure(f"write across a {kind}, median", median, "s", "<= 0.1", median <= 0.1,
                   spread(worst)),
            Figure(f"write across a {kind}, worst", longest, "s", "<= 0.25", longest <= 0.25),
        ]
    return figures


def _settled(cluster: LiveCluster) -> str:
    cluster.wait_ready()
    time.sleep(AROUND_S)
    return str(cluster.leader())


def _transfers(cluster: LiveCluster, trials: int) -> list[float]:
    worst = []
    with Client(cluster) as client:
        for _ in range(trials):
            leader = _settled(cluster)
            begin_s = time.monotonic()
            status, body, _ = call(
                "POST", cluster.url(leader, "/cluster/transfer"), {}, timeout_s=20)
            assert status == 200, body
            time.sleep(AROUND_S)
            worst.append(client.worst_s(begin_s, time.monotonic()))
    return worst


def _stops(cluster: LiveCluster, trials: int) -> list[float]:
    worst = []
    with Client(cluster) as client:
        for _ in range(trials):
            leader = _settled(cluster)
            begin_s = time.monotonic()
            process = cluster.processes[leader]
            process.terminate()
            until("it ends", lambda process=process: process.poll() is not None, 30)  # type: ignore[misc]
            time.sleep(AROUND_S)
            worst.append(client.worst_s(begin_s, time.monotonic()))
            cluster.boot(leader)
    return worst
