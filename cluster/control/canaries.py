"""Canaries: for how long each step of a rollout by weights holds, and what its gate says."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from cluster.control.canary import Held, advance, at_step, is_last, is_ready
from cluster.control.fleet import Fleet
from cluster.control.gate import Verdict, judge
from cluster.control.measure import Measurer
from cluster.control.meter import Mark, together
from cluster.control.rollout import Next, Seen
from cluster.state.model import App, Rollout
from orchestry.spec.model import AppSpec, Gate

WINDOW_S = 60.0
"""A gate that has passed looks at the next requests by themselves: they may do worse."""


@dataclass(slots=True)
class _Step:
    """One step under this lease; `since_s` is when it was last seen in force (monotonic)."""

    mark: tuple[int, int]
    held_s: float
    since_s: float | None = None
    window: Mark | None = None
    passed: bool = False
    verdict: Verdict = Verdict("open")  # noqa: RUF009 - it never changes


class Canaries:
    """Remembers what a lease has seen of each step; the record has the rest.

    Time counts while the canaries are well and every ingress gives them their weight, or all. What
    another leader measured is not known: the gate begins anew.
    """

    def __init__(
        self, fleet: Fleet, measurer: Measurer, shares: Callable[[str, int], bool]
    ) -> None:
        self._fleet = fleet
        self._measurer = measurer
        self._shares = shares
        self._steps: dict[str, _Step] = {}

    def reset(self) -> None:
        """Another lease."""
        self._steps = {}

    def keep_only(self, apps: Collection[str]) -> None:
        """Forget those that are over."""
        self._steps = {name: one for name, one in self._steps.items() if name in apps}

    def advance(
        self, app: App, rollout: Rollout, spec: AppSpec, seen: Sequence[Seen], now_s: float
    ) -> Next:
        """The next step of the rollout."""
        steps, least_s = spec.deploy.steps, spec.deploy.min_healthy_s
        self._watch(app, rollout, spec, seen, now_s)
        step = self._steps.get(app.name)
        held = Held()
        if step is not None:
            held = Held(step.held_s, "none" if spec.deploy.gate is None else (
                "passed" if step.passed else "open"))
        return advance(app, rollout, seen, steps, held, min_healthy_s=least_s)

    def failure(self, app: App) -> str:
        """Why the gate of the present step has failed; "" while it has not."""
        step = self._steps.get(app.name)
        if step is None or step.verdict.outcome != "failed":
            return ""
        return f"gate of step {step.mark[1] + 1}: {step.verdict.why}"

    def _watch(
        self, app: App, rollout: Rollout, spec: AppSpec, seen: Sequence[Seen], now_s: float
    ) -> None:
        at, steps = at_step(app, rollout), spec.deploy.steps
        if rollout.phase != "running" or is_last(rollout, at, steps) or (
            at.weight != steps[at.step].weight
        ):
            self._steps.pop(app.name, None)
            return
        step = self._steps.get(app.name)
        if step is None or step.mark != (rollout.id, at.step):
            step = self._steps[app.name] = _Step((rollout.id, at.step), float(at.held_s))
        # With no old replica that serves there is nothing to share: all goes to the new ones.
        alone = not any(one.serves and one.template != app.made_from for one in seen)
        in_force = (alone or self._shares(app.name, at.weight)) and is_ready(
            app, rollout, seen, steps, min_healthy_s=spec.deploy.min_healthy_s)
        if step.since_s is not None and in_force:
            step.held_s += now_s - step.since_s
        step.since_s = now_s if in_force else None
        if spec.deploy.gate is not None and (in_force or step.window is not None):
            self._measure(app, step, spec.deploy.gate, now_s)

    def _measure(self, app: App, step: _Step, gate: Gate, now_s: float) -> None:
        meter = self._measurer.meter
        if step.window is None:
            step.window = meter.mark(app.name, now_s)
            return
        counted = meter.since(step.window)
        if counted is None:  # a hole: whatever was known is not about now
            step.window, step.passed, step.verdict = None, False, Verdict("open")
            return
        if not meter.is_fresh(now_s):
            step.passed, step.verdict = False, Verdict("open")
            return
        of = {c.id: c.revision for c in self._fleet.containers.values() if c.app == app.name}
        new = together(one for peer, one in counted.items() if of.get(peer) == app.made_from)
        old = together(one for peer, one in counted.items()
                       if of.get(peer, app.made_from) != app.made_from)
        step.verdict = judge(gate, old, new)
        if step.verdict.outcome == "passed":
            step.passed = True
            if now_s - step.window.at_s >= WINDOW_S:
                step.window = meter.mark(app.name, now_s)
