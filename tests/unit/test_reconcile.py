"""The reconciler's shell: fairness between apps, and what follows a stop that is taken back."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from cluster.consensus.local_log import LocalLog
from cluster.control.workers import LANES
from cluster.engine.fake import FakeEngine
from cluster.engine.fake_parts import ImageBehaviour
from cluster.ingress.base import PeerStats
from cluster.ingress.fake import FakeIngress
from cluster.state import commands as c
from cluster.state.model import GENERATION
from cluster.state.status import converged
from tests.sim.fleet_world import document, update
from tests.sim.network import SimClock
from tests.sim.parts import SimController, SimWorkers


class Leader:
    """One controller that always leads, over a fake host."""

    def __init__(self, *, longest_s: float = 0.1, keys: Sequence[bytes] = ()) -> None:
        self.clock = SimClock()
        self.log = LocalLog("c1")
        self.engine = FakeEngine(self.clock)
        self.ingress = FakeIngress()
        self.parts = SimController(
            "c1", self.log, self.clock, random.Random(1), engine=self.engine, ingress=self.ingress,
            keys=keys)
        assert isinstance(self.parts.workers, SimWorkers)
        self.parts.workers._longest_s = longest_s
        self._count = 0

    def do(self, *commands: c.Command) -> None:
        """Commands that are accepted."""
        for command in commands:
            self._count += 1
            stamp = c.Stamp(self.clock.wall_ms(), "user", f"r{self._count}")
            assert self.log.submit(command, stamp).applied.rejected is None

    def run(self, seconds: float) -> None:
        """Step each 50 ms."""
        for _ in range(round(seconds / 0.05)):
            self.clock.now_s += 0.05
            self.parts.driver.step()


def start(leader: Leader, app: str, replicas: int) -> None:
    """Register and start."""
    leader.do(c.RegisterApp(app, document(app), 1), c.StartApp(app, replicas))


def test_apps_whose_starts_hang_leave_room_for_others() -> None:
    """Three apps with twenty hanging starts each do not keep a fourth from its own."""
    leader = Leader()
    leader.run(1)
    leader.parts.workers.lane_longest_s["start"] = 10_000.0
    for app in ("a", "b", "c"):
        start(leader, app, 20)
    leader.run(2)
    assert leader.parts.workers.free("start") > 0
    start(leader, "zebra", 1)
    leader.run(1)
    assert leader.parts.workers.running("start:zebra:") == 1
    assert leader.parts.workers.running("start:") < LANES["start"]


def test_a_start_during_a_stop_waits_for_replicas_of_its_own() -> None:
    """Replicas that are on their way out do not count as the ones that were asked for."""
    leader = Leader()
    start(leader, "shop", 2)
    leader.run(5)
    assert converged(leader.log.state().apps["shop"])
    leader.do(c.StopApp("shop"), c.StartApp("shop"))
    assert not converged(leader.log.state().apps["shop"])
    leader.run(10)
    assert converged(leader.log.state().apps["shop"])
    assert len(leader.engine.containers()) == 2


def test_a_problem_is_over_when_nothing_is_left_to_do() -> None:
    """What failed is no longer wanted: the app's status says nothing of it any more."""
    leader = Leader()
    start(leader, "shop", 1)
    leader.run(5)
    leader.engine.fail_next("no_resources", "no space left")
    leader.do(c.ScaleApp("shop", 2, 1))
    leader.run(0.5)
    assert leader.log.state().apps["shop"].problem == "no space left"
    leader.run(1)
    leader.do(c.ScaleApp("shop", 1, 1))
    leader.run(5)
    assert leader.log.state().apps["shop"].problem == ""


def test_a_new_leader_keeps_the_traffic_of_a_mass_failure() -> None:
    """Most replicas fail their checks; the successor neither kills them nor takes them out."""
    leader = Leader()
    start(leader, "shop", 3)
    leader.run(5)
    leader.parts.prober.blind = True
    leader.run(10)
    before = {container.id for container in leader.engine.containers()}
    served = leader.ingress.table
    assert served is not None
    assert {peer.id for peer in served.routes[0].peers} == before
    successor = SimController(
        "c1", leader.log, leader.clock, random.Random(2), engine=leader.engine,
        ingress=leader.ingress,
    )
    successor.prober.blind = True
    for _ in range(200):
        leader.clock.now_s += 0.05
        successor.driver.step()
        table = leader.ingress.table
        assert table is not None
        assert {peer.id for peer in table.routes[0].peers} == before
    assert {container.id for container in leader.engine.containers()} == before


