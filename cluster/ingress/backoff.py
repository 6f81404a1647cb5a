"""Backoff: when a thing that dies may be started again."""

from __future__ import annotations

import time

FIRST_S, MAX_S = 0.5, 10.0
STEADY_S = 10.0            # a run of this length clears it


class Backoff:
    """The first restart is at once, the next wait 0.5 s, doubling to 10 s."""

    def __init__(self) -> None:
        self._wait_s = 0.0
        self._not_before_s = 0.0
        self._started_s = 0.0

    def started(self) -> None:
        """It runs from now on."""
        self._started_s = time.monotonic()

    def may_start(self) -> bool:
        """Whether the wait is over; if so, the next one begins and is longer."""
        now_s = time.monotonic()
        if now_s < self._not_before_s:
            return False
        if now_s - self._started_s > STEADY_S:
            self._wait_s = 0.0
        self._not_before_s = now_s + self._wait_s
        self._wait_s = min(max(self._wait_s * 2, FIRST_S), MAX_S)
        return True
