"""Load: calls at a steady rate from threads of this process, and what became of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

THREADS = 4
LATE_S = 1.0
BEHIND_MAX_S = 1.0
STOP_S = 40.0


@dataclass(frozen=True, slots=True)
class Call:
    """One call: when it began (monotonic), how long it took, and why it failed or ""."""

    begun_s: float
    took_s: float
    error: str = ""

    @property
    def ended_s(self) -> float:
        """When it was over."""
        return self.begun_s + self.took_s


@dataclass(frozen=True, slots=True)
class Figures:
    """What users of one kind saw; times in seconds, None where there is nothing to tell.

    `recovery_s` is from the fault to the first success of a call that began after it;
    `pause_s` is the longest time without any success since then. `late` took over LATE_S.
    """

    sent: int
    failed: int
    late: int
    median_s: float | None
    worst_s: float | None
    recovery_s: float | None
    pause_s: float | None
    first_error: str = ""

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "sent": self.sent, "failed": self.failed, "late": self.late,
            "median_s": _rounded(self.median_s), "worst_s": _rounded(self.worst_s),
            "recovery_s": _rounded(self.recovery_s), "pause_s": _rounded(self.pause_s),
            "first_error": self.first_error or None,
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def figures(calls: Sequence[Call], fault_s: float, end_s: float) -> Figures:
    """What the calls say about a fault at `fault_s`, measured until `end_s`."""
    good = sorted((call for call in calls if not call.error), key=lambda call: call.ended_s)
    after = [call.ended_s for call in good if call.begun_s >= fault_s]
    ends = [fault_s, *(call.ended_s for call in good if call.ended_s > fault_s), end_s]
    gaps = [later - sooner for sooner, later in pairwise(ends)]
    failed = [call for call in calls if call.error]
    return Figures(
        sent=len(calls), failed=len(failed), late=sum(call.took_s > LATE_S for call in good),
        median_s=median(call.took_s for call in good) if good else None,
        worst_s=max((call.took_s for call in calls), default=None),
        recovery_s=after[0] - fault_s if after else None,
        pause_s=max(gaps) if calls else None,
        first_error=failed[0].error if failed else "",
    )


class Load:
    """`kinds` are the calls by name; each runs `rate` times a second, in THREADS threads.

    A call that raises an Exception failed.
    """

    def __init__(self, kinds: Mapping[str, Callable[[], object]], rate: float) -> None:
        self.calls: dict[str, list[Call]] = {name: [] for name in kinds}
        self._rate = rate
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(name, work, number), daemon=True)
            for name, work in kinds.items() for number in range(THREADS)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, once the calls under way are over."""
        self._stop.set()
        until_s = time.monotonic() + STOP_S
        for thread in self._threads:
            thread.join(max(0.0, until_s - time.monotonic()))

    def count(self, name: str) -> int:
        """How many calls of a kind are over."""
        return len(self.calls[name])

    def _run(self, name: str, work: Callable[[], object], number: int) -> None:
        due_s = time.monotonic() + number / self._rate
        while not self._stop.wait(max(0.0, due_s - time.monotonic())):
            begun_s, error = time.monotonic(), ""
            try:
                work()
            except Exception as failure:
                error = str(failure) or repr(failure)
            now_s = time.monotonic()
            self.calls[name].append(Call(begun_s, now_s - begun_s, error))
            due_s = max(due_s + THREADS / self._rate, now_s - BEHIND_MAX_S)
