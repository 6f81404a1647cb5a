"""Raft under faults: nothing acknowledged is lost, and nobody disagrees."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from cluster.state.commands import RegisterApp
from tests.sim.regressions import seeds
from tests.sim.world import World

STEPS = 8
SEEDS = int(os.environ.get("SEEDS", "80"))
RATE_OFF = 0.01


def register(world: World, name: str) -> None:
    """A client's write through one controller."""
    world.submit(name, RegisterApp(f"app-{world.dice.getrandbits(48):x}", "{}", 1))


def disturb(world: World) -> None:
    """One random fault, at most one controller down so that progress stays possible."""
    running = sorted(world.logs)
    if not running:
        return
    victim = world.dice.choice(running)
    other = world.dice.choice([name for name in world.ids if name != victim])
    fault = world.dice.choice(
        ("crash", "isolate", "pause", "silence", "full", "crash all", "power", "slow", "jump",
         "cut")
    )
    if fault == "crash all":
        for name in running:
            world.crash(name)
        for name in running:
            world.start(name)
    elif fault != "crash":
        one_fault(world, fault, victim, other)
    elif len(running) == len(world.ids):
        world.crash(victim)


def one_fault(world: World, fault: str, victim: str, other: str) -> None:
    """A fault of one controller, or of its link to another."""
    faults: dict[str, Callable[[str], None]] = {
        "power": world.cut_power_soon, "isolate": world.isolate, "pause": world.pause,
        "slow": world.slow_disk, "jump": world.jump, "full": world.fill_disk,
        "silence": lambda name: world.silence(name, other),
        "cut": lambda name: world.cut(name, other),
    }
    faults[fault](victim)


def write_for(world: World, seconds: float) -> None:
    """Several clients write through any controller while time passes."""
    until_s = world.clock.now_s + seconds
    while world.clock.now_s < until_s:
        if world.logs and world.dice.random() < 0.5:
            register(world, world.dice.choice(sorted(world.logs)))
        world.run(world.dice.uniform(0.01, 0.08))


def check_acknowledged(world: World) -> None:
    """Every acknowledged app is there, on each controller, with the index that was told."""
    for log in world.logs.values():
        apps = log.state().apps
        for command, applied in world.acknowledged:
            if not isinstance(command, RegisterApp):
                continue
            assert command.name in apps, f"{command.name} was acknowledged and is lost"
            assert apps[command.name].revision == applied.index


@pytest.mark.parametrize("seed", seeds("test_raft", SEEDS))
def test_random_walk(seed: int) -> None:
    """Crashes, cuts, loss, pauses, slow and full disks lose nothing acknowledged; all heals."""
    walk(seed)


def walk(seed: int) -> None:
    """One history."""
    with World(seed, loss=0.02 * (seed % 3), rate_off=RATE_OFF) as world:
        write_for(world, 1.0)
        for _ in range(STEPS):
            disturb(world)
            write_for(world, world.dice.uniform(0.1, 1.5))
            if world.dice.random() < 0.6:
                world.repair()
                write_for(world, world.dice.uniform(0.1, 1.0))
        world.network.loss = 0.0
        world.repair()
        world.run_until(world.settled, 15)
        written = len(world.acknowledged)
        for _ in range(5):  # a client asks again when it hears nothing
            if len(world.acknowledged) == written:
                register(world, world.ids[0])
                world.run(1)
        world.run_until(lambda: len(world.acknowledged) > written and world.settled(), 5)
        assert all(not log.status().fault for log in world.logs.values())
        check_acknowledged(world)
