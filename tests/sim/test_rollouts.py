"""Rollouts by whole controllers whose leaders die at every step: no dropped replica, none too many.

The host itself works here, so that whatever is missing or too much is the rollout's fault.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from cluster.engine.fake_parts import ImageBehaviour
from cluster.state import commands as c
from tests.sim.fleet_world import FleetWorld, disturb_leader, document, update
from tests.sim.regressions import seeds
from tests.templates import key_of

SEEDS = int(os.environ.get("SEEDS", "14"))
SETTLE_S = 90.0
WISHES = 3
STRATEGIES: tuple[tuple[int, int], ...] = ((1, 0), (1, 0), (2, 0), (0, 1), (2, 1))
"""maxSurge and maxUnavailable."""


def deploy_of(surge: int, unavailable: int, **more: Any) -> dict[str, Any]:
    """The section of the spec."""
    return {"maxSurge": surge, "maxUnavailable": unavailable, "minHealthySeconds": 1,
            "progressDeadlineSeconds": 8, **more}


@dataclass
class Watch:
    """What must hold at every moment from when the app first was as wanted."""

    world: FleetWorld
    surge: int
    unavailable: int
    wanted: set[int]
    """All numbers of replicas that may be the wanted one."""
    fewest: int = 10**6
    most: int = 0
    seen: set[int] = field(default_factory=set)

    def run(self, seconds: float) -> None:
        """Let time pass, and look at each moment."""
        for _ in range(round(seconds / 0.05)):
            self.world.run(0.05)
            self.look()

    def look(self) -> None:
        """Enough serve, and not too many run."""
        there = [o for o in self.world.ours() if o.app == "shop" and o.phase == "running"]
        serving = self.world.serving("shop")
        least, most = min(self.wanted) - self.unavailable, max(self.wanted) + self.surge
        assert len(serving) >= least, f"{len(serving)} of {least} serve: {there}"
        assert len(there) <= most, f"{len(there)} of at most {most}: {there}"
        self.fewest, self.most = min(self.fewest, len(serving)), max(self.most, len(there))
        self.seen |= {o.revision for o in there}

    def settle(self) -> None:
        """Let it come to an end."""
        until_s = self.world.clock.now_s + SETTLE_S
        while self.world.unfinished() and self.world.clock.now_s < until_s:
            self.run(0.5)
        assert self.world.unfinished() == ""


def disturb(world: FleetWorld) -> None:
    """Something happens to a controller, the leader most of the time."""
    disturb_leader(world, ("crash", "crash", "isolate", "pause", "slow disk", "nothing",
                           "clock jumps", "crash all"))


def restless(
    watch: Watch, wish: Callable[[int], object], wishes: int, longest_s: float
) -> None:
    """Wishes from number 2 on, each followed by a fault and its repair; it ends as wanted."""
    world = watch.world
    for number in range(2, 2 + wishes):
        world.run_until(world.leader, 30)
        wish(number)
        watch.run(world.dice.uniform(0.1, longest_s))
        disturb(world)
        watch.run(world.dice.choice((0.5, 2.0, 4.0)))
        world.repair()
        watch.run(world.dice.uniform(0.0, 2.0))
    world.repair()
    world.run_until(lambda: world.settled() and world.acting(), 30)
    world.ask(c.SteerRollout("shop", "resume"))
    watch.settle()
    assert image(world).startswith("shop:")


def begin(world: FleetWorld, replicas: int, **deploy: Any) -> None:
    """The shop in its first revision, healthy."""
    world.engine.behaviours["broken:1"] = ImageBehaviour(healthy=False)
    world.engine.behaviours["crashing:1"] = ImageBehaviour(crash_after_s=0.3)
    world.run_until(world.acting, 10)
    text = document("shop", **deploy)
    world.do(c.RegisterApp("shop", text, 1, template_key=key_of(text)),
             c.StartApp("shop", replicas))
    world.run_until(lambda: not world.unfinished(), 20)


def image(world: FleetWorld) -> str:
    """What the app is made from by its spec."""
    found = json.loads(world.app("shop").document)["spec"]["image"]
    assert isinstance(found, str)
    return found


@pytest.mark.parametrize("seed", seeds("test_rollouts", SEEDS))
def test_random_rollouts(seed: int) -> None:
    """Updates, rollbacks, restarts and leaders that die: enough serve, and it ends as wanted."""
    walk(seed)


def wish(world: FleetWorld, watch: Watch, number: int, deploy: dict[str, Any]) -> str:
    """One random wish of a user; the image that the app should end with, "" when it is open."""
    what = world.dice.choice((
        "update", "update", "update", "broken", "crashing", "roll back", "restart", "scale",
        "pause"))
    world.note(what)
    if what == "update":
        world.ask(update("shop", f"shop:{number}", **deploy))
        return f"shop:{number}"
    if what in ("broken", "crashing"):
        world.ask(update("shop", f"{what}:1", **deploy))
    elif what == "roll back":
        world.ask(c.RollBackApp("shop"))
    elif what == "restart":
        world.ask(c.RestartApp("shop"))
    elif what == "scale":
        replicas = world.dice.randint(1, 4)
        watch.wanted.add(replicas)
        world.ask(c.ScaleApp("shop", replicas, 1))
    else:
        world.ask(c.SteerRollout("shop", "pause"))
        watch.run(world.dice.uniform(0.0, 2.0))
        world.run_until(world.leader, 30)
        world.ask(c.SteerRollout("shop", "resume"))
    return ""


def walk(seed: int) -> None:
    """One history."""
    with FleetWorld(seed, loss=0.02 * (seed % 2)) as world:
        surge, unavailable = world.dice.choice(STRATEGIES)
        deploy = deploy_of(surge, unavailable)
        replicas = world.dice.randint(1, 4)
        begin(world, replicas, **deploy)
        watch = Watch(world, surge, unavailable, {replicas})
        restless(watch, lambda number: wish(world, watch, number, deploy), WISHES, 4.0)


@pytest.mark.parametrize("seed", range(max(1, SEEDS // 2)))
def test_random_rollouts_under_other_labels(seed: int) -> None:
    """The same, while the spec changes again and again in what begins nothing."""
    with FleetWorld(seed, loss=0.02 * (seed % 2)) as world:
        deploy = deploy_of(1, 0)
        begin(world, 2, **deploy)
        watch = Watch(world, 1, 0, {2})

        def wish_and_label(number: int) -> None:
            wish(world, watch, number, deploy)
            watch.run(world.dice.uniform(0.0, 3.0))
            world.run_until(world.leader, 30)
            app = world.app("shop")
            other = json.loads(app.document)
            other["metadata"]["annotations"] = {"note": f"{number}"}
            text = json.dumps(other)
            world.ask(c.UpdateApp("shop", text, key_of(text), 1, expected_revision=app.revision))

        restless(watch, wish_and_label, WISHES, 2.0)


@pytest.mark.parametrize("crash_after_s", [0.3, 1.0, 2.0, 3.0, 4.5, 6.0])
def test_a_leader_that_dies_in_the_middle_leaves_the_next_one_no_gap(
    crash_after_s: float,
) -> None:
    """The successor ends the same rollout: each slot is started once, and never one too many."""
    with FleetWorld(seed=3) as world:
        begin(world, 3, **deploy_of(1, 0))
        watch = Watch(world, 1, 0, {3})
        first = world.app("shop").revision
        world.do(update("shop", "shop:2", **deploy_of(1, 0)))
        wanted = world.app("shop").revision
        watch.run(crash_after_s)
        world.crash(world.acting()[0])
        watch.run(5)
        world.repair()
        watch.settle()
        runs = [e.identity for e in world.engine.effects if e.verb == "run"]
        assert len(runs) == len(set(runs)) == 6
        assert watch.seen == {first, wanted}
        assert (watch.fewest, watch.most) == (3, 4)
        assert world.app("shop").deployments[-1].phase == "done"


@pytest.mark.parametrize("bad", ["broken:1", "crashing:1"])
def test_a_revision_that_never_gets_healthy_is_rolled_back(bad: str) -> None:
    """The old replicas serve all the time, and stay; the event tells why and what it wrote."""
    with FleetWorld(seed=4) as world:
        begin(world, 3, **deploy_of(1, 0))
        before = {o.id for o in world.ours()}
        watch = Watch(world, 1, 0, {3})
        world.do(update("shop", bad, **deploy_of(1, 0)))
        watch.run(15)
        watch.settle()
        assert {o.id for o in world.ours()} == before
        app = world.app("shop")
        assert [(one.kind, one.phase) for one in app.deployments] == [
            ("update", "failed"), ("rollback", "done")]
        assert app.deployments[0].reason.startswith("no progress in 8 s: shop-1 of revision")
        events = [e for e in next(iter(world.logs.values())).state().events
                  if e.type == "error" and "failed:" in e.message]
        assert "lines" in dict(events[0].details)
        assert image(world) == "shop:1"


def test_without_auto_rollback_a_failed_rollout_holds_what_there_is() -> None:
    """The old ones serve on until somebody decides."""
    options = deploy_of(1, 0, autoRollback=False)
    with FleetWorld(seed=5) as world:
        begin(world, 2, **options)
        before = {o.id for o in world.ours()}
        watch = Watch(world, 1, 0, {2})
        world.do(update("shop", "broken:1", **options))
        watch.run(30)
        app = world.app("shop")
        assert app.rollout is not None
        assert app.rollout.phase == "failed"
        assert before <= {o.id for o in world.ours()}
        # Whoever lets it go on gives it its whole time anew.
        world.do(c.SteerRollout("shop", "resume"))
        watch.run(4)
        resumed = world.app("shop").rollout
        assert resumed is not None
        assert resumed.phase == "running"
        world.do(update("shop", "shop:2", **options))
        watch.settle()
        assert image(world) == "shop:2"


def test_recreate_stops_all_before_the_first_new_one() -> None:
    """No two revisions run at once."""
    options: dict[str, Any] = {
        "strategy": "recreate", "minHealthySeconds": 1, "progressDeadlineSeconds": 8}
    with FleetWorld(seed=6) as world:
        begin(world, 3, **options)
        world.do(update("shop", "shop:2", **options))
        until_s = world.clock.now_s + 30
        while world.unfinished() and world.clock.now_s < until_s:
            world.run(0.05)
            assert len({o.revision for o in world.ours()}) <= 1
        assert world.unfinished() == ""


def test_own_volumes_are_never_open_twice() -> None:
    """A slot is stopped before it is started again, one slot at a time."""
    def spec(version: int) -> str:
        found = json.loads(document("shop", f"shop:{version}", **deploy_of(1, 0)))
        found["spec"]["volumes"] = [{"name": "d", "mountPath": "/d", "perReplica": True}]
        return json.dumps(found)

    with FleetWorld(seed=7) as world:
        world.run_until(world.acting, 10)
        world.do(c.RegisterApp("shop", spec(1), 1), c.StartApp("shop", 3))
        world.run_until(lambda: not world.unfinished(), 20)
        watch = Watch(world, 0, 1, {3})
        world.do(c.UpdateApp("shop", spec(2), "v2", 1))
        until_s = world.clock.now_s + 40
        while world.unfinished() and world.clock.now_s < until_s:
            watch.run(0.05)
            slots = [o.slot for o in world.ours()]
            assert len(slots) == len(set(slots))
        assert world.unfinished() == ""


def test_what_makes_no_other_containers_restarts_none() -> None:
    """The new revision takes over what runs."""
    with FleetWorld(seed=8) as world:
        begin(world, 2)
        before = {o.id for o in world.ours()}
        other = json.loads(document("shop"))
        other["scaling"] = {"maxReplicas": 9}
        other["metadata"]["annotations"] = {"note": "x"}
        other["healthCheck"]["periodSeconds"] = 2
        text = json.dumps(other)
        revision = world.app("shop").revision
        world.do(update("shop", "shop:1"))
        assert world.app("shop").revision == revision
        world.do(c.UpdateApp("shop", text, key_of(text), 1))
        world.run(5)
        app = world.app("shop")
        assert app.revision > revision
        assert app.made_from == revision
        world.run_until(lambda: not world.unfinished(), 5)
        assert world.unfinished() == ""
        assert {o.id for o in world.ours()} == before
