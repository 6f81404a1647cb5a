"""What a container of the fake engine wrote."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from cluster.engine.base import LOG_LINES_MAX, LogLine
from cluster.engine.lines import Newest

LINES_KEPT = 1_000
FOLLOW_POLL_S = 0.02


class FakeLog:
    """The last lines of one container."""

    def __init__(self) -> None:
        self._lines: deque[LogLine] = deque(maxlen=LINES_KEPT)
        self._written = 0

    def write(self, line: LogLine) -> None:
        """One more line."""
        self._lines.append(line)
        self._written += 1

    def last(self, tail: int, since_ns: int) -> Sequence[LogLine]:
        """As `Engine.logs` answers."""
        newest = Newest(min(tail, LOG_LINES_MAX))
        newest.add(line for line in self._lines if line.at_ns >= since_ns)
        return newest.lines()

    def after(self, read: int) -> tuple[Sequence[LogLine], int]:
        """The lines that follow the first `read` ones, and how many were written in all."""
        missed = self._written - len(self._lines)
        return list(self._lines)[max(0, read - missed):], self._written


def follow(
    look: Callable[[int], tuple[Sequence[LogLine], int, bool]],
    since_ns: int,
    stop: threading.Event,
) -> Iterator[LogLine]:
    """Lines later than `since_ns`; `look` tells those after so many, how many, and the end."""
    read, ended = 0, False
    while not ended and not stop.is_set():
        lines, read, ended = look(read)
        for line in lines:
            if stop.is_set():
                return
            if line.at_ns > since_ns:
                yield line
        if not ended:
            stop.wait(FOLLOW_POLL_S)
