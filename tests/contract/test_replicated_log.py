"""What every ReplicatedLog must do: the local one, Raft alone, Raft's leader, a follower."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cluster.consensus import transport
from cluster.consensus.local_log import LocalLog
from cluster.consensus.log import ReplicatedLog
from cluster.consensus.syncobj_log import ConsensusError, RaftConfig, SyncObjLog
from cluster.consensus.tickets import TICKET_TTL_S
from cluster.state import levels, spec_levels
from cluster.state.commands import (
    AnnounceController,
    BeginEpoch,
    ChangeMembers,
    Command,
    Noop,
    RegisterApp,
    Stamp,
    StopApp,
)
from cluster.state.model import ClusterState
from orchestry.errors import Code, OrchestryError
from tests.live import until
from tests.raft_logs import one_leader, raft_addresses, raft_logs

WAIT_S = 60.0
CALM: dict[str, Any] = {
    "raft_min_timeout_s": 30.0, "raft_max_timeout_s": 31.0, "leader_fallback_timeout_s": 30.0,
    "connection_timeout_s": 40.0, "elect": "c1"}
"""A leader that stays one, however busy the machine is."""


def stamp() -> Stamp:
    """The facts of a write by a test."""
    return Stamp(1_700_000_000_000, "test")


@pytest.fixture(params=["local", "alone", "leader", "follower"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ReplicatedLog]:
    """A log that takes writes."""
    if request.param == "local":
        yield LocalLog()
        return
    with raft_logs(tmp_path, 1 if request.param == "alone" else 3, **CALM) as logs:
        leader = one_leader(logs)
        assert leader is not None
        others = [name for name in logs if name != leader]
        yield logs[others[0] if request.param == "follower" else leader]


def test_a_write_is_applied_where_it_was_submitted(log: ReplicatedLog) -> None:
    """When its outcome is known, the state of this very node has it, at the index it names."""
    before = log.state()
    applied = log.submit(RegisterApp("shop", "{}", 2), stamp()).wait(WAIT_S)
    assert applied.rejected is None
    state = log.state()
    assert state.apps["shop"].revision == applied.index
    assert state.index == applied.index
    assert log.wait_applied(applied.index, 0.0)
    assert "shop" not in before.apps, "a state is a value"


def test_a_rejection_is_an_outcome(log: ReplicatedLog) -> None:
    """A command that the state machine refuses is committed, says so, and raises nothing."""
    first = log.submit(RegisterApp("shop", "{}", 2), stamp()).wait(WAIT_S)
    again = log.submit(RegisterApp("shop", "[]", 1), stamp()).wait(WAIT_S)
    assert again.rejected is Code.APP_ALREADY_EXISTS
    assert again.index > first.index
    assert log.state().apps["shop"].document == "{}"


def test_a_ticket_can_be_polled(log: ReplicatedLog) -> None:
    """A loop sees None until the outcome is there, and then always the same outcome."""
    ticket = log.submit(Noop(), stamp())
    applied = until("the no-op is applied", ticket.poll, WAIT_S)
    assert ticket.poll() == ticket.wait(0.0) == applied


def test_writes_of_many_threads_are_each_applied_once(log: ReplicatedLog) -> None:
    """Sixteen threads write at once; each write has an index of its own."""
    def write(number: int) -> int:
        return log.submit(RegisterApp(f"app-{number}", "{}", 1), stamp()).wait(WAIT_S).index

    with ThreadPoolExecutor(16) as pool:
        indexes = list(pool.map(write, range(160)))
    apps = log.state().apps
    assert len(set(indexes)) == len(apps) == 160
    assert [apps[f"app-{number}"].revision for number in range(160)] == indexes


def test_listeners_see_the_state_that_was_applied(log: ReplicatedLog) -> None:
    """A listener is called with states that never go back, the written one among them."""
    seen: list[ClusterState] = []
    written = threading.Event()

    def listen(state: ClusterState) -> None:
        seen.append(state)
        if "shop" in state.apps:
            written.set()

    log.subscribe(listen)
    log.submit(RegisterApp("shop", "{}", 1), stamp()).wait(WAIT_S)
    assert written.wait(WAIT_S)
    indexes = [state.index for state in seen]
    assert indexes == sorted(indexes)


def test_waiting_for_an_index_has_an_end(log: ReplicatedLog) -> None:
    """An index that nobody wrote is not applied when the time is up."""
    applied = log.submit(Noop(), stamp()).wait(WAIT_S)
    assert not log.wait_applied(applied.index + 1000, 0.05)
    waiter = threading.Thread(target=log.wait_applied, args=(applied.index + 1, WAIT_S))
    waiter.start()
    log.submit(Noop(), stamp()).wait(WAIT_S)
    waiter.join(WAIT_S)
    assert not waiter.is_alive()


def test_status_tells_who_leads_and_how_far_it_is(log: ReplicatedLog) -> None:
    """Role, leader and quorum fit together, and the applied index is at least ours."""
    applied = log.submit(Noop(), stamp()).wait(WAIT_S)
    status = log.status()
    assert status.has_quorum
    assert status.fault == ""
    assert status.leader_id == log.leader_id()
    assert (status.role == "leader") == log.is_raft_leader()
    assert status.commit_index >= status.applied_index >= applied.index
    assert status.term >= 1


# What only Raft can do


def test_no_more_is_applied_than_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in a status that is made while another thread writes."""
    with raft_logs(tmp_path, 1, **CALM) as logs:
        log = logs["c1"]
        applier = log._applier

        class Written:
            """One more entry is there whenever it is asked."""

            @property
            def applied_index(self) -> int:
                log.submit(Noop(), stamp()).wait(WAIT_S)
                return applier.applied_index

            def __getattr__(self, name: str) -> Any:
                return getattr(applier, name)

        with monkeypatch.context() as patch:
            patch.setattr(log, "_applier", Written())
            status = log.status()
        assert status.commit_index >= status.applied_index


