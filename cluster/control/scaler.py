"""Scaler: measures all apps in rounds, decides for each, and keeps what it saw.

A round asks the engine and every ingress at once and ends when all have answered or its time
is up; what is not there by then is missing, and missing data never takes a replica away.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from cluster.clock import Clock
from cluster.config.effective import Configured
from cluster.config.keys import spec_defaults
from cluster.control import rates
from cluster.control.attempts import slot_of
from cluster.control.fleet import Fleet
from cluster.control.loop import Turn
from cluster.control.specs import spec_for
from cluster.control.telemetry import Record, Telemetry, Totals
from cluster.control.workers import Outcome, Workers
from cluster.engine.base import Container, Engine, EngineError, Usage
from cluster.history.base import Point
from cluster.ingress.base import Ingress, IngressError, IngressStats
from cluster.scaling.bounds import bounds
from cluster.scaling.decide import decide
from cluster.scaling.decision import Decision, Past, Reason
from cluster.scaling.explain import headline
from cluster.scaling.replay import Round
from cluster.scaling.samples import AppSample, Sample
from cluster.scaling.window import Window
from cluster.state.commands import AutoScale
from cluster.state.model import App
from orchestry.spec.model import AppSpec

logger = logging.getLogger(__name__)

ROUND_S = 1.5
"""How long a round waits for its answers."""
ASLEEP_S = 0.25
"""Between two looks for requests that wait for an app at zero."""
SLICE_S = 0.02
"""Time of one step for decisions: requests are served between two steps."""
FROM_REPLICAS = frozenset({"cpu", "memory"})
FROM_ALL = frozenset({"cpu", "memory", "rps", "latency", "connections"})
NO_CAPACITY = (
    "p95 latency stays over its limit although replicas were added: the cause is not their "
    "number, so no more are added for it")


@dataclass
class _Look:
    """One ingress's counters and when they were read."""

    stats: IngressStats
    at_s: float
    peers: rates.Peers


@dataclass
class _Round:
    """Answers that have come so far."""

    began_s: float
    wall_ms: int
    due: int
    usages: Sequence[Usage] = ()
    looks: dict[str, _Look] = field(default_factory=dict)


@dataclass
class _AppMemory:
    life: tuple[int, int]
    """When the app was registered and started: one that comes again begins anew."""
    spans_s: tuple[float, float]
    """Window and interval: another one of them needs another window."""
    window: Window
    past: Past


