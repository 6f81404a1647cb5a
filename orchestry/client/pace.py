"""Pace: how often one may ask, by what the controllers say is left."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

LEFT_S_MAX = 3600.0


class Pace:
    """What the last answer said about the limit of requests; threads may share it."""

    def __init__(self) -> None:
        self._latest: tuple[int, float] | None = None

    def note(self, headers: Mapping[str, str]) -> None:
        """Remember what an answer says; one that says nothing changes nothing."""
        try:
            remaining = int(headers["X-RateLimit-Remaining"])
            # By the controller's clock, since this one may be wrong.
            date_s = parsedate_to_datetime(headers["Date"]).timestamp()
            left_s = float(int(headers["X-RateLimit-Reset"])) - date_s
        except (KeyError, ValueError, TypeError):
            return
        left_s = min(max(0.0, left_s), LEFT_S_MAX)
        self._latest = max(0, remaining), time.monotonic() + left_s

    def gap_s(self, period_s: float) -> float:
        """At least `period_s`, and so long that what is left lasts until there is more."""
        if self._latest is None:
            return period_s
        remaining, until_s = self._latest
        return max(period_s, (until_s - time.monotonic()) / max(1, remaining))
