"""Watch: whether a server that may fail answers, found out in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from cluster.clock import Clock

logger = logging.getLogger(__name__)

CHECK_S = 2.0
RETRY_S = 0.5
"""Between a failure and the next question, so that a server that answers now and then costs
a request its patience at most twice a second."""


class NoAnswer(Exception):
    """The server did not answer as it should; the text says why."""


@dataclass(frozen=True, slots=True)
class Answers:
    """How the server did when it was last asked."""

    up: bool
    reason: str = ""
    response_time_ms: float | None = None


class Watch:
    """A circuit breaker: who asks the server looks at `up` first, and tells when it failed.

    Thread: any.
    """

    def __init__(self, what: str, ask: Callable[[], None], clock: Clock) -> None:
        self._what = what
        self._ask = ask
        self._clock = clock
        self._latest = Answers(up=False, reason="not asked yet")
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch-{what}", daemon=True)

    @property
    def up(self) -> bool:
        """True while it answers."""
        return self._latest.up

    @property
    def latest(self) -> Answers:
        """How it did lately."""
        return self._latest

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more; a question under way ends by its own deadline."""
        self._stop.set()
        self._wake.set()

    def lost(self, reason: str) -> None:
        """A question failed: nobody asks until the thread has had an answer."""
        with self._lock:
            if not self._latest.up:
                return
            self._latest = Answers(up=False, reason=reason)
        logger.warning("%s does not answer: %s", self._what, reason)
        self._wake.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._look()
            if self.up:
                self._wake.wait(CHECK_S)
            self._wake.clear()
            if not self.up:
                self._stop.wait(RETRY_S)

    def _look(self) -> None:
        began_s = self._clock.monotonic_s()
        try:
            self._ask()
        except NoAnswer as error:
            if self.up:
                self.lost(str(error))
            else:
                self._latest = Answers(up=False, reason=str(error))
            return
        took_ms = round((self._clock.monotonic_s() - began_s) * 1000, 3)
        with self._lock:
            back = not self._latest.up
            self._latest = Answers(up=True, response_time_ms=took_ms)
        if back:
            logger.info("%s answers", self._what)