class Scaler:
    """Owns the windows of all apps under one lease; each is thrown away with it."""

    name = "scale"

    def __init__(
        self, engine: Engine, ingresses: Sequence[Ingress], fleet: Fleet, workers: Workers,
        clock: Clock, *, telemetry: Telemetry, configured: Configured,
    ) -> None:
        self._engine = engine
        self._ingresses = list(ingresses)
        self._fleet = fleet
        self._workers = workers
        self._clock = clock
        self._telemetry = telemetry
        self._configured = configured
        self._epoch = 0
        self.reset()

    def reset(self) -> None:
        """A new lease begins with empty windows: scale-in waits until they are full again."""
        self._epoch += 1
        self._next_s = self._peek_s = self._interval_s = 0.0
        self._round: _Round | None = None
        self._usages: dict[str, Usage] = {}
        self._looks: dict[str, _Look] = {}
        self._memory: dict[str, _AppMemory] = {}
        self._todo: deque[str] = deque()
        self._asleep: set[str] = set()
        self._traffic: dict[str, rates.Traffic] | None = None
        self._waiting: Mapping[str, int] = {}
        self._loads: dict[str, rates.Load] = {}
        self._decided: _Round | None = None
        self._requests = 0
        self._by_app: dict[str, list[float]] = {}

    # -- rounds ------------------------------------------------------------------------

    def step(self, turn: Turn) -> None:
        """Begin a round when it is due, end it when its answers are there, decide in slices."""
        if self._fleet.holds(turn.state):
            return
        self._keep_time(turn)
        if self._todo:
            self._decide_some(turn)
            return
        if self._round is not None:
            if not self._round.due or turn.now_s - self._round.began_s >= ROUND_S:
                self._end(turn, self._round)
            return
        if turn.now_s >= self._next_s:
            self._begin(turn)
        elif self._asleep and turn.now_s >= self._peek_s:
            self._peek(turn)

    def _keep_time(self, turn: Turn) -> None:
        """The interval may change between two steps: a long wait for the next round ends."""
        interval_s = self._configured(turn.state.config).scaling_interval_s
        if interval_s != self._interval_s:
            self._interval_s = interval_s
            self._next_s = min(self._next_s, turn.now_s + interval_s)
            self._telemetry.expect(interval_s)

    def _peek(self, turn: Turn) -> None:
        """Between two rounds, look for requests that wait for an app at zero."""
        self._peek_s = turn.now_s + ASLEEP_S
        epoch = self._epoch

        def done(outcome: Outcome) -> None:
            if epoch == self._epoch and outcome.error is None and any(
                    outcome.value.waiting.get(name) for name in self._asleep):
                self._next_s = 0.0

        for ingress in self._ingresses:
            self._workers.start("stats", f"peek:{ingress.name}", ingress.stats, done)

    def _begin(self, turn: Turn) -> None:
        self._next_s = turn.now_s + self._interval_s
        self._asleep = {
            name for name, app in turn.state.apps.items() if app.running and not app.replicas
        }
        now = self._round = _Round(turn.now_s, turn.now_ms, 0)
        epoch = self._epoch
        ids = [c.id for c in self._fleet.containers.values() if c.phase == "running"]

        def used(outcome: Outcome) -> None:
            if epoch != self._epoch:
                return
            now.due -= 1
            if outcome.error is None:
                now.usages = outcome.value
            elif not isinstance(outcome.error, EngineError):
                logger.error("measuring containers failed", exc_info=outcome.error)

        if ids and self._workers.start("usage", "usage", lambda: self._engine.usage(ids), used):
            now.due += 1
        for ingress in self._ingresses:
            self._ask(ingress, now, epoch)

    def _ask(self, ingress: Ingress, now: _Round, epoch: int) -> None:
        def look() -> _Look:
            stats = ingress.stats()
            return _Look(stats, self._clock.monotonic_s(), rates.by_peer(stats))

        def done(outcome: Outcome) -> None:
            if epoch != self._epoch:
                return
            now.due -= 1
            if outcome.error is None:
                now.looks[ingress.name] = outcome.value
            elif not isinstance(outcome.error, IngressError):
                logger.error("counters of ingress %s", ingress.name, exc_info=outcome.error)

        if self._workers.start("stats", f"stats:{ingress.name}", look, done):
            now.due += 1

    def _end(self, turn: Turn, now: _Round) -> None:
        """From counters to loads and traffic of this round; then all apps are to be decided."""
        self._round = None
        self._decided = now
        self._loads = {u.container_id: rates.load(self._usages.get(u.container_id), u)
                       for u in now.usages}
        known = {c.id for c in self._fleet.containers.values() if c.phase == "running"}
        self._usages = {i: u for i, u in self._usages.items() if i in known}
        self._usages.update((u.container_id, u) for u in now.usages)
        self._traffic = self._traffic_of(now)
        self._waiting = rates.waiting(look.stats for look in now.looks.values())
        self._todo = deque(sorted(
            name for name, app in turn.state.apps.items() if app.running and not app.deleting))
        running = set(self._todo)
        for gone in [name for name in self._memory if name not in running]:
            del self._memory[gone]
        for gone in [name for name in self._by_app if name not in turn.state.apps]:
            del self._by_app[gone]
        self._telemetry.keep_only(turn.state.apps.keys())
        self._decide_some(turn)

    def _traffic_of(self, now: _Round) -> dict[str, rates.Traffic] | None:
        """By app; None when not every ingress has told what it did since the last look."""
        parts: list[dict[str, rates.Traffic]] = []
        whole = bool(self._ingresses)
        for ingress in self._ingresses:
            before, after = self._looks.get(ingress.name), now.looks.get(ingress.name)
            if after is None or before is None or before.stats.boot_id != after.stats.boot_id:
                whole = False
            else:
                parts.append(rates.traffic(
                    before.stats, after.stats, after.at_s - before.at_s, before.peers))
            if after is not None:
                self._looks[ingress.name] = after
            else:
                # The next look would spread what came meanwhile over too short a time.
                self._looks.pop(ingress.name, None)
        names = {name for part in parts for name in part}
        found = {n: rates.together(part[n] for part in parts if n in part) for n in names}
        self._sum_up(now, found if whole else None)
        return found if whole else None

    def _sum_up(self, now: _Round, found: dict[str, rates.Traffic] | None) -> None:
        if found is None:
            self._telemetry.sum_up(replace(self._telemetry.totals(), at_ms=now.wall_ms))
            return
        every = rates.together(found.values())
        if not math.isnan(every.requests):
            self._requests += int(every.requests)
        for name, one in found.items():
            sums = self._by_app.setdefault(name, [0.0, 0.0])
            if one.rps > 0:
                sums[0] += one.requests
                sums[1] += one.requests * one.errors_per_s / one.rps
        self._telemetry.sum_up(Totals(
            now.wall_ms, self._requests, every.rps,
            100 * every.errors_per_s / every.rps if every.rps else 0.0, every.mean_ms,
            {name: sums[0] for name, sums in self._by_app.items()},
            {name: sums[1] for name, sums in self._by_app.items()},
        ))

    # -- decisions ---------------------------------------------------------------------

    def _decide_some(self, turn: Turn) -> None:
        by_app = self._fleet.by_app()
        until_s = self._clock.monotonic_s() + SLICE_S
        defaults = spec_defaults(turn.state.config)
        while self._todo and self._clock.monotonic_s() < until_s:
            name = self._todo.popleft()
            app = turn.state.apps.get(name)
            with turn.apart(name):
                spec = spec_for(app, defaults) if app is not None else None
                if app is None or spec is None or not app.running or app.deleting:
                    self._memory.pop(name, None)
                else:
                    self._one(turn, app, spec, by_app.get(name, []))

    def _one(self, turn: Turn, app: App, spec: AppSpec, observed: Sequence[Container]) -> None:
        now = self._decided
        assert now is not None
        policy = spec.scaling
        replicas = [c for c in observed if c.phase == "running"
                    and (c.revision == app.made_from or app.rollout is not None)
                    and c.id not in self._fleet.draining
                    and not self._fleet.attempts.is_looping(slot_of(c))]
        healthy = [c for c in replicas if self._is_healthy(c)]
        seen = self._seen(now, app, spec, replicas)
        memory = self._remembered(turn, app, policy.window_s)
        memory.window.keep([c.id for c in replicas])
        for sample in seen.samples:
            memory.window.add(sample, turn.now_s)
        if seen.traffic is not None:
            memory.window.add_app(seen.traffic, turn.now_s)
        limits = bounds(policy, turn.now_ms)
        decision = decide(
            policy, memory.window, limits=limits, current=app.replicas, healthy=len(healthy),
            now_s=turn.now_s, past=memory.past, frozen=_rolls(app, observed),
            waiting=self._waiting.get(app.name, 0),
            measurable=FROM_ALL if self._routed(spec) else FROM_REPLICAS,
            hold=_hold(app, turn.now_ms, limits.minimum),
        )
        self._carry_out(turn, app, decision)
        memory.past = memory.past.after(decision, policy)
        loads = {f"{app.name}-{c.slot}": self._loads[c.id] for c in replicas
                 if c.id in self._loads}
        point = replace(
            self._point(now, app, spec, loads), healthy=len(healthy), total=len(replicas))
        self._telemetry.add(app.name, Record(point, seen, decision, loads))

    def _routed(self, spec: AppSpec) -> bool:
        return spec.type == "http" and bool(self._ingresses)

    def _is_healthy(self, container: Container) -> bool:
        record = self._fleet.records.get(container.id)
        return record is not None and record.health == "healthy"

    def _is_young(self, container: Container) -> bool:
        """It was never healthy. One that is no more may be so because of its load."""
        record = self._fleet.records.get(container.id)
        return record is None or record.health == "starting"

    def _remembered(self, turn: Turn, app: App, window_s: float) -> _AppMemory:
        """The app's window and past; the last change is known from the replicated state."""
        memory, life = self._memory.get(app.name), (app.created_at_ms, app.started_at_ms)
        spans_s = (window_s, self._interval_s)
        if memory is None or memory.life != life:
            memory = _AppMemory(life, spans_s, Window(*spans_s), Past(turn.now_s))
            self._memory[app.name] = memory
        elif memory.spans_s != spans_s:
            memory.spans_s, memory.window = spans_s, Window(*spans_s)
        if app.last_scaled_at_ms:
            ago_s = max(0.0, (turn.now_ms - app.last_scaled_at_ms) / 1000)
            changed_s = max(memory.past.changed_s, turn.now_s - ago_s)
            memory.past = replace(memory.past, changed_s=changed_s)
        return memory

    def _seen(
        self, now: _Round, app: App, spec: AppSpec, replicas: Sequence[Container]
    ) -> Round:
        samples = tuple(
            Sample(c.id, now.began_s, found.cpu_percent, found.memory_percent,
                   young=self._is_young(c))
            for c in replicas if (found := self._loads.get(c.id)) is not None
        )
        sample = None
        if self._routed(spec) and self._traffic is not None:
            one = self._traffic.get(app.name, rates.NOTHING)
            sample = AppSample(
                now.began_s, one.rps, one.requests, one.percentile_ms(0.95),
                one.connections, one.errors_per_s,
            )
        return Round(now.began_s, now.wall_ms, samples, sample)

    def _point(
        self, now: _Round, app: App, spec: AppSpec, loads: dict[str, rates.Load]
    ) -> Point:
        cpus = [one.cpu_percent for one in loads.values() if one.cpu_percent is not None]
        shares = [one.memory_percent for one in loads.values() if one.memory_percent is not None]
        sizes = [one.memory_bytes for one in loads.values() if one.memory_bytes is not None]
        point = Point(
            now.wall_ms, sum(cpus) / len(cpus) if cpus else None,
            sum(shares) / len(shares) if shares else None, sum(sizes) if sizes else None,
        )
        if not self._routed(spec) or self._traffic is None:
            return point
        one = self._traffic.get(app.name, rates.NOTHING)
        if math.isnan(one.rps):
            return point
        return replace(
            point, rps=one.rps, p50_ms=one.percentile_ms(0.5), p95_ms=one.percentile_ms(0.95),
            p99_ms=one.percentile_ms(0.99), connections=float(one.connections),
            errors_per_s=one.errors_per_s, bytes_per_s=one.bytes_per_s,
        )

    def _carry_out(self, turn: Turn, app: App, decision: Decision) -> None:
        if "latency_not_capacity" in decision.emit:
            self._fleet.tell("scaling", app.name, NO_CAPACITY, trigger="latency_not_capacity",
                             latency_ms=decision.p95_ms)
        if decision.replicas == app.replicas:
            return
        inputs = tuple(
            (one.signal, round(one.reading, 3) if one.reading is not None else None)
            for one in decision.inputs if one.counts
        )
        turn.propose(f"scale:{app.name}", AutoScale(
            app.name, app.revision, app.replicas, decision.replicas, decision.reason,
            headline(decision), inputs,
        ))


def _hold(app: App, now_ms: int, minimum: int) -> Reason | None:
    """A user's own number has precedence while it is taken up, and when it is zero."""
    if app.scaling_until_ms > now_ms:
        return "settling"
    if app.by_hand and not app.replicas and minimum > 0:
        return "by_hand"
    return None


def _rolls(app: App, observed: Sequence[Container]) -> bool:
    return app.rollout is not None or any(c.revision != app.made_from for c in observed)
