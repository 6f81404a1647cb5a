"""Receipts: what users saw of each deployment, as the ingresses counted it.

A minute before, the whole time of it, and a minute after. What has a hole is None and never 0:
an ingress that was restarted or is silent, or a leader that took over in the middle.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

from cluster.config.keys import spec_defaults
from cluster.control.fleet import Fleet
from cluster.control.loop import Turn
from cluster.control.measure import Measurer
from cluster.control.meter import NOTHING, Counted, Look, Mark, plus, together
from cluster.control.specs import spec_for
from cluster.state.commands import KeepReceipt
from cluster.state.model import App, Measured, Receipt, Rollout

AFTER_S = 60.0
KEPT_EVERY_S = 15.0
KEPT = 5
"""Looks at each ingress from which the minute before is counted."""
FOLD_S = 60.0
"""An ingress forgets replicas that are gone after ten minutes: add up what was counted sooner."""
SETTLED_S = 0.3
"""An ingress's workers sum up their counters each 0.1 s, those of an older one each 0.2 s."""
LEAST_S = 1.0
LATE_S = 20.0
PATIENCE_S = 10.0
"""How long the end of a deployment waits for ingresses that do not answer."""


@dataclass(slots=True)
class _Sum:
    """Requests of an app from a moment on; `counted` is None once it has a hole."""

    mark: Mark
    from_s: float
    counted: Counted | None = NOTHING


@dataclass(slots=True)
class _Open:
    """A deployment that is measured; `over_s` is when it was seen to have ended (monotonic).

    `whole` says that it was from its first moment on.
    """

    app: str
    id: int
    seen_s: float
    whole: bool
    receipt: Receipt
    sum: _Sum | None = None
    over_s: float | None = None
    after: bool = False
    sent: Receipt | None = field(default=None)


