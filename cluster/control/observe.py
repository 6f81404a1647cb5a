"""Observer: keeps the fleet's containers true."""

from __future__ import annotations

import logging
import queue

from cluster.control.fleet import Fleet
from cluster.control.loop import Turn
from cluster.control.workers import Outcome, Workers
from cluster.engine.base import Engine, EngineError, EngineEvent

logger = logging.getLogger(__name__)

RESYNC_S = 5.0
RETRY_S = 1.0
HINTS_MAX = 10_000


class Observer:
    """Asks the engine after every hint, and each 5 s in any case."""

    name = "observe"

    def __init__(self, engine: Engine, fleet: Fleet, workers: Workers) -> None:
        self._engine = engine
        self._fleet = fleet
        self._workers = workers
        self._hints: queue.Queue[EngineEvent] = queue.Queue(HINTS_MAX)
        self._due_s = 0.0
        self._round = 0

    def reset(self) -> None:
        """Observe at once; what was asked for before does not count any more."""
        self._due_s = 0.0
        self._round += 1

    def hint(self, event: EngineEvent) -> None:
        """From any thread: the engine says that something changed."""
        try:
            self._hints.put_nowait(event)
        except queue.Full:
            return  # the resync will see it

    def step(self, turn: Turn) -> None:
        """Take the hints, then observe when due."""
        self._take_hints()
        if turn.now_s < self._due_s and not self._fleet.look_now:
            return
        state, asked_s, asked_in = turn.state, turn.now_s, self._round
        epoch = max(turn.lease.epoch, state.leadership.epoch)

        def done(outcome: Outcome) -> None:
            if asked_in != self._round:
                return
            if isinstance(outcome.error, EngineError):
                self._failed(outcome.error, asked_s)
            elif outcome.error is not None:
                logger.error("observing failed", exc_info=outcome.error)
                self._due_s = asked_s + RETRY_S
            else:
                self._fleet.engine_answers()
                self._fleet.observe(outcome.value, asked_s=asked_s, state=state)
                newer = [c for c in outcome.value if c.epoch > epoch]
                if newer and not state.awaiting_restore:
                    self._fleet.overtake(f"container {newer[0].name} is")

        cluster_id = state.cluster_id
        if self._workers.start(
            "observe", "observe", lambda: self._engine.observe(cluster_id), done
        ):
            self._fleet.begin_observation()
            self._fleet.look_now = False
            self._due_s = turn.now_s + RESYNC_S

    def _take_hints(self) -> None:
        for _ in range(HINTS_MAX):
            try:
                event = self._hints.get_nowait()
            except queue.Empty:
                return
            if event.kind == "died":
                self._fleet.died(event.container_id)
            elif event.kind == "removed":
                self._fleet.removed(event.container_id)
            self._due_s = 0.0

    def _failed(self, error: EngineError, asked_s: float) -> None:
        """No observation: hold everything that is known."""
        if self._fleet.engine_silent(error.reason):
            logger.warning("the engine does not answer: %s", error.reason)
        self._due_s = asked_s + RETRY_S
