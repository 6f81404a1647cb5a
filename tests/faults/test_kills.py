"""kill -9 and SIGSTOP under load: nothing acknowledged is lost, nothing happens twice."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from tests.faults.clusters import FaultCluster
from tests.faults.recorder import Recorder
from tests.faults.verdicts import assert_sound, rounds
from tests.faults.watch import EpochWatcher, by_others, overlaps

pytestmark = [pytest.mark.acceptance, pytest.mark.beside]

LOADED_S = 1.5
FAILOVER_S = 60.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultCluster]:
    """Three controllers on loopback."""
    with FaultCluster(tmp_path_factory.mktemp("faults")) as running:
        yield running


def victims(cluster: FaultCluster, who: str) -> list[str]:
    """The controllers to kill, the leader first."""
    leader = cluster.elected()
    others = [node for node in cluster.ids if node != leader]
    random.shuffle(others)
    return {"leader": [leader], "two": [leader, others[0]], "all": [leader, *others]}[who]


@pytest.mark.parametrize("who", ["leader", "two", "all"])
def test_killed_under_load(cluster: FaultCluster, who: str) -> None:
    """Whoever is killed: no acknowledged write is lost or done twice, all agree at the end."""
    earlier: set[str] = set()
    for turn in range(rounds(1)):
        killed = victims(cluster, who)
        prefix = f"{who}-{turn}-{random.getrandbits(24):x}"
        with Recorder(cluster.urls(), prefix, seed=turn) as recorder:
            time.sleep(LOADED_S)
            per_s = recorder.writes() / LOADED_S
            time.sleep(random.uniform(0, 0.3))
            killed_s = time.monotonic()
            cluster.kill_all(killed)
            failover = ""
            if who == "leader":
                cluster.elected(other_than=killed[0])
                failover = f", another led after {time.monotonic() - killed_s:.2f} s"
                recorder.await_writes(10, FAILOVER_S)
                quiet_s = recorder.worst_gap_s(killed_s, time.monotonic())
                failover += f", writes paused for {quiet_s:.2f} s"
            for node in killed:
                cluster.boot(node)
            cluster.wait_ready()
            recorder.await_writes(20, FAILOVER_S)
        assert_sound(cluster, recorder, earlier)
        earlier |= recorder.registered()
        print(f"\nkilled {who}, round {turn + 1}: {per_s:.0f} writes/s before{failover}, "
              f"{len(recorder.acknowledged)} acknowledged, 0 lost, 0 twice, all agree")


def test_paused_leader(cluster: FaultCluster) -> None:
    """A leader that was stopped with work to do does none of it under its old epoch."""
    for turn in range(rounds(1)):
        prefix = f"paused-{turn}-{random.getrandbits(24):x}"
        began_s = time.time()
        with (
            EpochWatcher(cluster) as watcher,
            Recorder(cluster.urls(), prefix, seed=turn, clients=6, gap_s=0.02) as recorder,
            cluster.restless() as app,
        ):
            status, body = cluster.write(
                "POST", f"/api/v1/apps/{app}/start", {"replicas": 4, "wait": False})
            assert status == 200, body
            leader = cluster.elected()
            with cluster.paused(leader):
                paused_s = time.time()
                new = cluster.elected(other_than=leader)
                led_s = time.time()
                acted_s = cluster.acts(new, paused_s)
                time.sleep(random.uniform(0, 0.5))
            time.sleep(1)
            ended_s = time.time()
        assert_sound(cluster, recorder, set())
        effects, epochs = cluster.effects(began_s, ended_s), watcher.epochs()
        assert {leader, new} <= {epoch.holder for epoch in epochs}
        again_s = min((one.begun_s for one in epochs
                       if one.holder == leader and one.begun_s > paused_s), default=ended_s)
        assert not [e for e in effects if e.node == leader and paused_s < e.at_s < again_s]
        late = by_others(effects, epochs)
        assert not late, late[:3]
        assert not overlaps(effects, epochs)
        print(f"\npaused leader, round {turn + 1}: another led after {led_s - paused_s:.2f} s, "
              f"acted after {acted_s - paused_s:.2f} s, {len(effects)} effects, 0 of an old epoch")