class Receipts:
    """Measures each deployment of an app with HTTP, and writes what came of it."""

    name = "receipt"

    def __init__(self, fleet: Fleet, measurer: Measurer) -> None:
        self._fleet = fleet
        self._measurer = measurer
        self.reset()

    def reset(self) -> None:
        """What another leader measured is lost, but for what it wrote."""
        self._open: dict[tuple[str, int], _Open] = {}
        self._began = False
        self._kept: dict[str, deque[Look]] = {}

    def step(self, turn: Turn) -> None:
        """Begin, go on with and end what is measured."""
        if self._fleet.holds(turn.state):
            return
        self._keep_looks()
        defaults = spec_defaults(turn.state.config)
        for app in turn.state.apps.values():
            rollout = app.rollout
            if rollout is None or (app.name, rollout.id) in self._open:
                continue
            with turn.apart(app.name):
                spec = spec_for(app, defaults)
                if spec is not None and spec.type == "http":
                    self._open[app.name, rollout.id] = _Open(
                        app.name, rollout.id, turn.now_s, self._began,
                        rollout.receipt or Receipt())
        self._began = True
        for key, one in list(self._open.items()):
            found = turn.state.apps.get(one.app)
            with turn.apart(one.app):
                if found is None or not self._one(turn, found, one):
                    del self._open[key]
        self._measurer.hurries = any(
            one.over_s is not None and not one.after for one in self._open.values())

    def _keep_looks(self) -> None:
        for name, last in self._measurer.meter.last.items():
            kept = self._kept.setdefault(name, deque(maxlen=KEPT))
            if not kept or last.at_s - kept[-1].at_s >= KEPT_EVERY_S:
                kept.append(last)

    def _one(self, turn: Turn, app: App, one: _Open) -> bool:
        """One deployment; False when there is no more to do for it."""
        rollout = _of(app, one.id)
        if rollout is None:
            return False
        if one.sent is not None and one.sent != rollout.receipt:
            self._propose(turn, one, one.sent)  # not there yet, or lost
            return turn.now_s < (one.over_s or turn.now_s) + AFTER_S + PATIENCE_S
        if one.sent is not None and one.after and one.sum is None:
            return False
        if rollout is not app.rollout and one.over_s is None:
            one.over_s = turn.now_s
        if one.sum is None:
            self._begin(turn, one)
            return one.over_s is None or turn.now_s < one.over_s + PATIENCE_S
        self._fold(turn, one.sum)
        if one.over_s is None:
            return True
        return self._end(turn, app, one, one.sum, one.over_s)

    def _begin(self, turn: Turn, one: _Open) -> None:
        mark = self._mark(one.app, one.seen_s)
        if mark is None:
            return
        one.sum = _Sum(mark, mark.at_s)
        if one.whole:
            one.receipt = replace(one.receipt, before=self._before(one.app, mark.at_s))
        if one.receipt.before is not None:
            self._propose(turn, one, one.receipt)

    def _end(self, turn: Turn, app: App, one: _Open, now: _Sum, over_s: float) -> bool:
        if not one.after:
            mark = self._mark(one.app, over_s + SETTLED_S)
            late = turn.now_s > over_s + PATIENCE_S
            if mark is None and not late:
                return True
            during = self._told(now, turn.now_s) if mark is not None else None
            one.receipt, one.after = replace(one.receipt, during=during), True
            self._propose(turn, one, one.receipt)
            one.sum = _Sum(mark, mark.at_s) if mark is not None else None
            return one.sum is not None
        if turn.now_s < over_s + AFTER_S and app.rollout is None and app.running:
            return True
        after = self._told(now, turn.now_s)
        whole = one.whole and None not in (one.receipt.before, one.receipt.during, after)
        one.receipt, one.sum = replace(one.receipt, after=after, complete=whole), None
        self._propose(turn, one, one.receipt)
        return True

    def _propose(self, turn: Turn, one: _Open, receipt: Receipt) -> None:
        one.sent = receipt
        turn.propose(f"receipt:{one.app}:{one.id}", KeepReceipt(one.app, one.id, receipt))

    # -- counting ----------------------------------------------------------------------

    def _mark(self, app: str, since_s: float) -> Mark | None:
        """A moment of which all ingresses have told since then."""
        meter = self._measurer.meter
        mark = meter.mark(app, since_s)
        if mark is None or min(one.at_s for one in meter.last.values()) < since_s:
            return None
        return mark

    def _before(self, app: str, until_s: float) -> Measured | None:
        """The minute before, as far back as the looks that were kept go."""
        meter, oldest = self._measurer.meter, {
            name: kept[0] for name, kept in self._kept.items() if kept}
        if not oldest or set(oldest) != set(meter.last):
            return None
        from_s = max(one.at_s for one in oldest.values())
        counted = meter.since(Mark(app, from_s, {
            name: (one.boot_id, one.apps.get(app, {})) for name, one in oldest.items()}))
        if counted is None or until_s - from_s < LEAST_S:
            return None
        return _measured(together(counted.values()), until_s - from_s)

    def _fold(self, turn: Turn, now: _Sum) -> None:
        if turn.now_s - now.mark.at_s >= FOLD_S:
            mark = self._measurer.meter.mark(now.mark.app, turn.now_s)
            if mark is not None:
                self._add(now)
                now.mark = mark

    def _add(self, now: _Sum) -> None:
        more = self._measurer.meter.since(now.mark)
        now.counted = None if more is None or now.counted is None else plus(
            now.counted, together(more.values()))

    def _told(self, now: _Sum, now_s: float) -> Measured | None:
        """All of it until the last look; None with a hole, or when there was none lately."""
        self._add(now)
        looks_s = [one.at_s for one in self._measurer.meter.last.values()]
        seconds = max(looks_s) - now.from_s
        if now.counted is None or seconds < LEAST_S or now_s - min(looks_s) > LATE_S:
            return None
        return _measured(now.counted, seconds)


def _of(app: App, number: int) -> Rollout | None:
    if app.rollout is not None and app.rollout.id == number:
        return app.rollout
    return next((one for one in reversed(app.deployments) if one.id == number), None)


def _measured(counted: Counted, seconds: float) -> Measured:
    p95_ms = counted.percentile_ms(0.95)
    return Measured(
        round(seconds, 1), counted.requests, counted.failed, counted.retried,
        None if p95_ms is None else round(p95_ms, 2))
