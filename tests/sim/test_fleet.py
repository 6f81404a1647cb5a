"""Whole controllers under faults: one actor, no duplicates, and all apps as wanted afterwards."""

from __future__ import annotations

import os

import pytest

from cluster.engine.fake_parts import ImageBehaviour
from cluster.state import commands as c
from tests.sim.fleet_world import FleetWorld, disturb_controllers, document, update
from tests.sim.regressions import seeds

SEEDS = int(os.environ.get("SEEDS", "50"))
APPS = ("shop", "blog", "mail")
ROUNDS = 5
HEAL_S = 40.0
RATE_OFF = 0.01


def change_something(world: FleetWorld) -> None:
    """One random wish of a user."""
    app = world.dice.choice(APPS)
    wish = world.dice.choice((
        "scale", "scale", "stop", "start", "delete", "register", "update", "update", "roll back",
        "restart", "pause", "promote"))
    replicas = world.dice.randint(0, 4)
    if wish == "scale":
        world.ask(c.ScaleApp(app, replicas, 30))
    elif wish == "stop":
        world.ask(c.StopApp(app))
    elif wish == "start":
        world.ask(c.StartApp(app, replicas))
    elif wish == "delete":
        world.ask(c.DeleteApp(app))
    elif wish == "update":
        world.ask(update(app, world.dice.choice((f"{app}:1", f"{app}:2", "broken:1")),
                         minHealthySeconds=1, progressDeadlineSeconds=10))
    elif wish == "roll back":
        world.ask(c.RollBackApp(app))
    elif wish == "restart":
        world.ask(c.RestartApp(app))
    elif wish == "pause":
        world.ask(c.SteerRollout(app, "pause"))
    elif wish == "promote":
        world.ask(c.SteerRollout(app, "promote"))
    else:
        world.ask(c.RegisterApp(app, document(app), 1))


def disturb_host(world: FleetWorld, fault: str) -> None:
    """One fault of the engine, of a container or of the ingress."""
    running = [o for o in world.ours() if o.phase == "running"]
    if fault == "engine down":
        world.engine.down = True
    elif fault == "engine hangs":
        world.engine.hang = True
    elif fault == "engine fails":
        world.engine.fail_next("timeout", after_effect=world.dice.random() < 0.5)
    elif fault == "kill" and running:
        world.engine.kill(world.dice.choice(running).id)
    elif fault == "sick" and running:
        world.engine.set_sick(world.dice.choice(running).id)
    elif fault == "ingress down":
        world.ingress.down = True
    elif fault == "ingress restarts":
        world.ingress.restart()


def disturb(world: FleetWorld) -> None:
    """One random fault."""
    victim = world.dice.choice(world.ids)
    fault = world.dice.choice((
        "crash", "isolate", "pause", "silence", "engine down", "engine hangs", "engine fails",
        "kill", "ingress down", "ingress restarts", "sick", "crash all", "slow disk", "clock jumps",
    ))
    world.note(f"{fault} {victim}")
    disturb_controllers(world, fault, victim)
    disturb_host(world, fault)


def repair(world: FleetWorld) -> None:
    """Everything works again; what was sick stays so until it is replaced."""
    world.engine.down = world.engine.hang = world.ingress.down = False
    world.repair()


@pytest.mark.parametrize("seed", seeds("test_fleet", SEEDS))
def test_random_walk(seed: int) -> None:
    """Whatever happens: one actor, rising epochs, one container a slot, and it all heals."""
    walk(seed)


def walk(seed: int) -> None:
    """One history."""
    with FleetWorld(seed, loss=0.02 * (seed % 2), rate_off=RATE_OFF) as world:
        world.engine.behaviours["broken:1"] = ImageBehaviour(healthy=False)
        world.run_until(world.acting, 10)
        for app in APPS[:2]:
            world.ask(c.RegisterApp(app, document(app), 1))
            world.ask(c.StartApp(app, world.dice.randint(1, 4)))
        world.run(world.dice.uniform(0.5, 3.0))
        for _ in range(ROUNDS):
            disturb(world)
            world.run(world.dice.choice((0.3, 1.0, 2.0, 5.0)))
            change_something(world)
            world.run(world.dice.uniform(0.2, 2.0))
            if world.dice.random() < 0.5:
                repair(world)
                world.run(world.dice.uniform(0.0, 1.0))
        repair(world)
        for container in world.ours():
            world.engine.set_sick(container.id, sick=False)
        world.run_until(world.leader, HEAL_S)
        for app in APPS:
            world.ask(c.SteerRollout(app, "resume"))
            world.ask(update(app, f"{app}:1", minHealthySeconds=1))
        deadline_s = world.clock.now_s + HEAL_S
        while world.unfinished() and world.clock.now_s < deadline_s:
            world.run(0.25)
        assert world.unfinished() == ""


