"""decide: from measurements to a number of replicas; pure.

A linear signal's need is its total / target, rounded up. It does not depend on how many
replicas run, so replicas that are still starting are not asked for twice. Out: as soon as one
signal, over the newest part of the window, passes `scale_out_threshold_pct`, to the highest
need, at least one more. In: only when all signals are known and, over all of the window, below
`scale_in_threshold_pct`, never under what the stabilisation window needed, and never to where
a signal would come within 10 % of the scale-out threshold; that band is what keeps a steady
load from flapping. Cooldown holds scale-in alone: load does not wait.

Sources: the Kubernetes HorizontalPodAutoscaler for tolerance, stabilisation and the treatment
of what is not measured.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from cluster.scaling.bounds import Bounds
from cluster.scaling.decision import Decision, Input, Past, Reason
from cluster.scaling.window import Summary, Window
from orchestry.signals import SIGNALS, Signal
from orchestry.spec.model import Scaling

TOLERANCE = 0.1
GUARD_BUCKETS = 5
GUARD_BREACHES = 3
GUARD_LOAD = 0.5
GUARD_STEP = 0.1
GUARD_STEPS_MAX = 2
"""Steps for latency without an improvement by TOLERANCE, after which replicas are not the cure."""
ALL = frozenset(SIGNALS)


@dataclass(frozen=True, slots=True)
class _Case:
    """All that one decision rests on."""

    policy: Scaling
    summary: Summary
    inputs: tuple[Input, ...]
    limits: Bounds
    current: int
    healthy: int
    now_s: float
    past: Past
    frozen: bool
    waiting: int
    hold: Reason | None
    breaches: int
    due: bool
    need: int | None

    @property
    def linear(self) -> list[Input]:
        """The signals that scale in proportion and that the policy scales on."""
        return [i for i in self.inputs if i.counts and SIGNALS[i.signal].kind == "linear"]

    @property
    def breached(self) -> bool:
        """Latency is over its limit in enough buckets."""
        return self.breaches >= GUARD_BREACHES

    @property
    def exhausted(self) -> bool:
        """Steps for latency were made and did not help."""
        before = self.past.guard_p95_ms
        now = self.summary.p95_ms
        return self.past.guard_stopped or (
            self.past.guard_steps >= GUARD_STEPS_MAX and before is not None and now is not None
            and now > before * (1 - TOLERANCE)
        )


def decide(
    policy: Scaling, window: Window, *, limits: Bounds, current: int, healthy: int,
    now_s: float, past: Past, frozen: bool = False, waiting: int = 0,
    measurable: Collection[str] = ALL, hold: Reason | None = None,
) -> Decision:
    """How many of `current` wanted replicas, `healthy` of them serving, there should be.

    `limits` are those of the hour, from `bounds`. `frozen` says that a rollout runs; `waiting`
    counts requests that the ingress holds for an app at zero. `measurable` are the signals that
    this kind of app has: an app behind TCP has no requests, and their absence is no hole.
    `hold` is why nothing may change whatever the load: a user's own number has precedence.
    """
    case = _case(
        policy, window.summaries(now_s), limits=limits, current=current, healthy=healthy,
        now_s=now_s, past=past, frozen=frozen, waiting=waiting,
        measurable=measurable, hold=hold,
    )
    wanted, would = _auto(case)
    manual = policy.mode == "manual"
    stopped = case.breached and case.due and case.exhausted and not past.guard_stopped
    return Decision(
        now_s, current, healthy, current if manual else wanted, wanted,
        "manual" if manual else would, would, limits.minimum, limits.maximum, case.inputs,
        case.need, idle=case.summary.idle and not waiting, breached=case.breached,
        calm=case.breaches == 0,
        guard_due=case.due and not case.exhausted, guard_steps=_steps(case),
        p95_ms=case.summary.p95_ms, emit=("latency_not_capacity",) if stopped else (),
    )


def _case(
    policy: Scaling, summaries: tuple[Summary, Summary], *, limits: Bounds, current: int,
    healthy: int, now_s: float, past: Past, frozen: bool, waiting: int, measurable: Collection[str],
    hold: Reason | None,
) -> _Case:
    summary = summaries[0]
    inputs = tuple(
        _input(signal, policy, summaries, current)
        for signal in SIGNALS.values() if signal.name in measurable
    )
    breaches = sum(
        p95_ms > policy.max_p95_latency_ms for p95_ms in summary.p95s_ms[-GUARD_BUCKETS:]
    ) if any(i.signal == "latency" and i.counts for i in inputs) else 0
    loaded = any(
        i.factor is not None and i.factor >= GUARD_LOAD
        for i in inputs if i.signal in ("rps", "cpu")
    )
    due = (
        breaches >= GUARD_BREACHES and loaded and healthy >= current
        and now_s - past.changed_s >= policy.window_s
    )
    return _Case(
        policy, summary, inputs, limits, current, healthy, now_s, past, frozen, waiting, hold,
        breaches, due, _need(policy, inputs, current),
    )


def _input(
    signal: Signal, policy: Scaling, summaries: tuple[Summary, Summary], current: int
) -> Input:
    """One signal: its newest part for scale-out, the higher of that and all for scale-in."""
    target, counts = signal.target(policy), signal.name in policy.metrics
    if signal.kind == "guard":
        reading = signal.read(summaries[0])
        factor = None if reading is None else reading / target
        return Input(signal.name, signal.unit, reading, target, factor, None, None, counts)
    readings = [(value, summary) for summary in summaries
                if (value := signal.read(summary)) is not None]
    if not readings:
        return Input(signal.name, signal.unit, None, target, None, None, None, counts)
    whole = target * max(current, 1)
    most = max(value + _unseen(signal, summary, current) * target for value, summary in readings)
    newest = readings[-1][0]
    return Input(
        signal.name, signal.unit, newest, target, newest / whole, most / whole,
        _ceil(newest / target), counts,
    )


def _unseen(signal: Signal, summary: Summary, current: int) -> int:
    """Replicas without a measurement."""
    if signal.source != "replica":
        return 0
    measured = summary.cpu_replicas if signal.name == "cpu" else summary.memory_replicas
    return max(current - measured, 0)


def _need(policy: Scaling, inputs: tuple[Input, ...], current: int) -> int | None:
    """The fewest replicas that keep every signal clear of the scale-out threshold."""
    clear = policy.scale_out_threshold_pct / 100 * (1 - TOLERANCE)
    needs = []
    for one in inputs:
        if one.counts and SIGNALS[one.signal].kind == "linear":
            if one.factor_in is None:
                return None
            needs.append(_ceil(one.factor_in * max(current, 1) / clear))
    return max(needs, default=None)


def _auto(case: _Case) -> tuple[int, Reason]:
    """The count for mode `auto` and the rule that gave it."""
    low, high = case.limits.minimum, case.limits.maximum
    if case.hold is not None:
        return case.current, case.hold
    if case.current > high:
        return high, "above_max"
    if case.current == 0 and low == 0:
        if case.waiting or _busy(case.summary):
            needs = [one.need or 0 for one in case.linear]
            return min(max(1, _stepped(case, max(needs, default=0))), high), "wake"
        return 0, "asleep"
    out, reason = _out(case)
    if case.current < low:
        return max(low, out), "load" if out > low else "below_min"
    if out > case.current or reason == "at_max":
        return out, reason
    return _in(case)


def _busy(summary: Summary) -> bool:
    return bool(summary.rps or summary.connections)


def _out(case: _Case) -> tuple[int, Reason]:
    trip = case.policy.scale_out_threshold_pct / 100
    over = [one for one in case.linear if one.factor is not None and one.factor > trip]
    count, reason = case.current, "steady"
    if over:
        count = max(case.current + 1, *(one.need or 0 for one in over))
        reason = "load"
    if case.due and not case.exhausted:
        step = case.current + max(1, _ceil(case.current * GUARD_STEP))
        if step > count:
            count, reason = step, "latency"
    if count == case.current:
        return count, "steady"
    count = min(_stepped(case, count), case.limits.maximum)
    if count <= case.current:
        return case.current, "at_max"
    return count, "latency" if reason == "latency" else "load"


def _stepped(case: _Case, count: int) -> int:
    step = case.policy.max_scale_out_step
    return min(count, case.current + step) if step else count


def _in(case: _Case) -> tuple[int, Reason]:
    """Fewer replicas, or the first rule that forbids it."""
    policy, stay = case.policy, case.current
    threshold = policy.scale_in_threshold_pct / 100
    rest = _rested(case)
    signals = [one for one in case.linear if not (rest and one.signal == "memory")]
    if any(one.factor_in is not None and one.factor_in >= threshold for one in signals):
        stopped = case.breached and case.exhausted
        return stay, "latency_not_capacity" if stopped else "steady"
    held = _held(case, signals)
    if held:
        return stay, held
    floor = max(case.limits.minimum, 0 if rest else 1)
    if stay <= floor:
        return stay, "at_min"
    # An app at rest needs nothing: what its memory holds is not load.
    need = 0 if rest else max(
        case.need or 0, case.past.highest_need(case.now_s, policy.stabilization_window_s)
    )
    step = policy.max_scale_in_step or stay
    count = max(floor, need, stay - step)
    if count >= stay:
        return stay, "stabilising"
    return count, "idle" if rest else "quiet"


def _held(case: _Case, signals: list[Input]) -> Reason | None:
    """Why nothing may be taken away now, whatever the load."""
    policy, past = case.policy, case.past
    if case.healthy == 0:
        return "none_healthy"
    unknown = any(one.factor_in is None for one in signals)
    if unknown or not signals:
        return "missing"
    if case.breached and not case.exhausted:
        return "slow"
    if case.frozen:
        return "frozen"
    if case.now_s - past.since_s < max(policy.window_s, policy.stabilization_window_s):
        return "warming"
    if case.now_s - past.changed_s < policy.cooldown_s:
        return "cooldown"
    return None


def _rested(case: _Case) -> bool:
    """The app may sleep, and nobody has asked for it for the whole stabilisation window."""
    since_s = case.past.idle_since_s
    span_s = max(case.policy.stabilization_window_s, case.policy.window_s)
    return (
        case.limits.minimum == 0 and case.summary.idle and since_s is not None
        and not case.waiting and case.now_s - since_s >= span_s
    )


def _steps(case: _Case) -> int:
    """Steps for latency in a row without an improvement, if one is made now."""
    before, now = case.past.guard_p95_ms, case.summary.p95_ms
    if before is None or now is None or now <= before * (1 - TOLERANCE):
        return 1
    return case.past.guard_steps + 1


def _ceil(value: float) -> int:
    """Rounded up, but for the dust of floating point."""
    return math.ceil(value - 1e-9)
