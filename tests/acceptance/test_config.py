"""The configuration of a cluster of real controllers: seen by all, in force at once, kept."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.live import READY_S, LiveCluster, app_spec, call, until

pytestmark = [pytest.mark.acceptance, pytest.mark.beside]

PATH = "/api/v1/config"
GAPS = 3
# Nobody listens there: it is enough that a controller has such a pool.
DATABASE = "postgresql://me:hunter22@127.0.0.1:1/history"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCluster]:
    """Three controllers over fake engines, with a registered and started app."""
    folder = tmp_path_factory.mktemp("config")
    with LiveCluster(
        folder, engine="fake", ingress=False, environ={"DATABASE_URL": DATABASE},
    ) as found:
        spec = app_spec("shop", "x:1")
        del spec["scaling"], spec["healthCheck"]
        assert found.write("POST", "/api/v1/apps/register", spec)[0] == 201
        start = {"replicas": 1, "wait": False}
        assert found.write("POST", "/api/v1/apps/shop/start", start)[0] == 200
        yield found


def put(cluster: LiveCluster, node: str, body: Any, key: str = "") -> Any:
    """A change through one controller, which sends on to the leader if it does not lead.

    On a busy machine the leader may change meanwhile: then it is sent anew, under the same key.
    """
    url, headers = cluster.url(node, PATH), {"Idempotency-Key": key or os.urandom(8).hex()}

    def taken() -> tuple[int, Any, Mapping[str, str]] | None:
        found = call("PUT", url, body, headers=headers)
        if found[0] == 307:
            assert found[2]["Location"] in {cluster.url(one, PATH) for one in cluster.ids}
            found = call("PUT", found[2]["Location"], body, headers=headers)
        return found if found[0] not in (307, 503) else None

    status, answer, got = until("a leader takes it", taken, READY_S)
    assert status == 200, answer
    cluster.index = int(got["X-Orchestry-Index"])
    return answer


def everywhere(cluster: LiveCluster, path: str = PATH) -> list[Any]:
    """What each controller answers, once it knows the last change."""
    found = []
    for node in cluster.alive():
        status, body, _ = call("GET", cluster.url(node, f"{path}?min_index={cluster.index}"))
        assert status == 200, body
        found.append(body)
    return found


def restart_all(cluster: LiveCluster) -> None:
    """kill -9 of every controller, and a start of each."""
    for node in cluster.ids:
        cluster.kill(node)
    for node in cluster.ids:
        cluster.boot(node)
    cluster.wait_ready()


def gaps_s(cluster: LiveCluster) -> list[float]:
    """Seconds between the last decisions about the app."""
    path = f"/api/v1/apps/shop/scaling/decisions?limit={GAPS + 1}"
    found = call("GET", cluster.url(cluster.led(), path))[1]["decisions"]
    times = [datetime.fromisoformat(one["timestamp"]).timestamp() for one in found]
    return [before - after for before, after in pairwise(times)]


def test_a_change_through_a_follower_holds_on_all_and_outlives_all(cluster: LiveCluster) -> None:
    """Policies and checks follow at once without a new revision, also after kill -9 of all."""
    revision = cluster.status("shop")["revision"]
    answer = put(cluster, cluster.follower(), {
        "scaling": {"default_cooldown": 300},
        "health": {"default_check_interval": 15, "default_failure_threshold": 7}})
    assert answer["previous"]["scaling"] == {"default_cooldown": 180}
    assert answer["restart_required"] == []

    def check() -> None:
        nodes = everywhere(cluster)
        assert [body["node_id"] for body in nodes] == cluster.ids
        for body in nodes:
            assert body["scaling"]["default_cooldown"] == 300
            assert body["health"]["default_check_interval"] == 15
            assert body["sources"]["scaling.default_cooldown"] == "cluster"
            assert "hunter22" not in str(body)
        for body in everywhere(cluster, "/api/v1/apps/shop/scaling"):
            assert body["policy"]["cooldown_seconds"] == 300
        for body in everywhere(cluster, "/api/v1/apps/shop/health"):
            assert body["health_check_config"]["failure_threshold"] == 7
        assert cluster.status("shop")["revision"] == revision

    check()
    restart_all(cluster)
    check()


def test_the_interval_of_measuring_follows_at_once(cluster: LiveCluster) -> None:
    """The leader decides more often a moment later, and as before when it is taken back."""
    def often() -> bool:
        found = gaps_s(cluster)
        return len(found) == GAPS and max(found) < 1.5

    def seldom() -> bool:
        found = gaps_s(cluster)
        return len(found) == GAPS and min(found) > 1.5

    until("decisions each 2 s", seldom, 60)
    put(cluster, cluster.follower(), {"scaling": {"default_check_interval": 0.5}})
    until("decisions each 0.5 s", often, 60)
    put(cluster, cluster.follower(), {"scaling": {"default_check_interval": None}})
    until("decisions each 2 s again", seldom, 60)


def test_limits_of_requests_follow_at_once(cluster: LiveCluster) -> None:
    """Every controller counts by the new limit, and by none again when it is taken back."""
    def told() -> list[str | None]:
        return [call("GET", cluster.url(node, PATH))[2].get("X-RateLimit-Limit")
                for node in cluster.ids]

    assert told() == [None] * 3
    put(cluster, cluster.follower(), {"limits": {"per_minute": 54_321}})
    until("all count", lambda: told() == ["54321"] * 3, READY_S)
    restart_all(cluster)
    until("all count again", lambda: told() == ["54321"] * 3, READY_S)
    put(cluster, cluster.follower(), {"limits": {"per_minute": None}})
    until("none counts", lambda: told() == [None] * 3, READY_S)


def test_a_repeat_gives_the_first_answer(cluster: LiveCluster) -> None:
    """After another change, through every controller, and after kill -9 of all."""
    body, key = {"retention": {"raw_hours": 5}}, os.urandom(8).hex()
    first = put(cluster, cluster.follower(), body, key)
    put(cluster, cluster.follower(), {"retention": {"raw_hours": None}})
    for node in cluster.ids:
        assert put(cluster, node, body, key) == first
    restart_all(cluster)
    assert put(cluster, cluster.follower(), body, key) == first
    assert [one["retention"]["raw_hours"] for one in everywhere(cluster)] == [24] * 3


def test_what_needs_a_restart_is_taken_at_the_next_start(cluster: LiveCluster) -> None:
    """Each controller says that it still uses the old pool, until it has started again."""
    def pending() -> list[list[str]]:
        return [body["restart_required"] for body in everywhere(cluster)]

    def tried() -> bool:
        parts = [body["components"]["database"]["detail"] or ""
                 for body in everywhere(cluster, "/health")]
        return all("PostgreSQL" in detail for detail in parts)

    until("all have a pool", tried, READY_S)
    size = everywhere(cluster)[0]["database"]["pool_size"]
    answer = put(cluster, cluster.follower(), {"database": {"pool_size": size + 5}})
    assert answer["restart_required"] == ["database.pool_size"]
    until("all use the old pool", lambda: pending() == [["database.pool_size"]] * 3, READY_S)
    restart_all(cluster)
    until("all have a pool again", tried, READY_S)
    assert pending() == [[]] * 3
    status, refused = cluster.write("PUT", PATH, {"database": {"host": "db"}, "x": {}})
    assert (status, refused["code"]) == (400, "VALIDATION_ERROR")
    assert [fault["field"] for fault in refused["details"]] == ["database.host", "x"]


def test_a_backup_takes_it_to_another_cluster(cluster: LiveCluster, tmp_path: Path) -> None:
    """The command line changes, saves and restores it."""
    def cli(at: LiveCluster, *arguments: str) -> None:
        urls = [part for node in at.alive() for part in ("--url", at.url(node))]
        done = subprocess.run(
            [sys.executable, "-m", "orchestry.cli", *urls, "cluster", *arguments],
            capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr

    cli(cluster, "config", "set", "ingress.domain=apps.example.org",
        'limits.trusted_proxies=["10.0.0.0/8"]', "scaling.default_cooldown=301")
    cli(cluster, "backup", str(tmp_path / "file"))
    kept = call("GET", cluster.url(cluster.ids[0], f"{PATH}?consistency=linearizable"))[1]
    with LiveCluster(tmp_path / "other", size=1, engine="fake", ingress=False) as other:
        cli(other, "config", "set", "retention.raw_hours=7")
        cli(other, "restore", str(tmp_path / "file"), "--yes")
        (found,) = everywhere(other)
        overridden = {path for path, source in kept["sources"].items() if source == "cluster"}
        assert {"ingress.domain", "limits.trusted_proxies", "scaling.default_cooldown"} <= (
            overridden)
        assert {path for path, source in found["sources"].items() if source == "cluster"} == (
            overridden)
        assert found["ingress"]["domain"] == "apps.example.org"
        assert found["limits"] == kept["limits"]
