"""Unused images go while leaders die: only those, and all of them."""

from __future__ import annotations

import os

import pytest

from cluster.control import image_cleaner
from cluster.engine.base import EngineError, PullOrder
from cluster.state import commands as c
from cluster.state.model import App, ClusterState
from tests.sim.fleet_world import FleetWorld, document, update
from tests.sim.regressions import seeds
from tests.sim.test_rollouts import Watch, deploy_of, disturb
from tests.templates import key_of

SEEDS = int(os.environ.get("SEEDS", "8"))
SHOP = "registry.example/shop"
EVERY_S = 3.0
AGAIN_S = 10.0
DEPLOY = deploy_of(1, 0)
MEANWHILE_S = 2.0
"""So long ago a removal may have been decided on."""


class Host:
    """What may leave the host, told from the state in a way of its own."""

    def __init__(self, world: FleetWorld, keep: int) -> None:
        self.world = world
        self.keep = keep
        self.theirs: set[str] = set()
        """What users pulled or named."""
        self._removed = 0
        self._pulled: set[str] = set()
        self._free_s: dict[str, float] = {}
        """When an image was last seen to be needed by nobody."""

    def state(self) -> ClusterState | None:
        """The newest that a controller has."""
        return max(
            (log.state() for log in self.world.logs.values()), key=lambda state: state.index,
            default=None)

    def needed(self, state: ClusterState) -> set[str]:
        """By the replicas of the shop, by those that roll, and by the last revisions."""
        return {image for app in state.apps.values() for image in self._of(app)}

    def _of(self, app: App) -> set[str]:
        pinned = {pin.template: pin.image_id for pin in app.pins}
        others = [one for one in reversed(app.revisions) if one.template != app.made_from]
        before: list[int] = []
        for one in others:
            if one.template not in before:
                before.append(one.template)
        good = [one.template for one in others if one.healthy][:1]
        rolls = [template for template, _ in app.rollout.old] if app.rollout else []
        wanted = {app.made_from, *before[:self.keep], *good, *rolls}
        return {pinned[one] for one in wanted if one in pinned}

    def look(self) -> None:
        """Whatever went since the last look was pulled by the cluster, and needed by nobody."""
        state, now_s = self.state(), self.world.clock.now_s
        removed = self.world.engine.images.removed[self._removed:]
        self._removed += len(removed)
        for image_id in removed:
            assert image_id not in self.theirs, "somebody else's image was removed"
            assert image_id in self._pulled, "an image was removed that the cluster did not pull"
            free_s = self._free_s.get(image_id, float("-inf"))
            assert now_s - free_s <= MEANWHILE_S, "an image was removed that was needed"
        if state is not None:
            self._pulled |= set(state.pulled)
            needed = self.needed(state)
            for image_id in self._pulled - needed:
                self._free_s[image_id] = now_s

    def run(self, watch: Watch, seconds: float) -> None:
        """Let time pass."""
        for _ in range(round(seconds / 0.05)):
            watch.run(0.05)
            self.look()


@pytest.mark.parametrize("seed", seeds("test_image_cleaner", SEEDS))
def test_random_histories(seed: int) -> None:
    """Updates, rollbacks, strangers and leaders that die: what is left is what is needed."""
    walk(seed)


def walk(seed: int) -> None:
    """One history; `test_random_histories[SEED]` in a failure names it."""
    with pytest.MonkeyPatch.context() as patch, FleetWorld(seed, loss=0.02 * (seed % 2)) as world:
        patch.setattr(image_cleaner, "EVERY_S", EVERY_S)
        patch.setattr(image_cleaner, "AGAIN_S", AGAIN_S)
        host = Host(world, world.dice.randint(0, 2))
        watch = start(world, host.keep)
        for number in range(2, 7):
            world.run_until(world.leader, 30)
            wish(world, host, number)
            host.run(watch, world.dice.uniform(0.1, 5.0))
            if world.dice.random() < 0.6:
                disturb(world)
                host.run(watch, world.dice.choice((0.5, 2.0, 4.0)))
                world.repair()
            host.run(watch, world.dice.uniform(0.0, 2.0))
        world.repair()
        settle(world, host, watch)


def start(world: FleetWorld, keep: int) -> Watch:
    """The shop in its first revision, whose image was pulled."""
    world.engine.images.push(f"{SHOP}:1", "1")
    world.run_until(world.acting, 10)
    text = document("shop", f"{SHOP}:1", **DEPLOY)
    world.do(c.SetConfig((("images.keep_revisions", keep),)),
             c.RegisterApp("shop", text, 1, template_key=key_of(text)), c.StartApp("shop", 1))
    world.run_until(lambda: not world.unfinished(), 40)
    assert world.unfinished() == ""
    return Watch(world, 1, 0, {1})


def wish(world: FleetWorld, host: Host, number: int) -> None:
    """What somebody does: the owner most of the time, another user of the host now and then."""
    images, dice = world.engine.images, world.dice
    what = dice.choice(("update", "update", "update", "roll back", "by hand", "stranger", "fail"))
    world.note(what)
    image = images.push(f"{SHOP}:{number}", str(number))
    if what == "by hand":  # before the cluster has a reason to pull it
        world.engine.pull(PullOrder(f"{SHOP}:{number}"))
        host.theirs.add(image.id)
    elif what == "stranger":
        made_from = sorted(one.id for one in images.stored() if one.names)
        for one in world.engine.containers():
            if one.app == "stranger" and one.id != world.foreign:
                world.engine.kill(one.id)  # it keeps its image all the same
        world.engine.add_foreign(f"x-{number}", "another", dice.choice(made_from))
    elif what == "fail":
        world.engine.fail_next("timeout", after_effect=dice.random() < 0.5)
    if what == "roll back":
        revisions = world.app("shop").revisions
        if revisions:
            world.ask(c.RollBackApp("shop", dice.choice(revisions).revision))
    else:
        world.ask(update("shop", f"{SHOP}:{number}", **DEPLOY))


