"""The leader dies at each point of a rollout by name; its successor ends the same rollout.

`SEEDS=500 .venv/bin/pytest tests/sim/test_rollout_points.py` runs so many histories.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from cluster.engine.base import Container
from cluster.engine.fake_parts import ImageBehaviour
from cluster.state import commands as c
from cluster.state.model import App, Rollout
from tests.sim.fleet_world import FleetWorld, document
from tests.sim.parts import SimController
from tests.sim.regressions import seeds
from tests.sim.test_rollouts import Watch, begin, deploy_of, image
from tests.templates import key_of

REPLICAS = 3
REACHED_S = 60.0
UPDATES_MAX = 20
"""A point of a few milliseconds may pass unseen in an update."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What the leader that acts has before it, while a rollout is under way."""

    app: App
    rollout: Rollout
    there: tuple[Container, ...]
    peers: frozenset[str]
    me: SimController

    def new(self) -> list[Container]:
        """The replicas of the new template."""
        return [one for one in self.there if one.revision == self.app.made_from]

    def leaving(self) -> list[Container]:
        """Those that are given up."""
        wanted = {*self.rollout.old, *((self.app.made_from, n) for n in self.rollout.new)}
        return [one for one in self.there if (one.revision, one.slot) not in wanted]

    def missing(self) -> bool:
        """Whether a new replica is wanted that is not there, nor on its way."""
        there = {one.slot for one in self.new()}
        return set(self.rollout.new) > there and not self.busy("start")

    def busy(self, lane: str) -> bool:
        """Whether a container of the app is being started or stopped."""
        return self.me.workers.running(f"{lane}:shop:") > 0

    def health(self, one: Container) -> str:
        """What the checks say."""
        record = self.me.fleet.records.get(one.id)
        return record.health if record is not None else ""

    def drains(self, one: Container) -> bool:
        """Whether it is marked to leave."""
        return one.id in self.me.fleet.draining


Point = Callable[[Moment], bool]

UPDATE: dict[str, Point] = {
    "accepted, nothing decided": lambda m: m.rollout.step == 0,
    "start decided, not begun": lambda m: m.missing() and len(m.new()) < len(m.rollout.new),
    "start under way": lambda m: m.busy("start"),
    "started, not checked": lambda m: any(m.health(one) == "starting" for one in m.new()),
    "healthy, not in the ingress": lambda m: any(
        m.health(one) == "healthy" and one.id not in m.peers for one in m.new()),
    "in the ingress, not proved": lambda m: sum(
        one.id in m.peers for one in m.new()) > m.rollout.available,
    "proved, the old one given up": lambda m: any(
        not m.drains(one) for one in m.leaving()),
    "marked, still in the ingress": lambda m: any(
        m.drains(one) and one.id in m.peers for one in m.leaving()),
    "out of the ingress, drains": lambda m: any(
        m.drains(one) and one.id not in m.peers for one in m.leaving()) and not m.busy("stop"),
    "stop under way": lambda m: m.busy("stop"),
    "stopped, the next start not decided": lambda m: (
        0 < len(m.rollout.new) < REPLICAS and len(m.there) == REPLICAS
        and {one.slot for one in m.new()} == set(m.rollout.new)),
    "half of them replaced": lambda m: m.rollout.available == 2,
    "all started, the last old one leaves": lambda m: (
        not m.rollout.old and len(m.there) > len(m.new()) == REPLICAS),
    "all replaced, the end not written": lambda m: (
        not m.rollout.old and len(m.there) == len(m.new()) == REPLICAS),
}
FAILING: dict[str, Point] = {
    "the new one does not get healthy": lambda m: (
        m.rollout.kind == "update" and bool(m.new())),
    "failed and taken back, nothing done": lambda m: (
        m.rollout.kind == "rollback" and any(not m.drains(one) for one in m.leaving())),
    "taken back, the new one drains": lambda m: (
        m.rollout.kind == "rollback" and any(m.drains(one) for one in m.leaving())
        and not m.busy("stop")),
    "taken back, the new one is being stopped": lambda m: (
        m.rollout.kind == "rollback" and m.busy("stop")),
    "taken back, the end not written": lambda m: (
        m.rollout.kind == "rollback" and len(m.there) == len(m.new()) == REPLICAS),
}
POINTS = {**UPDATE, **FAILING}
SEEDS = int(os.environ.get("SEEDS", str(len(POINTS))))


def draining_update(image: str) -> c.UpdateApp:
    """Another image, and a second for the requests of a replica that leaves."""
    found = json.loads(document("shop", image, **deploy_of(1, 0)))
    found["termination"]["drainSeconds"] = 1
    text = json.dumps(found)
    return c.UpdateApp("shop", text, key_of(text), 1)


def moment(world: FleetWorld) -> Moment | None:
    """How it stands; None while nobody acts, or no rollout is under way."""
    acting = world.acting()
    if not acting or acting[0] not in world.logs:
        return None
    app = world.logs[acting[0]].state().apps["shop"]
    actor = world.actors[acting[0]]
    assert isinstance(actor, SimController)
    if app.rollout is None or actor.fleet.observed_from_s is None:
        return None
    table = world.ingress.table
    peers = frozenset(p.id for route in table.routes for p in route.peers) if table else frozenset()
    return Moment(app, app.rollout, tuple(world.ours()), peers, actor)


def reach(watch: Watch, number: int, point: Point) -> bool:
    """Run until the leader is at the point of this update; False when that ended before."""
    world = watch.world
    until_s = world.clock.now_s + REACHED_S
    while world.clock.now_s < until_s:
        found = moment(world)
        if found is not None and point(found):
            return True
        world.run(0.01)
        watch.look()
        if found is None and world.unfinished() == "":
            return False
    raise AssertionError(f"update {number} does not end")


@pytest.mark.parametrize("seed", seeds("test_rollout_points", SEEDS))
def test_a_leader_that_dies_at_a_point(seed: int) -> None:
    """Enough serve at every moment, each replica is started once, none is missing or extra."""
    name = list(POINTS)[seed % len(POINTS)]
    fails = name in FAILING
    with FleetWorld(seed) as world:
        world.note(f"point: {name}")
        begin(world, REPLICAS, **deploy_of(1, 0))
        watch = Watch(world, 1, 0, {REPLICAS})
        before = {one.id for one in world.ours()}
        for number in range(2, 2 + UPDATES_MAX):
            wanted = f"{'broken' if fails else 'shop'}:{number}"
            world.engine.behaviours[f"broken:{number}"] = ImageBehaviour(healthy=False)
            world.do(draining_update(wanted))
            if reach(watch, number, POINTS[name]):
                break
        else:
            raise AssertionError(f"never seen in {UPDATES_MAX} updates: {name}")
        leader = world.acting()[0]
        world.crash(leader)
        watch.run(world.dice.choice((0.0, 0.5, 3.0)))
        world.repair()
        watch.settle()
        app = world.app("shop")
        assert (watch.fewest, watch.most) == (REPLICAS, REPLICAS + 1)
        runs = [one.identity for one in world.engine.effects if one.verb == "run"]
        if fails:
            assert {one.id for one in world.ours()} == before
            assert image(world) == "shop:1"
            assert [(one.kind, one.phase) for one in app.deployments][-2:] == [
                ("update", "failed"), ("rollback", "done")]
            assert len(set(runs)) == REPLICAS + number - 1
        else:
            assert image(world) == wanted
            assert {one.phase for one in app.deployments} == {"done"}
            assert len(runs) == len(set(runs)) == REPLICAS * number
