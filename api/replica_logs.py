"""The logs of several replicas as one: read side by side, merged by time, bounded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field

from cluster.engine.base import LOG_LINES_MAX, LOGS_BYTES_MAX, Engine, EngineError, LogLine
from orchestry.errors import Code, OrchestryError

LINES_MAX = 100_000
"""Looked at for one request: reading more would keep the interpreter from the rest."""
PARALLEL = 8
"""Containers read at once, for all requests."""
WHOLE_S = 8.0
AT_ONCE = 8
WAIT_S = 2.0

Line = tuple[str, LogLine]
"""A line and the name of its replica."""


@dataclass(slots=True)
class Reading:
    """Lines of several replicas, oldest first.

    `total` is how many were found, `cut` that older ones were not looked at. `unavailable`
    says why which replicas could not be read.
    """

    lines: Sequence[Line] = ()
    total: int = 0
    cut: bool = False
    unavailable: Mapping[str, EngineError] = field(default_factory=dict)


class LogReader:
    """Reads logs in threads of its own: one container that hangs delays nobody for ever."""

    def __init__(self, engine: Callable[[], Engine]) -> None:
        self._engine = engine
        self._pool = ThreadPoolExecutor(PARALLEL, "logs")
        self._places = threading.BoundedSemaphore(AT_ONCE)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(timeout=WAIT_S):
            raise OrchestryError(
                Code.CLUSTER_NOT_READY,
                f"{AT_ONCE} requests read logs on this node already; try again in a second")
        try:
            yield
        finally:
            self._places.release()

    def read(
        self, wanted: Mapping[str, str], *, tail: int, since_ns: int,
        keep: Callable[[LogLine], bool] | None = None,
    ) -> Reading:
        """The last `tail` lines that `keep` accepts of the containers in `wanted`, id to name.

        Raises:
            OrchestryError: DOCKER_ERROR when none could be read, CLUSTER_NOT_READY when too
                many requests read logs.
        """
        with self._place():
            found = self._read(wanted, tail, since_ns, keep)
        faults = [error for error in found.unavailable.values() if error.fault != "gone"]
        if faults and len(found.unavailable) == len(set(wanted.values())):
            raise OrchestryError(Code.DOCKER_ERROR, faults[0].reason)
        return found

    def _read(
        self, wanted: Mapping[str, str], tail: int, since_ns: int,
        keep: Callable[[LogLine], bool] | None,
    ) -> Reading:
        engine = self._engine()
        asked = min(tail + 1 if keep is None else LOG_LINES_MAX,
                    max(LINES_MAX // max(len(wanted), 1), 1))
        # Where a container has older lines that were not asked for, those of the others before
        # them would make a record with holes.
        whole_from_ns = 0
        jobs: dict[Future[Sequence[LogLine]], str] = {
            self._pool.submit(engine.logs, container_id, tail=asked, since_ns=since_ns): name
            for container_id, name in wanted.items()
        }
        found = Reading()
        # While an update goes on, an old and a new replica may have one name.
        unavailable: dict[str, EngineError] = {}
        try:
            for job in as_completed(list(jobs), WHOLE_S):
                name = jobs.pop(job)  # or its lines would be kept until all have come
                try:
                    lines = job.result()
                except EngineError as error:
                    unavailable[name] = error
                    continue
                if sum(len(line.text) for line in lines) >= LOGS_BYTES_MAX:
                    found.cut = True
                if len(lines) >= asked and (keep is not None or asked <= tail):
                    found.cut = True
                    whole_from_ns = max(whole_from_ns, lines[0].at_ns)
                if keep is not None:
                    lines = [line for line in lines if keep(line)]
                found.total += len(lines)
                found.lines = _newest([*found.lines, *((name, line) for line in lines)], tail)
        except TimeoutError:
            for job in jobs:
                job.cancel()
        for name in jobs.values():
            unavailable.setdefault(name, _late())
        if keep is None:
            found.lines = [line for line in found.lines if line[1].at_ns >= whole_from_ns]
        found.unavailable = unavailable
        return found


def _newest(lines: Sequence[Line], tail: int) -> Sequence[Line]:
    """The last `tail` by time, as few as make up LOGS_BYTES_MAX; those of one replica in order."""
    ordered = sorted(lines, key=lambda line: (line[1].at_ns, line[0]))
    size, first = 0, len(ordered)
    while first and len(ordered) - first < tail and size < LOGS_BYTES_MAX:
        first -= 1
        size += len(ordered[first][1].text)
    return ordered[first:]


def _late() -> EngineError:
    return EngineError("timeout", f"it did not answer within {WHOLE_S:g} s")
