"""History: values, and what a store of them can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cluster.state.model import EventRecord

RESOLUTIONS_S = (0, 60, 3600)
"""Single measurements, and means over a minute and over an hour."""
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Point:
    """One app at one moment (Unix, ms); CPU and memory are means over its replicas in percent
    of their own limits. None where it was not measured."""

    at_ms: int
    cpu_percent: float | None = None
    memory_percent: float | None = None
    memory_bytes: int | None = None
    rps: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    connections: float | None = None
    errors_per_s: float | None = None
    bytes_per_s: float | None = None
    healthy: int = 0
    total: int = 0


NUMBERS = (
    "cpu_percent", "memory_percent", "memory_bytes", "rps", "p50_ms", "p95_ms", "p99_ms",
    "connections", "errors_per_s", "bytes_per_s", "healthy", "total",
)
WHOLE = frozenset({"memory_bytes", "healthy", "total"})


@dataclass(frozen=True, slots=True)
class Sample:
    """A measurement of one app."""

    app: str
    point: Point


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events: of one app, of one type, not older than `since_ms`; all by default.

    With `apps` only those of applications whose names begin so; `public` leaves the audit out.
    """

    app: str | None = None
    type: str | None = None
    since_ms: int = 0
    apps: str = ""
    public: bool = False

    def includes(self, event: EventRecord) -> bool:
        """True for an event that is asked for."""
        return (
            self.app in (None, event.app) and self.type in (None, event.type)
            and event.at_ms >= self.since_ms and event.app.startswith(self.apps)
            and not (self.public and event.type == "audit")
        )


@dataclass(frozen=True, slots=True)
class Retention:
    """How long what is kept."""

    raw_ms: int = 24 * HOUR_MS
    minute_ms: int = 7 * DAY_MS
    hour_ms: int = 90 * DAY_MS
    events_ms: int = 90 * DAY_MS

    def of(self, resolution_s: int) -> int:
        """How long points of a resolution are kept, in ms."""
        return {0: self.raw_ms, 60: self.minute_ms, 3600: self.hour_ms}[resolution_s]


class HistoryError(Exception):
    """The store failed; `reason` is for people."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class HistoryStore(Protocol):
    """Events and measurements of clusters; every method may raise HistoryError.

    Writing the same again changes nothing. Thread-safe.
    """

    def migrate(self) -> None:
        """Bring the tables up to this version; several controllers may do it at once."""

    def ping(self) -> None:
        """Ask the least that there is."""

    def append_events(self, cluster_id: str, events: Sequence[EventRecord]) -> None:
        """Keep events, all or none; one with the id of another takes its place."""

    def last_event_id(self, cluster_id: str) -> int:
        """The highest id, 0 without any."""

    def events(
        self, cluster_id: str, wanted: Wanted, *, after: int = 0, before: int | None = None,
        limit: int = 100, newest_first: bool = True,
    ) -> Sequence[EventRecord]:
        """Events with `after` < id < `before`."""

    def event_gaps(self, cluster_id: str, generation: int) -> Sequence[tuple[int, int]]:
        """Pairs of ids between which ids are missing; one that `generation` divides begins anew."""

    def count_events(
        self, cluster_id: str, wanted: Wanted, *, after: int = 0, before: int | None = None
    ) -> int:
        """How many those are."""

    def append_samples(self, cluster_id: str, epoch: int, samples: Sequence[Sample]) -> bool:
        """Keep measurements of the leader of `epoch`; False when a later one wrote already."""

    def samples_after(
        self, cluster_id: str, at_ms: int, limit: int
    ) -> Sequence[Sample]:
        """Single measurements later than `at_ms`, oldest first: about `limit`, and always all
        of one moment."""

    def last_sample_ms(self, cluster_id: str) -> int:
        """The moment of the newest, 0 without any."""

    def points(
        self, cluster_id: str, app: str, *, count: int, interval_s: int = 0
    ) -> Sequence[Point]:
        """The newest `count` points of an app, oldest first; means over `interval_s` if not 0."""

    def maintain(self, cluster_id: str, now_ms: int, retention: Retention) -> None:
        """Fold measurements into means, and delete what is too old or too much; bounded work."""

    def close(self) -> None:
        """Close all connections."""
