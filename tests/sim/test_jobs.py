"""Jobs by controllers whose leaders die: each due time has one run, and each run one container."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import Any

import pytest

from cluster.control import runs as control_runs
from cluster.engine.fake_parts import ImageBehaviour
from cluster.state import commands as c
from tests.sim.fleet_world import FleetWorld, disturb_leader
from tests.sim.regressions import seeds
from tests.sim.test_runs import containers_made, runs, settle, state

SEEDS = int(os.environ.get("SEEDS", "6"))
MINUTE_MS = 60_000


@pytest.fixture(autouse=True)
def _short_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_runs, "LINGER_S", 2.0)


def job(**section: Any) -> c.RegisterApp:
    """A job, each minute unless told otherwise."""
    return c.RegisterApp("tick", json.dumps({
        "apiVersion": "v1", "kind": "Job", "metadata": {"name": "tick"},
        "spec": {"image": "tick:1", "command": ["/tick"]},
        "job": {"schedule": "* * * * *", "concurrencyPolicy": "Allow", **section}}), 0)


@pytest.mark.parametrize("seed", seeds("test_jobs", SEEDS))
def test_random_minutes(seed: int) -> None:
    """Whoever dies and whenever: one run for each minute, none twice, none missing, none left."""
    with FleetWorld(seed, loss=0.02 * (seed % 2)) as world:
        world.engine.behaviours["tick:1"] = ImageBehaviour(run_s=world.dice.choice((0.1, 1.0)))
        world.run_until(world.acting, 10)
        world.do(job())
        began = state(world).apps["tick"].created_at_ms
        for _ in range(3):
            # Mostly close to the minute, where something is under way.
            left_s = 60 - world.clock.now_s % 60
            world.run(max(0.0, left_s + world.dice.uniform(-0.5, 1.5)))
            disturb_leader(world, ("crash", "crash", "isolate", "pause", "nothing", "crash all"))
            world.run(world.dice.choice((0.5, 2.0, 4.0)))
            world.repair()
        settle(world)
        ended = state(world).leadership.renewed_at_ms
        due = [run.due_ms for run in runs(world)]
        first, last = began // MINUTE_MS + 1, ended // MINUTE_MS
        wanted = [minute * MINUTE_MS for minute in range(first, last + 1)]
        assert due in (wanted, wanted[:-1]), (due, wanted)  # the last one may be under way
        assert {run.phase for run in runs(world)} == {"succeeded"}
        made = containers_made(world)
        assert set(made.values()) == {1}
        assert len(made) == len(due)


def test_an_outage_is_made_up_for_once_within_the_deadline() -> None:
    """Of several minutes without a leader the last one counts."""
    with FleetWorld(seed=21) as world:
        world.run_until(world.acting, 10)
        world.do(job(startingDeadlineSeconds=120))
        world.run(65)
        assert len(runs(world)) == 1
        for name in list(world.logs):
            world.crash(name)
        world.run(200)
        settle(world)
        due = [run.due_ms for run in runs(world)]
        assert len(due) in (2, 3), due
        assert due[1] - due[0] > 2 * MINUTE_MS
        assert len(set(due)) == len(due)


@pytest.mark.parametrize(("policy", "phases"), [
    ("Allow", {"running": 3}), ("Forbid", {"running": 1}),
    ("Replace", {"cancelled": 2, "running": 1})])
def test_what_still_runs_when_the_next_is_due(policy: str, phases: dict[str, int]) -> None:
    """Beside it, instead of it, or not at all; never two of one job unless it is allowed."""
    with FleetWorld(seed=22) as world:
        world.engine.behaviours["tick:1"] = ImageBehaviour(run_s=None)
        world.run_until(world.acting, 10)
        world.do(job(concurrencyPolicy=policy))
        minutes = 0
        while minutes < 3:
            world.run(0.5)
            minutes = int(state(world).apps["tick"].due_ms > 0) and (
                state(world).apps["tick"].due_ms - state(world).apps["tick"].created_at_ms
            ) // MINUTE_MS + 1
            there = [o for o in world.ours() if o.phase == "running"]
            assert policy == "Allow" or len(there) <= 1
        world.run(8)
        assert Counter(run.phase for run in runs(world)) == phases
        world.do(c.DeleteApp("tick"))
        world.run(20)
        assert not world.ours()
        assert not state(world).apps
