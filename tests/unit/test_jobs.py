"""When a job is due: by the clock of the log, once, and not for what is too long ago."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.control.jobs import due_ms
from cluster.control.run_plan import retry_delay_s
from cluster.state.jobs import is_job
from cluster.state.model import App
from orchestry.spec.model import Job


def ms(text: str) -> int:
    """Unix time of a moment in UTC."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


APP = App("nightly", "{}", 1, running=False, replicas=0, created_at_ms=ms("2026-01-01T00:00"),
          updated_at_ms=0)
DAILY = Job("30 2 * * *", "Europe/Berlin", starting_deadline_s=3600)


@pytest.mark.parametrize(("now", "due"), [
    ("2026-02-01T01:29:59", None), ("2026-02-01T01:30:00", "2026-02-01T01:30"),
    ("2026-02-01T02:29:59", "2026-02-01T01:30"), ("2026-02-01T02:30:00", None),
    # An hour that is skipped is counted on by the old clock; one that comes twice fires once.
    ("2026-03-29T01:30:00", "2026-03-29T01:30"), ("2026-10-25T00:30:00", "2026-10-25T00:30"),
    ("2026-10-25T01:30:00", None),
])
def test_due_times_in_a_zone(now: str, due: str | None) -> None:
    """The last one within the starting deadline."""
    assert due_ms(APP, DAILY, ms(now)) == (None if due is None else ms(due))


def test_what_is_on_record_or_from_before_is_not_due() -> None:
    """Nor anything of a job that is held, or has no schedule."""
    now = ms("2026-02-01T01:31")
    assert due_ms(APP, DAILY, now) is not None
    assert due_ms(replace(APP, due_ms=ms("2026-02-01T01:30")), DAILY, now) is None
    assert due_ms(replace(APP, created_at_ms=now), DAILY, now) is None
    assert due_ms(replace(APP, revised_at_ms=now), DAILY, now) is None
    assert due_ms(replace(APP, suspended=True), DAILY, now) is None
    assert due_ms(APP, replace(DAILY, suspend=True), now) is None
    assert due_ms(APP, replace(DAILY, schedule=""), now) is None


@given(st.lists(st.integers(-7_200, 7_200), min_size=1, max_size=60))
def test_a_clock_that_jumps_makes_no_time_due_twice(jumps: list[int]) -> None:
    """Whatever the clock says: each due time is later than the one before."""
    app, now, fired = APP, ms("2026-02-01T00:00"), []
    for jump in jumps:
        now += jump * 1000
        due = due_ms(app, Job("*/7 * * * *", starting_deadline_s=600), now)
        if due is not None:
            assert due <= now
            fired.append(due)
            app = replace(app, due_ms=due)
    assert fired == sorted(set(fired))


@pytest.mark.parametrize(("document", "is_one"), [
    ('{"kind":"Job"}', True), ('{"kind": "App","metadata":{"labels":{"kind":"Job"}}}', False),
    ("Job", False), ('["Job"]', False), ('"Job"', False),
])
def test_the_kind_of_a_stored_document(document: str, *, is_one: bool) -> None:
    """By its own key alone."""
    assert is_job(document) is is_one


def test_attempts_wait_longer_each_time() -> None:
    """10 s after the first, at most five minutes."""
    assert [retry_delay_s(n) for n in (1, 2, 3, 4, 20)] == [0.0, 10.0, 20.0, 40.0, 300.0]
