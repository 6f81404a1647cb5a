"""PartWatch: steady changes are told once."""

from __future__ import annotations

from cluster.control.part_watch import STEADY_S, PartWatch
from cluster.control.vitals import Component

WELL = Component("healthy")
DOWN = Component("unavailable", "connection refused")


def test_a_part_that_fails_and_comes_back_is_told_twice() -> None:
    """Each change once, with what was, what is and why."""
    watch = PartWatch("c1")
    told = []
    for second in range(30):
        part = DOWN if 5 <= second < 15 else WELL
        told += [(second, event) for event in watch.step({"docker": part}, float(second))]
    assert [second for second, _ in told] == [5 + STEADY_S, 15 + STEADY_S]
    down, up = (event for _, event in told)
    assert down.message == "docker of c1 is unavailable"
    assert dict(down.details) == {
        "node": "c1", "part": "docker", "before": "healthy", "after": "unavailable",
        "reason": "connection refused"}
    assert up.message == "docker of c1 works again"


def test_what_passes_at_once_is_not_told() -> None:
    """A restart of a part within a few seconds, and a start that has not asked it yet."""
    watch = PartWatch("c1")
    for second in range(40):
        part = DOWN if second < 2 or second % 7 == 3 else WELL
        assert watch.step({"docker": part}, float(second)) == []


def test_a_part_that_never_came_up_is_told() -> None:
    """Also when it was not there from the beginning."""
    watch = PartWatch("c1")
    told = [event for second in range(9) for event in watch.step({"nginx": DOWN}, float(second))]
    assert [event.message for event in told] == ["nginx of c1 is unavailable"]
