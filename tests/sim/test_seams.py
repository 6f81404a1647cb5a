"""Everything that deploys, at once: updates, jobs before them and by the clock, secrets, images,
numbers of replicas down to none, an engine that hangs, leaders that die and a log that takes time.

One host and one log without Raft, so that many histories are walked.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from typing import Any

import pytest

from cluster.consensus.local_log import LocalLog
from cluster.consensus.tickets import SyncObjTicket
from cluster.control import image_cleaner
from cluster.control import runs as control_runs
from cluster.engine.base import Container, EngineError
from cluster.engine.fake import FakeEngine
from cluster.engine.fake_parts import ImageBehaviour
from cluster.ingress.fake import FakeIngress
from cluster.sealing import Keyring
from cluster.state import commands as c
from cluster.state.model import App, ClusterState
from orchestry.errors import OrchestryError
from tests.sim.fleet_world import document
from tests.sim.network import SimClock
from tests.sim.parts import SimController
from tests.sim.regressions import seeds
from tests.templates import key_of

SEEDS = int(os.environ.get("SEEDS", "12"))
KEY = b"k" * 32
SHOP = "registry.example/shop"
STEP_S = 0.05
STOPS_S = 12.0
DOWN = EngineError("registry_down", "registry registry.example does not give it out")


class SlowLog(LocalLog):
    """Applies what is written some time later, in order; what a dead leader wrote last is lost."""

    def __init__(self, clock: SimClock, dice: random.Random) -> None:
        super().__init__("c1")
        self._clock = clock
        self._dice = dice
        self._waiting: list[tuple[float, c.Command, c.Stamp, SyncObjTicket]] = []
        self.longest_s = 0.1

    def submit(self, command: c.Command, stamp: c.Stamp) -> Any:
        ticket = SyncObjTicket()
        last_s = self._waiting[-1][0] if self._waiting else 0.0
        due_s = max(last_s, self._clock.now_s + self._dice.uniform(0.0, self.longest_s))
        self._waiting.append((due_s, command, stamp, ticket))
        return ticket

    def step(self) -> None:
        """Apply what is due."""
        while self._waiting and self._waiting[0][0] <= self._clock.now_s:
            _, command, stamp, ticket = self._waiting.pop(0)
            try:
                ticket.settle(super().submit(command, stamp).wait(0))
            except OrchestryError as error:
                ticket.fail(error.code, str(error))

    def lose(self) -> None:
        """Some of what was not applied yet never is."""
        self._waiting = self._waiting[:self._dice.randint(0, len(self._waiting))]


class World:
    """One host, and a controller after another that leads."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.clock = SimClock()
        self.log = SlowLog(self.clock, self.dice)
        self.engine = FakeEngine(self.clock, start_latency_s=0.2)
        self.ingress = FakeIngress()
        self.prepares = self.dice.random() < 0.7
        self.how = self.dice.choice(("rolling", "rolling", "recreate", "canary", "volumes"))
        self.notes: list[str] = []
        self.prepared: set[int] = {0}
        self.failed: dict[int, set[int]] = {}
        self.floor = 0
        self.steady_from_s = 0.0
        """Before that a stop may be under way that somebody asked for."""
        self.requests = 0
        self.leads: SimController | None = None
        self.lead()

    def lead(self) -> None:
        """Another controller leads."""
        if self.leads is not None:
            self.leads.crash()
            self.log.lose()
        self.log.id = self.log.leader = self.dice.choice(("c1", "c2", "c3"))
        self.leads = SimController(
            self.log.id, self.log, self.clock, self.dice, engine=self.engine,
            ingress=self.ingress, keys=(KEY,))
        self.leads.workers.lane_longest_s["pull"] = self.dice.choice((0.2, 2.0))

    @property
    def state(self) -> ClusterState:
        """As it is applied."""
        return self.log.state()

    @property
    def shop(self) -> App:
        """The app."""
        return self.state.apps["shop"]

    def ask(self, command: c.Command) -> None:
        """A user's write."""
        self.requests += 1
        self.notes.append(f"{self.clock.now_s:.2f} {command}"[:160])
        self.log.submit(command, c.Stamp(self.clock.wall_ms(), "user", f"r{self.requests}"))

    def run(self, seconds: float) -> None:
        """Let time pass, and look at each moment."""
        assert self.leads is not None
        for _ in range(round(seconds / STEP_S)):
            self.clock.now_s += STEP_S
            self.log.step()
            self.leads.driver.step()
            self.look()

    def stops(self) -> None:
        """All replicas may leave from now on, and come again some time later."""
        self.floor, self.steady_from_s = 0, self.clock.now_s + STOPS_S

    # -- what must hold ----------------------------------------------------------------

    def replicas(self) -> list[Container]:
        """Those of the shop."""
        return [one for one in self.engine.containers() if one.app == "shop" and not one.run]

    def serving(self) -> int:
        """How many of them answer, and get requests."""
        table = self.ingress.table
        peers = {p.id for route in table.routes if route.app == "shop"
                 for p in route.peers} if table else set()
        return sum(one.id in peers and one.phase == "running" and self.engine.healthy(one)
                   for one in self.replicas())

    def look(self) -> None:
        """At what runs and at what is decided."""
        there = [(o.app, o.revision, o.slot, o.run) for o in self.engine.containers()
                 if o.phase == "running"]
        assert len(there) == len(set(there)), "two containers in one place"
        app = self.state.apps.get("shop")
        if app is None:
            return
        for run in self.state.runs.values():
            if run.kind == "pre" and run.phase == "succeeded":
                self.prepared.add(run.template)
        self.prepared.add(app.prepared)
        if self.prepares:
            early = {one.revision for one in self.replicas()} - self.prepared
            assert not early, f"revisions {early} run before their job"
        rollout = app.rollout
        if rollout is not None and rollout.phase == "failed":
            new = self.failed.setdefault(rollout.id, set(rollout.new))
            assert set(rollout.new) <= new, "a deployment that has failed spreads"
        elif rollout is not None:
            self.failed.pop(rollout.id, None)
        self.look_at_numbers(app)

    def look_at_numbers(self, app: App) -> None:
        """Enough serve, by what the strategy promises; and what may not run at once does not."""
        self.floor = min(self.floor, app.replicas if app.running else 0)
        serving, missing = self.serving(), {"recreate": 9, "volumes": 1}.get(self.how, 0)
        assert serving >= self.floor - missing, f"{serving} serve of {self.floor}"
        there = [one for one in self.replicas() if one.phase == "running"]
        if self.how == "recreate":
            assert len({one.revision for one in there}) <= 1, f"two revisions at once: {there}"
        if self.how == "volumes":
            assert len({one.slot for one in there}) == len(there), f"one volume twice: {there}"
        rollout = app.rollout
        if rollout is None and serving == app.replicas and app.running and (
            self.clock.now_s >= self.steady_from_s
        ):
            self.floor = app.replicas

    def unfinished(self) -> str:
        """Why it is not as wanted."""
        app, state = self.shop, self.state
        if app.rollout is not None:
            return f"a rollout: {app.rollout}"
        left = [run.id for run in state.runs.values() if not run.is_over]
        if left:
            return f"runs {left}"
        wanted = {(app.made_from, slot) for slot in range(1, app.replicas + 1)} if (
            app.running) else set()
        there = [(one.revision, one.slot) for one in self.replicas()]
        if sorted(there) != sorted(wanted) or self.serving() != len(wanted):
            return f"there {there}, serving {self.serving()}, wanted {wanted}, {app.problem}"
        return "pulls" if state.pulls else ""


