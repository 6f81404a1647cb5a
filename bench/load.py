"""HTTP load: committed writes, reads beside a bare Flask, and elections under saturation."""

from __future__ import annotations

import base64
import http.client
import json
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from api import server
from bench.etcd import Etcd, there
from bench.report import Figure, spread
from tests.live import LiveCluster, app_spec, call, until
from tests.ports import free_ports

CLIENTS = 32
SECONDS = 5
BARE = """
from flask import Flask
app = Flask(__name__)
@app.get("/")
def ok():
    return {"ok": True}
"""


def writes_per_s(cluster: LiveCluster, seconds: float, clients: int) -> float:
    """Committed writes through the leader's API."""
    leader = cluster.leader()
    assert leader is not None

    def request(client: int, turn: int) -> tuple[str, object]:
        return f"/api/v1/apps/bench{client % 8}/stop", {"timeout": turn % 300}

    return posts_per_s(cluster.api_ports[leader], request, seconds, clients)


def puts_per_s(peer: Etcd, seconds: float, clients: int) -> float:
    """Puts through the gateway of etcd's leader."""
    port = peer.ports[str(peer.leader())]

    def request(client: int, turn: int) -> tuple[str, object]:
        key, value = (base64.b64encode(text.encode()).decode()
                      for text in (f"bench{client % 8}", f"timeout {turn % 300}"))
        return "/v3/kv/put", {"key": key, "value": value}

    return posts_per_s(port, request, seconds, clients)


def posts_per_s(
    port: int, request: Callable[[int, int], tuple[str, object]], seconds: float, clients: int
) -> float:
    """Successful POSTs by keep-alive clients, which ask `request(client, turn)` what to send."""
    stop_s = time.monotonic() + seconds
    counts = [0] * clients

    def client(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        while time.monotonic() < stop_s:
            path, body = request(number, counts[number])
            connection.request(
                "POST", path, json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
            counts[number] += 1
        connection.close()

    threads = [threading.Thread(target=client, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def wrk(url: str, seconds: int) -> float:
    """Requests per second by wrk; every answer must be a success."""
    out = subprocess.run(
        ["wrk", "-t1", f"-c{CLIENTS}", f"-d{seconds}s", url],
        check=True, capture_output=True, text=True,
    ).stdout
    assert "Non-2xx" not in out, out
    found = re.search(r"Requests/sec:\s+([\d.]+)", out)
    assert found is not None, out
    return float(found.group(1))


def bare_flask(folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """A bare Flask under the same gunicorn settings as a controller."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bare.py").write_text(BARE)
    (port,) = free_ports(1)
    process = subprocess.Popen([
        sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}",
        "--workers", "1", "--worker-class", "gthread", "--threads", str(server.THREADS),
        "--worker-connections", str(server.CONNECTIONS_MAX),
        "--keep-alive", str(server.KEEP_ALIVE_S),
        "--chdir", str(folder), "--log-level", "error", "bare:app",
    ])
    until("the bare Flask answers", lambda: call(
        "GET", f"http://127.0.0.1:{port}/")[0] == 200, 15)
    return process, port


def beside_etcd(
    cluster: LiveCluster, folder: Path, rounds: int
) -> tuple[list[float], list[float]]:
    """Writes a second in turn with etcd, by the same client; nothing of etcd where it is not."""
    if not there():
        return [writes_per_s(cluster, SECONDS, CLIENTS) for _ in range(rounds)], []
    writes, puts = [], []
    with Etcd(folder) as peer:
        for _ in range(rounds):
            writes.append(writes_per_s(cluster, SECONDS, CLIENTS))
            puts.append(puts_per_s(peer, SECONDS, CLIENTS))
    return writes, puts


def throughput(folder: Path, rounds: int) -> list[Figure]:
    """Writes, and reads in turn with the bare server."""
    with LiveCluster(folder / "load", engine="fake", ingress=False) as cluster:
        for number in range(8):
            cluster.write("POST", "/api/v1/apps/register", app_spec(f"bench{number}", "bench:1"))
        writes, puts = beside_etcd(cluster, folder / "etcd", rounds)
        leader = cluster.leader()
        assert leader is not None
        url = cluster.url(leader, "/api/v1/apps/bench0")
        process, port = bare_flask(folder / "bare")
        try:
            reads, bares = [], []
            for _ in range(rounds):
                bares.append(wrk(f"http://127.0.0.1:{port}/", SECONDS))
                reads.append(wrk(url, SECONDS))
        finally:
            process.terminate()
            process.wait(10)
    rate = statistics.median(writes)
    ratio = statistics.median(reads) / statistics.median(bares)
    beside = statistics.median(puts) if puts else float("nan")
    return [
        Figure("committed writes / etcd", rate / beside, "x", ">= 1.0", rate >= beside,
               f"etcd {spread(puts)} 1/s" if puts else "etcd is not installed"),
        Figure("committed writes, 32 clients", rate, "1/s", ">= 400", rate >= 400, spread(writes)),
        Figure("reads / bare Flask", ratio, "x", ">= 0.8", ratio >= 0.8,
               f"ours {spread(reads)}; bare {spread(bares)} 1/s"),
    ]


def saturation(folder: Path, seconds: int) -> list[Figure]:
    """Elections while all three nodes are under as much HTTP load as they take."""
    with LiveCluster(folder / "saturation", engine="fake", ingress=False) as cluster:
        for number in range(8):
            cluster.write("POST", "/api/v1/apps/register", app_spec(f"bench{number}", "bench:1"))

        def terms() -> set[int]:
            found = set()
            for node in cluster.ids:
                body = call("GET", cluster.url(node, "/cluster/status"), timeout_s=30)[1]
                found.add(int(body["raft_term"]))
            return found

        time.sleep(2)
        before = terms()
        load = [
            subprocess.Popen(
                ["wrk", "-t1", f"-c{CLIENTS}", f"-d{seconds}s",
                 cluster.url(node, "/api/v1/apps/bench0")],
                stdout=subprocess.DEVNULL)
            for node in cluster.ids
        ]
        rates = []
        stop_s = time.monotonic() + seconds - 5
        while time.monotonic() < stop_s:
            rates.append(writes_per_s(cluster, min(10, max(1, stop_s - time.monotonic())), 4))
        for process in load:
            process.wait(60)
        after = terms()
    elections = max(after) - min(before)
    return [Figure(
        f"elections in {seconds} s of saturation", elections, "", "0", elections == 0,
        f"reads on all three nodes, meanwhile {statistics.median(rates):.0f} writes/s")]
