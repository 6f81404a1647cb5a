"""canary: the next step of a rollout by weights; pure.

Beside all old replicas run as many new ones as the step's weight asks for. Once they have
proved themselves the ingress gives them that share of the requests, and the step is held:
for its time, until its gate has measured enough, or until somebody promotes it. After the
last step the rest follows as in a rolling update.

Source: docs/adr/0030-canaries-and-receipts.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from cluster.control import rollout as rolling
from cluster.control.rollout import Limits, Next, Seen, place_name, proved
from cluster.state.model import App, Canary, CanaryWait, Place, Rollout
from orchestry.spec.model import AppSpec, CanaryStep

HELD_EVERY_S = 5
HELD_PARTS = 20
"""A successor goes on with a pause from what is in the record: at most so coarse."""


@dataclass(frozen=True, slots=True)
class Held:
    """For how long the present step's weight has been in force, and what its gate says."""

    held_s: float = 0.0
    gate: Literal["none", "passed", "open"] = "none"


def is_canary(spec: AppSpec, rollout: Rollout, *, own_volumes: bool) -> bool:
    """Whether a rollout goes by weights: an update does; ways back and restarts have no time."""
    return (
        spec.deploy.strategy == "canary" and rollout.kind == "update"
        and spec.type == "http" and not own_volumes
    )


def canaries(replicas: int, weight: int) -> int:
    """How many replicas take this percentage of the requests as well as all would."""
    return -(-replicas * weight // 100)


def at_step(app: App, rollout: Rollout) -> Canary:
    """Where the rollout is, with no share of the requests as long as it has none of its own."""
    at = rollout.canary or Canary()
    return at if at.template == app.made_from else Canary(at.step, app.made_from)


def is_last(rollout: Rollout, at: Canary, steps: Sequence[CanaryStep]) -> bool:
    """Whether the old replicas are to leave."""
    return rollout.promoted or at.step >= len(steps)


def is_ready(
    app: App, rollout: Rollout, seen: Sequence[Seen], steps: Sequence[CanaryStep], *,
    min_healthy_s: float,
) -> bool:
    """Whether the canaries of the present step are there, and each has proved itself."""
    at = at_step(app, rollout)
    if rollout.phase != "running" or is_last(rollout, at, steps):
        return False
    good = {one.slot for one in proved(app, rollout, seen, min_healthy_s=min_healthy_s)
            if one.template == app.made_from}
    new, _ = rolling.split(app, rollout)
    return len(new) >= canaries(app.replicas, steps[at.step].weight) and good >= set(new)


def advance(
    app: App, rollout: Rollout, seen: Sequence[Seen], steps: Sequence[CanaryStep], held: Held,
    *, min_healthy_s: float,
) -> Next:
    """The next step; equal to the record when there is nothing to do but wait.

    As many old replicas stay as there were, or more when the number of replicas grows: until
    the last step is over nothing has to be started for the way back.
    """
    at = at_step(app, rollout)
    if is_last(rollout, at, steps) or not rollout.old:
        most = Limits(max(1, canaries(app.replicas, steps[-1].weight)), 0)
        found = rolling.advance(app, rollout, seen, most, min_healthy_s=min_healthy_s)
        return replace(
            found, canary=Canary(len(steps), at.template, at.weight, waits="replicas"))
    step, template = steps[at.step], app.made_from
    new, before = rolling.split(app, rollout)
    good = proved(app, rollout, seen, min_healthy_s=min_healthy_s)
    # What a rollout that was replaced had started goes first.
    leaves = rolling.to_leave(
        before[::-1], seen, Limits(0, 0), app.replicas, good,
        most=max(0, len(before) - app.replicas))
    old = [place for place in before if place not in leaves]
    notes = [f"{place_name(app, place)} leaves: {why}" for place, why in sorted(leaves.items())]

    count = canaries(app.replicas, step.weight)
    there = rolling.taken_places(seen, {*old, *((template, slot) for slot in new)})
    room = app.replicas + count - len(there)
    for place in _more_old(app, old, canaries(app.replicas, 100 - at.weight))[:max(0, room)]:
        room -= place not in there
        old.append(place)
        notes.append(f"{place_name(app, place)} starts: {app.replicas} are wanted")
    for slot in range(1, count + 1):
        known = (template, slot) in there
        if slot in new or rollout.phase != "running" or (room <= 0 and not known):
            continue
        room -= not known
        new.append(slot)
        notes.append(f"{place_name(app, (template, slot))} starts: "
                     f"for {step.weight} % of the requests, step {at.step + 1} of {len(steps)}")
    after, more = _hold(app, rollout, seen, steps, held, min_healthy_s=min_healthy_s)
    available = sum(one.template == template and one.slot <= app.replicas for one in good)
    return Next(
        tuple(sorted(new)), tuple(sorted(old)), available, (*notes, *more), after)


def _more_old(app: App, old: Sequence[Place], least: int) -> list[Place]:
    """Places of the older template that most are of, until there are as many as are needed."""
    others = Counter(template for template, _ in old if template != app.made_from)
    if not others:
        return []
    most = min(others, key=lambda template: (-others[template], template))
    free = (slot for slot in range(1, len(old) + least + 1) if (most, slot) not in old)
    return [(most, slot) for slot, _ in zip(free, range(least - len(old)), strict=False)]


def _hold(
    app: App, rollout: Rollout, seen: Sequence[Seen], steps: Sequence[CanaryStep], held: Held,
    *, min_healthy_s: float,
) -> tuple[Canary, tuple[str, ...]]:
    """The share of the requests, how long it holds, or that the step is over; and why."""
    at = at_step(app, rollout)
    step = steps[at.step]
    if rollout.phase != "running":
        return at, ()
    if not is_ready(app, rollout, seen, steps, min_healthy_s=min_healthy_s):
        return replace(at, waits="replicas"), ()
    if at.weight != step.weight:
        return replace(at, weight=step.weight, waits=_waits(step, Held(0.0, held.gate))), (
            f"{step.weight} % of the requests go to revision {app.made_from}",)
    waits = _waits(step, held)
    if waits:
        every_s = max(HELD_EVERY_S, step.pause_s // HELD_PARTS)
        known_s = int(held.held_s // every_s * every_s) if step.pause_s else 0
        return replace(at, waits=waits, held_s=max(at.held_s, known_s)), ()
    why = f"held for {step.pause_s} s" + (
        ", and what was measured is good" if held.gate == "passed" else "")
    return replace(at, step=at.step + 1, held_s=0, waits="replicas"), (
        f"step {at.step + 1} of {len(steps)} is over: {why}",)


def _waits(step: CanaryStep, held: Held) -> CanaryWait:
    if not step.pause_s:
        return "promotion"
    if held.held_s < step.pause_s:
        return "time"
    return "measurements" if held.gate == "open" else ""
