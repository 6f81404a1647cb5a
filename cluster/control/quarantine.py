"""Quarantine: what hangs is set aside, so that everything else goes on.

An operation on one container that took too long is tried again ever more seldom, and few such
at a time. When nothing that is asked of the engine comes to an end, whatever the app, all waits
but one trial at a time, until one of them succeeds.
"""

from __future__ import annotations

from dataclasses import dataclass

from cluster.clock import Clock
from cluster.engine.base import EngineError

ASIDE_FIRST_S = 2.0
ASIDE_MAX_S = 120.0
ASIDE_AT_ONCE = 4
"""Operations that hung before and are tried again at the same time, of all apps."""
FAULTS = 5
FAULT_APPS = 2
"""One app's operations alone say nothing about the engine."""
TRIAL_FIRST_S = 2.0
TRIAL_MAX_S = 30.0
IDLE_S = 60.0


@dataclass(frozen=True, slots=True)
class _Aside:
    """An operation that hung `count` times in a row."""

    count: int
    until_s: float


class Quarantine:
    """Belongs to the control thread; `reason` may be read by any."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.forget()

    def forget(self) -> None:
        """A new lease begins: what hangs will be found again."""
        self.reason = ""
        self._aside: dict[str, _Aside] = {}
        self._trying: set[str] = set()
        self._faults = 0
        self._apps: set[str] = set()
        self._trial_s = 0.0
        self._delay_s = TRIAL_FIRST_S
        self._asked_s = 0.0

    def may_begin(self, key: str) -> bool:
        """Whether this operation may be asked of the engine now."""
        now_s = self._clock.monotonic_s()
        if self.reason:
            self._asked_s = now_s
            return not self._trying and now_s >= self._trial_s
        aside = self._aside.get(key)
        if aside is None:
            return True
        return now_s >= aside.until_s and len(self._trying) < ASIDE_AT_ONCE

    def is_aside(self, key: str) -> bool:
        """Whether this operation hung when it was last asked for."""
        return key in self._aside

    def began(self, key: str) -> None:
        """It was asked of the engine."""
        if self.reason or key in self._aside:
            self._trying.add(key)

    def answered(self, key: str) -> bool:
        """The engine answered, be it with a refusal; True when that ends a quarantine."""
        self._trying.discard(key)
        self._aside.pop(key, None)
        self._faults, self._delay_s = 0, TRIAL_FIRST_S
        self._apps.clear()
        return self._release()

    def hung(self, key: str, app: str, error: EngineError) -> tuple[bool, bool]:
        """No answer came; whether it is news that this hangs, and that the engine does."""
        now_s = self._clock.monotonic_s()
        self._trying.discard(key)
        count = self._aside[key].count + 1 if key in self._aside else 1
        delay_s = min(ASIDE_FIRST_S * 2.0 ** min(count - 1, 10), ASIDE_MAX_S)
        self._aside[key] = _Aside(count, now_s + delay_s)
        self._faults += 1
        self._apps.add(app)
        if self.reason:
            self._delay_s = min(self._delay_s * 2, TRIAL_MAX_S)
            self._trial_s = now_s + self._delay_s
            return False, False
        if self._faults >= FAULTS and len(self._apps) >= FAULT_APPS:
            self.reason, self._asked_s = error.reason, now_s
            self._trial_s = now_s + self._delay_s
            return False, True
        return count == 2, False

    def ended(self, key: str) -> None:
        """It ended for a reason of ours, such as a lease that was over."""
        self._trying.discard(key)

    def observed(self, *, again: bool) -> bool:
        """The engine showed its containers, `again` after it had been silent.

        True when that ends a quarantine: nothing was asked for of late, so nothing waits.
        """
        now_s = self._clock.monotonic_s()
        if again:
            self._trial_s = now_s
        if self.reason and not self._trying and now_s - self._asked_s >= IDLE_S:
            return self._release()
        return False

    def keep_only(self, running: set[str]) -> None:
        """Forget operations of apps that are not there any more; keys name them second."""
        for key in [key for key in self._aside if key.split(":", 2)[1] not in running]:
            del self._aside[key]

    def _release(self) -> bool:
        was, self.reason = bool(self.reason), ""
        if was:
            self._faults = 0
            self._apps.clear()
        return was
