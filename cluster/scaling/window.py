"""Window: the samples of one app's last seconds, in buckets of time; pure and bounded."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field

from cluster.scaling.samples import AppSample, Sample, clean

BUCKETS = 10
BUCKET_MIN_S = 1.0
INTERVAL_S = 2.0
"""Between two rounds of the collector."""
STALE_BUCKETS = 5
"""A reading without a sample in so many of the newest buckets is a hole, not old news."""
STALE_ROUNDS = 3
"""One lost sample is not yet a hole."""
LATENCY_ROUNDS = 7
"""However short the window: the guard counts slow rounds among the last five."""
RECENT_SHARE = 0.25
RECENT_ROUNDS = 2
"""What scale-out looks at: the newest part of the window, and two rounds at least. In all of
a window a load that has just come would be hidden by the quiet before it. The newest round
counts twice: CPU ends at its limit, so a step there is small however large the load is."""
REPLICAS_MAX = 256
"""More than an app can have, with the surplus of a rollout: a bound on memory."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a window holds at one moment; None is "not measured".

    CPU and memory are sums over the replicas that were measured (`cpu_replicas`,
    `memory_replicas` say how many). `p95s_ms` are the latest buckets that had requests,
    oldest first, and `p95_ms` is their median. `idle` says that the newest samples, one at
    least, saw neither requests nor connections.
    """

    cpu_percent: float | None = None
    cpu_replicas: int = 0
    memory_percent: float | None = None
    memory_replicas: int = 0
    rps: float | None = None
    p95_ms: float | None = None
    p95s_ms: tuple[float, ...] = ()
    connections: float | None = None
    errors_per_s: float | None = None
    idle: bool = False


@dataclass(slots=True)
class _Series:
    """Sums and counts of one quantity, by bucket, oldest first."""

    buckets: dict[int, tuple[float, int]] = field(default_factory=dict)

    def add(self, bucket: int, value: float) -> None:
        total, count = self.buckets.get(bucket, (0.0, 0))
        self.buckets[bucket] = (total + value, count + 1)

    def trim(self, oldest: int) -> None:
        for bucket in [b for b in self.buckets if b < oldest]:
            del self.buckets[bucket]

    def means(
        self, oldest: int, oldest_recent: int, newest_needed: int
    ) -> tuple[float | None, float | None]:
        """Of all and of the recent buckets; None when the newest samples are missing.

        Among the recent ones the newest counts twice.
        """
        total = recent = last = 0.0
        count = number_recent = 0
        newest = oldest - 1
        for bucket, (part, number) in self.buckets.items():
            if bucket < oldest:
                continue
            total += part
            count += number
            if bucket >= oldest_recent:
                recent += part
                number_recent += number
            if bucket > newest:
                newest, last = bucket, part / number
        if not count or newest < newest_needed:
            return None, None
        if not number_recent:
            return total / count, None
        return total / count, (recent + last) / (number_recent + 1)


@dataclass(slots=True)
class _Replica:
    cpu: _Series = field(default_factory=_Series)
    memory: _Series = field(default_factory=_Series)


class Window:
    """The samples of one app over the last `span_s` seconds.

    A policy with another window needs a new one. Times are monotonic seconds of one
    controller; a new leader starts with an empty window. `interval_s` is the time between
    two samples; a window that is too short for three of them is made longer.
    """

    def __init__(self, span_s: float, interval_s: float = INTERVAL_S) -> None:
        self.span_s = max(span_s, STALE_ROUNDS * interval_s)
        self._width_s = max(self.span_s / BUCKETS, BUCKET_MIN_S)
        self._stale_s = max(STALE_BUCKETS * self._width_s, STALE_ROUNDS * interval_s)
        self._latency_s = max(self.span_s, LATENCY_ROUNDS * interval_s)
        self._recent_s = max(RECENT_SHARE * self.span_s, RECENT_ROUNDS * interval_s)
        self._replicas: dict[str, _Replica] = {}
        self._rps, self._connections, self._errors = _Series(), _Series(), _Series()
        self._p95: dict[int, tuple[float, float]] = {}
        self._last_s = -math.inf
        self._idle = False

    def add(self, sample: Sample, now_s: float) -> None:
        """Keep one replica's sample; what is too late, of the future or no number is dropped."""
        bucket = self._bucket(sample.at_s, now_s)
        if bucket is None:
            return
        one = self._replicas.get(sample.replica)
        if one is None:
            if len(self._replicas) >= REPLICAS_MAX:
                return
            one = self._replicas[sample.replica] = _Replica()
        cpu = None if sample.young else clean(sample.cpu_percent)
        for series, value in ((one.cpu, cpu), (one.memory, clean(sample.memory_percent))):
            if value is not None:
                series.add(bucket, value)
                series.trim(self._oldest(now_s))

    def add_app(self, sample: AppSample, now_s: float) -> None:
        """Keep one sample of the ingress, under the same conditions."""
        bucket = self._bucket(sample.at_s, now_s)
        if bucket is None:
            return
        rps, connections = clean(sample.rps), clean(sample.connections)
        for series, value in (
            (self._rps, rps), (self._connections, connections),
            (self._errors, clean(sample.errors_per_s)),
        ):
            if value is not None:
                series.add(bucket, value)
                series.trim(self._oldest(now_s))
        p95_ms, requests = clean(sample.p95_ms), clean(sample.requests) or 0.0
        # Percentiles cannot be averaged: the one over the most requests speaks for its bucket.
        if p95_ms is not None and requests > self._p95.get(bucket, (0.0, 0.0))[1]:
            self._p95[bucket] = (p95_ms, requests)
        for old in [b for b in self._p95 if b < self._oldest(now_s, self._latency_s)]:
            del self._p95[old]
        if sample.at_s >= self._last_s:
            self._last_s, self._idle = sample.at_s, rps == 0 and connections == 0

    def keep(self, replicas: Collection[str]) -> None:
        """Forget all replicas but these."""
        for gone in [name for name in self._replicas if name not in replicas]:
            del self._replicas[gone]

    def summary(self, now_s: float) -> Summary:
        """The readings at a moment, over the span before it."""
        return self.summaries(now_s)[0]

    def summaries(self, now_s: float) -> tuple[Summary, Summary]:
        """The readings over the span, and over its newest part, for scale-out."""
        oldest = self._oldest(now_s)
        recent = math.floor((now_s - self._recent_s) / self._width_s) + 1
        fresh = math.floor((now_s - self._stale_s) / self._width_s)
        cpus = [r.cpu.means(oldest, recent, fresh) for r in self._replicas.values()]
        memories = [r.memory.means(oldest, recent, fresh) for r in self._replicas.values()]
        rps = self._rps.means(oldest, recent, fresh)
        connections = self._connections.means(oldest, recent, fresh)
        errors = self._errors.means(oldest, recent, fresh)
        first = self._oldest(now_s, self._latency_s)
        p95s = tuple(self._p95[b][0] for b in sorted(self._p95) if b >= first)
        idle = self._idle and now_s - self._last_s <= self._stale_s
        made = []
        for which in (0, 1):
            cpu = [pair[which] for pair in cpus if pair[which] is not None]
            memory = [pair[which] for pair in memories if pair[which] is not None]
            made.append(Summary(
                cpu_percent=sum(cpu) if cpu else None,  # type: ignore[arg-type]
                cpu_replicas=len(cpu),
                memory_percent=sum(memory) if memory else None,  # type: ignore[arg-type]
                memory_replicas=len(memory), rps=rps[which],
                p95_ms=sorted(p95s)[len(p95s) // 2] if p95s else None, p95s_ms=p95s,
                connections=connections[which], errors_per_s=errors[which], idle=idle,
            ))
        return made[0], made[1]

    def _bucket(self, at_s: float, now_s: float) -> int | None:
        if not math.isfinite(at_s) or at_s > now_s or at_s < now_s - self.span_s:
            return None
        return math.floor(at_s / self._width_s)

    def _oldest(self, now_s: float, span_s: float | None = None) -> int:
        """The first bucket that lies in the span as a whole."""
        span_s = self.span_s if span_s is None else span_s
        return math.floor((now_s - span_s) / self._width_s) + 1
