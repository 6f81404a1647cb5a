"""Outcomes of past writes: found for a day, bounded in number, oldest first to go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cluster.state import memory as m
from cluster.state.memory import Memory, Outcome
from cluster.state.outcome import Applied

HOUR_MS = 3600 * 1000


def outcome(number: int, at_ms: int) -> Outcome:
    """The outcome of one write."""
    return Outcome(f"r{number}", "", at_ms, Applied(number))


def filled(count: int, *, gap_ms: int) -> Memory:
    """One write each `gap_ms`."""
    memory = Memory()
    for number in range(count):
        memory = memory.remember(outcome(number, number * gap_ms))
    return memory


def test_a_day_is_kept() -> None:
    """At one write a minute, the last 24 hours are there and what was before is not."""
    memory = filled(3000, gap_ms=60_000)
    assert len(memory) == 24 * 60
    assert memory.recall("r2999") == outcome(2999, 2999 * 60_000)
    assert memory.recall(f"r{3000 - 24 * 60}") is not None
    assert memory.recall(f"r{3000 - 24 * 60 - 1}") is None


def test_the_number_is_bounded() -> None:
    """However fast writes come, no more than the bound are kept, the newest."""
    memory = filled(m.KEPT_MAX + 10, gap_ms=1)
    assert len(memory) == m.KEPT_MAX
    assert memory.recall("r9") is None
    assert memory.recall("r10") is not None


def test_a_clock_that_jumps_does_not_forget_everything() -> None:
    """The last thousand stay, whatever the proposer's clock says."""
    memory = filled(5000, gap_ms=1).remember(outcome(5000, 1000 * 24 * HOUR_MS))
    assert len(memory) == m.KEPT_MIN
    assert memory.recall("r4999") is not None


def test_an_older_value_is_not_changed() -> None:
    """Remembering gives a new value; the one before stays as it was."""
    before = filled(3, gap_ms=1)
    after = before.remember(outcome(3, 3))
    assert [o.request_id for o in before] == ["r0", "r1", "r2"]
    assert [o.request_id for o in after] == ["r0", "r1", "r2", "r3"]
    assert before != after


def test_equal_by_what_they_hold() -> None:
    """Two memories with the same outcomes are equal, wherever their counting began."""
    long = filled(m.KEPT_MIN + 500, gap_ms=24 * HOUR_MS)
    fresh = Memory()
    for one in long:
        fresh = fresh.remember(one)
    assert fresh.first != long.first
    assert fresh == long
    assert fresh != fresh.remember(outcome(-1, 10**12))


@given(st.lists(st.integers(0, 48 * HOUR_MS), max_size=40))
def test_order_and_lookup_agree(times_ms: list[int]) -> None:
    """Whatever the clocks of the proposers do, what is listed can be found and the reverse."""
    memory = Memory()
    for number, at_ms in enumerate(times_ms):
        memory = memory.remember(outcome(number, at_ms))
    listed = list(memory)
    assert len(listed) == len(memory) == len(memory.outcomes)
    assert all(memory.recall(o.request_id) == o for o in listed)
    assert [o.applied.index for o in listed] == sorted(o.applied.index for o in listed)