def test_a_follower_reads_what_another_node_acknowledged(tmp_path: Path) -> None:
    """A no-op through a follower makes its local read linearizable."""
    with raft_logs(tmp_path, 3, **CALM) as logs:
        leader = one_leader(logs)
        assert leader is not None
        follower = next(name for name in logs if name != leader)
        for number in range(20):
            logs[leader].submit(RegisterApp(f"app-{number}", "{}", 1), stamp()).wait(WAIT_S)
            logs[follower].submit(Noop(), stamp()).wait(WAIT_S)
            assert f"app-{number}" in logs[follower].state().apps
        assert set(logs[follower].status().peers) == set(logs) - {follower}
        # Followers need not have met to elect somebody.
        until("it knows both others", lambda: all(
            peer.connected and peer.last_heard_at_ms and not peer.refused
            for peer in logs[follower].status().peers.values()), WAIT_S)


def test_without_a_majority_no_outcome_is_claimed(tmp_path: Path) -> None:
    """A leader left alone gives no index away, and says that the outcome is not known."""
    with raft_logs(tmp_path, 3, **CALM | {"leader_fallback_timeout_s": 5.0}) as logs:
        leader = one_leader(logs)
        assert leader is not None
        for name in logs:
            if name != leader:
                logs[name].stop(transfer=False)
        ticket = logs[leader].submit(RegisterApp("lost", "{}", 1), stamp())
        with pytest.raises(OrchestryError) as unknown:
            ticket.wait(0.2)
        assert unknown.value.code is Code.UNKNOWN_OUTCOME
        until("it leads no more", lambda: not logs[leader].is_raft_leader(), WAIT_S)
        assert logs[leader].leader_id() is None
        with pytest.raises(OrchestryError) as refused:
            logs[leader].submit(Noop(), stamp()).wait(WAIT_S)
        assert refused.value.code is Code.CLUSTER_NOT_READY
        assert "lost" not in logs[leader].state().apps


def written(logs: Mapping[str, SyncObjLog], command: Command) -> bool:
    """Whether the leader of these wrote it; one may follow another meanwhile."""
    try:
        logs[str(one_leader(logs))].submit(command, stamp()).wait(WAIT_S)
    except (KeyError, OrchestryError):
        return False
    return True


def test_a_leader_that_is_cut_off_says_so_at_once(tmp_path: Path) -> None:
    """Its open writes end as unknown when it loses its majority; the others elect, it follows."""
    with raft_logs(tmp_path, 3, elect="c1", raft_min_timeout_s=2.0, raft_max_timeout_s=4.0,
                   leader_fallback_timeout_s=2.0, connection_timeout_s=5.0) as logs:
        old = str(one_leader(logs))
        logs[old].submit(Noop(), stamp()).wait(WAIT_S)
        logs[old].cut_off(3600.0)
        ticket = logs[old].submit(RegisterApp("late", "{}", 1), stamp())
        with pytest.raises(OrchestryError, match="the leader changed") as unknown:
            ticket.wait(TICKET_TTL_S)
        assert unknown.value.code is Code.UNKNOWN_OUTCOME
        assert not logs[old].is_raft_leader()
        others = {name: log for name, log in logs.items() if name != old}
        until("the others have a leader", lambda: one_leader(others) in others, WAIT_S)
        until("they write", lambda: written(others, RegisterApp("kept", "{}", 1)), WAIT_S)
        logs[old].cut_off(0.0)
        until("it follows again", lambda: "kept" in logs[old].state().apps, WAIT_S)
        assert "late" not in logs[old].state().apps


