"""FleetWorld: whole controllers - Raft, lease, loops - over one fake host and one ingress."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cluster.clock import Clock
from cluster.consensus.syncobj_log import SyncObjLog
from cluster.consensus.tickets import SyncObjTicket
from cluster.engine.base import Container
from cluster.engine.fake import FakeEngine
from cluster.engine.fake_parts import Effect
from cluster.ingress.fake import FakeIngress
from cluster.state import commands as c
from cluster.state.model import App
from cluster.state.volume_names import goes_with
from tests.sim.parts import SimController
from tests.sim.world import World
from tests.templates import key_of


def document(
    name: str, image: str = "", *, volumes: Sequence[Mapping[str, Any]] = (), **deploy: Any
) -> str:
    """A spec whose checks are quick, as stored text; `deploy` are keys of its section."""
    return json.dumps({
        "apiVersion": "v1", "kind": "App", "metadata": {"name": name},
        "spec": {"image": image or f"{name}:1",
                 "ports": [{"containerPort": 80, "protocol": "HTTP"}],
                 **({"volumes": list(volumes)} if volumes else {})},
        **({"deploy": deploy} if deploy else {}),
        "healthCheck": {"periodSeconds": 1, "timeoutSeconds": 1, "initialDelaySeconds": 2,
                        "failureThreshold": 2},
        "termination": {"terminationGracePeriodSeconds": 1, "drainSeconds": 0},
    })


def update(
    name: str, image: str, *, volumes: Sequence[Mapping[str, Any]] = (), **deploy: Any
) -> c.UpdateApp:
    """The command that gives an app another image."""
    text = document(name, image, volumes=volumes, **deploy)
    return c.UpdateApp(name, text, key_of(text), 1)


class FleetWorld(World):
    """Adds apps to the world, and what must hold for them at every tick."""

    def __init__(self, seed: int, **options: Any) -> None:
        super().__init__(seed, make_actor=self._make, **options)
        self.engine = FakeEngine(self.clock, start_latency_s=0.2)
        self.ingress = FakeIngress()
        self.foreign = self.engine.add_foreign("stranger")
        self._effects_seen = 0
        self._epoch_of_effects = 0
        self._pushes_seen = 0
        self._epoch_of_pushes = 0
        self._leaving: set[str] = set()

    def _make(self, name: str, log: SyncObjLog, clock: Clock) -> SimController:
        return SimController(
            name, log, clock, self.dice, engine=self.engine, ingress=self.ingress
        )

    def _forget(self, name: str) -> None:
        actor = self.actors.get(name)
        if isinstance(actor, SimController):
            actor.crash()
        super()._forget(name)

    def acting(self) -> list[str]:
        """Controllers that may act; a paused one would act when it goes on, so it counts."""
        return [
            name for name, actor in self.actors.items()
            if isinstance(actor, SimController) and actor.acting()
        ]

    # -- what users do -----------------------------------------------------------------

    def ask(self, command: c.Command) -> SyncObjTicket | None:
        """A client's write through the Raft leader, if there is one."""
        name = self.leader()
        if name is None:
            return None
        self.note(f"{type(command).__name__} to {name}")
        return self.submit(name, command)

    def do(self, *commands: c.Command) -> None:
        """Writes that are acknowledged and accepted before time goes on."""
        for command in commands:
            ticket = self.ask(command)
            assert ticket is not None, "no leader"
            self.run_until(lambda ticket=ticket: ticket.poll() is not None, 5)  # type: ignore[misc]
            applied = ticket.poll()
            assert applied is not None
            assert applied.rejected is None, applied

    # -- what must hold ----------------------------------------------------------------

    def check(self) -> None:
        """One actor; epochs of side effects never fall; one container for each slot."""
        super().check()
        acting = self.acting()
        assert len(acting) <= 1, f"two actors: {acting}"
        failed = [name for actor in self.actors.values() if isinstance(actor, SimController)
                  for name, timing in actor.driver.timings.items() if timing.failures]
        assert not failed, f"an error in the loops {failed}; see the log"
        effects = self.engine.effects
        for effect in list(effects)[self._effects_seen:]:
            if effect.verb == "run":
                assert effect.epoch >= self._epoch_of_effects, f"stale side effect: {effect}"
                self._epoch_of_effects = effect.epoch
        self._check_volumes(list(effects)[self._effects_seen:])
        self._effects_seen = len(effects)
        for epoch, _ in list(self.ingress.pushes)[self._pushes_seen:]:
            assert epoch >= self._epoch_of_pushes, f"stale push of epoch {epoch}"
            self._epoch_of_pushes = epoch
        self._pushes_seen = len(self.ingress.pushes)
        slots = [(o.app, o.revision, o.slot, o.run) for o in self.ours() if o.phase == "running"]
        assert len(slots) == len(set(slots)), f"two containers in one slot: {sorted(slots)}"
        assert self.engine.exists(self.foreign), "a foreign container was touched"

    def _check_volumes(self, effects: list[Effect]) -> None:
        """No volume goes but by a deletion that was committed, and that named it, and the app
        was never one that only has the name of the one that left it.
        """
        before, self._leaving = self._leaving, set()
        if self.logs:
            state = max(
                (log.state() for log in self.logs.values()), key=lambda state: state.index)
            self._leaving = {
                *state.volume_removals,
                *(name for app in state.apps.values()
                  if app.deleting and not app.keep_data for name in app.leaving_volumes
                  if goes_with(app, name))}
        for effect in effects:
            if effect.verb == "remove volume":
                asked = before | self._leaving
                assert effect.identity in asked, f"nobody asked for it: {effect}"

    def ours(self) -> list[Container]:
        """Containers of this cluster, as they are."""
        return [o for o in self.engine.containers() if o.id != self.foreign]

    def app(self, name: str) -> App:
        """The app as the controller that has applied the most knows it."""
        return max(
            (log.state() for log in self.logs.values()), key=lambda state: state.index,
        ).apps[name]

    def serving(self, app: str) -> list[Container]:
        """Its containers that answer, and that the ingress sends requests to."""
        table = self.ingress.table
        peers = {p.id for route in table.routes if route.app == app
                 for p in route.peers} if table else set()
        return [o for o in self.ours()
                if o.id in peers and o.phase == "running" and self.engine.healthy(o)]

    def unfinished(self) -> str:
        """Why the world is not yet as wanted, "" when it is."""
        if not self.settled() or len(self.acting()) != 1:
            return "no settled leader"
        state = next(iter(self.logs.values())).state()
        rolling = [app.name for app in state.apps.values() if app.rollout is not None]
        if rolling:
            return f"rollouts of {rolling}"
        wanted = {
            (app.name, app.made_from, slot) for app in state.apps.values() if app.running
            for slot in range(1, app.replicas + 1)
        }
        runs = [run.id for run in state.runs.values() if not run.is_over]
        if runs:
            return f"runs {runs}"
        there = {(o.app, o.revision, o.slot): o for o in self.ours()
                 if o.phase == "running" and not o.run}
        if set(there) != wanted or len(self.ours()) != len(there):
            return f"wanted {sorted(wanted)}, there {sorted(there)} of {len(self.ours())}"
        for app in state.apps.values():
            healthy = sum(1 for r in app.reports if r.health == "healthy")
            if app.deleting or healthy != (app.replicas if app.running else 0):
                return f"{app.name}: {healthy} healthy of {app.replicas}, {app.deleting=}"
        table = self.ingress.table
        peers = {p.id for route in table.routes for p in route.peers} if table else set()
        if peers != {o.id for o in there.values()}:
            return f"the ingress serves {len(peers)} of {len(there)}"
        return ""


def disturb_leader(world: FleetWorld, faults: Sequence[str]) -> None:
    """One of these faults of a controller, of the leader most of the time."""
    leader = world.leader()
    victim = leader if leader is not None and world.dice.random() < 0.8 else (
        world.dice.choice(world.ids))
    fault = world.dice.choice(faults)
    world.note(f"{fault} {victim}")
    disturb_controllers(world, fault, victim)


def disturb_controllers(world: FleetWorld, fault: str, victim: str) -> None:
    """One fault of a controller or of the network between them."""
    if fault == "crash" and len(world.logs) == len(world.ids):
        world.crash(victim)
    elif fault == "crash all":
        for name in sorted(world.logs):
            world.crash(name)
        for name in world.ids:
            world.start(name)
    elif fault == "isolate":
        world.isolate(victim)
    elif fault == "pause" and victim in world.logs:
        world.pause(victim)
    elif fault == "slow disk":
        world.slow_disk(victim)
    elif fault == "clock jumps":
        world.jump(victim)
    elif fault == "silence":
        world.silence(victim, world.dice.choice([n for n in world.ids if n != victim]))