def test_a_container_that_dies_at_once_backs_off() -> None:
    """It is counted as a failure even when it was dead before its start was told of."""
    leader = Leader()
    leader.engine.behaviours["shop:1"] = ImageBehaviour(crash_after_s=0.0)
    start(leader, "shop", 1)
    leader.run(60)
    runs = [effect for effect in leader.engine.effects if effect.verb == "run"]
    assert 3 <= len(runs) <= 9


@pytest.mark.parametrize("seen_on", ["container", "ingress"])
def test_controllers_with_the_log_from_before_a_rescue_hold(seen_on: str) -> None:
    """A lone survivor went on; those that were thought lost come back and find its epoch."""
    leader = Leader()
    start(leader, "shop", 2)
    leader.run(5)
    old = LocalLog("c2")
    old._state = leader.log.state()
    leader.do(c.ChangeMembers(0, (("c1", "h:1"),), rescue=True))
    if seen_on == "container":
        leader.engine.kill(leader.engine.containers()[0].id)
    leader.run(5)
    assert leader.log.state().leadership.epoch > GENERATION
    ingress = leader.ingress if seen_on == "ingress" else FakeIngress()
    lost = SimController("c2", old, leader.clock, random.Random(3), engine=leader.engine,
                         ingress=ingress)
    old.submit(c.ScaleApp("shop", 5, 1), c.Stamp(leader.clock.wall_ms(), "user", "x"))
    begun, later_s = leader.clock.now_s, 0.0
    if seen_on == "ingress":
        later_s = 3.0  # its first push tells it so, and starts may be on their way by then
    for _ in range(200):
        leader.clock.now_s += 0.05
        lost.driver.step()
        leader.parts.driver.step()
    assert lost.acting()
    assert "a newer epoch" in old.state().apps["shop"].problem
    assert not [e for e in leader.engine.effects
                if e.epoch < GENERATION and e.at_s > begun + later_s]
    assert leader.ingress.table is not None
    assert leader.ingress.table.epoch > GENERATION
    assert leader.log.state().apps["shop"].problem == ""


@pytest.mark.parametrize("forced", [False, True])
def test_a_replica_is_stopped_when_its_requests_are_answered(forced: bool) -> None:
    """Out of the ingress first, then the wait; bounded by the spec, and not when forced."""
    leader = Leader()
    spec = document("shop").replace('"drainSeconds": 0', '"drainSeconds": 30')
    leader.do(c.RegisterApp("shop", spec, 1), c.StartApp("shop", 2))
    leader.run(5)
    last = next(c for c in leader.engine.containers() if c.slot == 2)
    leader.ingress.counted = [PeerStats("shop", last.id, 1, 0, 1, 0, ())]
    if forced:
        leader.do(c.StopApp("shop", force=True))
    else:
        leader.do(c.ScaleApp("shop", 1, 60))
    leader.run(10)
    assert leader.engine.exists(last.id) is not forced
    assert leader.ingress.table is not None
    assert last.id not in {peer.id for peer in leader.ingress.table.routes[0].peers}
    leader.ingress.counted = [PeerStats("shop", last.id, 1, 0, 0, 0, ())]
    leader.run(2)
    assert not leader.engine.exists(last.id)


@pytest.mark.parametrize(
    ("settles", "least_s", "most_s"),
    [(True, 0.0, 0.3), (False, 1.0, 0.4), (None, 0.2, 0.3)],
    ids=["it tells", "a worker is late", "an older version"])
def test_a_replica_without_requests_is_stopped_as_soon_as_that_is_known(
    settles: bool | None, least_s: float, most_s: float
) -> None:
    """That is: what the ingress counts tells of all requests that it was sent."""
    leader = Leader(longest_s=0.0)
    spec = document("shop").replace('"drainSeconds": 0', '"drainSeconds": 30')
    leader.do(c.RegisterApp("shop", spec, 1), c.StartApp("shop", 4))
    leader.run(5)
    for replicas in (3, 2, 1):
        gone = next(c for c in leader.engine.containers() if c.slot == replicas + 1)
        leader.ingress.settles = settles
        leader.do(c.ScaleApp("shop", replicas, 60))
        leader.run(least_s)
        assert leader.engine.exists(gone.id)
        leader.ingress.settles = None if settles is None else True
        leader.run(most_s)
        assert not leader.engine.exists(gone.id)