def test_leader_dies_and_apps_follow_the_new_leader() -> None:
    """A scale-up asked of the survivors is carried out by the next leader, without a restart."""
    with FleetWorld(seed=1) as world:
        world.run_until(world.acting, 10)
        world.do(c.RegisterApp("shop", document("shop"), 1))
        world.do(c.StartApp("shop", 2))
        world.run_until(lambda: not world.unfinished(), 10)
        before = {o.id for o in world.ours()}
        first = world.acting()[0]
        world.crash(first)
        world.run_until(world.leader, 3)
        world.do(c.ScaleApp("shop", 3, 30))
        world.run_until(lambda: len(world.ours()) == 3, 10)
        assert before < {o.id for o in world.ours()}
        assert world.acting() != [first]


def test_isolated_leader_stops_before_the_next_one_acts() -> None:
    """Cut off from both others, it acts no more when the new one begins; nothing happens twice."""
    with FleetWorld(seed=5) as world:
        world.run_until(world.acting, 10)
        world.do(c.RegisterApp("shop", document("shop"), 1))
        world.do(c.StartApp("shop", 2))
        world.run_until(lambda: not world.unfinished(), 10)
        old = world.acting()[0]
        world.isolate(old)
        world.run_until(lambda: world.acting() not in ([], [old]), 10)
        world.do(c.ScaleApp("shop", 4, 30))
        world.run(5)
        world.heal()
        world.run_until(lambda: not world.unfinished(), 15)
        runs = [e.identity for e in world.engine.effects if e.verb == "run"]
        assert len(runs) == len(set(runs)) == 4


def test_work_of_a_paused_leader_is_fenced_when_it_goes_on() -> None:
    """A start that was under way at the pause does not happen once another leads."""
    with FleetWorld(seed=6) as world:
        world.run_until(world.acting, 10)
        world.do(c.RegisterApp("shop", document("shop"), 1), c.StartApp("shop", 1))
        world.run_until(lambda: not world.unfinished(), 10)
        old = world.acting()[0]
        world.do(c.ScaleApp("shop", 3, 1))
        workers = world.actors[old].workers  # type: ignore[attr-defined]
        world.run_until(lambda: workers.running("start:shop:3"), 5)
        world.pause(old)
        world.run_until(lambda: world.acting() not in ([], [old]), 10)
        world.run_until(lambda: len(world.ours()) == 3, 10)
        world.do(c.ScaleApp("shop", 1, 1))
        world.run_until(lambda: len(world.ours()) == 1, 10)
        world.resume(old)
        world.run_until(lambda: not world.unfinished(), 15)
        runs = [e.epoch for e in world.engine.effects if e.verb == "run"]
        assert runs == sorted(runs)
        assert runs[-1] > 1


def test_engine_gone_for_a_minute_loses_nothing() -> None:
    """Nothing is deleted without an observation, and the app is as wanted afterwards."""
    with FleetWorld(seed=7) as world:
        world.run_until(world.acting, 10)
        world.do(c.RegisterApp("shop", document("shop"), 1))
        world.do(c.StartApp("shop", 3))
        world.run_until(lambda: not world.unfinished(), 10)
        before = {o.id for o in world.ours()}
        table = world.ingress.table
        world.engine.down = True
        world.run(60)
        state = next(iter(world.logs.values())).state()
        assert state.apps["shop"].problem_code == "DOCKER_ERROR"
        assert world.ingress.table == table
        world.engine.down = False
        world.run_until(lambda: not world.unfinished(), 10)
        assert {o.id for o in world.ours()} == before


def test_blind_checker_kills_nothing() -> None:
    """All checks fail at once: no container is replaced and all keep their traffic."""
    with FleetWorld(seed=9) as world:
        world.run_until(world.acting, 10)
        world.do(c.RegisterApp("shop", document("shop"), 1))
        world.do(c.StartApp("shop", 3))
        world.run_until(lambda: not world.unfinished(), 10)
        before = {o.id for o in world.ours()}
        leader = world.actors[world.acting()[0]]
        leader.prober.blind = True  # type: ignore[attr-defined]
        world.run(20)
        assert {o.id for o in world.ours()} == before
        assert world.ingress.table is not None
        assert {p.id for r in world.ingress.table.routes for p in r.peers} == before
        state = next(iter(world.logs.values())).state()
        assert any("nothing is killed" in event.message for event in state.events)


def test_same_seed_same_history() -> None:
    """A failing seed can be replayed."""

    def history(seed: int) -> list[str]:
        with FleetWorld(seed, loss=0.02) as world:
            world.run(3)
            world.do(c.RegisterApp("shop", document("shop"), 1))
            world.do(c.StartApp("shop", 2))
            world.run(5)
            return [f"{e.at_s:.3f} {e.verb} {e.epoch}" for e in world.engine.effects]

    assert history(3) == history(3)
    assert history(3)
