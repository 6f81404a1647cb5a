"""The lease: who may act, from when, and until when."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from cluster.consensus.local_log import LocalLog
from cluster.control.lease_keeper import DRIFT_MARGIN_S, LeaseKeeper
from cluster.state.commands import BeginEpoch, RenewLease, Stamp
from cluster.state.model import ClusterState
from tests.unit.hand_clock import HandClock

TTL_S = 3.0


@dataclass
class Keeper:
    """A lease keeper on a log that is in step with it."""

    log: LocalLog = field(default_factory=lambda: LocalLog("me"))
    clock: HandClock = field(default_factory=HandClock)

    def __post_init__(self) -> None:
        self.keeper = LeaseKeeper("me", self.log, self.clock, ttl_s=TTL_S)

    def another_leads(self) -> None:
        """Another controller takes the lease now."""
        stamp = Stamp(self.clock.wall_ms(), "other")
        self.log.submit(BeginEpoch("other", round(TTL_S * 1000), "cluster"), stamp)

    def acts_after(self, seconds: float) -> bool:
        """Let time pass in small steps."""
        until_s = self.clock.now_s + seconds
        while self.clock.now_s < until_s:
            self.clock.now_s = min(until_s, self.clock.now_s + 0.05)
            self.keeper.step()
        return self.keeper.acting() is not None


def test_the_first_leader_acts_at_once() -> None:
    """With nobody before it there is nobody to wait for."""
    me = Keeper()
    assert me.acts_after(0.2)
    assert me.log.state().leadership.holder == "me"


def test_a_lease_is_kept_as_long_as_it_is_renewed() -> None:
    """Its epoch stays; without Raft's leadership it is dropped in the next step."""
    me = Keeper()
    assert me.acts_after(20.0)
    assert me.log.state().leadership.epoch == 1
    me.log.leader = "other"
    assert not me.acts_after(0.05)


def test_a_lease_runs_out_by_itself() -> None:
    """A keeper that is not stepped for a lease's time may not act, whatever it believed."""
    me = Keeper()
    me.acts_after(0.2)
    me.clock.now_s += TTL_S
    assert me.keeper.acting() is None


def test_another_ones_lease_is_sat_out() -> None:
    """The next leader acts one lease and a margin after the last foreign renewal it saw."""
    me = Keeper()
    me.log.leader = "other"
    me.another_leads()
    me.acts_after(1.0)
    me.log.submit(RenewLease(3000), Stamp(me.clock.wall_ms(), "other", epoch=1))
    me.acts_after(1.0)
    me.log.leader = "me"
    assert not me.acts_after(TTL_S - 1.0)
    assert me.acts_after(DRIFT_MARGIN_S + 0.1)


def test_a_released_lease_is_not_waited_for() -> None:
    """A predecessor that stopped and said so costs its successor no more than the margin."""
    me = Keeper()
    me.log.leader = "other"
    me.another_leads()
    me.log.submit(RenewLease(0), Stamp(me.clock.wall_ms(), "other", epoch=1))
    me.acts_after(0.05)
    me.log.leader = "me"
    assert me.acts_after(DRIFT_MARGIN_S + 0.1)


class LaggingLog(LocalLog):
    """Shows the state of an earlier moment, as Raft does until its first own entry commits."""

    shown: ClusterState | None = None

    def state(self) -> ClusterState:
        return super().state() if self.shown is None else self.shown


@pytest.mark.parametrize("known", ["nobody", "me"])
def test_a_predecessor_that_only_the_log_knows_is_sat_out(known: str) -> None:
    """A leader whose own state lags behind its log waits for the one it has not seen yet."""
    me = Keeper(LaggingLog("me"))
    assert isinstance(me.log, LaggingLog)
    if known == "me":
        assert me.acts_after(0.2)
    me.log.leader = "other"
    me.acts_after(0.05)
    me.log.shown = me.log.state()
    me.another_leads()
    me.log.leader = "me"
    me.keeper.step()
    me.log.shown = None
    assert not me.acts_after(TTL_S - 0.1)
    assert me.acts_after(DRIFT_MARGIN_S + 0.2)
