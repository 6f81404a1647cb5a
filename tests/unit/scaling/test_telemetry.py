"""Telemetry keeps a bounded past, and says nothing that is old."""

from __future__ import annotations

from cluster.control.telemetry import (
    FRESH_S,
    RECORDS_MAX,
    RECORDS_OF_APP,
    Record,
    Telemetry,
)
from cluster.history.base import Point
from cluster.scaling.replay import Round
from orchestry.spec.model import Scaling
from tests.unit.scaling.support import look

DECISION = look(Scaling(), 1)
START_MS = 1_700_000_100_000


def record(at_ms: int, **numbers: float) -> Record:
    """One round."""
    return Record(Point(at_ms, **numbers), Round(at_ms / 1000, at_ms), DECISION)  # type: ignore[arg-type]


def test_points_come_oldest_first_and_are_cut_from_the_front() -> None:
    """The last ones count."""
    kept = Telemetry()
    for number in range(5):
        kept.add("shop", record(START_MS + number * 2000, rps=number))
    assert [point.rps for point in kept.points("shop", count=3)] == [2, 3, 4]
    assert kept.points("shop", count=0) == []
    assert kept.points("blog", count=3) == []
    assert len(kept.records("shop", since_ms=START_MS + 6000)) == 2


def test_every_point_is_told() -> None:
    """The history is given each, also those that go from here."""
    told: list[tuple[str, int]] = []
    kept = Telemetry(lambda app, point: told.append((app, point.at_ms)))
    kept.add("shop", record(START_MS))
    kept.add("blog", record(START_MS + 2000))
    assert told == [("shop", START_MS), ("blog", START_MS + 2000)]


def test_what_is_old_is_not_current() -> None:
    """A leader that lost its lease shows nothing of its past as the present."""
    kept = Telemetry()
    kept.add("shop", record(START_MS))
    assert kept.latest("shop", START_MS + 1000) is not None
    late_ms = START_MS + int(FRESH_S * 1000) + 1
    assert kept.latest("shop", late_ms) is None
    assert kept.all_latest(late_ms) == {}


def test_memory_is_bounded_over_all_apps() -> None:
    """Many apps have a shorter past each; what is gone is forgotten."""
    kept = Telemetry()
    apps = [f"a{number}" for number in range(100)]
    for number in range(RECORDS_MAX // 100 + 50):
        for app in apps:
            kept.add(app, record(START_MS + number * 2000))
    assert sum(len(kept.records(app)) for app in apps) <= RECORDS_MAX
    assert len(kept.records("a0")) >= RECORDS_OF_APP[0]
    kept.keep_only({"a1"})
    assert kept.records("a0") == []
    assert kept.records("a1")
