"""What is no measurement is a hole, never a number."""

from __future__ import annotations

import math

import pytest

from cluster.scaling.samples import AppSample, Counters, Sample, traffic
from cluster.scaling.window import REPLICAS_MAX, Summary, Window


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf, -0.1])
def test_what_is_no_number_is_a_hole(value: float | None) -> None:
    """In every field."""
    window = Window(60)
    window.add(Sample("a", 100, value, value), 100)
    window.add_app(AppSample(100, value, value, value, value, value), 100)
    assert window.summary(100) == Summary()


@pytest.mark.parametrize("at_s", [39, 101, math.nan, math.inf])
def test_what_is_late_or_of_the_future_is_dropped(at_s: float) -> None:
    """A sample belongs to the window or to nothing."""
    window = Window(60)
    window.add(Sample("a", at_s, 50, 50), 100)
    window.add_app(AppSample(at_s, 5, 10, 20, 1, 0), 100)
    assert window.summary(100) == Summary()


@pytest.mark.parametrize(("before", "after", "rps"), [
    (Counters(0, 100, 1), Counters(2, 140, 1), 20),
    (Counters(0, 100, 1), Counters(2, 40, 1), None),
    (Counters(0, 100, 1), Counters(0, 140, 1), None),
    (Counters(2, 100, 1), Counters(0, 140, 1), None),
    (Counters(0, None, 1), Counters(2, 140, 1), None),
    (Counters(0, 100, 1), Counters(2, math.nan, 1), None),
])
def test_counters_become_rates(before: Counters, after: Counters, rps: float | None) -> None:
    """A reset, a repeat or a hole has no rate."""
    assert traffic(before, after, p95_ms=9, connections=1).rps == rps


def test_old_news_is_a_hole() -> None:
    """A replica that stopped reporting has no reading, well before its samples are old."""
    window = Window(60)
    for second in range(60):
        window.add(Sample("a", second, 50, 50), second)
        window.add_app(AppSample(second, 5, 10, 20, 0, 0), second)
    assert window.summary(60).cpu_percent == 50
    assert window.summary(100).cpu_percent is None
    assert window.summary(100).rps is None


def test_replicas_are_bounded_and_forgotten() -> None:
    """A flood of names takes no memory."""
    window = Window(60)
    for number in range(2 * REPLICAS_MAX):
        window.add(Sample(str(number), 100, 1, 1), 100)
    assert window.summary(100).cpu_replicas == REPLICAS_MAX
    window.keep({"1", "2"})
    assert window.summary(100).cpu_replicas == 2


def test_the_percentile_of_most_requests_speaks_for_its_bucket() -> None:
    """One slow request among thousands is not the percentile."""
    window = Window(60)
    window.add_app(AppSample(99, 1_000, 2_000, 20, 1, 0), 100)
    window.add_app(AppSample(100, 1, 2, 900, 0, 0), 100)
    assert window.summary(100).p95s_ms[0] == 20
    assert not window.summary(100).idle
