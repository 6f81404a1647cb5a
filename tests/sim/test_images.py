"""Images pulled by whole controllers whose leaders die while registries fail and tags move on."""

from __future__ import annotations

import os

import pytest

from cluster.engine.base import EngineError, Fault
from cluster.state import commands as c
from tests.sim.fleet_world import FleetWorld, document, update
from tests.sim.parts import SimController
from tests.sim.regressions import seeds
from tests.sim.test_rollouts import Watch, deploy_of, disturb
from tests.templates import key_of

SEEDS = int(os.environ.get("SEEDS", "40"))
TAG = "registry.example/shop:latest"
KINDS: tuple[Fault, ...] = (
    "registry_down", "timeout", "unauthorized", "image_missing", "no_resources")
FAULTS = [EngineError(kind, f"registry.example fails: {kind}") for kind in KINDS]


class Images:
    """Which image each template's containers were seen to be made from."""

    def __init__(self, world: FleetWorld) -> None:
        self.world = world
        self.seen: dict[int, str] = {}

    def run(self, watch: Watch, seconds: float) -> None:
        """Let time pass: a template never has two images."""
        for _ in range(round(seconds / 0.05)):
            watch.run(0.05)
            for one in self.world.ours():
                made_from = self.world.engine.made_from(one.id)
                assert self.seen.setdefault(one.revision, made_from) == made_from, one


def start(world: FleetWorld, replicas: int) -> Watch:
    """The shop, whose tag the registry knows, as wanted; pulls take longer than all else."""
    world.engine.images.push(TAG, "0")
    world.run_until(world.acting, 10)
    text = document("shop", TAG, **deploy_of(1, 0))
    world.do(c.RegisterApp("shop", text, 1, template_key=key_of(text)),
             c.StartApp("shop", replicas))
    world.run_until(lambda: not world.unfinished(), 40)
    assert world.unfinished() == ""
    return Watch(world, 1, 0, {replicas})


def slow_pulls(world: FleetWorld, longest_s: float) -> None:
    """Of all controllers that run now."""
    for actor in world.actors.values():
        if isinstance(actor, SimController):
            actor.workers.lane_longest_s["pull"] = longest_s


@pytest.mark.parametrize("seed", seeds("test_images", SEEDS))
def test_random_pulls(seed: int) -> None:
    """Whatever fails, a revision has one image, old replicas serve, and it ends as wanted."""
    walk(seed)


def walk(seed: int) -> None:
    """One history; `test_random_pulls[SEED]` in a failure names it."""
    with FleetWorld(seed, loss=0.02 * (seed % 2)) as world:
        watch = start(world, world.dice.randint(1, 3))
        images = Images(world)
        for number in range(1, 4):
            slow_pulls(world, world.dice.choice((0.3, 3.0, 6.0)))
            pushed = world.engine.images.push(TAG, str(number))
            if world.dice.random() < 0.6:
                fault = world.dice.choice(FAULTS)
                for name in (TAG, *pushed.digests):
                    world.engine.images.refuse[name] = fault
                world.note(f"registry: {fault.fault}")
            world.run_until(world.leader, 30)
            world.ask(c.RestartApp("shop"))
            images.run(watch, world.dice.uniform(0.1, 3.0))
            disturb(world)
            images.run(watch, world.dice.choice((0.5, 2.0, 4.0)))
            if world.dice.random() < 0.3:
                world.engine.images.lose(world.dice.choice(sorted(images.seen.values())))
            world.repair()
            images.run(watch, world.dice.uniform(0.0, 3.0))
            world.engine.images.refuse.clear()
        world.repair()
        world.run_until(lambda: world.settled() and world.acting(), 30)
        world.ask(c.SteerRollout("shop", "resume"))
        until_s = world.clock.now_s + 200
        while world.unfinished() and world.clock.now_s < until_s:
            images.run(watch, 0.5)
        assert world.unfinished() == ""


@pytest.mark.parametrize("crash_after_s", [0.2, 1.0, 2.5, 4.0])
def test_a_leader_that_dies_in_the_middle_of_a_pull(crash_after_s: float) -> None:
    """The next one begins again; all new replicas are made from one image, no old one was lost."""
    with FleetWorld(seed=11) as world:
        watch = start(world, 3)
        slow_pulls(world, 3.0)
        images = Images(world)
        pushed = world.engine.images.push("registry.example/shop:2", "two")
        world.do(update("shop", "registry.example/shop:2", **deploy_of(1, 0)))
        images.run(watch, crash_after_s)
        world.crash(world.acting()[0])
        images.run(watch, 6)
        world.repair()
        watch.settle()
        assert images.seen[world.app("shop").made_from] == pushed.id
        assert world.app("shop").deployments[-1].phase == "done"
        assert watch.fewest >= 3
