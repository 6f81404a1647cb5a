"""The history under faults: PostgreSQL and controllers die, and no event is lost or doubled."""

from __future__ import annotations

import os
import statistics
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from cluster.control.part_watch import STEADY_S
from cluster.history.connect import postgres_engine, postgres_url
from tests.faults.clusters import FaultCluster
from tests.live import app_spec, call, until
from tests.postgres import Postgres, postgres

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "2"))
WRITERS = 4
TOLD_S = 90.0
RATE = 200.0
"""Events a second, over all writers."""


class Load:
    """Changes policies, one event each, at a steady rate; reads beside it and times them."""

    def __init__(self, cluster: FaultCluster) -> None:
        self._cluster = cluster
        self._stop = threading.Event()
        self.acknowledged = 0
        self.reads_ms: list[tuple[float, float]] = []
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._write, args=(number,)) for number in range(WRITERS)]
        self._threads.append(threading.Thread(target=self._read))

    def __enter__(self) -> Load:
        for number in range(WRITERS):
            status, body = self._cluster.write(
                "POST", "/api/v1/apps/register", app_spec(f"app-{number}", "x:1"))
            assert status == 201, body
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(TOLD_S)
            assert not thread.is_alive(), "the load does not end"

    def _write(self, number: int) -> None:
        value, due_s = 1, time.monotonic()
        while not self._stop.is_set():
            value = value % 50 + 1
            status, _ = self._cluster.write(
                "PUT", f"/api/v1/apps/app-{number}/scaling", {"max_replicas": value + 1})
            assert status == 200
            with self._lock:
                self.acknowledged += 1
            due_s += WRITERS / RATE
            self._stop.wait(max(0.0, due_s - time.monotonic()))

    def _read(self) -> None:
        node = self._cluster.ids[0]
        while not self._stop.wait(0.02):
            began_s = time.monotonic()
            try:
                call("GET", self._cluster.url(node, "/api/v1/apps/app-0"), timeout_s=5)
            except OSError:
                continue
            self.reads_ms.append((time.time(), (time.monotonic() - began_s) * 1000))


def rows(server: Postgres) -> list[tuple[int, str]]:
    """All events in PostgreSQL by id."""
    engine = postgres_engine(postgres_url(server.url), pool_size=1)
    try:
        with engine.connect() as connection:
            found = connection.execute(text("SELECT id, message FROM events ORDER BY id"))
            return [(row[0], row[1]) for row in found]
    finally:
        engine.dispose()


def all_events(cluster: FaultCluster, node: str) -> list[dict[str, Any]]:
    """Every event that one controller tells, oldest first, page by page."""
    found: list[dict[str, Any]] = []
    before = ""
    while True:
        status, body, _ = call("GET", cluster.url(node, f"/api/v1/events?limit=1000{before}"))
        assert status == 200, body
        assert body["complete"] is True
        found += body["events"]
        if not body["has_more"]:
            assert body["total"] == len(found)
            return found[::-1]
        before = f"&before={found[-1]['id']}"


def database(cluster: FaultCluster) -> Any:
    """What the leader says of its database."""
    leader = cluster.leader()
    if leader is None:
        return {}
    body = call("GET", cluster.url(leader, "/health"))[1]
    return body["components"]["database"] | {"overall": body["status"]}


def same_everywhere(cluster: FaultCluster, server: Postgres, least: int) -> int:
    """Each controller and PostgreSQL have every event once; returns how many."""
    def behind() -> bool:
        told = database(cluster)
        return bool(told) and told["status"] == "healthy" and told["events_behind"] == 0

    def everywhere() -> list[dict[str, Any]] | None:
        """All events, once all of them tell the same: one may come while they are asked."""
        first, *others = (all_events(cluster, node) for node in cluster.ids)
        copied = [(event["id"], event["message"]) for event in first]
        return first if others == [first, first] and rows(server) == copied else None

    # That the database is well again is an event too, told once that has held for a while.
    time.sleep(STEADY_S + 2)
    cluster.same_state()
    until("PostgreSQL has caught up", behind, TOLD_S, 0.2)
    first = until("the same events everywhere", everywhere, TOLD_S)
    ids = [event["id"] for event in first]
    assert ids == list(range(1, len(ids) + 1))
    changes = sum(str(event["message"]) == "Scaling policy updated" for event in first)
    assert changes >= least
    return changes


@pytest.mark.beside
def test_postgres_dies_under_load_and_no_event_is_lost(tmp_path: Path) -> None:
    """kill -9 of PostgreSQL, again and again; the API does not notice, /health does."""
    with postgres(tmp_path / "postgres") as server:
        cluster = FaultCluster(tmp_path / "cluster", environ={"DATABASE_URL": server.url})
        with cluster:
            downs: list[tuple[float, float]] = []
            with Load(cluster) as load:
                for _ in range(ROUNDS):
                    time.sleep(2)
                    began_s = time.time()
                    server.kill()
                    told = until("degraded", lambda: (
                        found := database(cluster)).get("status") == "degraded" and found, TOLD_S)
                    assert told["overall"] == "degraded"
                    time.sleep(1)
                    downs.append((began_s, time.time()))
                    server.start()
                    until("healthy", lambda: database(cluster).get("status") == "healthy", TOLD_S)
            changes = same_everywhere(cluster, server, load.acknowledged)
            down = [ms for at, ms in load.reads_ms if any(a <= at <= b for a, b in downs)]
            up = [ms for at, ms in load.reads_ms if not any(a <= at <= b for a, b in downs)]
            print(f"{ROUNDS} kills, {load.acknowledged} acknowledged, {changes} recorded; reads "
                  f"p50/p99 {p(up, 50):.1f}/{p(up, 99):.1f} ms with PostgreSQL, "
                  f"{p(down, 50):.1f}/{p(down, 99):.1f} ms without ({len(down)} reads)")


def p(values: list[float], percent: int) -> float:
    """A percentile."""
    return statistics.quantiles(values, n=100)[percent - 1]


@pytest.mark.long
def test_a_frozen_postgres_and_a_dead_leader(tmp_path: Path) -> None:
    """PostgreSQL stands still, the leader is killed meanwhile, a controller loses its disk."""
    with postgres(tmp_path / "postgres") as server:
        cluster = FaultCluster(tmp_path / "cluster", environ={"DATABASE_URL": server.url})
        with cluster:
            with Load(cluster) as load:
                time.sleep(2)
                server.freeze()
                time.sleep(1)
                leader = cluster.elected()
                cluster.kill(leader)
                cluster.elected(other_than=leader)
                time.sleep(2)
                cluster.boot(leader)
                cluster.wait_ready()
                server.thaw()
                time.sleep(1)
            same_everywhere(cluster, server, load.acknowledged)
            follower = next(node for node in cluster.ids if node != cluster.elected())
            cluster.kill(follower)
            for file in (cluster.folder / follower).glob("history.db*"):
                file.unlink()
            cluster.boot(follower)
            cluster.wait_ready()
            until("the gap is filled", lambda: call("GET", cluster.url(
                follower, "/api/v1/events?limit=1"))[1]["complete"], 30)
            same_everywhere(cluster, server, load.acknowledged)
