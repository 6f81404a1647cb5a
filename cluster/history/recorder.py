"""Recorder: what the log and the leader's measurements tell, onto this controller's disk.

Every controller applies every event, so each records for itself and loses nothing with any
other. Source: docs/adr/0015-history-beside-the-log.md.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from cluster.history.base import HistoryStore, Sample
from cluster.state.model import GENERATION, EventRecord

logger = logging.getLogger(__name__)

EVENTS_WAITING_MAX = 100_000
SAMPLES_WAITING_MAX = 100_000
BATCH_MAX = 2_000

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Gap:
    """Events with `after` < id < `before` that this controller did not see being applied."""

    after: int
    before: int


class Recorder:
    """Takes events in the Raft thread and measurements in the control thread, without waiting.

    `flush` belongs to one thread.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._events: deque[EventRecord] = deque()
        self._samples: deque[Sample] = deque()
        self._last_id: int | None = None
        self._gaps: list[Gap] = []
        self.dropped = 0

    def applied(self, events: Sequence[EventRecord]) -> None:
        """Events of one entry, or all of a snapshot; never waits."""
        with self._lock:
            self._events.extend(events)
            while len(self._events) > EVENTS_WAITING_MAX:
                self._events.popleft()  # found again as a gap, and asked of the others
                self.dropped += 1
        self._wake()

    def measured(self, sample: Sample) -> None:
        """One measurement by this controller, which leads; never waits."""
        with self._lock:
            self._samples.append(sample)
            while len(self._samples) > SAMPLES_WAITING_MAX:
                self._samples.popleft()
        self._wake()

    def _begin(self, store: HistoryStore, cluster_id: str) -> None:
        """Learn from the store what is there already."""
        gaps = [Gap(*pair) for pair in store.event_gaps(cluster_id, GENERATION)]
        last_id = store.last_event_id(cluster_id)
        with self._lock:
            self._gaps, self._last_id = gaps, last_id

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What is still missing, oldest first."""
        with self._lock:
            return tuple(self._gaps)

    def filled(self, gap: Gap, up_to: int | None = None) -> None:
        """All of a gap is there, or nobody has it; with `up_to`, as far as that id."""
        with self._lock:
            place = self._gaps.index(gap)
            rest = [Gap(up_to, gap.before)] if up_to is not None else []
            self._gaps[place:place + 1] = rest

    @property
    def knows(self) -> bool:
        """Whether the store was looked at, and so what is missing is known."""
        return self._last_id is not None

    @property
    def complete_to(self) -> int:
        """The id up to which nothing is missing here."""
        with self._lock:
            return self._gaps[0].after if self._gaps else self._last_id or 0

    @property
    def waiting(self) -> int:
        """Events that are not on disk yet."""
        return len(self._events)

    def flush(self, store: HistoryStore, cluster_id: str, epoch: int) -> None:
        """Write everything that waits.

        Raises:
            HistoryError: it stays waiting.
        """
        if self._last_id is None:
            self._begin(store, cluster_id)
        while batch := self._first(self._events):
            store.append_events(cluster_id, batch)
            with self._lock:
                self._note(batch)
                self._remove(self._events, batch)
        while found := self._first(self._samples):
            store.append_samples(cluster_id, epoch, found)
            with self._lock:
                self._remove(self._samples, found)

    def _first(self, queue: deque[Item]) -> list[Item]:
        with self._lock:
            return [queue[i] for i in range(min(len(queue), BATCH_MAX))]

    def _remove(self, queue: deque[Item], batch: list[Item]) -> None:
        # Some of the batch may have been dropped meanwhile.
        done = {id(item) for item in batch}
        while queue and id(queue[0]) in done:
            queue.popleft()

    def _note(self, batch: Sequence[EventRecord]) -> None:
        last = self._last_id or 0
        for event in batch:
            # The first id after a restore or a rescue is a multiple of GENERATION: between
            # it and the one before there is nothing.
            if event.id > last + 1 and event.id % GENERATION:
                self._gaps.append(Gap(last, event.id))
            last = max(last, event.id)
        self._last_id = last
