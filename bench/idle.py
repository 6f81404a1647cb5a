"""What a controller costs while nothing happens: CPU and resident memory."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

from bench.report import Figure, spread
from tests.live import LiveCluster, app_spec

SETTLE_S = 5.0


def _group(leader_pid: int) -> list[int]:
    """All processes of one controller: gunicorn's parent and its worker."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.getpgid(int(entry.name)) == leader_pid:
                    found.append(int(entry.name))
            except ProcessLookupError:
                continue
    return found


def _cpu_s(pids: list[int]) -> float:
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _memory_mib(pids: list[int]) -> float:
    """Proportional set size: pages that parent and worker share count once."""
    kib = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                kib += int(line.split()[1])
    return kib / 1024


def measure(folder: Path, seconds: int) -> list[Figure]:
    """Three controllers with real Docker and one stopped app, left alone."""
    with LiveCluster(folder / "idle") as cluster:
        cluster.write("POST", "/api/v1/apps/register", app_spec("bench", "bench:1"))
        time.sleep(SETTLE_S)
        groups = {node: _group(process.pid) for node, process in cluster.processes.items()}
        before = {node: _cpu_s(pids) for node, pids in groups.items()}
        time.sleep(seconds)
        percent = [100 * (_cpu_s(pids) - before[node]) / seconds for node, pids in groups.items()]
        memory = [_memory_mib(pids) for pids in groups.values()]
    return [
        Figure("idle CPU of a controller", max(percent), "%", "<= 2 of a core",
               max(percent) <= 2, spread(percent)),
        Figure("resident memory of a controller", max(memory), "MiB", "<= 120",
               max(memory) <= 120, f"{spread(memory)}; median {statistics.median(memory):.0f}"),
    ]
