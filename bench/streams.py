"""What 1,000 streams on one node cost, and what plain reads feel of them."""

from __future__ import annotations

import http.client
import os
import resource
import selectors
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from bench.idle import _cpu_s, _group, _memory_mib
from bench.report import Figure
from tests.live import LiveCluster, app_spec

STREAMS = 1000
SECONDS = 20.0
EVENTS_PER_S = 5.0
READS_PER_S = 50.0
_HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
_PONG = b"\x8a\x80\x00\x00\x00\x00"


def clients(port: int, count: int) -> None:
    """Open streams, half of events and half of measurements; print the bytes read at the end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, count + 100)), hard))
    chosen = selectors.DefaultSelector()
    for number in range(count):
        path = ("/api/v1/events/stream", "/api/v1/apps/bench/metrics/stream")[number % 2]
        peer = socket.create_connection(("127.0.0.1", port), 10)
        peer.sendall(_HANDSHAKE.format(path=path).encode())
        assert peer.recv(4096).startswith(b"HTTP/1.1 101"), number
        peer.setblocking(False)
        chosen.register(peer, selectors.EVENT_READ)
    print("open", flush=True)
    read, closed = 0, 0
    ends = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ends.set()), daemon=True).start()
    while not ends.is_set():
        for key, _ in chosen.select(0.5):
            peer = key.fileobj
            assert isinstance(peer, socket.socket)
            data = peer.recv(65536)
            read += len(data)
            if not data:
                closed += 1
                chosen.unregister(peer)
            elif data == b"\x89\x00":
                peer.sendall(_PONG)
    print(read, closed, flush=True)


def _reads_ms(port: int, seconds: float) -> list[float]:
    """Times of plain reads at a fixed rate over one connection, each on its own clock."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    found = []
    began_s = time.monotonic()
    for number in range(int(seconds * READS_PER_S)):
        due_s = began_s + number / READS_PER_S
        time.sleep(max(0.0, due_s - time.monotonic()))
        connection.request("GET", "/api/v1/apps/bench")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        found.append((time.monotonic() - due_s) * 1000)
    connection.close()
    return found


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


def _threads(pids: list[int]) -> int:
    return max(len(os.listdir(f"/proc/{pid}/task")) for pid in pids)


def _write(cluster: LiveCluster, stop: threading.Event) -> None:
    number = 0
    while not stop.wait(1 / EVENTS_PER_S):
        number += 1
        cluster.write("PUT", "/api/v1/apps/bench/scaling", {"max_replicas": 5 + number % 2})


def measure(folder: Path) -> list[Figure]:
    """Three controllers with the fake engine, 1,000 streams on a follower, events all the time."""
    with LiveCluster(folder / "streams", engine="fake", ingress=False) as cluster:
        cluster.write("POST", "/api/v1/apps/register", app_spec("bench", "bench:1"))
        cluster.write("POST", "/api/v1/apps/bench/start",
                      {"replicas": 2, "wait": False})
        leader = cluster.leader()
        node = next(name for name in cluster.ids if name != leader)
        port, pids = cluster.api_ports[node], _group(cluster.processes[node].pid)
        stop = threading.Event()
        writer = threading.Thread(target=_write, args=(cluster, stop))
        writer.start()
        try:
            before = _costs(port, pids)
            process = subprocess.Popen(
                [sys.executable, "-m", "bench.streams", str(port)], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            time.sleep(2)
            during = _costs(port, pids)
            read, closed = process.communicate()[0].split()
        finally:
            stop.set()
            writer.join()
    assert int(closed) == 0, f"{closed} streams were closed"
    note = f"without: {before[0]:.1f}; {int(read) / 1024**2:.1f} MiB read by {STREAMS} clients"
    return [
        Figure("p99 of plain reads beside 1,000 streams", during[0], "ms", "< 50",
               during[0] < 50, note),
        Figure("p50 of the same", during[1], "ms", "-", True, f"without: {before[1]:.2f}"),
        Figure("threads for 1,000 streams", during[2] - before[2], "", "<= 10",
               during[2] - before[2] <= 10, f"{before[2]:.0f} -> {during[2]:.0f}"),
        Figure("memory for 1,000 streams", during[3] - before[3], "MiB", "-", True,
               f"{before[3]:.0f} -> {during[3]:.0f}"),
        Figure("CPU for 1,000 streams", during[4] - before[4], "%", "-", True,
               f"of a core, at {EVENTS_PER_S:g} events/s and a measurement each 2 s: "
               f"{before[4]:.0f} -> {during[4]:.0f}"),
    ]


def _costs(port: int, pids: list[int]) -> tuple[float, float, float, float, float]:
    """p99 and p50 of reads in ms, threads, MiB, and percent of a core."""
    cpu_s, began_s = _cpu_s(pids), time.monotonic()
    reads = _reads_ms(port, SECONDS)
    percent = 100 * (_cpu_s(pids) - cpu_s) / (time.monotonic() - began_s)
    return _p99(reads), statistics.median(reads), _threads(pids), _memory_mib(pids), percent


if __name__ == "__main__":
    clients(int(sys.argv[1]), STREAMS)
