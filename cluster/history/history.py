"""History: the events and measurements that this controller can tell about."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from cluster.clock import Clock
from cluster.history.base import HistoryError, HistoryStore, Point, Retention, Sample, Wanted
from cluster.history.peers import EventPage, Fetch, no_peer
from cluster.history.recorder import Recorder
from cluster.history.sync import CatchUp, Forwarder
from cluster.state.model import ClusterState, EventRecord

logger = logging.getLogger(__name__)

REST_S = 0.25
"""Between two writes to disk: a crash costs what came since, which the log brings again."""
IDLE_S = 5.0
SYNC_S = 1.0
SAMPLES_S = 5.0
MAINTAIN_S = 60.0
RETRY_S = 2.0


OpenLocal = Callable[[], tuple[HistoryStore | None, str]]


def _nothing() -> tuple[HistoryStore | None, str]:
    return None, "there is no history file"


class Log(Protocol):
    """The part of the replicated log that the history looks at."""

    def state(self) -> ClusterState:
        """The latest applied state."""

    def leader_id(self) -> str | None:
        """Who leads."""


@dataclass(frozen=True, slots=True)
class Page:
    """Events, newest first; `total` are all that match, `complete` says that none is missing."""

    events: tuple[EventRecord, ...]
    total: int
    has_more: bool
    complete: bool = True


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """How the stores do, for people."""

    status: Literal["healthy", "degraded"]
    detail: str
    response_time_ms: float | None
    backend: Literal["sqlite", "postgresql"]
    events_behind: int


class History:
    """Owns the stores and two threads: one writes to disk, one speaks to others.

    `open_local` opens this controller's own file when the history starts, or tells why it
    cannot be used: the replicated state then still tells the newest events.
    """

    def __init__(
        self, node_id: str, log: Log, clock: Clock, *, open_local: OpenLocal = _nothing,
        remote: HistoryStore | None = None, fetch: Fetch = no_peer,
        remote_fault: str = "", retention: Callable[[], Retention] = Retention,
        prepare: Callable[[], int | None] = lambda: 1,
    ) -> None:
        """`prepare` is called before PostgreSQL is used, until it tells how many connections
        there will be."""
        self._id = node_id
        self._log = log
        self._clock = clock
        self._open_local = open_local
        self._local: HistoryStore | None = None
        self._remote = remote
        self._fetch_url = fetch
        self._retention = retention
        self._prepare = prepare
        self.pool_size: int | None = None
        """Connections to PostgreSQL at most; None while it is not used."""
        self._local_fault, self._remote_fault = "", remote_fault
        self._response_ms: float | None = None
        self._cut_until_s = 0.0
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._recorder = Recorder(self._wake.set)
        self._catch_up: CatchUp | None = None
        self._forwarder: Forwarder | None = None
        self._led = False
        self._threads: list[threading.Thread] = []

    # -- what comes in -----------------------------------------------------------------

    def applied(self, events: Sequence[EventRecord]) -> None:
        """Events that the log brought, in its thread; never waits."""
        self._recorder.applied(events)

    def measured(self, app: str, point: Point) -> None:
        """A measurement by this controller, which leads; never waits."""
        self._recorder.measured(Sample(app, point))

    def cut_off(self, seconds: float) -> None:
        """Take PostgreSQL for unreachable for so long: a drill."""
        self._cut_until_s = self._clock.monotonic_s() + seconds

    # -- what is asked -----------------------------------------------------------------

    def page(
        self, state: ClusterState, wanted: Wanted, *, limit: int, before: int | None = None
    ) -> Page:
        """Events as of `state`, newest first: from the state itself, older ones from disk.

        Raises:
            HistoryError: the disk does not answer.
        """
        ring = state.events
        first = ring[0].id if ring else state.next_event_id
        matching = [event for event in reversed(ring) if wanted.includes(event)]
        found = [e for e in matching if before is None or e.id < before][:limit + 1]
        total, complete = len(matching), True
        if first > 1:
            if self._local is None:
                complete = False
            else:
                cluster = state.cluster_id
                total += self._local.count_events(cluster, wanted, before=first)
                if len(found) <= limit:
                    found += self._local.events(
                        cluster, wanted, limit=limit + 1 - len(found),
                        before=first if before is None else min(first, before))
                complete = self._recorder.knows and not self._recorder.gaps
        return Page(tuple(found[:limit]), total, len(found) > limit, complete)

    def resume(self, state: ClusterState, after: int, limit: int) -> EventPage:
        """The first events with a higher id than `after`, oldest first; `complete` unless some
        of those up to the last are still asked of other controllers.

        Raises:
            HistoryError: the disk does not answer.
        """
        ring = state.events
        first = ring[0].id if ring else state.next_event_id
        found: list[EventRecord] = []
        complete = True
        if after + 1 < first:
            complete = self._local is not None and self._recorder.knows and not any(
                gap.before > after + 1 and gap.after < first for gap in self._recorder.gaps)
            if self._local is not None:
                found = list(self._local.events(
                    state.cluster_id, Wanted(), after=after, before=first, limit=limit,
                    newest_first=False))
        found += [event for event in ring if event.id > after]
        return EventPage(tuple(found[:limit]), complete)

    def for_peer(self, cluster_id: str, after: int, before: int, limit: int) -> EventPage:
        """Events from this controller's disk for another that missed them.

        Raises:
            HistoryError: the disk does not answer.
        """
        if self._local is None:
            return EventPage((), complete=False)
        found = self._local.events(
            cluster_id, Wanted(), after=after, before=before, limit=limit, newest_first=False)
        overlaps = any(gap.before > after and gap.after < before for gap in self._recorder.gaps)
        complete = not overlaps and self._recorder.complete_to >= before - 1
        return EventPage(tuple(found), complete)

    def samples_for_peer(self, cluster_id: str, after_ms: int, limit: int) -> Sequence[Sample]:
        """Measurements from this controller's disk.

        Raises:
            HistoryError: the disk does not answer.
        """
        if self._local is None:
            return ()
        return self._local.samples_after(cluster_id, after_ms, limit)

    def points(self, app: str, *, count: int, interval_s: int) -> Sequence[Point]:
        """The newest points of an app, oldest first.

        Raises:
            HistoryError: the disk does not answer.
        """
        if self._local is None:
            return ()
        return self._local.points(
            self._log.state().cluster_id, app, count=count, interval_s=interval_s)

    def status(self) -> StoreStatus:
        """How the stores do, as last seen."""
        faults = [fault for fault in (
            f"this controller's file: {self._local_fault}" if self._local_fault else "",
            f"PostgreSQL: {self._remote_fault}" if self._remote_fault else "",
            "events are missing here and asked of other controllers"
            if self._recorder.gaps else "",
        ) if fault]
        return StoreStatus(
            "degraded" if faults else "healthy", "; ".join(faults), self._response_ms,
            "postgresql" if self._remote is not None else "sqlite",
            self._forwarder.behind if self._forwarder is not None else 0,
        )

    # -- threads -----------------------------------------------------------------------

    def open(self) -> bool:
        """Open the file; False when it cannot be used."""
        self._local, self._local_fault = self._open_local()
        if self._local is None:
            return False
        self._catch_up = CatchUp(self._recorder, self._local, self._fetch_url)
        if self._remote is not None:
            self._forwarder = Forwarder(self._recorder, self._local, self._remote)
        return True

    def start(self) -> None:
        """Open the file, and begin to record."""
        if not self.open():
            return
        for name, step, rest_s in (
            ("history", self._record, REST_S), ("history-sync", self._sync, SYNC_S),
        ):
            thread = threading.Thread(
                target=self._run, args=(step, rest_s), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self, timeout_s: float = 3.0) -> None:
        """Write what waits, and end."""
        self._stop.set()
        self._wake.set()
        until_s = self._clock.monotonic_s() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, until_s - self._clock.monotonic_s()))
        if self._threads:
            try:
                self.flush()
            except HistoryError as error:
                logger.warning("the last events are not on disk: %s", error.reason)
        for store in (self._local, self._remote):
            if store is not None:
                store.close()

    def _run(self, step: Callable[[], float], rest_s: float) -> None:
        while not self._stop.wait(rest_s):
            try:
                idle_s = step()
            except Exception:
                logger.exception("the history failed")
                idle_s = RETRY_S
            if idle_s:
                self._stop.wait(idle_s)

    def flush(self) -> None:
        """Write everything that waits to disk.

        Raises:
            HistoryError: it stays waiting.
        """
        state = self._log.state()
        if self._local is not None and state.cluster_id:
            self._recorder.flush(self._local, state.cluster_id, state.leadership.epoch)

    _maintained_s = 0.0

    def _record(self) -> float:
        self._wake.wait(IDLE_S)
        self._wake.clear()
        began_s = self._clock.monotonic_s()
        try:
            self.flush()
            state = self._log.state()
            if state.cluster_id and began_s >= self._maintained_s + MAINTAIN_S:
                self._maintained_s = began_s
                assert self._local is not None
                self._local.maintain(state.cluster_id, self._clock.wall_ms(), self._retention())
        except HistoryError as error:
            self._failed("_local_fault", error, "this controller's history file")
            return RETRY_S
        if self._remote is None:
            self._response_ms = round((self._clock.monotonic_s() - began_s) * 1000, 1)
        self._recovered("_local_fault", "this controller's history file")
        return 0.0

    _synced_s = 0.0
    _remote_maintained_s = 0.0

    def _sync(self) -> float:
        state, leader = self._log.state(), self._log.leader_id()
        if not state.cluster_id or leader is None or self._catch_up is None:
            return 0.0
        leads = leader == self._id
        if leads and not self._led and self._forwarder is not None:
            self._forwarder.restart()
        self._led = leads
        if self._remote is not None and self.pool_size is None:
            self.pool_size = self._prepare()
        self._fetch(state, leader, leads)
        if self._remote is None or self._forwarder is None:
            return 0.0 if self._recorder.gaps else SYNC_S
        if self.pool_size is None:
            return RETRY_S
        began_s = self._clock.monotonic_s()
        try:
            if began_s < self._cut_until_s:
                raise HistoryError("is taken for unreachable by a drill")
            self._remote.ping()
            self._response_ms = round((self._clock.monotonic_s() - began_s) * 1000, 1)
            if leads:
                self._forwarder.step(state.cluster_id, state.leadership.epoch)
                if began_s >= self._remote_maintained_s + MAINTAIN_S:
                    self._remote_maintained_s = began_s
                    self._forwarder.maintain(
                        state.cluster_id, self._clock.wall_ms(), self._retention())
        except HistoryError as error:
            self._failed("_remote_fault", error, "PostgreSQL")
            return RETRY_S
        self._recovered("_remote_fault", "PostgreSQL")
        return 0.0 if leads else SYNC_S

    def _fetch(self, state: ClusterState, leader: str, leads: bool) -> None:
        assert self._catch_up is not None
        urls = _leader_first(
            {name: info.api_url for name, info in state.controllers.items() if name != self._id},
            leader)
        try:
            self._catch_up.events(
                state.cluster_id, urls, self._remote if self.pool_size is not None else None)
            now_s = self._clock.monotonic_s()
            if not leads and leader in urls and now_s >= self._synced_s + SAMPLES_S:
                self._synced_s = now_s
                self._catch_up.samples(state.cluster_id, state.leadership.epoch, urls[leader])
        except HistoryError as error:
            self._failed("_local_fault", error, "this controller's history file")

    def _failed(self, which: str, error: HistoryError, name: str) -> None:
        if getattr(self, which) != error.reason:
            logger.warning("%s: %s", name, error.reason)
            setattr(self, which, error.reason)

    def _recovered(self, which: str, name: str) -> None:
        if getattr(self, which):
            logger.info("%s is well again", name)
            setattr(self, which, "")


def _leader_first(urls: Mapping[str, str], leader: str) -> dict[str, str]:
    return dict(sorted(urls.items(), key=lambda item: (item[0] != leader, item[0])))