def spec(world: World, number: int, image: str = "", **deploy: Any) -> str:
    """Another version of the shop."""
    options: dict[str, Any] = {
        "minHealthySeconds": 1, "progressDeadlineSeconds": 8,
        "autoRollback": world.dice.random() < 0.6, **deploy}
    if world.prepares:
        options["pre"] = {"command": ["migrate"], "timeoutSeconds": 5}
    if world.how in ("recreate", "canary"):
        options["strategy"] = world.how
    if world.how == "canary":
        options["steps"] = [{"weight": 34, "pauseSeconds": 1}]
    volumes = [{"name": "d", "mountPath": "/d", "perReplica": True}]
    found = json.loads(document(
        "shop", image or f"{SHOP}:{number}", volumes=volumes if world.how == "volumes" else (),
        **options))
    found["spec"]["environment"] = [{"name": "DB", "source": "secret", "key": "db"}]
    found["scaling"] = {"mode": "manual", "minReplicas": 0, "maxReplicas": 9}
    return json.dumps(found)


def update(world: World, number: int, image: str = "", **deploy: Any) -> c.UpdateApp:
    """To another version."""
    text = spec(world, number, image, **deploy)
    return c.UpdateApp("shop", text, key_of(text), 1)


def secret(world: World) -> c.SetSecret:
    """The next version of the secret."""
    known = world.state.secrets.get("db")
    version = 1 + (max(one.version for one in known.versions) if known is not None else 0)
    key_id, sealed = Keyring([KEY]).seal("db", version, {"value": f"value-{version}"})
    return c.SetSecret("db", version, key_id, ("value",), sealed)


