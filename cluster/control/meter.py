"""meter: what the ingresses counted for some apps since a moment; pure.

Counters of ingresses begin anew when one restarts, and what it counted last before that nobody
knows: that is a hole, and whoever asks for a time with a hole gets nothing rather than a zero.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from cluster.control.rates import Traffic
from cluster.ingress.base import IngressStats, PeerStats

FRESH_S = 10.0
"""An older look at an ingress says nothing about now."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Requests of some replicas: answered, with a 5xx among them, and sent on to another replica.

    `retried` is None where an ingress does not count them; `counts` as in PeerStats.
    """

    requests: int = 0
    failed: int = 0
    retried: int | None = 0
    counts: tuple[int, ...] = ()
    bounds_ms: tuple[float, ...] = ()

    def percentile_ms(self, share: float) -> float | None:
        """The response time that `share` (0-1) of the answers kept within; None without any."""
        return Traffic(counts=self.counts, bounds_ms=self.bounds_ms).percentile_ms(share)


NOTHING = Counted()


def of(peer: PeerStats, bounds_ms: tuple[float, ...]) -> Counted:
    """What one ingress counted for one replica."""
    return Counted(peer.requests, peer.errors, peer.retried, peer.latency_counts, bounds_ms)


def plus(one: Counted, other: Counted) -> Counted:
    """Both together; latencies of other bounds are left out."""
    counts, bounds_ms = one.counts or other.counts, one.bounds_ms or other.bounds_ms
    if one.counts and other.counts and one.bounds_ms == other.bounds_ms:
        counts = tuple(a + b for a, b in zip(one.counts, other.counts, strict=False))
    retried = None
    if one.retried is not None and other.retried is not None:
        retried = one.retried + other.retried
    return Counted(
        one.requests + other.requests, one.failed + other.failed, retried, counts, bounds_ms)


def together(parts: Iterable[Counted]) -> Counted:
    """All of them."""
    found = NOTHING
    for part in parts:
        found = plus(found, part)
    return found


def minus(after: Counted, before: Counted) -> Counted | None:
    """What came between; None when a counter fell."""
    counts = tuple(
        a - b for a, b in zip(after.counts, before.counts, strict=False)
    ) if before.counts else after.counts
    retried = None
    if after.retried is not None and before.retried is not None:
        retried = after.retried - before.retried
    found = Counted(
        after.requests - before.requests, after.failed - before.failed, retried, counts,
        after.bounds_ms)
    return None if min(found.requests, found.failed, found.retried or 0, *counts) < 0 else found


ById = Mapping[str, Counted]
"""By the id of the replica."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one ingress had counted at a moment (monotonic)."""

    at_s: float
    boot_id: str
    apps: Mapping[str, ById]


def look(stats: IngressStats, at_s: float) -> Look:
    """The counters by app and replica; what found no replica is under the name of none."""
    apps: dict[str, dict[str, Counted]] = {}
    for peer in stats.peers:
        apps.setdefault(peer.app, {})[peer.peer_id] = of(peer, stats.latency_bounds_ms)
    for app, count in stats.refused.items():
        apps.setdefault(app, {})[""] = Counted(count, count)
    return Look(at_s, stats.boot_id, apps)


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment to count from, for one app: what each ingress had counted until then."""

    app: str
    at_s: float
    looks: Mapping[str, tuple[str, ById]] = field(repr=False)


class Meter:
    """The last look at each of the ingresses that there are."""

    def __init__(self, ingresses: Collection[str]) -> None:
        self._names = tuple(ingresses)
        self.last: dict[str, Look] = {}

    def add(self, name: str, one: Look) -> None:
        """An ingress was looked at."""
        if name not in self.last or self.last[name].at_s <= one.at_s:
            self.last[name] = one

    def is_fresh(self, now_s: float) -> bool:
        """Whether all ingresses were looked at lately; never without any."""
        return bool(self._names) and all(
            (one := self.last.get(name)) is not None and now_s - one.at_s <= FRESH_S
            for name in self._names)

    def mark(self, app: str, now_s: float) -> Mark | None:
        """Count from the last looks on; None while too little is known."""
        if not self.is_fresh(now_s):
            return None
        at_s = max(one.at_s for one in self.last.values())
        return Mark(app, at_s, {
            name: (one.boot_id, one.apps.get(app, {})) for name, one in self.last.items()})

    def since(self, mark: Mark) -> dict[str, Counted] | None:
        """By replica, what all ingresses counted since; None when that has a hole."""
        found: dict[str, Counted] = {}
        for name in self._names:
            now, then = self.last.get(name), mark.looks.get(name)
            if now is None or then is None or now.boot_id != then[0]:
                return None
            for peer_id, counted in now.apps.get(mark.app, {}).items():
                part = minus(counted, then[1].get(peer_id, NOTHING))
                if part is None:
                    return None
                found[peer_id] = plus(found[peer_id], part) if peer_id in found else part
        return found
