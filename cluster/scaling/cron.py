"""When a cron expression last fired, in a time zone; pure, to the minute.

Source: crontab(5). Python's zoneinfo reads the rules of the zones from the system or from the
package tzdata.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_FIELDS = ((0, 59, ()), (0, 23, ()), (1, 31, ()), (1, 12, _MONTHS), (0, 7, _DAYS))


class Cron:
    """One parsed expression of five fields that the grammar of the spec has accepted."""

    def __init__(self, text: str) -> None:
        parts = text.split(" ")
        self.minutes, self.hours, self.days, self.months, weekdays = (
            _values(part, *field) for part, field in zip(parts, _FIELDS, strict=True)
        )
        self.weekdays = frozenset(day % 7 for day in weekdays)
        self._any_hour = parts[1].startswith("*")
        self._either = not parts[2].startswith("*") and not parts[4].startswith("*")

    def on(self, day: date) -> bool:
        """Whether it fires on that day; day and weekday both given means either."""
        if day.month not in self.months:
            return False
        by_day, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return by_day or by_weekday if self._either else by_day and by_weekday

    def last(self, zone: str, now: datetime, most: timedelta) -> datetime | None:
        """The last moment, at or before `now` and less than `most` ago, at which it fired.

        An hour that the clocks skip is counted on by the old clock, so that a peak is not
        missed: 02:30 becomes 03:30. An hour that comes twice fires the first time only, unless
        the expression names every hour.
        """
        place = ZoneInfo(zone)
        day = now.astimezone(place).date() + timedelta(days=1)
        earliest = now - most
        end = earliest.astimezone(place).date() - timedelta(days=1)
        while day >= end:
            if self.on(day) and (found := self._on_day(day, place, now)) is not None:
                return found if found > earliest else None
            day -= timedelta(days=1)
        return None

    def _on_day(self, day: date, place: ZoneInfo, now: datetime) -> datetime | None:
        folds = (0, 1) if self._any_hour else (0,)

        def at(hour: int, minute: int, fold: int) -> datetime:
            return datetime(
                day.year, day.month, day.day, hour, minute, fold=fold, tzinfo=place
            ).astimezone(UTC)

        best, first = None, min(self.minutes)
        for hour in sorted(self.hours, reverse=True):
            if at(hour, first, 0) > now:
                continue
            found = max((one for minute in self.minutes for fold in folds
                         if (one := at(hour, minute, fold)) <= now), default=None)
            if best is not None:  # an hour that the clocks skip reaches into the next one
                return max(best, found or best)
            best = found
        return best


@lru_cache(maxsize=1024)
def parse(text: str) -> Cron:
    """The expression, parsed once."""
    return Cron(text)


def _values(part: str, low: int, high: int, names: tuple[str, ...]) -> frozenset[int]:
    found: set[int] = set()
    for item in part.split(","):
        span, slash, step = item.partition("/")
        if span == "*":
            first, last = low, high
        else:
            ends = [
                names.index(end.upper()) + low if end.upper() in names else int(end)
                for end in span.split("-")
            ]
            first, last = ends[0], ends[-1] if len(ends) == 2 or not slash else high
        found.update(range(first, last + 1, int(step or 1)))
    return frozenset(found)
