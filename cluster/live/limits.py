"""Limits of requests: what is counted, and what follows from the counts; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

MINUTE_S = 60
HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Limit:
    """So many requests in a window, which begins with a client's first request."""

    requests: int
    window_s: int


@dataclass(frozen=True, slots=True)
class Window:
    """What a client has used of one limit; after `left_s` it has used nothing."""

    used: int
    left_s: float


@dataclass(frozen=True, slots=True)
class Counted:
    """One window for each limit, and whether the request was within all of them.

    A request that is not within them is counted nowhere.
    """

    allowed: bool
    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a client is told: the limit that it comes closest to, and when that begins anew."""

    allowed: bool
    limit: Limit
    remaining: int
    reset_s: float


class Counters(Protocol):
    """Counts requests of clients."""

    def hit(self, client: str, limits: Sequence[Limit]) -> Counted | None:
        """Count a request, if it is within all limits; None when nobody can tell."""

    def give_back(self, client: str, limits: Sequence[Limit]) -> None:
        """Take one counted request back."""


def in_force(*, per_minute: int, per_hour: int) -> tuple[Limit, ...]:
    """The limits that are on; 0 is off."""
    limits = (Limit(per_minute, MINUTE_S), Limit(per_hour, HOUR_S))
    return tuple(limit for limit in limits if limit.requests)


def judge(limits: Sequence[Limit], counted: Counted) -> Verdict:
    """The limit with the least left; of several, the one that takes longest."""
    left, reset_s, limit = min(
        (
            (max(0, limit.requests - window.used), window.left_s, limit)
            for limit, window in zip(limits, counted.windows, strict=True)
        ),
        key=lambda told: (told[0], -told[1]),
    )
    return Verdict(counted.allowed, limit, left, reset_s)
