"""Volumes: removed when a deletion asks for it, and by nothing else.

What goes is in the state before it is touched, so that a successor ends what was begun, and
counts the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cluster.clock import Clock
from cluster.control.asking import Call, ask
from cluster.control.fleet import Fleet
from cluster.control.loop import Effect, Fenced, Turn
from cluster.control.workers import Done, Outcome, Workers
from cluster.engine.base import Engine, EngineError
from cluster.state.commands import EndVolumeRemoval, FinishDelete, NameVolumes
from cluster.state.model import App, VolumeRemoval
from cluster.state.volume_names import goes_with
from cluster.state.volumes import NAMED_MAX

logger = logging.getLogger(__name__)

RETRY_S = 1.0
PARALLEL = 8
"""Removals of single volumes at once: more than are tried of what hangs."""

Deletion = tuple[str, int, int]
"""Name and revision of an app that is being deleted, and how many volumes were named."""


@dataclass(frozen=True, slots=True)
class _Ended:
    removal: VolumeRemoval
    problem: str


class VolumeKeeper:
    """Removes volumes of deleted apps, and those that they left when somebody asks for it."""

    name = "volumes"

    def __init__(self, engine: Engine, fleet: Fleet, workers: Workers, clock: Clock) -> None:
        self._engine = engine
        self._fleet = fleet
        self._workers = workers
        self._clock = clock
        self._left: dict[Deletion, tuple[str, ...]] = {}
        """Volumes that are there still, after those that were named have gone."""
        self._ended: dict[str, _Ended] = {}
        self._not_before_s: dict[str, float] = {}

    def reset(self) -> None:
        """What was begun under an older lease is found again by looking."""
        self._left.clear()
        self._ended.clear()
        self._not_before_s.clear()

    def step(self, turn: Turn) -> None:
        """Go on with each removal that the state has."""
        removals = turn.state.volume_removals
        for name in [name for name in self._ended if name not in removals]:
            del self._ended[name]
        if not removals or self._fleet.holds(turn.state) or self._fleet.engine_fault:
            return
        for name, removal in sorted(removals.items()):
            ended = self._ended.get(name)
            if ended is not None and ended.removal.index == removal.index:
                turn.propose(f"volume:{name}", EndVolumeRemoval(
                    name, removal.index, ended.problem))
            elif self._workers.running("stop::") < PARALLEL:
                with turn.apart(removal.app):
                    self._remove(turn, removal)

    def finish(self, turn: Turn, app: App) -> None:
        """Forget a deleted app of which nothing runs, after its volumes unless it keeps them."""
        if app.keep_data:
            turn.propose(f"finish:{app.name}", FinishDelete(app.name, app.revision, 0))
            return
        deletion = (app.name, app.revision, app.volumes_named)
        left = self._left.get(deletion)
        if left is None:
            self._clear(turn, app, deletion)
        elif left:
            turn.propose(f"finish:{app.name}", NameVolumes(
                app.name, app.revision, app.volumes_named, left[:NAMED_MAX]))
        else:
            turn.propose(f"finish:{app.name}", FinishDelete(
                app.name, app.revision, app.volumes_named))

    def forget(self, present: set[tuple[str, int]]) -> None:
        """An app of the same name may come again: only present deletions are remembered."""
        for deletion in [one for one in self._left if one[:2] not in present]:
            del self._left[deletion]

    def _clear(self, turn: Turn, app: App, deletion: Deletion) -> None:
        """Remove those that were named, and see what else there is."""
        cluster_id, named = turn.state.cluster_id, frozenset(app.leaving_volumes)

        def job() -> tuple[str, ...]:
            there = [one.name for one in self._engine.volumes(cluster_id) if one.app == app.name]
            for name in there:
                if name in named:
                    with turn.act(Effect("docker", "remove volume", app.name, name)):
                        self._engine.remove_volume(cluster_id, name, guard=turn.guard)
            return tuple(
                name for name in there if name not in named and goes_with(app, name))

        def done(outcome: Outcome) -> None:
            if outcome.error is None:
                self._left[deletion] = outcome.value
                self._fleet.solved(app.name)
            elif isinstance(outcome.error, EngineError):
                self._fleet.engine_failed(outcome.error, app.name)
                logger.warning("removing volumes of %s: %s", app.name, outcome.error.reason)
            self._look_at(outcome, app.name)

        call = Call(
            "stop", f"stop:{app.name}:volumes", app.name, f"Removing the volumes of {app.name}")
        self._start(turn, call, app.name, job, done)

    def _remove(self, turn: Turn, removal: VolumeRemoval) -> None:
        cluster_id, name = turn.state.cluster_id, removal.name

        def job() -> None:
            with turn.act(Effect("docker", "remove volume", removal.app, name)):
                self._engine.remove_volume(cluster_id, name, guard=turn.guard)

        def done(outcome: Outcome) -> None:
            error = outcome.error
            if error is None:
                self._ended[name] = _Ended(removal, "")
            elif isinstance(error, EngineError) and not error.retryable:
                self._ended[name] = _Ended(removal, error.reason)
            self._look_at(outcome, name)

        call = Call("stop", f"stop::{name}", removal.app, f"Removing volume {name}")
        self._start(turn, call, name, job, done)

    def _start(self, turn: Turn, call: Call, what: str, job: Callable[[], Any], done: Done) -> None:
        if turn.now_s >= self._not_before_s.get(what, 0.0):
            self._not_before_s.pop(what, None)
            ask(self._fleet, self._workers, call, job, done)

    def _look_at(self, outcome: Outcome, what: str) -> None:
        """After a failure, wait."""
        if outcome.error is None:
            return
        self._not_before_s[what] = self._clock.monotonic_s() + RETRY_S
        if not isinstance(outcome.error, (EngineError, Fenced)):
            logger.error("removing volumes failed", exc_info=outcome.error)
