"""Measurer: looks at the counters of the ingresses for those who compare and tell."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from cluster.clock import Clock
from cluster.control.fleet import Fleet
from cluster.control.loop import Turn
from cluster.control.meter import Look, Meter, look
from cluster.control.workers import Outcome, Workers
from cluster.ingress.base import Ingress, IngressError

logger = logging.getLogger(__name__)

BUSY_S = 1.0
"""Between two looks while a rollout is under way."""
IDLE_S = 15.0


class Measurer:
    """Owns the meter under one lease; looks more often while a rollout is under way.

    And while somebody `hurries`, who waits for the next look.
    """

    name = "measure"

    def __init__(
        self, ingresses: Sequence[Ingress], fleet: Fleet, workers: Workers, clock: Clock
    ) -> None:
        self._ingresses = list(ingresses)
        self._fleet = fleet
        self._workers = workers
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Count anew: what was counted before is another leader's."""
        self.meter = Meter([ingress.name for ingress in self._ingresses])
        self._next_s: dict[str, float] = {}
        self.hurries = False

    def step(self, turn: Turn) -> None:
        """Look where it is due."""
        if self._fleet.holds(turn.state):
            return
        busy = self.hurries or any(app.rollout is not None for app in turn.state.apps.values())
        period_s = BUSY_S if busy else IDLE_S
        for ingress in self._ingresses:
            due_s = min(self._next_s.get(ingress.name, turn.now_s), turn.now_s + period_s)
            if turn.now_s >= due_s and self._look(ingress):
                due_s = turn.now_s + period_s
            self._next_s[ingress.name] = due_s

    def _look(self, ingress: Ingress) -> bool:
        meter = self.meter

        def job() -> Look:
            stats = ingress.stats()
            return look(stats, self._clock.monotonic_s())

        def done(outcome: Outcome) -> None:
            if outcome.error is None:
                meter.add(ingress.name, outcome.value)
            elif not isinstance(outcome.error, IngressError):
                logger.error("counters of ingress %s", ingress.name, exc_info=outcome.error)

        return self._workers.start("stats", f"measure:{ingress.name}", job, done)
