"""Crash loops under leaders that die: nothing is started early, and every end counts once."""

from __future__ import annotations

import json
import os
from collections import Counter

import pytest

from cluster.control.backoff import JITTER, restart_delay_s
from cluster.engine.fake_parts import ImageBehaviour
from cluster.state import commands as c
from tests.sim.fleet_world import FleetWorld, disturb_controllers, document
from tests.sim.regressions import seeds

SEEDS = int(os.environ.get("SEEDS", "6"))
APPS = ("crash", "done", "once")
LEADERS = 4
"""So often one dies; a report that was on its way then is lost, and that end counts late."""
SLACK_S = 1.0


def begin(world: FleetWorld) -> None:
    """Three apps: one in a crash loop, one that finishes, one that fails for good."""
    world.engine.behaviours["crash:1"] = ImageBehaviour(crash_after_s=0.4, exit_code=3)
    world.engine.behaviours["done:1"] = ImageBehaviour(crash_after_s=0.6, exit_code=0)
    world.engine.behaviours["once:1"] = ImageBehaviour(crash_after_s=0.5, exit_code=9)
    world.run_until(world.acting, 10)
    for name, policy in zip(APPS, ("Always", "OnFailure", "Never"), strict=True):
        made = json.loads(document(name))
        made["spec"]["restartPolicy"] = policy
        world.do(c.RegisterApp(name, json.dumps(made), 1), c.StartApp(name, 2))


def starts(world: FleetWorld) -> dict[str, list[float]]:
    """When containers were started, by their names."""
    found: dict[str, list[float]] = {}
    for effect in world.engine.effects:
        if effect.verb == "run":
            found.setdefault(effect.identity, []).append(effect.at_s)
    return found


@pytest.mark.parametrize("seed", seeds("test_restarts", SEEDS))
def test_random_leaders(seed: int) -> None:
    """Whoever leads: delays hold, what is over stays over, and counters do not go back."""
    walk(seed)


def walk(seed: int) -> None:
    """One history."""
    with FleetWorld(seed, loss=0.02 * (seed % 2)) as world:
        begin(world)
        most: Counter[str] = Counter()
        for _ in range(LEADERS):
            victim = world.leader() or world.dice.choice(world.ids)
            fault = world.dice.choice(("crash", "isolate", "pause", "nothing", "clock jumps"))
            world.note(f"{fault} {victim}")
            disturb_controllers(world, fault, victim)
            world.run(world.dice.uniform(1.0, 5.0))
            world.repair()
            for name in APPS:
                app = world.app(name)
                counts = {name: app.failures} | {
                    f"{name}-{one.slot}": one.failures for one in app.attempts}
                for what, failures in counts.items():
                    assert failures >= most[what], f"{what}: {failures} after {most[what]}"
                most.update(Counter(counts) - most)
        world.run_until(world.acting, 20)
        world.run(6)
        for identity, times in starts(world).items():
            if not identity.startswith("crash."):
                assert len(times) == 1, f"{identity} was started again: {times}"
                continue
            # The least time that so many failures in a row take, but for those that are lost.
            least_s = sum((1 - JITTER) * restart_delay_s(number, "") / (1 + JITTER)
                          for number in range(1, len(times) - LEADERS))
            assert times[-1] - times[0] >= least_s - SLACK_S, f"{identity}: {times}"
        crash, done, once = (world.app(name) for name in APPS)
        ended = sum(len(times) for name, times in starts(world).items()
                    if name.startswith("crash."))
        assert ended - 2 - LEADERS <= crash.failures <= ended, f"{crash.failures} of {ended}"
        assert crash.attempts
        # Of a clock that jumped in between, failures are hours apart.
        assert all(one.in_a_row >= 3 for one in crash.attempts)
        assert [one.over for one in done.attempts] == ["finished", "finished"]
        assert (done.failures, once.failures) == (0, 2)
        assert [one.over for one in once.attempts] == ["failed", "failed"]
