"""Cron.last: the newest due moment, found without looking at each of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.scaling.cron import Cron

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")
TEXTS = ("* * * * *", "*/5 * * * *", "30 2 * * *", "0,30 2,3 * * *", "15 1-3 * * 0", "0 0 1 * *")


def slowly(text: str, zone: str, now: datetime, most: timedelta) -> datetime | None:
    """The same by looking at every moment of every day."""
    cron, place = Cron(text), ZoneInfo(zone)
    folds = (0, 1) if text.split()[1].startswith("*") else (0,)
    day, earliest = now.astimezone(place).date() + timedelta(days=1), now - most
    while day >= earliest.astimezone(place).date() - timedelta(days=1):
        if cron.on(day):
            moments = [
                datetime(day.year, day.month, day.day, hour, minute, fold=fold, tzinfo=place)
                .astimezone(UTC)
                for hour in cron.hours for minute in cron.minutes for fold in folds]
            there = max((one for one in moments if one <= now), default=None)
            if there is not None:
                return there if there > earliest else None
        day -= timedelta(days=1)
    return None


@given(st.sampled_from(TEXTS), st.sampled_from(ZONES), st.integers(0, 366 * 24 * 60),
       st.sampled_from([5, 300, 86_400]))
def test_it_is_the_newest_of_all_moments(
    text: str, zone: str, minute: int, most_s: int
) -> None:
    """At any minute of a year."""
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    most = timedelta(seconds=most_s)
    assert Cron(text).last(zone, now, most) == slowly(text, zone, now, most)


@pytest.mark.parametrize(("zone", "began"), [
    ("Europe/Berlin", datetime(2026, 3, 28, 23, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 24, 23, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 8, 5, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 12, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 13, tzinfo=UTC)),
])
def test_it_is_that_while_the_clocks_change(zone: str, began: datetime) -> None:
    """Each five minutes of these hours."""
    for step in range(60):
        now = began + timedelta(minutes=5 * step)
        for text in TEXTS:
            most = timedelta(hours=2)
            assert Cron(text).last(zone, now, most) == slowly(text, zone, now, most), (text, now)
