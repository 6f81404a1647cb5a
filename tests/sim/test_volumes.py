"""Volumes under whole controllers that die: none goes but by a deletion that asked for it.

`FleetWorld.check` holds every removal against what was committed when it happened.
"""

from __future__ import annotations

import os

import pytest

from cluster.state import commands as c
from tests.sim.fleet_world import FleetWorld, document, update
from tests.sim.regressions import seeds
from tests.sim.test_fleet import disturb, repair

SEEDS = int(os.environ.get("SEEDS", "8"))
APPS = ("shop", "blog")
ROUNDS = 6
HEAL_S = 40.0
VOLUMES = (
    {"name": "data", "mountPath": "/data"},
    {"name": "own", "mountPath": "/own", "perReplica": True},
)


def stored(world: FleetWorld) -> set[str]:
    """The names of all volumes on the host, whatever the daemon says."""
    return set(world.engine.kept_volumes())


def change_something(world: FleetWorld) -> None:
    """One random wish of a user."""
    app = world.dice.choice(APPS)
    wish = world.dice.choice((
        "scale", "stop", "start", "delete", "delete", "keep", "register", "register", "update",
        "without", "roll back", "remove", "remove"))
    world.note(f"{wish} {app}")
    if wish == "scale":
        world.ask(c.ScaleApp(app, world.dice.randint(0, 4), 5))
    elif wish == "stop":
        world.ask(c.StopApp(app, force=world.dice.random() < 0.5))
    elif wish == "start":
        world.ask(c.StartApp(app, world.dice.randint(1, 4)))
    elif wish in ("delete", "keep"):
        world.ask(c.DeleteApp(app, keep_data=wish == "keep"))
    elif wish == "update":
        world.ask(update(app, f"{app}:{world.dice.randint(1, 3)}", volumes=VOLUMES,
                         minHealthySeconds=1, progressDeadlineSeconds=10))
    elif wish == "without":
        world.ask(update(app, f"{app}:1", minHealthySeconds=1, progressDeadlineSeconds=10))
    elif wish == "roll back":
        world.ask(c.RollBackApp(app))
    elif wish == "remove":
        for name in sorted(stored(world)):
            world.ask(c.RemoveVolume(name, name.split("-")[1]))
    else:
        world.ask(c.RegisterApp(app, document(app, volumes=VOLUMES), 1))
        world.ask(c.StartApp(app, world.dice.randint(1, 3)))


@pytest.mark.parametrize("seed", seeds("test_volumes", SEEDS))
def test_random_wishes(seed: int) -> None:
    """Whatever happens: nothing is removed that nobody asked to; what is asked for is done."""
    walk(seed)


def walk(seed: int) -> None:
    """One history."""
    with FleetWorld(seed, loss=0.02 * (seed % 2)) as world:
        world.run_until(world.acting, 10)
        for app in APPS:
            world.ask(c.RegisterApp(app, document(app, volumes=VOLUMES), 1))
            world.ask(c.StartApp(app, world.dice.randint(1, 3)))
        world.run(world.dice.uniform(1.0, 4.0))
        for _ in range(ROUNDS):
            change_something(world)
            world.run(world.dice.choice((0.1, 0.5, 1.5)))
            disturb(world)
            world.run(world.dice.choice((0.3, 1.0, 3.0)))
            if world.dice.random() < 0.6:
                repair(world)
                world.run(world.dice.uniform(0.0, 1.5))
        repair(world)
        for container in world.ours():
            world.engine.set_sick(container.id, sick=False)
        settle(world)
        before = stored(world)
        world.do(*(c.DeleteApp(app) for app in APPS if known(world, app)))
        settle(world)
        assert not {name for name in stored(world) if known(world, name.split("-")[1])}
        left = sorted(stored(world))
        assert set(left) <= before
        world.do(*(c.RemoveVolume(name, name.split("-")[1]) for name in left))
        settle(world)
        assert stored(world) == set()


def known(world: FleetWorld, app: str) -> bool:
    """Whether the app is there."""
    return app in max(
        (log.state() for log in world.logs.values()), key=lambda state: state.index).apps


def settle(world: FleetWorld) -> None:
    """Let it come to an end."""
    world.run_until(world.leader, HEAL_S)
    for app in APPS:
        world.ask(c.SteerRollout(app, "resume"))
        if known(world, app):
            world.ask(update(app, f"{app}:1", volumes=VOLUMES, minHealthySeconds=1))
    until_s = world.clock.now_s + HEAL_S
    while unfinished(world) and world.clock.now_s < until_s:
        world.run(0.25)
    assert unfinished(world) == ""


def unfinished(world: FleetWorld) -> str:
    """Why the world is not yet as wanted, "" when it is."""
    if not world.settled():
        return "no settled leader"
    state = next(iter(world.logs.values())).state()
    if state.volume_removals:
        return f"removals of {sorted(state.volume_removals)}"
    return world.unfinished()


@pytest.mark.parametrize("crash_after_s", [0.05, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0])
def test_a_leader_that_dies_while_it_deletes_is_followed_by_one_that_ends_it(
    crash_after_s: float,
) -> None:
    """All of the app's volumes go, are counted once, and those of the other app stay."""
    with FleetWorld(seed=3) as world:
        world.run_until(world.acting, 10)
        for app in APPS:
            world.do(c.RegisterApp(app, document(app, volumes=VOLUMES), 1), c.StartApp(app, 3))
        world.run_until(lambda: not world.unfinished(), 20)
        names = stored(world)
        assert len(names) == 8
        world.do(c.DeleteApp("shop"))
        world.run(crash_after_s)
        world.crash(world.acting()[0])
        world.run(2)
        repair(world)
        until_s = world.clock.now_s + HEAL_S
        while unfinished(world) and world.clock.now_s < until_s:
            world.run(0.25)
        assert unfinished(world) == ""
        assert stored(world) == {name for name in names if name.startswith("orchestry-blog-")}
        events = next(iter(world.logs.values())).state().events
        assert [dict(event.details)["volumes_removed"] for event in events
                if event.message == "Application deleted"] == [4]


@pytest.mark.parametrize("crash_after_s", [0.05, 0.2, 0.4, 0.6])
def test_a_removal_that_was_acknowledged_is_carried_out(crash_after_s: float) -> None:
    """Also when the leader dies right after it, and though the engine does not answer at first."""
    with FleetWorld(seed=4) as world:
        world.run_until(world.acting, 10)
        world.do(c.RegisterApp("shop", document("shop", volumes=VOLUMES), 1),
                 c.StartApp("shop", 2))
        world.run_until(lambda: not world.unfinished(), 20)
        world.do(c.DeleteApp("shop", keep_data=True))
        world.run_until(lambda: not known(world, "shop"), 20)
        world.engine.down = crash_after_s > 0.3
        names = sorted(stored(world))
        assert len(names) == 3
        world.do(*(c.RemoveVolume(name, "shop") for name in names))
        world.run(crash_after_s)
        world.crash(world.acting()[0])
        world.run(4)
        repair(world)
        world.run_until(lambda: not unfinished(world), HEAL_S)
        assert stored(world) == set()
