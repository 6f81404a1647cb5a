"""Runs by controllers whose leaders die at every step: none twice, none missing, none left."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import pytest

from cluster.consensus.tickets import SyncObjTicket
from cluster.control import runs as control_runs
from cluster.engine.fake_parts import ImageBehaviour
from cluster.state import commands as c
from cluster.state.model import ClusterState, Run
from orchestry.errors import OrchestryError
from tests.sim.fleet_world import FleetWorld, disturb_leader, document, update
from tests.sim.regressions import seeds
from tests.sim.test_images import slow_pulls
from tests.templates import key_of

SEEDS = int(os.environ.get("SEEDS", "14"))
LINGER_S = 2.0
"""Shorter than it is, for the sake of time."""
PRE = {"command": ["migrate"], "timeoutSeconds": 5}


@pytest.fixture(autouse=True)
def _short_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_runs, "LINGER_S", LINGER_S)


def state(world: FleetWorld) -> ClusterState:
    """That of the controller that has applied the most."""
    return max((log.state() for log in world.logs.values()), key=lambda one: one.index)


def runs(world: FleetWorld) -> list[Run]:
    """All that are known, oldest first."""
    return sorted(state(world).runs.values(), key=lambda run: run.id)


def containers_made(world: FleetWorld) -> Counter[str]:
    """How often a container of each run was started, by its name."""
    return Counter(
        e.identity for e in world.engine.effects if e.verb == "run" and ".run" in e.identity)


def begin(world: FleetWorld, **deploy: Any) -> None:
    """The shop, with one replica that is healthy."""
    world.run_until(world.acting, 10)
    text = document("shop", **deploy)
    world.do(c.RegisterApp("shop", text, 1, template_key=key_of(text)), c.StartApp("shop", 1))
    world.run_until(lambda: not world.unfinished(), 60)


def accepted(ticket: SyncObjTicket | None) -> int:
    """The id of the run that a write was acknowledged for, 0 when it was not."""
    try:
        applied = ticket.poll() if ticket is not None else None
    except OrchestryError:  # nobody knows what came of it
        return 0
    return 0 if applied is None or applied.rejected is not None else int(applied.get("run"))


def settle(world: FleetWorld) -> None:
    """All controllers are there, all runs are over, and their containers gone."""
    world.repair()
    until_s = world.clock.now_s + 60 + LINGER_S
    while world.unfinished() and world.clock.now_s < until_s:
        world.run(0.5)
    assert world.unfinished() == ""


@pytest.mark.parametrize("seed", seeds("test_runs", SEEDS))
def test_random_runs(seed: int) -> None:
    """Whoever dies: a run that is known has one container, one that is accepted ends."""
    with FleetWorld(seed, loss=0.02 * (seed % 2)) as world:
        seconds = world.dice.choice((0.1, 0.5, 2.0))
        code = world.dice.choice((0, 0, 3))
        world.engine.behaviours["shop:1"] = ImageBehaviour(
            start_latency_s=0.2, run_s=seconds, run_exit_code=code)
        begin(world)
        asked = []
        for _ in range(3):
            world.run_until(world.leader, 30)
            asked += [world.ask(c.RequestRun("shop", ("work",), 60))
                      for _ in range(world.dice.randint(1, 3))]
            world.run(world.dice.uniform(0.0, 1.0))
            disturb_leader(world, (
                "crash", "crash", "isolate", "pause", "nothing", "clock jumps", "crash all"))
            world.run(world.dice.choice((0.5, 2.0, 4.0)))
            world.repair()
        settle(world)
        known = runs(world)
        told = {accepted(ticket) for ticket in asked} - {0}
        assert told <= {run.id for run in known}
        made = containers_made(world)
        assert set(made.values()) <= {1}, made
        for run in known:
            assert run.phase == ("failed" if code else "succeeded"), run
            assert run.exit_code == code
            assert made[run.container_name] == 1


@pytest.mark.parametrize("crash_after_s", [0.0, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 2.0, 2.5, 3.0])
def test_a_leader_that_dies_at_any_step_of_a_deploy_leaves_one_pre_deploy_run(
    crash_after_s: float,
) -> None:
    """It runs once, before any replica of the new revision, and the rollout goes on."""
    with FleetWorld(seed=11) as world:
        world.engine.behaviours["shop:2"] = ImageBehaviour(start_latency_s=0.2, run_s=1.0)
        begin(world, pre=PRE, minHealthySeconds=1)
        first = runs(world)
        world.do(update("shop", "shop:2", pre=PRE, minHealthySeconds=1))
        revision = world.app("shop").revision
        world.run(crash_after_s)
        for name in world.acting():
            world.crash(name)
        settle(world)
        (run,) = [one for one in runs(world) if one not in first]
        assert (run.kind, run.phase, run.revision) == ("pre", "succeeded", revision)
        began = [e for e in world.engine.effects if e.verb == "run"]
        names = [e.identity for e in began]
        assert names.count(run.container_name) == 1
        replica = next(e for e in began if f".r{revision}." in e.identity)
        ended = next(e for e in world.engine.effects if e.identity == run.container_name)
        assert replica.at_s >= ended.at_s + 1.0
        assert world.app("shop").deployments[-1].phase == "done"


@pytest.mark.parametrize("crash_after_s", [0.0, 0.5, 1.0, 2.0, 3.5])
def test_a_leader_that_dies_while_a_run_waits_for_its_image(crash_after_s: float) -> None:
    """The next one pulls it again, and the run has one container, made from that."""
    with FleetWorld(seed=13) as world:
        pushed = world.engine.images.push("registry.example/shop:1", "one")
        world.run_until(world.acting, 10)
        slow_pulls(world, 3.0)
        text = document("shop", "registry.example/shop:1")
        world.do(c.RegisterApp("shop", text, 1, template_key=key_of(text)),
                 c.RequestRun("shop", ("work",), 60))
        world.run(crash_after_s)
        for name in world.acting():
            world.crash(name)
        world.heal()
        until_s = world.clock.now_s + 60
        while world.clock.now_s < until_s and not containers_made(world):
            world.run(0.5)
        assert [world.engine.made_from(one.id) for one in world.ours()] == [pushed.id]
        settle(world)
        (run,) = runs(world)
        assert run.phase == "succeeded"
        assert containers_made(world) == Counter({run.container_name: 1})


def test_a_pre_deploy_job_that_fails_stops_the_rollout_before_any_replica() -> None:
    """The old replica serves on, the reason and the last lines are told, the old spec is back."""
    with FleetWorld(seed=12) as world:
        world.engine.behaviours["shop:2"] = ImageBehaviour(start_latency_s=0.2, run_exit_code=9)
        begin(world, pre=PRE)
        before = {o.id for o in world.ours() if not o.run}
        world.do(update("shop", "shop:2", pre=PRE))
        settle(world)
        app = world.app("shop")
        assert {o.id for o in world.ours()} == before
        assert [(one.kind, one.phase) for one in app.deployments] == [
            ("update", "failed"), ("rollback", "done")]
        assert "exited with code 9" in app.deployments[0].reason
        failed = next(e for e in state(world).events if "failed: its pre-deploy" in e.message)
        assert any("listening as" in line for line in dict(failed.details)["lines"])
        made = [e.identity for e in world.engine.effects if e.verb == "run"]
        assert sum(".run" in name for name in made) == 2  # the first start, and this one
        assert len(made) == 3


def test_a_first_start_waits_for_the_pre_deploy_job_and_says_why_it_cannot_begin() -> None:
    """No replica without it; starting again after a stop tries again."""
    with FleetWorld(seed=13) as world:
        world.engine.behaviours["shop:1"] = ImageBehaviour(run_exit_code=1)
        world.run_until(world.acting, 10)
        text = document("shop", pre=PRE)
        world.do(c.RegisterApp("shop", text, 1, template_key=key_of(text)),
                 c.StartApp("shop", 2))
        world.run(10)
        assert "pre-deploy job" in world.app("shop").problem
        assert not [o for o in world.ours() if not o.run]
        world.engine.behaviours["shop:1"] = ImageBehaviour()
        world.do(c.StopApp("shop"), c.StartApp("shop", 2))
        settle(world)
        assert [run.phase for run in runs(world)] == ["failed", "succeeded"]


def test_time_limits_cancels_and_containers_that_vanish() -> None:
    """What takes too long is stopped, as is what was cancelled; what is gone is lost, not rerun."""
    with FleetWorld(seed=14) as world:
        world.engine.behaviours["shop:1"] = ImageBehaviour(start_latency_s=0.2, run_s=None)
        begin(world)
        world.do(*(c.RequestRun("shop", ("sleep",), limit) for limit in (3, 60, 60)))
        world.run(2)
        late, stopped, gone = runs(world)
        assert {run.phase for run in runs(world)} == {"running"}
        world.do(c.CancelRun("shop", stopped.id))
        world.engine.stop(gone.container_id, grace_s=0)  # behind our back
        settle(world)
        assert [run.phase for run in runs(world)] == ["timed_out", "cancelled", "lost"]
        assert "longer than 3 s" in runs(world)[0].reason
        assert max(containers_made(world).values()) == 1
        assert late.id < stopped.id < gone.id


def test_runs_wait_for_their_turn_and_go_with_their_app() -> None:
    """So many at once, and none is left when the app is removed."""
    with FleetWorld(seed=15) as world:
        world.engine.behaviours["shop:1"] = ImageBehaviour(start_latency_s=0.2, run_s=None)
        begin(world)
        world.do(*(c.RequestRun("shop", ("sleep",), 600) for _ in range(20)))
        world.run(5)
        assert Counter(run.phase for run in runs(world)) == {"running": 16, "waiting": 4}
        world.do(c.DeleteApp("shop"))
        world.run(20)
        assert not world.ours()
        assert not state(world).apps
        assert not state(world).runs
