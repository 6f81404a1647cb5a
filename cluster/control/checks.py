"""Checks on demand: asked for by request threads, carried out by the health monitor."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cluster.control.judge import Probe, Record
from cluster.engine.base import Container

OPEN_MAX = 64
"""Checks that wait or are under way."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One container that was checked, and what is thought of it since."""

    container: Container
    probe: Probe
    record: Record


class Check:
    """One check of all replicas of an app.

    `left` are containers still to be asked, `asked` those whose answer is awaited; both are
    None and empty until the monitor has begun. Only the control thread changes them.
    """

    def __init__(self, app: str) -> None:
        self.app = app
        self.left: set[str] | None = None
        self.asked: set[str] = set()
        self.results: dict[str, Checked] = {}
        self.abandoned = False
        self._done = threading.Event()

    def answered(self, checked: Checked) -> None:
        """One answer came."""
        if checked.container.id in self.asked:
            self.asked.discard(checked.container.id)
            self.results[checked.container.id] = checked

    def finish(self, *, abandoned: bool = False) -> None:
        """Let those who wait go on; `abandoned` when this controller stopped leading."""
        self.abandoned = abandoned
        self._done.set()

    @property
    def done(self) -> bool:
        """Is it over?"""
        return self._done.is_set()

    def wait(self, timeout_s: float) -> Sequence[Checked] | None:
        """The containers checked, by slot; None when it was abandoned or time is up."""
        if not self._done.wait(timeout_s) or self.abandoned:
            return None
        return sorted(self.results.values(), key=lambda one: one.container.slot)


class HealthChecks:
    """What is asked for and not over; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: list[Check] = []

    def ask(self, app: str) -> Check | None:
        """A check that begins from now on, shared by those who wait for it to begin.

        None when too many are open.
        """
        with self._lock:
            for check in self._open:
                if check.app == app and check.left is None:
                    return check
            if len(self._open) >= OPEN_MAX:
                return None
            made = Check(app)
            self._open.append(made)
            return made

    def begin(self, check: Check, container_ids: Iterable[str]) -> None:
        """From here on nobody joins it."""
        with self._lock:
            check.left = set(container_ids)

    def open(self) -> Sequence[Check]:
        """Those that are not over, oldest first."""
        with self._lock:
            self._open = [check for check in self._open if not check.done]
            return list(self._open)

    def abandon(self) -> None:
        """None of them will be carried out here."""
        for check in self.open():
            check.finish(abandoned=True)
        self.open()