def test_a_leader_that_stops_hands_over(tmp_path: Path) -> None:
    """A successor leads long before an election timeout, and has what was acknowledged."""
    with raft_logs(tmp_path, 3, **CALM) as logs:
        logs["c1"].submit(RegisterApp("kept", "{}", 1), stamp()).wait(WAIT_S)
        logs.pop("c1").stop(timeout_s=20.0)
        until("a successor leads", lambda: one_leader(logs) in logs, 20.0)
        new = str(one_leader(logs))
        logs[new].submit(Noop(), stamp()).wait(WAIT_S)
        assert "kept" in logs[new].state().apps


def test_peers_introduce_themselves_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new connection serves from its first moment, not from the next regular ping on."""
    monkeypatch.setattr(transport, "PING_EVERY_S", 3600.0)
    with raft_logs(tmp_path, 3) as logs:
        assert one_leader(logs) in logs


def test_a_command_that_is_too_large_is_refused(tmp_path: Path) -> None:
    """It is refused before it reaches the log, by a code that says so."""
    with raft_logs(tmp_path, 1) as logs:
        with pytest.raises(OrchestryError) as refused:
            logs["c1"].submit(RegisterApp("big", "x" * 3_000_000, 1), stamp()).poll()
        assert refused.value.code is Code.PAYLOAD_TOO_LARGE


def test_what_needs_a_level_is_not_taken_below_it(
    log: ReplicatedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On any log, for a kind of command and for a key of a spec; the state stays as it is."""
    monkeypatch.setattr(levels, "KINDS", {**levels.KINDS, "StopApp": 2})
    monkeypatch.setattr(spec_levels, "SPEC", {**spec_levels.SPEC, "late": 2})
    for command in (StopApp("shop"), RegisterApp("shop", '{"late":1}', 1)):
        with pytest.raises(OrchestryError, match="needs level 2, the cluster is at 1"):
            log.submit(command, stamp()).wait(WAIT_S)
    log.submit(RegisterApp("shop", "{}", 1), stamp()).wait(WAIT_S)
    assert log.state().apps["shop"].document == "{}"


def test_nothing_above_the_level_of_the_cluster_is_proposed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused by name until all members understand it; then an older version does not start."""
    monkeypatch.setattr(levels, "LEVEL", 2)
    monkeypatch.setattr(levels, "KINDS", {**levels.KINDS, "StopApp": 2})
    with raft_logs(tmp_path, 1) as logs:
        log = logs["c1"]
        address = log._config.addresses["c1"]
        log.submit(BeginEpoch("c1", 1_500, "cluster"), stamp()).wait(WAIT_S)
        log.submit(ChangeMembers(0, (("c1", address),)), stamp()).wait(WAIT_S)
        log.submit(AnnounceController("c1", "http://c1", "c1", "1.0.0"), stamp()).wait(WAIT_S)
        before = log.status().commit_index
        with pytest.raises(OrchestryError, match=r"first upgrade c1 \(version 1.0.0\)") as refused:
            log.submit(StopApp("shop"), stamp()).poll()
        assert refused.value.code is Code.CONFLICT
        assert log.status().commit_index == before
        log.submit(AnnounceController("c1", "http://c1", "c1", "1.1.0", 2), stamp()).wait(WAIT_S)
        outcome = log.submit(StopApp("shop"), stamp()).wait(WAIT_S)
        assert outcome.rejected is Code.APP_NOT_FOUND
        node = tmp_path / "c1" / "node.json"
        until("the level is on disk", lambda: json.loads(node.read_text())["level"] == 2, WAIT_S)
    monkeypatch.setattr(levels, "LEVEL", 1)
    older = SyncObjLog(RaftConfig("c1", {"c1": address}, tmp_path / "c1"))
    with pytest.raises(ConsensusError, match="the cluster has reached level 2"):
        older.start()


def test_before_start_and_after_stop_nothing_is_taken(tmp_path: Path) -> None:
    """A node that does not run refuses writes at once and safely, and its state stays readable."""
    log = SyncObjLog(RaftConfig("c1", raft_addresses(1), tmp_path))
    with pytest.raises(OrchestryError, match="not started") as refused:
        log.submit(Noop(), stamp()).poll()
    assert refused.value.code is Code.CLUSTER_NOT_READY
    log.start()
    until("it leads", log.is_raft_leader, WAIT_S)
    log.submit(RegisterApp("kept", "{}", 1), stamp()).wait(WAIT_S)
    log.stop()
    with pytest.raises(OrchestryError) as refused:
        log.submit(Noop(), stamp()).poll()
    assert refused.value.code is Code.CLUSTER_NOT_READY
    assert not log.is_raft_leader()
    assert "kept" in log.state().apps
