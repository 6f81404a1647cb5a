"""Cursor: how far somebody has come in the output of a container, to go on there; pure."""

from __future__ import annotations

from cluster.engine.base import LogLine

REORDER_NS = 1_000_000_000
"""The lines of standard output and standard error are written down in turn, each with the time
at which it came: one may stand behind a later one of the other, by so much at most."""


class Run:
    """One reading of a container's output: numbers the lines of one stream and time."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, int]] = {}

    def number(self, line: LogLine) -> int:
        """1 for the first line of its stream at its time, then 2, ..."""
        at_ns, number = self._last.get(line.stream, (-1, 0))
        number = number + 1 if at_ns == line.at_ns else 1
        self._last[line.stream] = line.at_ns, number
        return number


class Cursor:
    """Tells new lines from those that come again when a container is read anew.

    A run must begin at `resume_ns` or earlier, and tell all lines of a time or none.
    """

    def __init__(self, since_ns: int) -> None:
        self._since_ns = since_ns
        # Always both: another thread reads them.
        self._last: dict[str, tuple[int, int]] = {"stdout": (0, 0), "stderr": (0, 0)}
        self._run: Run | None = None
        self._caught_up: set[str] = set()

    def fresh(self, run: Run, number: int, line: LogLine) -> bool:
        """Is the line new? Then it is counted as seen."""
        if run is not self._run:
            self._run, self._caught_up = run, set()
        place = (line.at_ns, number)
        if line.stream not in self._caught_up:
            if line.at_ns <= self._since_ns or place <= self._last[line.stream]:
                return False
            # From here on this run has only new ones, also if the clock is set back.
            self._caught_up.add(line.stream)
        self._last[line.stream] = place
        return True

    def resume_ns(self) -> int:
        """Lines after this time are needed to miss none."""
        newest_ns = max(at_ns for at_ns, _ in self._last.values())
        return max(self._since_ns, newest_ns - REORDER_NS)
