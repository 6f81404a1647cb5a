"""Writes of each client while the leader is killed every few seconds: what reaches the caller."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from bench.report import Figure
from tests import killed_leaders
from tests.killed_leaders import Writer
from tests.live import LiveCluster, call, until

COUNT = 10_000
KILL_EVERY_S = 5.0
CLIENTS: dict[str, Writer] = {
    "Python": killed_leaders.blocking, "Python asyncio": killed_leaders.asynchronous,
    "Node": killed_leaders.node,
}


def measure(folder: Path, count: int) -> list[Figure]:
    """Errors, writes done twice and writes lost, of `count` writes of each client."""
    figures: list[Figure] = []
    for name, writer in CLIENTS.items():
        figures += _one(folder / name.replace(" ", "-").lower(), name, writer, count)
    return figures


def _one(folder: Path, name: str, writer: Writer, count: int) -> list[Figure]:
    errors, note = 0, ""
    with LiveCluster(folder, engine="fake", ingress=False) as cluster:
        with killed_leaders.killing(cluster, KILL_EVERY_S) as killed:
            try:
                found = writer(killed_leaders.urls(cluster), count, 0.0, count)
                note = f"slowest {found.slowest_s:.2f} s"
            except Exception as error:  # whatever reaches the caller is what is counted
                errors, note = 1, repr(error)[:200]
        registered = Counter(killed_leaders.registered(cluster))
        listed = until("the list", lambda: call("GET", cluster.url(
            cluster.ids[0], "/api/v1/apps?consistency=linearizable"), timeout_s=60)[1].get("apps"),
            killed_leaders.WAIT_S)
    twice = sum(number - 1 for number in registered.values())
    lost = count - len(listed)
    why = f"{count} writes, {len(killed)} leaders killed"
    return [
        Figure(f"{name}: errors that reach the caller", errors, "", "0", errors == 0,
               f"{why}; {note}"),
        Figure(f"{name}: writes done twice", twice, "", "0", twice == 0),
        Figure(f"{name}: writes lost", lost, "", "0", lost == 0),
    ]
