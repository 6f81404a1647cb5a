"""Views of revisions and deployments; pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from api.times import rfc3339
from api.views import pinned, pulling
from cluster.control.canary import at_step, is_canary, is_last
from cluster.control.rollout import has_own_volumes
from cluster.control.specs import old_specs, spec_for
from cluster.scaling.bounds import bounds
from cluster.state.model import App, Replica, Revision, Rollout
from cluster.state.pins import Pulling
from cluster.state.replicas import name_of_slot
from orchestry.errors import OrchestryError
from orchestry.spec.diff import changes
from orchestry.spec.parse import spec_of


def revisions(app: App) -> list[dict[str, Any]]:
    """All that are known, newest first."""
    current = Revision(
        app.revision, app.document, app.made_from, app.revised_at_ms or app.created_at_ms,
        cause=app.cause or "registered",
        healthy=app.rollout is None and app.good)
    return [
        {
            "revision": one.revision, "current": one.revision == app.revision,
            "healthy": one.healthy, "cause": one.cause, "created_at": rfc3339(one.at_ms),
            "image": _image(one.document), "pinned": pinned(app, one.template),
            "template": one.template,
            "spec": json.loads(one.document),
        }
        for one in (current, *reversed(app.revisions))
    ]


def deployments(app: App) -> list[Rollout]:
    """All that are known, newest first."""
    under_way = (app.rollout,) if app.rollout is not None else ()
    return [*under_way, *reversed(app.deployments)]


def deployment(app: App, rollout: Rollout) -> dict[str, Any]:
    """One deployment."""
    return {
        "id": rollout.id, "app_name": app.name, "kind": rollout.kind, "phase": rollout.phase,
        "revision": rollout.id, "previous_revision": rollout.from_revision,
        "started_at": rfc3339(rollout.began_at_ms),
        "changed_at": rfc3339(rollout.changed_at_ms or rollout.began_at_ms),
        "ended_at": rfc3339(rollout.ended_at_ms),
        "wanted": rollout.wanted, "available": rollout.available,
        "reason": rollout.reason or None,
        "canary": _canary(app, rollout),
        "receipt": asdict(rollout.receipt) if rollout.receipt is not None else None,
        "steps": [{"timestamp": rfc3339(n.at_ms), "message": n.text} for n in rollout.notes],
    }


def next_canary_step(app: App) -> int:
    """The step that comes next in the canary that is under way; 0 without one."""
    rollout = app.rollout
    spec = spec_for(app)
    if rollout is None or spec is None:
        return 0
    own = any(map(has_own_volumes, (spec, *old_specs(app).values())))
    at = at_step(app, rollout)
    if not is_canary(spec, rollout, own_volumes=own) or is_last(
            rollout, at, spec.deploy.steps):
        return 0
    return at.step + 1


def _canary(app: App, rollout: Rollout) -> dict[str, Any] | None:
    """Where a canary is; null for what goes otherwise, or has not begun."""
    at = rollout.canary
    spec = spec_for(app) if rollout is app.rollout else None
    if at is None or spec is None:
        return None
    steps = spec.deploy.steps
    own = at.template == app.made_from
    return {
        "step": at.step + 1, "steps": len(steps), "weight": at.weight if own else 0,
        "held_seconds": at.held_s,
        "pause_seconds": steps[at.step].pause_s if at.step < len(steps) else 0,
        "waits_for": at.waits or None,
    }


def detail(app: App, rollout: Rollout, waits: Pulling | None = None) -> dict[str, Any]:
    """One deployment with its replicas."""
    found = deployment(app, rollout)
    mine = rollout is app.rollout
    found["replicas"] = _replicas(app, rollout) if mine else []
    found["pinned"] = pinned(app, app.made_from) if mine or rollout.id == app.revision else None
    found["pulling"] = pulling(waits) if mine else None
    found["problem"] = (app.problem or None) if mine else None
    return found


def _replicas(app: App, rollout: Rollout) -> list[dict[str, Any]]:
    there = {(one.revision, one.slot): one for one in app.reports}
    new = {(app.made_from, slot) for slot in rollout.new}
    places = sorted({*there, *new, *rollout.old}, key=lambda place: (place[1], place[0]))
    return [
        {
            "name": name_of_slot(app.name, slot), "revision": template,
            "role": "new" if (template, slot) in new else
            "old" if (template, slot) in rollout.old else "leaving",
            **_state(there.get((template, slot))),
        }
        for template, slot in places
    ]


def _state(replica: Replica | None) -> dict[str, Any]:
    if replica is None:
        return {"status": "missing", "health": "starting", "reason": None}
    return {"status": replica.phase, "health": replica.health,
            "reason": replica.last_error or None}


def plan(before: App | None, after: App, now_ms: int) -> dict[str, Any]:
    """What comes of an update, by name of replica: to start, to stop, and to keep."""
    running = before.reports if before is not None and before.running else ()
    if before is not None and before.rollout is not None and before.rollout == after.rollout:
        return _plan_beside(before, after, now_ms)
    wanted = range(1, _within_bounds(after, now_ms) + 1) if after.running else ()
    kept = [one.slot for one in running if one.revision == after.made_from and one.slot in wanted]
    return {
        "changes": _diff(before, after),
        "rolls": after.rollout is not None,
        "start": [name_of_slot(after.name, slot) for slot in wanted if slot not in kept],
        "stop": _names(after, [one for one in running if one.revision != after.made_from
                               or one.slot not in wanted]),
        "keep": [name_of_slot(after.name, slot) for slot in sorted(kept)],
    }


def _plan_beside(before: App, after: App, now_ms: int) -> dict[str, Any]:
    """The same when a deployment goes on, or is held, as if nothing had been changed."""
    wanted = range(1, _within_bounds(after, now_ms) + 1)
    there = {one.slot for one in before.reports}
    return {
        "changes": _diff(before, after),
        "rolls": False,
        "start": [name_of_slot(after.name, slot) for slot in wanted if slot > before.replicas],
        "stop": [name_of_slot(after.name, slot) for slot in sorted(there - {*wanted})],
        "keep": [name_of_slot(after.name, slot) for slot in sorted(there & {*wanted})],
    }


def _within_bounds(app: App, now_ms: int) -> int:
    """As many as the autoscaler leaves or makes, whatever the load."""
    spec = spec_for(app)
    by_hand = app.by_hand and not app.replicas
    if spec is None or spec.scaling.mode == "manual" or by_hand:
        return app.replicas
    return bounds(spec.scaling, now_ms).within(app.replicas)


def _names(app: App, replicas: Sequence[Replica]) -> list[str]:
    return [name_of_slot(app.name, one.slot) for one in sorted(replicas, key=lambda r: r.slot)]


def _diff(before: App | None, after: App) -> list[dict[str, Any]]:
    if before is None:
        return []
    try:
        return changes(spec_of(before.document), spec_of(after.document))
    except (OrchestryError, ValueError):
        return []  # a newer version wrote one of them


def _image(document: str) -> str | None:
    try:
        return spec_of(document).image
    except (OrchestryError, ValueError):
        return None
