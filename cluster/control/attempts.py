"""AttemptBook: what the slots of all apps went through, and when they may be tried again.

The leader's own; each change goes into the replicated state with the app's report, and a
successor goes on from there.
"""

from __future__ import annotations

from collections.abc import Collection, MutableMapping
from dataclasses import replace
from typing import Any

from cluster.clock import Clock
from cluster.control import backoff
from cluster.control.backoff import RESET_S
from cluster.engine.base import Container
from cluster.state.exits import Attempts, Exit
from cluster.state.model import App, Place
from orchestry.spec.model import AppSpec

START_RETRY_MAX_S = 60.0

Slot = tuple[str, int, int]
"""App, template and slot."""


def slot_of(container: Container) -> Slot:
    """The slot that a container has."""
    return container.app, container.revision, container.slot


class AttemptBook:
    """Belongs to the control thread; times ending in _s are monotonic."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.forget()

    def forget(self) -> None:
        """Start from nothing, as a new leader does."""
        self._apps: dict[str, dict[Place, Attempts]] = {}
        self._not_before_s: dict[Slot, float] = {}
        self._refused: dict[Slot, int] = {}
        self._reading_s: dict[Slot, float] = {}

    def take_over(self, app: App) -> None:
        """Go on from what the last leader wrote; a clock that jumped makes no wait longer."""
        now_s, now_ms = self._clock.monotonic_s(), self._clock.wall_ms()
        for one in app.attempts:
            slot = (app.name, *one.place)
            self._apps.setdefault(app.name, {})[one.place] = one
            longest_s = backoff.restart_delay_s(one.in_a_row, f"{app.name}:{one.slot}")
            wait_s = min((one.next_at_ms - now_ms) / 1000, longest_s)
            if wait_s > 0:
                self._not_before_s[slot] = now_s + wait_s

    # -- what is known -----------------------------------------------------------------

    def of(self, slot: Slot) -> Attempts:
        """What a slot has been through."""
        return self._apps.get(slot[0], {}).get(slot[1:]) or Attempts(slot[1], slot[2])

    def of_app(self, app: str) -> tuple[Attempts, ...]:
        """Those of an app that have something to tell, by template and slot."""
        found = self._apps.get(app)
        return tuple(found[place] for place in sorted(found)) if found else ()

    def knows(self, container: Container) -> bool:
        """Whether the end of this container was counted."""
        last = self.of(slot_of(container)).last
        return last is not None and last.container == container.id

    def may_start(self, slot: Slot) -> bool:
        """False while the slot backs off, or the last lines of its replica are being read."""
        now_s = self._clock.monotonic_s()
        return now_s >= max(
            self._not_before_s.get(slot, now_s), self._reading_s.get(slot, now_s))

    def is_failing(self, slot: Slot) -> bool:
        """True when a slot has failed lately, and was not up for long since."""
        return self.of(slot).in_a_row > 0 or slot in self._refused

    def is_looping(self, slot: Slot) -> bool:
        """True when a slot fails again and again."""
        return self.of(slot).looping

    # -- what happened -----------------------------------------------------------------

    def ended(self, container: Container, spec: AppSpec) -> Attempts:
        """The container ended by itself."""
        now_ms = self._clock.wall_ms()
        how = backoff.exit_of(container, now_ms)
        started_ms = container.started_at_ms or how.at_ms
        return self._put(slot_of(container), backoff.ended(
            self.of(slot_of(container)), how, spec, app=container.app, now_ms=now_ms,
            up_s=max(0.0, (how.at_ms - started_ms) / 1000)))

    def judged_again(self, container: Container, spec: AppSpec) -> bool:
        """A container that ended before, under the policy as it is now; True when that is news."""
        before = self.of(slot_of(container))
        over = backoff.over(before.last, spec)
        if over == before.over:
            return False
        self._put(slot_of(container), replace(before, over=over))
        return True

    def unhealthy(self, container: Container) -> Attempts:
        """The container is taken down because of its checks."""
        now_ms = self._clock.wall_ms()
        return self._put(slot_of(container), backoff.failed(
            self.of(slot_of(container)), Exit(container.id, "unhealthy", now_ms),
            app=container.app, now_ms=now_ms))

    def refused(self, slot: Slot) -> None:
        """The engine did not start it: not the replica's own failure, and not told of as one."""
        count = self._refused.get(slot, 0) + 1
        self._refused[slot] = count
        delay_s = min(2.0 ** min(count - 1, 10), START_RETRY_MAX_S)
        self._not_before_s[slot] = max(
            self._not_before_s.get(slot, 0.0), self._clock.monotonic_s() + delay_s)

    def started(self, slot: Slot) -> None:
        """A container of the slot was started."""
        self._refused.pop(slot, None)
        before = self._apps.get(slot[0], {}).get(slot[1:])
        if before is not None and (before.over or before.next_at_ms):
            self._apps[slot[0]][slot[1:]] = replace(before, over="", next_at_ms=0)

    def settle(self, slot: Slot, up_s: float) -> bool:
        """Forgive a slot that has been up for long enough; True when that is news."""
        before = self._apps.get(slot[0], {}).get(slot[1:])
        if before is None or up_s < RESET_S or not (before.in_a_row or before.looping):
            return False
        self._put(slot, backoff.settled(before))
        return True

    def reads(self, slot: Slot, until_s: float) -> None:
        """Its container is needed for its last lines, at most so long; 0 for no more."""
        if until_s:
            self._reading_s[slot] = until_s
        else:
            self._reading_s.pop(slot, None)

    def keep_only(self, wanted: Collection[Slot]) -> bool:
        """Forget the slots that nobody wants; True when that is news."""
        books: tuple[MutableMapping[Slot, Any], ...] = (
            self._not_before_s, self._refused, self._reading_s)
        for known in books:
            for slot in [slot for slot in known if slot not in wanted]:
                del known[slot]
        gone = [(app, place) for app, found in self._apps.items() for place in found
                if (app, *place) not in wanted]
        for app, place in gone:
            del self._apps[app][place]
            if not self._apps[app]:
                del self._apps[app]
        return bool(gone)

    def _put(self, slot: Slot, after: Attempts) -> Attempts:
        self._apps.setdefault(slot[0], {})[slot[1:]] = after
        wait_s = (after.next_at_ms - self._clock.wall_ms()) / 1000
        self._not_before_s[slot] = self._clock.monotonic_s() + max(0.0, wait_s)
        return after
