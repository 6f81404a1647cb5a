"""Canaries by whole controllers whose leaders die at every step: the shares, the gate, the end."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from cluster.control.canary import canaries
from cluster.ingress.base import PeerStats
from cluster.ingress.fake import BOUNDS_MS
from cluster.state import commands as c
from tests.sim.fleet_world import FleetWorld, update
from tests.sim.regressions import seeds
from tests.sim.test_rollouts import Watch, begin, image, restless

SEEDS = int(os.environ.get("SEEDS", "10"))
STEPS = [{"weight": 10, "pauseSeconds": 3}, {"weight": 50, "pauseSeconds": 2}]
GATE = {"minRequests": 20}
REPLICAS = 4


def deploy_of(**more: Any) -> dict[str, Any]:
    """The section of the spec."""
    return {"strategy": "canary", "steps": STEPS, "minHealthySeconds": 1,
            "progressDeadlineSeconds": 8, **more}


@dataclass
class Shares(Watch):
    """Requests that come at a rate, are shared out as the table says, and are counted by it."""

    failing: set[int] = field(default_factory=set)
    """Revisions that answer with errors."""
    per_look: int = 100
    answered: Counter[int] = field(default_factory=Counter)
    """By revision."""
    errors: int = 0
    held_s: Counter[int] = field(default_factory=Counter)
    """For how long each weight was in the table, in looks."""
    counted: dict[str, list[int]] = field(default_factory=dict)

    def look(self) -> None:
        """Share out the requests of one moment."""
        super().look()
        table = self.world.ingress.table
        for route in table.routes if table else ():
            shares = [(one.weight, one.peers) for one in route.shares if one.peers] or [
                (100, tuple(peer.id for peer in route.peers))]
            if route.shares:
                self.held_s[route.shares[0].weight] += 1
            for weight, peers in shares:
                if peers:
                    self._count(peers[0], self.per_look * weight // 100)
        self.world.ingress.counted = [
            PeerStats("shop", name, requests, errors, 0, 0, (requests, *[0] * len(BOUNDS_MS)), 0)
            for name, (requests, errors) in self.counted.items()]

    def _count(self, name: str, requests: int) -> None:
        revision = next((o.revision for o in self.world.ours() if o.id == name), 0)
        sums = self.counted.setdefault(name, [0, 0])
        sums[0] += requests
        self.answered[revision] += requests
        if revision in self.failing:
            sums[1] += requests
            self.errors += requests


def watched(world: FleetWorld, wanted: int = REPLICAS, **deploy: Any) -> Shares:
    """The shop as it is at first."""
    begin(world, wanted, **deploy_of(**deploy))
    world.do(c.SetScaling("shop", '{"mode":"manual"}'))
    return Shares(world, canaries(wanted, STEPS[-1]["weight"]), 0, {wanted})


@pytest.mark.parametrize("crash_after_s", [
    0.1, 0.3, 0.5, 0.8, 1.2, 1.6, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0])
def test_a_leader_that_dies_at_any_step_leaves_the_next_one_no_gap(crash_after_s: float) -> None:
    """The successor goes on with the same step; each slot starts once, each weight has its time."""
    with FleetWorld(seed=31) as world:
        watch = watched(world)
        world.do(update("shop", "shop:2", **deploy_of()))
        watch.run(crash_after_s)
        world.crash(world.acting()[0])
        watch.run(5)
        world.repair()
        watch.settle()
        runs = [e.identity for e in world.engine.effects if e.verb == "run"]
        assert len(runs) == len(set(runs)) == 2 * REPLICAS
        assert (watch.fewest, watch.most) == (REPLICAS, REPLICAS + 2)
        assert watch.held_s[10] * 0.05 >= 3
        assert watch.held_s[50] * 0.05 >= 2
        assert set(watch.held_s) <= {0, 10, 50}
        assert world.app("shop").deployments[-1].phase == "done"


def test_a_gate_that_fails_goes_back() -> None:
    """After few requests, and none of them from then on; the old replicas are as they were."""
    with FleetWorld(seed=32) as world:
        watch = watched(world, gate=GATE)
        before = {o.id for o in world.ours()}
        world.do(update("shop", "shop:2", **deploy_of(gate=GATE)))
        watch.failing = {world.app("shop").revision}
        watch.settle()
        assert {o.id for o in world.ours()} == before
        done = world.app("shop").deployments
        assert [(one.kind, one.phase) for one in done] == [
            ("update", "failed"), ("rollback", "done")]
        assert done[0].reason.startswith("gate of step 1: ")
        assert 0 < watch.errors <= 10 * 20 * 3  # three seconds of its share
        assert set(watch.held_s) <= {0, 10, 100}


@pytest.mark.parametrize("crash_after_s", [2.0, 4.0, 6.0])
def test_a_gate_that_passes_goes_on_also_after_another_leader(crash_after_s: float) -> None:
    """Which measures anew."""
    with FleetWorld(seed=33) as world:
        watch = watched(world, gate=GATE)
        world.do(update("shop", "shop:2", **deploy_of(gate=GATE)))
        watch.run(crash_after_s)
        world.crash(world.acting()[0])
        watch.run(3)
        world.repair()
        watch.settle()
        assert image(world) == "shop:2"
        assert world.app("shop").deployments[-1].phase == "done"


def test_without_measurements_it_holds() -> None:
    """However long; a person may go on."""
    unmeasured(34)


def unmeasured(seed: int) -> None:
    """A gate that nothing was measured for."""
    with FleetWorld(seed) as world:
        watch = watched(world, gate=GATE)
        watch.per_look = 0
        world.do(update("shop", "shop:2", **deploy_of(gate=GATE)))
        watch.run(30)
        rollout = world.app("shop").rollout
        assert rollout is not None
        assert rollout.canary is not None
        assert (rollout.phase, rollout.canary.step, rollout.canary.waits) == (
            "running", 0, "measurements")
        world.do(c.SteerRollout("shop", "promote"))
        watch.settle()
        assert image(world) == "shop:2"


def test_a_step_by_hand_waits_for_a_promotion() -> None:
    """One step for each; pausing counts as no time."""
    steps = [{"weight": 10}, {"weight": 50}]
    with FleetWorld(seed=35) as world:
        watch = watched(world, steps=steps)
        world.do(update("shop", "shop:2", **deploy_of(steps=steps)))
        for step, weight in ((1, 10), (2, 50)):
            watch.run(20)
            canary = world.app("shop").rollout.canary  # type: ignore[union-attr]
            assert canary is not None
            assert (canary.step, canary.weight, canary.waits) == (step - 1, weight, "promotion")
            world.do(c.SteerRollout("shop", "promote", canary_step=step))
        watch.settle()
        assert image(world) == "shop:2"
        assert set(watch.held_s) == {0, 10, 50}


def test_a_newer_update_takes_the_place_of_a_canary() -> None:
    """What the first one started goes, and gets no more requests than it had."""
    with FleetWorld(seed=36) as world:
        watch = watched(world)
        world.do(update("shop", "shop:2", **deploy_of()))
        watch.run(4)
        second = world.app("shop").revision
        world.do(update("shop", "shop:3", **deploy_of()))
        watch.run(0.5)
        before = watch.answered[second]
        watch.settle()
        assert watch.answered[second] <= before + 100
        assert image(world) == "shop:3"
        assert [one.phase for one in world.app("shop").deployments] == ["superseded", "done"]
        runs = [e.identity for e in world.engine.effects if e.verb == "run"]
        assert len(runs) == len(set(runs)) == 2 * REPLICAS + 1


def wish(world: FleetWorld, watch: Shares, number: int, deploy: dict[str, Any]) -> None:
    """One random wish of a user."""
    what = world.dice.choice((
        "update", "update", "update", "failing", "broken", "roll back", "scale", "promote",
        "pause"))
    world.note(what)
    if what in ("update", "failing"):
        ticket = world.ask(update("shop", f"shop:{number}", **deploy))
        if what == "failing" and ticket is not None:
            world.run_until(lambda: ticket.poll() is not None, 5)
            watch.failing.add(world.app("shop").revision)
    elif what == "broken":
        world.ask(update("shop", "broken:1", **deploy))
    elif what == "roll back":
        world.ask(c.RollBackApp("shop"))
    elif what == "scale":
        replicas = world.dice.randint(1, 5)
        watch.wanted.add(replicas)
        watch.surge = max(watch.surge, canaries(replicas, STEPS[-1]["weight"]))
        world.ask(c.ScaleApp("shop", replicas, 1))
    elif what == "promote":
        world.ask(c.SteerRollout("shop", "promote", canary_step=world.dice.randint(0, 2)))
    else:
        world.ask(c.SteerRollout("shop", "pause"))
        watch.run(world.dice.uniform(0.0, 2.0))
        world.run_until(world.leader, 30)
        world.ask(c.SteerRollout("shop", "resume"))


@pytest.mark.parametrize("seed", seeds("test_canaries", SEEDS))
def test_random_canaries(seed: int) -> None:
    """Updates, ways back, promotions and leaders that die: enough serve, and it ends as wanted."""
    print(f"seed {seed}")
    with FleetWorld(seed, loss=0.02 * (seed % 2)) as world:
        deploy = deploy_of(**({"gate": GATE} if seed % 3 else {}))
        watch = watched(world, world.dice.randint(1, 4), **deploy)
        restless(watch, lambda number: wish(world, watch, number, deploy), 3, 6.0)
        assert set(watch.held_s) <= {0, 10, 50, 100}
