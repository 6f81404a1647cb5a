"""Controllers on hosts of their own, and packets that are dropped between them."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.faults import wanted
from tests.faults.clusters import CALM, Hosts, HostsCluster
from tests.faults.linearizability import NotLinearizable, check
from tests.faults.recorder import Recorder
from tests.faults.verdicts import assert_sound, rounds
from tests.faults.watch import EpochWatcher, LeaderClaims, by_others, overlaps
from tests.live import call, until

pytestmark = [pytest.mark.acceptance, pytest.mark.beside]

CUT_S = 2.5
CLIENTS = 9
GAP_S = 0.02
LINK_CUT_S = 6.0
LINK_BACK_S = 60.0
WRITES_S = 60.0


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    """Three hosts on one bridge."""
    with Hosts(3) as three:
        yield three


@pytest.fixture(scope="module")
def cluster(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostsCluster]:
    """A controller on each."""
    with HostsCluster(tmp_path_factory.mktemp("partitions"), hosts) as running:
        yield running


def prefix_of(what: str) -> str:
    """Names of apps that no other round has."""
    return f"{what}-{random.getrandbits(24):x}"


@pytest.mark.parametrize(
    ("what", "hears", "says"),
    [("cut", False, False), ("mute", True, False), ("deaf", False, True)])
def test_leader_is_cut_off(cluster: HostsCluster, what: str, hears: bool, says: bool) -> None:
    """It leads no more while it is cut off, does nothing, and no read sees what is over."""
    for turn in range(rounds(1)):
        began_s = time.time()
        with (
            EpochWatcher(cluster) as watcher,
            Recorder(cluster.urls(), prefix_of(what), seed=turn, clients=CLIENTS,
                     gap_s=GAP_S) as recorder,
            cluster.restless(),
        ):
            leader = cluster.elected()
            others = [node for node in cluster.ids if node != leader]
            assert all(cluster.connects(leader, other) for other in others)
            with (
                LeaderClaims(cluster, leader) as claims,
                cluster.partition(leader, others, hears=hears, says=says),
            ):
                cut_s = time.time()
                new = cluster.elected(other_than=leader)
                led_s = time.time()
                assert not any(cluster.connects(leader, other) for other in others)
                assert not any(cluster.connects(other, leader) for other in others)
                assert cluster.connects(others[0], others[1])
                acted_s = cluster.acts(new, cut_s)
                recorder.await_writes(20, WRITES_S)
                time.sleep(max(0.0, cut_s + CUT_S - time.time()))
                until("it does not claim to lead", partial(claims.denied, cut_s), WRITES_S)
                claimed_s = claims.last_claim_s() - cut_s
            recorder.await_writes(20, WRITES_S)
            ended_s = time.time()
        assert_sound(cluster, recorder, set())
        effects, epochs = cluster.effects(began_s, ended_s), watcher.epochs()
        assert {leader, new} <= {epoch.holder for epoch in epochs}
        assert not overlaps(effects, epochs)
        last_s = max((e.at_s for e in effects if e.node == leader and e.at_s < acted_s),
                     default=cut_s)
        late = by_others(effects, epochs)
        # The new epoch begins when the old leader's lease is over.
        assert not late, (
            f"{leader} was cut off at {cut_s}, {new} acted at {acted_s}: {late[:3]}, {epochs}")

        print(f"\n{what} off, round {turn + 1}: claimed to lead for {max(claimed_s, 0):.2f} s, "
              f"another led after {led_s - cut_s:.2f} s and acted after {acted_s - cut_s:.2f} s; "
              f"the last effect of the old one at {last_s - cut_s:.2f} s, 0 after the new epoch "
              f"began; {len(recorder.history)} calls in order")


def terms(cluster: HostsCluster) -> dict[str, int]:
    """The Raft term of each controller."""
    return {node: call("GET", cluster.url(node, "/cluster/status"))[1]["raft_term"]
            for node in cluster.ids}


def hears(cluster: HostsCluster, node: str, other: str) -> bool:
    """Whether one controller is connected to another, by its own word."""
    rows = call("GET", cluster.url(node, "/cluster/status"))[1]["nodes"]
    return any(row["node_id"] == other and row["is_healthy"] for row in rows)


@pytest.fixture
def calm(hosts: Hosts, tmp_path: Path) -> Iterator[HostsCluster]:
    """A controller on each, of which none calls an election because another one is slow."""
    with HostsCluster(tmp_path, hosts, environ=CALM) as running:
        yield running


def test_one_link_is_cut(calm: HostsCluster) -> None:
    """A leader that loses one of its followers goes on, and the follower deposes nobody.

    Not even for a moment: no term begins, neither during the cut nor after it.
    """
    cluster = calm
    with (
        EpochWatcher(cluster) as watcher,
        Recorder(cluster.urls(), prefix_of("link"), seed=1, clients=CLIENTS,
                 gap_s=GAP_S) as recorder,
    ):
        leader = cluster.elected()
        away, other = random.sample([node for node in cluster.ids if node != leader], 2)
        recorder.await_writes(20, WRITES_S)
        began = terms(cluster)
        with cluster.partition(leader, [away]):
            began_s = time.monotonic()
            assert not cluster.connects(leader, away)
            assert cluster.connects(leader, other)
            assert cluster.connects(away, other)
            recorder.await_writes(50, WRITES_S)
            time.sleep(LINK_CUT_S)  # longer than any election time-out
            quiet_s = recorder.worst_gap_s(began_s, time.monotonic())
            during = terms(cluster)
            assert not hears(cluster, leader, away)
        until("the link stands again", lambda: hears(cluster, leader, away), LINK_BACK_S)
        recorder.await_writes(20, WRITES_S)
        after = terms(cluster)
    assert began == during == after
    assert_sound(cluster, recorder, set())
    assert {epoch.holder for epoch in watcher.epochs()} == {leader}
    print(f"\none link cut: the leader stayed, the longest pause of writes was {quiet_s:.2f} s")


def test_reads_of_an_isolated_leader_are_caught(hosts: Hosts, tmp_path: Path) -> None:
    """A build that serves linearizable reads from its own state is found out by its history."""
    with HostsCluster(tmp_path, hosts, broken=("--local-reads",)) as broken:
        leader = broken.elected()
        others = [node for node in broken.ids if node != leader]
        with Recorder(broken.urls(), prefix_of("stale"), seed=1, clients=CLIENTS,
                      gap_s=GAP_S) as recorder:
            recorder.await_writes(50, WRITES_S)
            with broken.partition(leader, others):
                broken.elected(other_than=leader)
                recorder.await_writes(200, 2 * WRITES_S)
        assert not recorder.surprises
        with pytest.raises(NotLinearizable) as found:
            check(recorder.history, wanted.step, lambda key: wanted.ABSENT)
    assert "no order explains" in str(found.value)
    writes = [call for call in recorder.history if call.kind != wanted.READ]
    check(writes, wanted.step, lambda key: wanted.ABSENT)
    print(f"\nthe broken build was caught:\n{found.value}")


@pytest.mark.long
def test_verify_tells_a_sound_build_from_one_that_acts_on(hosts: Hosts, tmp_path: Path) -> None:
    """A leader that is cut off stops in time; one that does not is found by its record."""
    for name, broken in (("sound", ()), ("broken", ("--endless-lease",))):
        with HostsCluster(tmp_path / name, hosts, broken=broken) as cluster, cluster.restless():
            leader = cluster.elected()
            others = [node for node in cluster.ids if node != leader]
            with cluster.partition(leader, others):
                cut_s = time.time()
                new = cluster.elected(other_than=leader)
                cluster.acts(new, cut_s)
                time.sleep(1.5)
            cluster.wait_ready()
            code, report = cluster.verify(new)
        stale = [row for row in report["findings"] if row["kind"] == "stale"]
        print(f"\n{name}: {report['actions']} actions, {len(stale)} by a stale epoch")
        assert report["actions"] > 20
        assert report["epochs"] >= 2
        if broken:
            assert (code, report["clean"]) == (1, False)
            assert {row["node_id"] for row in stale} == {leader}
        else:
            assert (code, report["clean"], stale) == (0, True, [])
