"""The scaling loop over a fake host and ingress: from counters to replicas."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest

from cluster.consensus.local_log import LocalLog
from cluster.engine.fake import FakeEngine
from cluster.ingress.base import PeerStats
from cluster.ingress.fake import BOUNDS_MS, FakeIngress
from cluster.scaling.decision import Decision
from cluster.state import commands as c
from tests.sim.network import SimClock
from tests.sim.parts import SimController

POLICY = {"minReplicas": 1, "maxReplicas": 10, "windowSeconds": 10, "cooldownSeconds": 20,
          "stabilizationWindowSeconds": 20}


class Load:
    """A controller that leads, and an app with a load that its replicas share."""

    def __init__(self, policy: dict[str, Any] | None = None, *, kind: str = "http") -> None:
        self.clock = SimClock()
        self.log = LocalLog("c1")
        self.engine = FakeEngine(self.clock)
        self.ingress = FakeIngress()
        self.parts = self.leader(1)
        self.cores = self.rps = 0.0
        self.counting = True
        self._sent: dict[str, float] = {}
        document = {
            "apiVersion": "v1", "kind": "App", "metadata": {"name": "shop"},
            "spec": {"image": "shop:1", "type": kind, "ports": [{"containerPort": 80}],
                     "resources": {"cpu": "100m", "memory": "64Mi"}},
            "scaling": {**POLICY, **(policy or {})},
        }
        self.do(c.RegisterApp("shop", json.dumps(document), 1), c.StartApp("shop"))
        self.run(5)

    def leader(self, seed: int) -> SimController:
        """Loops that know nothing yet."""
        return SimController("c1", self.log, self.clock, random.Random(seed),
                             engine=self.engine, ingress=self.ingress)

    def do(self, *commands: c.Command) -> None:
        """Commands that are accepted."""
        for command in commands:
            stamp = c.Stamp(self.clock.wall_ms(), "user", str(random.random()))
            assert self.log.submit(command, stamp).applied.rejected is None

    @property
    def replicas(self) -> int:
        """As wanted."""
        return self.log.state().apps["shop"].replicas

    @property
    def last(self) -> Decision:
        """The newest decision."""
        return self.parts.telemetry.records("shop")[-1].decision

    def run(self, seconds: float) -> None:
        """Step each 50 ms; the load is spread over all that runs."""
        for _ in range(round(seconds / 0.05)):
            self.clock.now_s += 0.05
            running = [one for one in self.engine.containers() if one.phase == "running"]
            for one in running:
                self.engine.set_load(one.id, cpu_cores=self.cores / len(running))
                if self.counting:
                    self._sent[one.id] = self._sent.get(one.id, 0) + self.rps * 0.05 / len(running)
            self.ingress.counted = [
                PeerStats("shop", one.id, int(self._sent.get(one.id, 0)), 0, 0, 0,
                          (0, 0, int(self._sent.get(one.id, 0)), *[0] * (len(BOUNDS_MS) - 2)))
                for one in running
            ]
            self.parts.driver.step()

    def events(self) -> list[str]:
        """Messages of scaling."""
        return [e.message for e in self.log.state().events if e.type == "scaling"]


def test_a_replica_pegged_at_its_limit_is_scaled_out() -> None:
    """100 % of a tenth of a core is full, however small it is of the host."""
    load = Load()
    load.run(10)
    assert load.replicas == 1
    load.cores = 1.0
    load.run(8)
    assert load.replicas >= 2
    assert any("cpu" in message for message in load.events())
    point = load.parts.telemetry.records("shop")[-1].point
    assert point.cpu_percent == pytest.approx(100, abs=2)
    load.run(60)
    assert load.replicas == 10


def test_requests_set_the_number_and_it_falls_again_in_time() -> None:
    """A step of load, then none: out within seconds, in after the windows, one at a time."""
    load = Load()
    load.rps = 300
    load.run(12)
    assert load.replicas >= 6
    load.run(60)
    assert load.replicas == 8
    load.rps = 0
    load.run(19)
    assert load.replicas == 8
    load.run(150)
    assert load.replicas == 1
    event = next(e for e in load.log.state().events if e.type == "scaling")
    assert dict(event.details)["trigger"] == "load"


def test_missing_measurements_take_nothing_away() -> None:
    """An ingress that is silent, then an engine that loses its counters."""
    load = Load()
    load.rps = 300
    load.run(30)
    assert load.replicas == 8
    load.rps = 0
    load.ingress.down = True
    load.run(120)
    assert load.replicas == 8
    assert load.last.reason == "missing"
    load.ingress.down = False
    load.engine.unmeasured = {one.id for one in load.engine.containers()}
    load.run(120)
    assert load.replicas == 8
    assert load.last.reason == "missing"


def test_counters_of_a_restarted_ingress_are_a_hole() -> None:
    """They begin anew: neither a burst nor a lull."""
    load = Load()
    load.rps = 100
    load.run(30)
    assert load.replicas == 3
    load.ingress.restart()
    load._sent.clear()
    load.run(30)
    assert load.replicas == 3


def test_a_new_leader_fills_its_windows_before_it_scales_in() -> None:
    """It knows nothing of the load before it led."""
    load = Load()
    load.rps = 300
    load.run(30)
    load.rps = 0
    load.run(15)
    load.parts = load.leader(2)
    load.run(18)
    assert load.replicas == 8
    assert load.last.reason in ("warming", "missing")
    load.run(30)
    assert load.replicas < 8


def test_a_users_number_is_kept_while_it_is_taken_up_then_bounded() -> None:
    """An explicit scale above the maximum is corrected once it is there."""
    load = Load()
    load.do(c.ScaleApp("shop", 20, 60))
    load.run(0.2)
    assert load.replicas == 20
    load.run(20)
    assert load.replicas == 10
    assert any("maximum" in message for message in load.events())


def test_zero_by_hand_stays() -> None:
    """Who scales to zero does not want it back at the minimum."""
    load = Load()
    load.do(c.ScaleApp("shop", 0, 60))
    load.run(30)
    assert load.replicas == 0
    assert load.last.reason == "by_hand"
    load.do(c.ScaleApp("shop", 1, 60))
    load.run(5)
    assert load.replicas == 1


def test_mode_manual_only_tells() -> None:
    """It reports what it would do."""
    load = Load({"mode": "manual"})
    load.cores = 1.0
    load.run(30)
    assert load.replicas == 1
    assert (load.last.reason, load.last.would) == ("manual", "load")
    assert load.last.wanted > 1


def test_a_policy_that_is_changed_holds_at_once() -> None:
    """A new minimum is reached in the next round, and it survives a new leader."""
    load = Load()
    load.do(c.SetScaling("shop", '{"minReplicas":4}'))
    load.run(5)
    assert load.replicas == 4
    load.parts = load.leader(3)
    load.run(5)
    assert load.replicas == 4


def test_an_idle_app_sleeps_and_a_request_wakes_it() -> None:
    """The last replica goes after the windows; a request that waits brings one back."""
    load = Load({"minReplicas": 0})
    load.rps = 10
    load.run(30)
    assert load.replicas == 1
    load.rps = 0
    load.run(120)
    assert load.replicas == 0
    assert load.last.reason == "asleep"
    table = load.ingress.table
    assert table is not None
    assert table.routes[0].wakes
    load.ingress.waiting = {"shop": 1}
    load.run(1.5)
    assert load.replicas == 1
    load.ingress.waiting = {}
    load.run(15)
    assert load.replicas == 1


def test_an_app_that_is_started_again_does_not_sleep_at_once() -> None:
    """It was idle before it was stopped; that says nothing of the time since."""
    load = Load({"minReplicas": 0})
    load.run(12)
    load.do(c.StopApp("shop"), c.StartApp("shop"))
    load.run(18)
    assert load.replicas == 1
    load.run(40)
    assert load.replicas == 0


def test_a_replica_that_fails_under_its_load_still_counts() -> None:
    """Its CPU is what makes it fail: it must not be taken for a young one."""
    load = Load()
    load.cores = 1.0
    load.run(3)
    for one in load.engine.containers():
        load.engine.set_sick(one.id)
        load.parts.fleet.records[one.id] = replace(
            load.parts.fleet.records[one.id], health="unhealthy", next_s=1e12)
    load.run(6)
    assert load.replicas >= 2


def test_an_app_behind_tcp_is_scaled_on_its_replicas_alone() -> None:
    """It has no requests, and their absence holds nothing up."""
    load = Load(kind="tcp")
    load.cores = 0.3
    load.run(30)
    assert load.replicas >= 4
    load.cores = 0.0
    load.run(250)
    assert load.replicas == 1


def test_nothing_is_decided_without_an_observation() -> None:
    """A leader whose engine is silent holds."""
    load = Load()
    load.engine.down = True
    load.parts = load.leader(4)
    load.cores = 1.0
    before = len(load.events())
    load.run(20)
    assert load.parts.telemetry.records("shop") == []
    assert len(load.events()) == before
