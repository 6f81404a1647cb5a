"""Bounds for known peaks, across time zones and changes of the clock."""

from __future__ import annotations

from datetime import datetime

import pytest

from cluster.scaling.bounds import Bounds, bounds
from orchestry.spec.model import Scaling, ScheduleEntry


def at(text: str) -> int:
    """Milliseconds since 1970 of an ISO time with its offset."""
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def policy(*entries: ScheduleEntry) -> Scaling:
    """From 1 to 5, but for the entries."""
    return Scaling(schedule=entries)


def entry(cron: str, low: int, high: int, hours: float = 1, zone: str = "Europe/Berlin",
          ) -> ScheduleEntry:
    """One peak."""
    return ScheduleEntry(cron, zone, low, high, int(3600 * hours))


WORK = entry("0 8 * * MON-FRI", 4, 20, 10)
NIGHT = entry("30 2 * * *", 2, 2)
OFTEN = entry("*/30 * * * *", 3, 3, 0.25)


@pytest.mark.parametrize(("entries", "when", "low", "high"), [
    ((), "2026-07-01T12:00+02:00", 1, 5),
    ((WORK,), "2026-07-01T07:59:59+02:00", 1, 5),
    ((WORK,), "2026-07-01T08:00+02:00", 4, 20),
    ((WORK,), "2026-07-01T17:59:59+02:00", 4, 20),
    ((WORK,), "2026-07-01T18:00+02:00", 1, 5),
    ((WORK,), "2026-07-04T12:00+02:00", 1, 5),
    ((WORK,), "2026-01-07T08:00+01:00", 4, 20),
    # several at once: the highest of each
    ((WORK, entry("0 9 * * *", 6, 8)), "2026-07-01T09:30+02:00", 6, 20),
    # between two
    ((WORK, entry("0 20 * * *", 6, 8)), "2026-07-01T19:00+02:00", 1, 5),
    # over midnight
    ((entry("0 23 * * *", 2, 3, 4),), "2026-07-02T02:59+02:00", 2, 3),
    # seven days
    ((entry("0 0 1 * *", 2, 3, 168),), "2026-07-07T23:59+02:00", 2, 3),
    # day or weekday
    ((entry("0 0 13 * 5", 2, 3, 24),), "2026-07-03T12:00+02:00", 2, 3),
    ((entry("0 0 13 * 7", 2, 3, 24),), "2026-07-12T12:00+02:00", 2, 3),
    # the skipped hour: 02:30 becomes 03:30
    ((NIGHT,), "2026-03-29T03:29+02:00", 1, 5),
    ((NIGHT,), "2026-03-29T03:30+02:00", 2, 2),
    # the hour that comes twice: the first time only
    ((NIGHT,), "2026-10-25T02:30+02:00", 2, 2),
    ((NIGHT,), "2026-10-25T02:29+01:00", 2, 2),
    ((NIGHT,), "2026-10-25T02:31+01:00", 1, 5),
    # every hour: both times
    ((OFTEN,), "2026-10-25T02:35+02:00", 3, 3),
    ((OFTEN,), "2026-10-25T02:35+01:00", 3, 3),
    ((OFTEN,), "2026-10-25T02:50+01:00", 1, 5),
    # a zone with half an hour
    ((entry("0 8 * * *", 7, 9, 1, "Asia/Kolkata"),), "2026-07-01T02:30+00:00", 7, 9),
])
def test_bounds(entries: tuple[ScheduleEntry, ...], when: str, low: int, high: int) -> None:
    """Which limits hold when."""
    found = bounds(policy(*entries), at(when))
    assert (found.minimum, found.maximum) == (low, high)


def test_a_zone_that_this_machine_does_not_know_leaves_the_policys_own_bounds() -> None:
    """The log may hold it, since another controller knew it; nothing else stops."""
    entry = ScheduleEntry("* * * * *", "Mars/Base", 3, 9, 60)
    own = Scaling(min_replicas=1, max_replicas=2, schedule=(entry,))
    assert bounds(own, 1_700_000_000_000) == Bounds(1, 2)