def tick(world: World) -> c.RegisterApp:
    """A job by the clock, each minute."""
    return c.RegisterApp("tick", json.dumps({
        "apiVersion": "v1", "kind": "Job", "metadata": {"name": "tick"},
        "spec": {"image": "tick:1", "command": ["/tick"]},
        "job": {"schedule": "* * * * *", "concurrencyPolicy": world.dice.choice(
            ("Allow", "Forbid", "Replace")), "retries": 1}}), 0)


def break_it(world: World, number: int) -> None:
    """An update that does not get healthy, or whose job fails."""
    dice = world.dice
    world.engine.behaviours[f"{SHOP}:{number}"] = ImageBehaviour(
        healthy=dice.random() < 0.5, crash_after_s=dice.choice((None, 0.3)),
        run_exit_code=dice.choice((0, 0, 9)))
    world.ask(update(world, number))
    if dice.random() < 0.5:  # until it has failed
        world.run(12.0)
        world.ask(c.ScaleApp("shop", dice.randint(2, 4), 0))


def steer(world: World, verb: str) -> None:
    """A deployment that is under way; to one that is promoted, healthy for a moment is enough."""
    if verb == "promote":
        world.stops()
    world.ask(c.SteerRollout("shop", verb))  # type: ignore[arg-type]


def wish(world: World, number: int) -> None:
    """What somebody asks for."""
    dice, engine = world.dice, world.engine
    engine.images.push(f"{SHOP}:{number}", str(number))
    what = dice.choice((
        "update", "update", "update", "broken", "missing", "back", "roll back", "restart",
        "secret", "scale", "scale", "none", "stop", "resume", "pause", "run", "promote"))
    if what == "update":
        world.ask(update(world, number))
    elif what == "back":
        world.ask(update(world, dice.randint(1, number)))
    elif what == "broken":
        break_it(world, number)
    elif what == "missing":
        engine.images.refuse[f"{SHOP}:{number}"] = DOWN
        world.ask(update(world, number))
    elif what == "roll back":
        world.ask(c.RollBackApp("shop"))
    elif what == "restart":
        world.ask(c.RestartApp("shop"))
    elif what == "secret":
        world.ask(secret(world))
    elif what == "scale":
        world.ask(c.ScaleApp("shop", dice.randint(1, 4), 0))
    elif what == "none":
        world.stops()
        world.ask(c.ScaleApp("shop", 0, 0))
        world.run(dice.choice((0.1, 1.0, 4.0)))
        world.ask(c.ScaleApp("shop", dice.randint(1, 3), 0))
    elif what == "stop":
        world.stops()
        world.ask(c.StopApp("shop"))
        world.run(dice.choice((0.1, 1.0, 4.0)))
        world.ask(c.StartApp("shop", dice.randint(1, 3)))
    elif what == "run":
        world.ask(c.RequestRun("shop", ("work",), 5))
    else:
        steer(world, what)


