"""Telemetry: what the leader measured and decided, for readers in any thread; bounded.

It is lost with the process: nothing is decided from it, and a new leader measures anew.
The history keeps the points.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from cluster.control.rates import Load
from cluster.history.base import Point
from cluster.scaling.decision import Decision
from cluster.scaling.replay import Round

RECORDS_MAX = 20_000
RECORDS_OF_APP = (30, 1_800)
"""At least and at most of one app; the most are an hour at the default interval."""
FRESH_S = 10.0
FRESH_ROUNDS = 2
"""An older measurement is no current one, be it of so many rounds ago."""


@dataclass(frozen=True, slots=True)
class Record:
    """One round of one app: what was seen, and what came of it."""

    point: Point
    round: Round
    decision: Decision
    loads: Mapping[str, Load] = field(default_factory=dict)
    """By the replica's slot name, such as shop-1."""


@dataclass(frozen=True, slots=True)
class Totals:
    """All apps together at the ingresses; `requests` counts from this leader's begin."""

    at_ms: int = 0
    requests: int = 0
    rps: float | None = None
    error_percent: float | None = None
    mean_ms: float | None = None
    requests_by_app: Mapping[str, float] = field(default_factory=dict)
    errors_by_app: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class _OfApp:
    records: deque[Record] = field(default_factory=deque)


class Telemetry:
    """Written by the control thread, read by request threads."""

    def __init__(self, tell: Callable[[str, Point], None] | None = None) -> None:
        """`tell` is given every point of an app, to keep it."""
        self._tell = tell
        self._lock = threading.Lock()
        self._apps: dict[str, _OfApp] = {}
        self._totals = Totals()
        self._after_round: list[Callable[[], None]] = []
        self._fresh_s = FRESH_S

    def after_round(self, call: Callable[[], None]) -> None:
        """Call, in the control thread, whenever all apps were measured; it must not wait."""
        self._after_round.append(call)

    def expect(self, interval_s: float) -> None:
        """Measurements come this often."""
        self._fresh_s = max(FRESH_S, FRESH_ROUNDS * interval_s)

    def add(self, app: str, record: Record) -> None:
        """Keep one round of an app; the oldest goes when there are too many."""
        with self._lock:
            of = self._apps.setdefault(app, _OfApp())
            of.records.append(record)
            while len(of.records) > _share(RECORDS_MAX, RECORDS_OF_APP, len(self._apps)):
                of.records.popleft()
        if self._tell is not None:
            self._tell(app, record.point)

    def sum_up(self, totals: Totals) -> None:
        """Keep the latest totals, which end a round."""
        self._totals = totals
        for call in self._after_round:
            call()

    def keep_only(self, apps: Collection[str]) -> None:
        """Forget apps that are gone."""
        with self._lock:
            for gone in [name for name in self._apps if name not in apps]:
                del self._apps[gone]

    def totals(self) -> Totals:
        """The latest totals."""
        return self._totals

    def latest(self, app: str, now_ms: int) -> Record | None:
        """The last round of an app, if it is fresh."""
        with self._lock:
            of = self._apps.get(app)
            last = of.records[-1] if of is not None and of.records else None
        return last if last is not None and self._fresh(last, now_ms) else None

    def all_latest(self, now_ms: int) -> dict[str, Record]:
        """The last fresh round of each app."""
        with self._lock:
            lasts = {name: of.records[-1] for name, of in self._apps.items() if of.records}
        return {name: last for name, last in lasts.items() if self._fresh(last, now_ms)}

    def _fresh(self, record: Record, now_ms: int) -> bool:
        return now_ms - record.point.at_ms <= self._fresh_s * 1000

    def records(self, app: str, *, since_ms: int = 0) -> list[Record]:
        """Rounds of an app, oldest first."""
        with self._lock:
            of = self._apps.get(app)
            found = list(of.records) if of is not None else []
        return [record for record in found if record.point.at_ms >= since_ms]

    def points(self, app: str, *, count: int) -> list[Point]:
        """The last `count` points, oldest first."""
        return [record.point for record in self.records(app)[-count:]] if count > 0 else []


def _share(most: int, of_app: tuple[int, int], apps: int) -> int:
    return min(max(most // max(apps, 1), of_app[0]), of_app[1])
