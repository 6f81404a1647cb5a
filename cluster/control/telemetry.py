"""Telemetry: what the leader measured and decided, for readers in any thread; bounded.

It is lost with the process: nothing is decided from it, and a new leader measures anew.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from cluster.control.rates import Load
from cluster.scaling.decision import Decision
from cluster.scaling.replay import Round

RECORDS_MAX = 20_000
RECORDS_OF_APP = (30, 1_800)
"""At least and at most of one app; the most are an hour at the default interval."""
BUCKET_S = 300
BUCKETS_MAX = 60_000
BUCKETS_OF_APP = (24, 288)
FRESH_S = 10.0
"""An older measurement is no current one."""


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


@dataclass(frozen=True, slots=True)
class Record:
    """One round of one app: what was seen, and what came of it."""

    point: Point
    round: Round
    decision: Decision
    loads: Mapping[str, Load] = field(default_factory=dict)
    """By the replica's slot name, such as shop-1."""


@dataclass(frozen=True, slots=True)
class Totals:
    """All apps together at the ingresses; `requests` counts from this leader's begin."""

    at_ms: int = 0
    requests: int = 0
    rps: float | None = None
    error_percent: float | None = None
    mean_ms: float | None = None
    requests_by_app: Mapping[str, float] = field(default_factory=dict)
    errors_by_app: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class _Bucket:
    """Sums over BUCKET_S."""

    at_ms: int
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, point: Point) -> None:
        for name in NUMBERS:
            value = getattr(point, name)
            if value is not None:
                self.sums[name] = self.sums.get(name, 0.0) + value
                self.counts[name] = self.counts.get(name, 0) + 1


@dataclass(slots=True)
class _OfApp:
    records: deque[Record] = field(default_factory=deque)
    buckets: deque[_Bucket] = field(default_factory=deque)


class Telemetry:
    """Written by the control thread, read by request threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._apps: dict[str, _OfApp] = {}
        self._totals = Totals()

    def add(self, app: str, record: Record) -> None:
        """Keep one round of an app; the oldest goes when there are too many."""
        with self._lock:
            of = self._apps.setdefault(app, _OfApp())
            of.records.append(record)
            while len(of.records) > _share(RECORDS_MAX, RECORDS_OF_APP, len(self._apps)):
                of.records.popleft()
            start_ms = record.point.at_ms // (BUCKET_S * 1000) * BUCKET_S * 1000
            if not of.buckets or of.buckets[-1].at_ms < start_ms:
                of.buckets.append(_Bucket(start_ms))
            of.buckets[-1].add(record.point)
            while len(of.buckets) > _share(BUCKETS_MAX, BUCKETS_OF_APP, len(self._apps)):
                of.buckets.popleft()

    def sum_up(self, totals: Totals) -> None:
        """Keep the latest totals."""
        self._totals = totals

    def keep_only(self, apps: Collection[str]) -> None:
        """Forget apps that are gone."""
        with self._lock:
            for gone in [name for name in self._apps if name not in apps]:
                del self._apps[gone]

    def totals(self) -> Totals:
        """The latest totals."""
        return self._totals

    def latest(self, app: str, now_ms: int) -> Record | None:
        """The last round of an app, if it is fresh."""
        with self._lock:
            of = self._apps.get(app)
            last = of.records[-1] if of is not None and of.records else None
        return last if last is not None and _fresh(last, now_ms) else None

    def all_latest(self, now_ms: int) -> dict[str, Record]:
        """The last fresh round of each app."""
        with self._lock:
            lasts = {name: of.records[-1] for name, of in self._apps.items() if of.records}
        return {name: last for name, last in lasts.items() if _fresh(last, now_ms)}

    def records(self, app: str, *, since_ms: int = 0) -> list[Record]:
        """Rounds of an app, oldest first."""
        with self._lock:
            of = self._apps.get(app)
            found = list(of.records) if of is not None else []
        return [record for record in found if record.point.at_ms >= since_ms]

    def points(self, app: str, *, count: int, interval_s: int = 0) -> list[Point]:
        """The last `count` points, oldest first; means over `interval_s` when it is not 0."""
        if count <= 0:
            return []
        if not interval_s:
            return [record.point for record in self.records(app)[-count:]]
        with self._lock:
            of = self._apps.get(app)
            parts = [
                (bucket.at_ms, dict(bucket.sums), dict(bucket.counts))
                for bucket in of.buckets
            ] if of is not None else []
        return _wider(parts, interval_s)[-count:]


def _share(most: int, of_app: tuple[int, int], apps: int) -> int:
    return min(max(most // max(apps, 1), of_app[0]), of_app[1])


def _fresh(record: Record, now_ms: int) -> bool:
    return now_ms - record.point.at_ms <= FRESH_S * 1000


def _wider(
    parts: Sequence[tuple[int, dict[str, float], dict[str, int]]], interval_s: int
) -> list[Point]:
    """Buckets of BUCKET_S as means over wider ones."""
    wide: dict[int, _Bucket] = {}
    for at_ms, sums, counts in parts:
        start_ms = at_ms // (interval_s * 1000) * interval_s * 1000
        bucket = wide.setdefault(start_ms, _Bucket(start_ms))
        for name, total in sums.items():
            bucket.sums[name] = bucket.sums.get(name, 0.0) + total
            bucket.counts[name] = bucket.counts.get(name, 0) + counts[name]
    found = []
    for bucket in wide.values():
        means = {name: total / bucket.counts[name] for name, total in bucket.sums.items()}
        for name in ("memory_bytes", "healthy", "total"):
            if name in means:
                means[name] = round(means[name])
        found.append(Point(bucket.at_ms, **means))  # type: ignore[arg-type]
    return found
