"""Reconciler: containers follow the state."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from cluster.clock import Clock
from cluster.config.effective import Configured
from cluster.config.keys import spec_defaults
from cluster.control.asking import Call, ask
from cluster.control.attempts import Slot
from cluster.control.backoff import over
from cluster.control.fleet import Fleet
from cluster.control.images import Images
from cluster.control.loop import Effect, Fenced, Turn
from cluster.control.plan import Start, Stop, plan, request
from cluster.control.pre import held
from cluster.control.secret_values import Unresolved, secret_values
from cluster.control.specs import old_specs, spec_for
from cluster.control.volumes import VolumeKeeper
from cluster.control.workers import Outcome, Workers
from cluster.engine.base import Container, Engine, EngineError
from cluster.sealing import Keyring
from cluster.state.model import App, Place
from orchestry.spec.model import AppSpec, Defaults

logger = logging.getLogger(__name__)

ACTIONS_PER_APP_MAX = 16
RETRY_S = 1.0
DRAIN_ACK_S = 2.0
"""How long a stop waits for an ingress that does not answer."""


Deleted = tuple[str, int]
"""Name and revision of an app that is being deleted."""


class Reconciler:
    """Carries out `plan`, bounded and in parallel; every step may be repeated.

    `out_of_ingress(container_id)` tells whether no ingress sends it requests any more, and
    `drained(container_id)` whether all that it was sent are answered.
    """

    name = "reconcile"

    def __init__(
        self,
        engine: Engine,
        fleet: Fleet,
        workers: Workers,
        out_of_ingress: Callable[[str], bool],
        clock: Clock,
        *,
        drained: Callable[[str], bool],
        configured: Configured,
        keyring: Keyring,
        volumes: VolumeKeeper,
        images: Images,
    ) -> None:
        self._engine = engine
        self._fleet = fleet
        self._workers = workers
        self._out_of_ingress = out_of_ingress
        self._drained = drained
        self._clock = clock
        self._configured = configured
        self._keyring = keyring
        self._volumes = volumes
        self._images = images
        self._scales_max = 0
        self._starting: set[str] = set()
        """Apps with starts under way."""
        self._deleting_since_s: dict[Deleted, float] = {}

    def reset(self) -> None:
        """What was begun under an older lease is found again by observation."""
        self._deleting_since_s.clear()
        self._starting.clear()

    def step(self, turn: Turn) -> None:
        """Begin what the plan asks for; without an observation nothing is asked for."""
        if self._fleet.holds(turn.state):
            return
        self._fleet.keep_only(turn.state)
        self._forget_deleted(turn)
        by_app = self._fleet.by_app()
        self._scales_max = self._configured(turn.state.config).max_concurrent_scales
        self._starting = {
            name for name in self._starting if self._workers.running(f"start:{name}:")}
        defaults = spec_defaults(turn.state.config)
        for name in sorted({*by_app, *turn.state.apps}):
            with turn.apart(name):
                self._one(turn, name, by_app.get(name, []), defaults)

    def _one(
        self, turn: Turn, name: str, observed: Sequence[Container], defaults: Defaults
    ) -> None:
        app = turn.state.apps.get(name)
        spec = spec_for(app, defaults) if app else None
        if app is not None and spec is None:
            return
        older = old_specs(app, defaults) if app is not None else {}
        actions = plan(
            app, spec, observed, replace=self._fleet.to_replace, old_specs=older,
            over=self._over(name, spec))
        if not actions and not (app is not None and app.deleting):
            self._fleet.solved(name)
        self._keep(name, observed, {a.container_id for a in actions if isinstance(a, Stop)})
        for action in actions:
            if isinstance(action, Stop):
                self._stop(turn, name, action)
            elif app is not None and spec is not None:
                self._start(turn, app, older.get(action.template, spec), action)
        if app is not None and app.deleting:
            self._finish(turn, app, observed)

    def _over(self, app: str, spec: AppSpec | None) -> frozenset[Place]:
        """Where a replica ended that the restart policy, as it is now, wants no more."""
        return frozenset(
            one.place for one in self._fleet.attempts.of_app(app)
            if one.over and spec is not None and over(one.last, spec))

    def _forget_deleted(self, turn: Turn) -> None:
        """An app of the same name may come again: only present deletions are remembered."""
        present = {
            (app.name, app.revision) for app in turn.state.apps.values() if app.deleting
        }
        for gone in [deleted for deleted in self._deleting_since_s if deleted not in present]:
            del self._deleting_since_s[gone]
        self._volumes.forget(present)

    def _room(self, lane: str, app: str) -> bool:
        """An app takes at most half of what is free, so that no few of them block the rest."""
        most = min(ACTIONS_PER_APP_MAX, max(1, self._workers.free(lane) // 2))
        return self._workers.running(f"{lane}:{app}:") < most

    def _waits(self, slot: Slot, action: Start) -> bool:
        """Whether this start waits for those of other apps; the repair of a failed replica never.

        An app is under way while one of its starts is, so that the first by name is done first.
        """
        if not self._scales_max or action.replaces or self._fleet.attempts.is_failing(slot):
            return False
        return slot[0] not in self._starting and len(self._starting) >= self._scales_max

    def _keep(self, app: str, observed: Sequence[Container], stopping: set[str]) -> None:
        """What is wanted again before its stop was carried out serves on."""
        for container in observed:
            if container.id in stopping or container.id not in self._fleet.draining:
                continue
            if not self._workers.running(f"stop:{app}:{container.id}"):
                del self._fleet.draining[container.id]
                self._fleet.touch()

    def _start(self, turn: Turn, app: App, spec: AppSpec, action: Start) -> None:
        fleet, slot = self._fleet, (app.name, action.template or app.made_from, action.slot)
        if fleet.engine_fault or not self._room("start", app.name):
            return
        if app.name in fleet.deciding:
            return
        waits = None if action.template else held(app, turn.state.runs)
        if waits is not None:
            if waits.phase == "failed":
                fleet.blocked(app.name, waits.reason)
            return
        if not fleet.attempts.may_start(slot) or self._waits(slot, action):
            return
        pinned = self._images.ref(app, slot[1])
        if pinned is None:
            return
        ended = fleet.containers.get(action.replaces)
        if ended is not None and ended.phase == "exited" and not fleet.attempts.knows(ended):
            return  # how it ended decides when it comes again
        try:
            values = secret_values(spec, turn.state.secrets, slot[1], self._keyring)
        except Unresolved as error:
            fleet.blocked(app.name, error.reason)
            return
        order = request(
            app, spec, action.slot, cluster_id=turn.state.cluster_id, epoch=turn.lease.epoch,
            template=action.template, secrets=values, pinned=pinned,
        )

        def job() -> Container:
            with turn.act(Effect("docker", "start", app.name, f"{app.name}-{action.slot}")):
                return self._engine.run(order, guard=turn.guard)

        def done(outcome: Outcome) -> None:
            fleet.starting.discard(slot)
            if outcome.error is None:
                if action.replaces and action.replaces != outcome.value.id:
                    fleet.removed(action.replaces)
                fleet.started(outcome.value)
                fleet.solved(app.name)
            elif isinstance(outcome.error, EngineError):
                logger.warning(
                    "starting %s-%s failed: %s", app.name, action.slot, outcome.error.reason
                )
                if pinned and outcome.error.fault == "image_missing":
                    self._images.lost(pinned)
                else:
                    fleet.engine_failed(outcome.error, app.name)
                fleet.attempts.refused(slot)
            elif not isinstance(outcome.error, Fenced):
                logger.error("starting %s failed", app.name, exc_info=outcome.error)
                fleet.attempts.refused(slot)

        call = Call("start", f"start:{app.name}:{action.slot}:{slot[1]}", app.name,
                    f"Starting {app.name}-{action.slot}")
        if ask(fleet, self._workers, call, job, done):
            self._starting.add(app.name)
            fleet.starting.add(slot)

    def _stop(self, turn: Turn, app: str, action: Stop) -> None:
        fleet, container_id = self._fleet, action.container_id
        if container_id not in fleet.draining:
            fleet.draining[container_id] = turn.now_s
            fleet.touch()
            return  # the ingress loop takes it out first
        since_s = fleet.draining[container_id]
        waited_s = turn.now_s - since_s
        if not self._out_of_ingress(container_id):
            if waited_s < DRAIN_ACK_S:
                return
        elif waited_s < action.drain_s and not self._drained(container_id):
            return
        refused_s = fleet.stop_refused_s.get(container_id)
        if refused_s is not None and turn.now_s - refused_s < RETRY_S:
            return
        if not self._room("stop", app):
            return

        def job() -> None:
            with turn.act(Effect("docker", "stop", app, container_id)):
                self._engine.stop(container_id, grace_s=action.grace_s)

        def done(outcome: Outcome) -> None:
            if outcome.error is None:
                fleet.removed(container_id)
                fleet.solved(app)
                return
            fleet.stop_refused_s[container_id] = self._clock.monotonic_s()
            if isinstance(outcome.error, EngineError):
                fleet.engine_failed(outcome.error, app)
                logger.warning("stopping %s failed: %s", container_id[:12], outcome.error.reason)
            elif not isinstance(outcome.error, Fenced):
                logger.error("stopping failed", exc_info=outcome.error)

        ask(fleet, self._workers, Call(
            "stop", f"stop:{app}:{container_id}", app, f"Stopping {container_id[:12]}"), job, done)

    def _finish(self, turn: Turn, app: App, observed: Sequence[Container]) -> None:
        """Forget a deleted app after a fresh look found nothing of it."""
        deleted = (app.name, app.revision)
        since_s = self._deleting_since_s.setdefault(deleted, turn.now_s)
        fresh = (self._fleet.observed_from_s or 0.0) > since_s
        running = self._workers.running
        busy = any(running(f"{what}:{app.name}:") for what in ("start", "stop", "run"))
        if observed or not fresh or busy or self._fleet.has_runs(app.name):
            return
        self._volumes.finish(turn, app)
