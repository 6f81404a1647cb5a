"""Cursors: whatever breaks off where, each line comes once and in order."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cluster.engine.base import LogLine
from cluster.live.cursor import REORDER_NS, Cursor, Run


@st.composite
def logs(draw: Any) -> list[LogLine]:
    """What Docker wrote down: times grow within a stream, the two streams a little apart."""
    at_ns = {"stdout": 10 * REORDER_NS, "stderr": 10 * REORDER_NS}
    lines = []
    for number in range(draw(st.integers(0, 30))):
        stream = draw(st.sampled_from(["stdout", "stderr"]))
        newest_ns = max(at_ns.values())
        step_ns = draw(st.sampled_from([0, 0, 1, REORDER_NS // 2, 3 * REORDER_NS]))
        at_ns[stream] = max(at_ns[stream] + step_ns, newest_ns - REORDER_NS + 1)
        lines.append(LogLine(at_ns[stream], stream, f"{number}"))
    return lines


@given(logs(), st.lists(st.integers(0, 12), max_size=8), st.integers(0, 2))
def test_each_line_comes_once(lines: list[LogLine], breaks: list[int], since: int) -> None:
    """Runs that begin where the cursor says and break off anywhere add up to the whole log."""
    since_ns = (10 + since) * REORDER_NS
    cursor = Cursor(since_ns)
    got: list[LogLine] = []
    for length in [*breaks, len(lines)]:
        run, begin_ns = Run(), cursor.resume_ns()
        told = [line for line in lines if line.at_ns > begin_ns]
        for line in told[:length]:
            if cursor.fresh(run, run.number(line), line):
                got.append(line)
    for stream in ("stdout", "stderr"):
        assert [line.text for line in got if line.stream == stream] == [
            line.text for line in lines if line.stream == stream and line.at_ns > since_ns]


def test_an_earlier_run_changes_nothing() -> None:
    """Somebody else's need for older lines brings nobody the same lines again."""
    lines = [LogLine(at_ns, "stdout", str(at_ns)) for at_ns in (5, 6, 6, 7)]
    cursor = Cursor(5)
    for known, last in ((2, (6, 1)), (3, (6, 2)), (2, (6, 2)), (4, (7, 1)), (4, (7, 1))):
        run = Run()
        for line in lines[:known]:
            cursor.fresh(run, run.number(line), line)
        assert cursor._last["stdout"] == last


def test_a_clock_that_is_set_back_hides_nothing() -> None:
    """Within one run all lines after the first new one are new, whatever their times say."""
    cursor, run = Cursor(0), Run()
    lines = [LogLine(at_ns, "stdout", "x") for at_ns in (100, 50, 50, 101)]
    assert all(cursor.fresh(run, run.number(line), line) for line in lines)