def disturb(world: World) -> None:
    """Something fails."""
    what = world.dice.choice(("die", "die", "nothing", "fault", "hang", "stuck", "slow log"))
    world.notes.append(f"{world.clock.now_s:.2f} {what}")
    if what == "die":
        world.lead()
    elif what == "fault":
        world.engine.fail_next("timeout", after_effect=world.dice.random() < 0.5)
    elif what == "hang":
        world.engine.hang = True
    elif what == "stuck":
        found = [one for one in world.engine.containers() if one.phase == "running"]
        if found:
            world.engine.hanging.add(world.dice.choice(found).id)
    elif what == "slow log":
        world.log.longest_s = 0.8


def repair(world: World) -> None:
    """All works again."""
    world.engine.hang = False
    world.engine.hanging.clear()
    world.log.longest_s = 0.1


def walk(seed: int) -> None:
    """One history; `test_random_histories[SEED]` in a failure names it."""
    world = World(seed)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(control_runs, "LINGER_S", 2.0)
            patch.setattr(image_cleaner, "EVERY_S", 3.0)
            history(world)
    except AssertionError as error:
        raise AssertionError(f"{error}\nseed {seed}:\n" + "\n".join(world.notes)) from error


def history(world: World) -> None:
    """Wishes that come faster than what they begin, and what fails meanwhile."""
    dice = world.dice
    for version in range(1, 3):
        world.engine.images.push(f"{SHOP}:{version}", str(version))
    world.run(3)
    world.ask(c.SetConfig((("images.keep_revisions", dice.randint(0, 3)),)))
    world.ask(secret(world))
    world.run(1)
    first = spec(world, 1)
    world.ask(c.RegisterApp("shop", first, 1, template_key=key_of(first)))
    world.ask(c.StartApp("shop", dice.randint(0, 3)))
    world.ask(tick(world))
    for number in range(3, 11):
        world.engine.behaviours["tick:1"] = ImageBehaviour(
            run_s=dice.choice((0.2, 30.0)), run_exit_code=dice.choice((0, 1)))
        world.engine.behaviours[f"{SHOP}:{number}"] = ImageBehaviour(
            start_latency_s=0.2, run_s=dice.choice((0.0, 0.5, 3.0)))
        world.run(dice.choice((0.05, 0.1, 0.2, 0.5, 2.0, 8.0)))
        wish(world, number)
        world.run(dice.uniform(0.0, 2.0))
        disturb(world)
        world.run(dice.choice((0.1, 0.5, 2.0, 4.0)))
        repair(world)
    world.engine.images.refuse.clear()
    world.engine.behaviours["tick:1"] = ImageBehaviour()
    world.run(5)
    world.engine.images.push(f"{SHOP}:99", "99")
    world.ask(update(world, 99))
    world.ask(c.StartApp("shop", 2))
    world.ask(c.SuspendJob("tick", suspended=True))
    until_s = world.clock.now_s + 200
    world.run(5)
    while world.unfinished() and world.clock.now_s < until_s:
        world.run(0.5)
    assert world.unfinished() == ""
    made = Counter(e.identity for e in world.engine.effects
                   if e.verb == "run" and ".run" in e.identity)
    assert set(made.values()) <= {1}, f"a run has two containers: {made}"
    world.run(3 * image_cleaner.EVERY_S)
    here = {one.id for one in world.engine.images.stored() if one.digests}
    assert here == {image for image in here if image in world.state.pulled}


@pytest.mark.parametrize("seed", seeds("test_seams", SEEDS))
def test_random_histories(seed: int) -> None:
    """Whatever is asked for and fails, in whatever moment."""
    walk(seed)
