"""Workers: where slow calls run, so that the control thread never waits for anybody."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Protocol

logger = logging.getLogger(__name__)

LANES: Mapping[str, int] = {
    "observe": 1, "start": 48, "stop": 48, "probe": 64, "ingress": 4, "usage": 1,
    "stats": 8, "lines": 4, "image": 4, "pull": 8,
}
"""Calls at once, by kind: a hung engine must not keep probes or the ingress waiting."""

PULL: Final = "pull:"
"""How the keys of pulls begin."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job returned, or how it failed."""

    value: Any = None
    error: Exception | None = None


Done = Callable[[Outcome], None]


class Workers(Protocol):
    """Runs jobs elsewhere; their `done` is called in the control thread, by `drain`."""

    def start(self, lane: str, key: str, job: Callable[[], Any], done: Done) -> bool:
        """Run `job` unless `key` is running already or the lane is full; tells whether."""

    def running(self, prefix: str) -> int:
        """How many jobs run whose key starts with `prefix`."""

    def free(self, lane: str) -> int:
        """How many more jobs the lane takes."""

    def drain(self) -> bool:
        """Deliver what has finished; tells whether there was something."""

    def stop(self) -> None:
        """Take no more jobs; the running ones end by their own deadlines."""


class ThreadWorkers:
    """A thread pool for each lane; no queue, since level-triggered loops ask again."""

    def __init__(self, wake: Callable[[], None], lanes: Mapping[str, int] = LANES) -> None:
        self._wake = wake
        self._pools = {
            lane: ThreadPoolExecutor(size, thread_name_prefix=f"worker-{lane}")
            for lane, size in lanes.items()
        }
        self._running: dict[str, str] = {}
        self._free = dict(lanes)
        self._finished: queue.SimpleQueue[tuple[str, Done, Outcome]] = queue.SimpleQueue()
        self._stopped = threading.Event()

    def start(self, lane: str, key: str, job: Callable[[], Any], done: Done) -> bool:
        """Run `job` in a thread; called only by the control thread."""
        if self._stopped.is_set() or key in self._running or not self._free[lane]:
            return False
        self._running[key] = lane
        self._free[lane] -= 1
        self._pools[lane].submit(self._run, key, job, done)
        return True

    def _run(self, key: str, job: Callable[[], Any], done: Done) -> None:
        try:
            outcome = Outcome(job())
        except Exception as error:
            outcome = Outcome(error=error)
        self._finished.put((key, done, outcome))
        self._wake()

    def running(self, prefix: str) -> int:
        """Jobs under way whose key starts with `prefix`."""
        if prefix in self._running:
            return 1
        return sum(1 for key in self._running if key.startswith(prefix))

    def free(self, lane: str) -> int:
        """Places left in the lane."""
        return self._free[lane]

    def drain(self) -> bool:
        """Call the `done` of each finished job, in the caller's thread."""
        some = False
        while True:
            try:
                key, done, outcome = self._finished.get_nowait()
            except queue.Empty:
                return some
            some = True
            self._free[self._running.pop(key)] += 1
            try:
                done(outcome)
            except Exception:
                logger.exception("the result of %s could not be used", key)

    def stop(self) -> None:
        """Refuse new jobs and forget the idle threads."""
        self._stopped.set()
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