def settle(world: FleetWorld, host: Host, watch: Watch) -> None:
    """In the end, what the cluster knows to be its own is needed, or in use by a stranger."""
    world.run_until(lambda: world.settled() and world.acting(), 30)
    for one in world.engine.observe("another"):
        world.engine.stop(one.id, grace_s=0)
    until_s = world.clock.now_s + 200
    while world.unfinished() and world.clock.now_s < until_s:
        host.run(watch, 0.5)
    assert world.unfinished() == ""
    host.run(watch, 3 * EVERY_S + AGAIN_S)
    state = host.state()
    assert state is not None
    here = {one.id for one in world.engine.images.stored() if one.digests}
    needed = host.needed(state)
    assert here >= needed
    assert set(state.pulled) <= needed
    assert here <= needed | host.theirs, "an image of ours stays for good"
    assert not state.pulls


@pytest.mark.parametrize("crash_after_s", [0.0, 0.05, 0.1, 0.2, 0.4, 0.8])
def test_what_a_leader_pulled_that_dies_then_is_known_to_the_next(crash_after_s: float) -> None:
    """Whether its pull has ended or not: the next one knows it as ours, and removes it."""
    pull_and_die(0, crash_after_s)


def pull_and_die(seed: int, crash_after_s: float = 0.0) -> None:
    """The leader dies so long after the image has come; nobody needs it any more."""
    with pytest.MonkeyPatch.context() as patch, FleetWorld(seed=seed + 7) as world:
        patch.setattr(image_cleaner, "EVERY_S", EVERY_S)
        host = Host(world, 0)
        watch = start(world, 0)
        image = world.engine.images.push(f"{SHOP}:2", "2")
        theirs = world.engine.images.push("registry.example/theirs:1", "theirs")
        world.engine.pull(PullOrder("registry.example/theirs:1"))
        world.do(update("shop", f"{SHOP}:2", **DEPLOY))
        until_s = world.clock.now_s + 10
        while world.engine.image(image.id) is None and world.clock.now_s < until_s:
            host.run(watch, 0.05)
        assert world.engine.image(image.id) is not None
        host.run(watch, crash_after_s)
        world.crash(world.acting()[0])
        host.run(watch, 4)
        world.repair()
        host.run(watch, 10)
        world.do(c.DeleteApp("shop"))
        world.run(5 * EVERY_S)
        assert world.engine.image(image.id) is None
        assert world.engine.image(theirs.id) == theirs
        state = host.state()
        assert state is not None
        assert (len(state.pulls), len(state.pulled)) == (0, 0)


@pytest.mark.parametrize("crash_after_s", [0.0, 0.2, 0.6])
def test_a_leader_that_dies_while_it_removes(crash_after_s: float) -> None:
    """Before, in the middle and after: the next one ends it, and tells no removal twice."""
    with pytest.MonkeyPatch.context() as patch, FleetWorld(seed=5) as world:
        patch.setattr(image_cleaner, "EVERY_S", EVERY_S)
        patch.setattr(image_cleaner, "AT_ONCE_MAX", 2)
        host = Host(world, 0)
        watch = start(world, 10)
        for number in range(2, 7):
            world.engine.images.push(f"{SHOP}:{number}", str(number))
            world.do(update("shop", f"{SHOP}:{number}", **DEPLOY))
            until_s = world.clock.now_s + 60
            while world.unfinished() and world.clock.now_s < until_s:
                host.run(watch, 0.5)
        state = host.state()
        assert state is not None
        assert len(state.pulled) == 6
        world.do(c.SetConfig((("images.keep_revisions", 0),)))
        begun = len(world.engine.images.removed)
        until_s = world.clock.now_s + 10
        while len(world.engine.images.removed) == begun and world.clock.now_s < until_s:
            host.run(watch, 0.05)
        host.run(watch, crash_after_s)
        world.crash(world.acting()[0])
        host.run(watch, 4)
        world.repair()
        host.run(watch, 5 * EVERY_S)
        state = host.state()
        assert state is not None
        assert len(world.engine.images.removed) == len(set(world.engine.images.removed)) == 4
        assert set(state.pulled) == host.needed(state)
        told = [e.message for e in state.events if "is removed from the host" in e.message]
        assert len(told) == len(set(told)) <= 4


def test_an_image_that_hangs_in_its_removal_stops_no_other_work() -> None:
    """The engine ends no removal: replicas come and go meanwhile."""
    with pytest.MonkeyPatch.context() as patch, FleetWorld(seed=6) as world:
        patch.setattr(image_cleaner, "EVERY_S", 1.0)

        def hang(image_id: str) -> bool:
            raise EngineError("timeout", "told to hang")

        host = Host(world, 0)
        watch = start(world, 0)
        world.engine.remove_image = hang  # type: ignore[method-assign]
        for number in range(2, 5):
            world.engine.images.push(f"{SHOP}:{number}", str(number))
            world.do(update("shop", f"{SHOP}:{number}", **DEPLOY))
            until_s = world.clock.now_s + 30
            while world.unfinished() and world.clock.now_s < until_s:
                host.run(watch, 0.5)
            assert world.unfinished() == ""
        assert len(world.engine.images.stored()) >= 4
