"""Waiting: request threads that wait for the state to change, few enough to leave room."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from cluster.clock import Clock
from cluster.consensus.log import ReplicatedLog
from cluster.state.model import ClusterState
from orchestry.errors import Code, OrchestryError

WAITERS_MAX = 32
LOOK_AGAIN_S = 1.0

Found = TypeVar("Found")


class Stopping(Exception):
    """This process stops while a request waits."""


class Waiting:
    """Wakes waiting request threads at each change of the state.

    At most WAITERS_MAX of gunicorn's threads may wait; one more is refused before its
    write is proposed, so that reads, writes and health checks always find a thread.
    """

    def __init__(self, log: ReplicatedLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._changed = threading.Condition()
        self._places = threading.BoundedSemaphore(WAITERS_MAX)
        self._closed = False
        log.subscribe(self._notify)

    def close(self) -> None:
        """End every wait; the process stops."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold one of the places for a wait.

        Raises:
            OrchestryError: CLUSTER_NOT_READY when all are taken.
        """
        if not self._places.acquire(blocking=False):
            raise OrchestryError(
                Code.CLUSTER_NOT_READY,
                f"{WAITERS_MAX} requests wait on this node already and nothing was changed; "
                "try again in a second, or send `wait: false`",
            )
        try:
            yield
        finally:
            self._places.release()

    def until(
        self, look: Callable[[ClusterState], Found | None], timeout_s: float
    ) -> Found | None:
        """The first answer of `look` at a new state that is not None; None when time is up.

        Raises:
            Stopping: this process stops.
            OrchestryError: whatever `look` raises.
        """
        deadline_s = self._clock.monotonic_s() + timeout_s
        while True:
            state = self._log.state()
            found = look(state)
            if found is not None:
                return found
            left_s = deadline_s - self._clock.monotonic_s()
            if self._closed:
                raise Stopping
            if left_s <= 0:
                return None
            with self._changed:
                if self._log.state() is state and not self._closed:
                    self._changed.wait(min(left_s, LOOK_AGAIN_S))

    def _notify(self, state: ClusterState) -> None:
        with self._changed:
            self._changed.notify_all()
