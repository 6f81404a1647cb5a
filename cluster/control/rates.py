"""rates: from counters at two moments to loads and traffic; pure.

A counter that fell was reset, and one that is not there was lost: how much happened between
is unknown then, which is a hole and never a zero.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cluster.engine.base import Usage
from cluster.ingress.base import IngressStats, PeerStats


@dataclass(frozen=True, slots=True)
class Load:
    """One replica between two looks, in percent of its own limits; None where unknown."""

    cpu_percent: float | None
    memory_percent: float | None
    memory_bytes: int | None
    cpu_cores: float | None = None


def load(before: Usage | None, after: Usage) -> Load:
    """What a replica used; CPU needs two looks at the same life of the container, by one clock."""
    memory_percent = None
    if after.memory_limit_bytes > 0 and after.memory_bytes >= 0:
        memory_percent = 100 * after.memory_bytes / after.memory_limit_bytes
    cores = None
    if before is not None and before.clock == after.clock:
        elapsed_s, used_s = after.at_s - before.at_s, after.cpu_s - before.cpu_s
        if elapsed_s > 0 and used_s >= 0:
            cores = used_s / elapsed_s
    percent = None
    if cores is not None and after.cpu_limit_cores > 0:
        percent = 100 * cores / after.cpu_limit_cores
    return Load(percent, memory_percent, max(after.memory_bytes, 0), cores)


@dataclass(frozen=True, slots=True)
class Traffic:
    """What came through one or all ingresses to one app between two looks.

    `counts[i]` are answers whose first byte came within `bounds_ms[i]` and after the bound
    before; the last of them are beyond. `connections` are requests in flight now.
    """

    requests: float = 0.0
    rps: float = 0.0
    errors_per_s: float = 0.0
    bytes_per_s: float = 0.0
    connections: int = 0
    counts: tuple[int, ...] = ()
    bounds_ms: tuple[float, ...] = ()

    def percentile_ms(self, share: float) -> float | None:
        """The response time that `share` (0-1) of the answers kept within; None without any.

        Linear within a bucket; a time beyond all bounds is told as the last bound.
        """
        total = sum(self.counts)
        if not total:
            return None
        rank, seen = share * total, 0
        for number, count in enumerate(self.counts):
            if count and seen + count >= rank:
                if number >= len(self.bounds_ms):
                    break
                low = self.bounds_ms[number - 1] if number else 0.0
                part = max(rank - seen, 0.0) / count
                return low + (self.bounds_ms[number] - low) * part
            seen += count
        return self.bounds_ms[-1] if self.bounds_ms else None

    @property
    def mean_ms(self) -> float | None:
        """The average response time, with every answer at the middle of its bucket."""
        total = sum(self.counts)
        if not total or not self.bounds_ms:
            return None
        lows = (0.0, *self.bounds_ms)
        highs = (*self.bounds_ms, self.bounds_ms[-1])
        pairs = zip(self.counts, lows, highs, strict=False)
        return sum(count * (low + high) / 2 for count, low, high in pairs) / total


NOTHING = Traffic()


Peers = Mapping[tuple[str, str], PeerStats]


def by_peer(stats: IngressStats) -> Peers:
    """Counters by app and peer."""
    return {(peer.app, peer.peer_id): peer for peer in stats.peers}


def traffic(
    before: IngressStats, after: IngressStats, elapsed_s: float, old: Peers | None = None
) -> dict[str, Traffic]:
    """By app, what one ingress did in `elapsed_s`; empty when that cannot be told.

    An app that is not in it had no traffic; one whose counters fell has NaN for its rates.
    `old` are the peers of `before`, where they are known already.
    """
    if before.boot_id != after.boot_id or elapsed_s <= 0:
        return {}
    old = by_peer(before) if old is None else old
    by_app: dict[str, list[tuple[PeerStats | None, PeerStats]]] = defaultdict(list)
    for peer in after.peers:
        by_app[peer.app].append((old.get((peer.app, peer.peer_id)), peer))
    return {
        app: _traffic(pairs, elapsed_s, after.latency_bounds_ms)
        for app, pairs in by_app.items()
    }


def _traffic(
    pairs: Sequence[tuple[PeerStats | None, PeerStats]], elapsed_s: float,
    bounds_ms: tuple[float, ...],
) -> Traffic:
    requests = errors = sent = 0.0
    counts = [0] * (len(bounds_ms) + 1)
    for old, new in pairs:
        # A peer that was not there before began to count at zero.
        if old is None:
            requests, errors, sent = (
                requests + new.requests, errors + new.errors, sent + new.bytes_sent)
            counts = [a + b for a, b in zip(counts, new.latency_counts, strict=False)]
        elif new.requests != old.requests:
            requests += _grown(old.requests, new.requests)
            errors += _grown(old.errors, new.errors)
            sent += _grown(old.bytes_sent, new.bytes_sent)
            counts = [a + b - c for a, b, c in zip(
                counts, new.latency_counts, old.latency_counts, strict=False)]
    if min(counts) < 0:
        requests = math.nan
        counts = []
    if math.isnan(requests + errors + sent):
        requests = errors = sent = math.nan
    return Traffic(
        requests, requests / elapsed_s, errors / elapsed_s, sent / elapsed_s,
        sum(new.in_flight for _, new in pairs), tuple(counts), bounds_ms,
    )


def _grown(before: float, after: float) -> float:
    return after - before if after >= before >= 0 else math.nan


def together(parts: Iterable[Traffic]) -> Traffic:
    """The same app at several ingresses: histograms are merged before any percentile."""
    found = list(parts)
    if not found:
        return NOTHING
    bounds_ms = max((part.bounds_ms for part in found), key=len)
    counts = [0] * (len(bounds_ms) + 1)
    for part in found:
        if part.bounds_ms == bounds_ms:
            for number, count in enumerate(part.counts):
                counts[number] += count
    return Traffic(
        sum(part.requests for part in found), sum(part.rps for part in found),
        sum(part.errors_per_s for part in found), sum(part.bytes_per_s for part in found),
        sum(part.connections for part in found), tuple(counts) if bounds_ms else (), bounds_ms,
    )


def waiting(stats: Iterable[IngressStats]) -> Mapping[str, int]:
    """Requests that the ingresses hold, by app."""
    found: dict[str, int] = defaultdict(int)
    for one in stats:
        for app, count in one.waiting.items():
            found[app] += count
    return found
