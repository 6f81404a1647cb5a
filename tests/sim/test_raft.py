"""Raft under faults: nothing acknowledged is lost, and nobody disagrees."""

from __future__ import annotations

import pytest

from cluster.state.commands import RegisterApp
from tests.sim.world import World

STEPS = 8


def _register(world: World, name: str) -> None:
    world.submit(name, RegisterApp(f"app-{world.dice.getrandbits(48):x}", "{}", 1))


def _disturb(world: World) -> None:
    """One random fault, at most one controller down so that progress stays possible."""
    running = sorted(world.logs)
    if not running:
        return
    victim = world.dice.choice(running)
    other = world.dice.choice([name for name in world.ids if name != victim])
    fault = world.dice.choice(
        ("crash", "isolate", "pause", "silence", "full", "crash all", "power")
    )
    if fault == "crash all":
        for name in running:
            world.crash(name)
        for name in world.ids:
            world.start(name)
    elif fault == "crash":
        if len(running) == len(world.ids):
            world.crash(victim)
    elif fault == "power":
        world.cut_power_soon(victim)
    elif fault == "isolate":
        world.isolate(victim)
    elif fault == "pause":
        world.pause(victim)
    elif fault == "silence":
        world.silence(victim, other)
    else:
        world.note(f"disk of {victim} is full")
        world.disks[victim].full = True


def _repair(world: World) -> None:
    world.heal()
    for name in world.ids:
        if name not in world.logs:
            world.start(name)


def _write_for(world: World, seconds: float) -> None:
    """Several clients write through any controller while time passes."""
    until_s = world.clock.now_s + seconds
    while world.clock.now_s < until_s:
        if world.logs and world.dice.random() < 0.5:
            _register(world, world.dice.choice(sorted(world.logs)))
        world.run(world.dice.uniform(0.01, 0.08))


def _check_acknowledged(world: World) -> None:
    for log in world.logs.values():
        apps = log.state().apps
        for command, applied in world.acknowledged:
            assert isinstance(command, RegisterApp)
            assert command.name in apps, f"{command.name} was acknowledged and is lost"
            assert apps[command.name].revision == applied.index


@pytest.mark.parametrize("seed", range(200))
def test_random_walk(seed: int) -> None:
    """Crashes, cuts, loss, pauses and full disks lose nothing acknowledged; all heals."""
    with World(seed, loss=0.02 * (seed % 3)) as world:
        _write_for(world, 1.0)
        for _ in range(STEPS):
            _disturb(world)
            _write_for(world, world.dice.uniform(0.1, 1.5))
            if world.dice.random() < 0.6:
                _repair(world)
                _write_for(world, world.dice.uniform(0.1, 1.0))
        world.network.loss = 0.0
        _repair(world)
        world.run_until(world.settled, 15)
        written = len(world.acknowledged)
        _register(world, world.ids[0])
        world.run_until(lambda: len(world.acknowledged) > written and world.settled(), 5)
        assert all(not log.status().fault for log in world.logs.values())
        _check_acknowledged(world)