def test_a_look_from_before_a_start_does_not_begin_it_again() -> None:
    """The list was made while the container was only created, and came after it was started."""
    leader = Leader()
    start(leader, "shop", 1)
    leader.run(5)
    fleet, state = leader.parts.fleet, leader.log.state()
    (container,) = leader.engine.containers()
    record = fleet.records[container.id]
    fleet.begin_observation()
    fleet.started(container)
    fleet.observe([replace(container, phase="created", ip="")],
                  asked_s=leader.clock.now_s, state=state)
    assert fleet.containers == {container.id: container}
    assert fleet.records == {container.id: record}
    fleet.begin_observation()
    created = replace(container, phase="created", ip="")
    fleet.observe([created], asked_s=leader.clock.now_s, state=state)
    assert fleet.containers == {container.id: created}


def test_a_request_that_never_ends_holds_its_replica_for_the_drain_time_only() -> None:
    """Thirty seconds by default."""
    leader = Leader()
    spec = document("shop").replace('"drainSeconds": 0', '"drainSeconds": 30')
    leader.do(c.RegisterApp("shop", spec, 1), c.StartApp("shop", 2))
    leader.run(5)
    last = next(c for c in leader.engine.containers() if c.slot == 2)
    leader.ingress.counted = [PeerStats("shop", last.id, 1, 0, 1, 0, ())]
    leader.do(c.ScaleApp("shop", 1, 60))
    leader.run(25)
    assert leader.engine.exists(last.id)
    leader.run(10)
    assert not leader.engine.exists(last.id)


def test_a_start_on_its_way_counts_when_another_update_takes_its_place() -> None:
    """It cannot be taken back: until it is there and gone, no other replica takes its room."""
    leader = Leader()
    leader.do(c.RegisterApp("shop", document("shop", minHealthySeconds=0), 1),
              c.StartApp("shop", 3))
    leader.run(10)
    leader.do(update("shop", "shop:2", minHealthySeconds=0))
    while not leader.parts.fleet.starting:
        leader.run(0.05)
    jobs = leader.parts.workers._jobs
    key = next(key for key in jobs if key.startswith("start:shop:"))
    jobs[key] = replace(jobs[key], due_s=leader.clock.now_s + 0.3)
    leader.do(update("shop", "shop:3", minHealthySeconds=0))
    most = 0
    for _ in range(600):
        leader.run(0.05)
        most = max(most, len(leader.engine.containers()))
    app = leader.log.state().apps["shop"]
    assert converged(app)
    assert {one.revision for one in leader.engine.containers()} == {app.made_from}
    assert most == 4


def test_a_restart_on_its_way_counts_although_what_it_replaces_has_ended() -> None:
    """It may run any moment, also where its place is no longer wanted."""
    leader = Leader()
    leader.engine.behaviours["crashing:1"] = ImageBehaviour(crash_after_s=0.3)
    leader.do(c.RegisterApp("shop", document("shop", minHealthySeconds=1), 1),
              c.StartApp("shop", 3))
    leader.run(10)
    leader.do(update("shop", "crashing:1", minHealthySeconds=1))

    def again() -> list[str]:
        ended = {one.slot for one in leader.engine.containers() if one.phase == "exited"}
        return [key for key in leader.parts.workers._jobs if key.startswith("start:shop:")
                and int(key.split(":")[2]) in ended]

    while not again():
        leader.run(0.05)
    jobs = leader.parts.workers._jobs
    (key,) = again()
    jobs[key] = replace(jobs[key], due_s=leader.clock.now_s + 0.3)
    leader.do(update("shop", "shop:3", minHealthySeconds=0))
    most = 0
    for _ in range(600):
        leader.run(0.05)
        most = max(most, sum(one.phase == "running" for one in leader.engine.containers()))
    app = leader.log.state().apps["shop"]
    assert converged(app)
    assert {one.revision for one in leader.engine.containers()} == {app.made_from}
    assert most == 4
