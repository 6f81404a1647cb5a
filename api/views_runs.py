"""Views of runs; pure."""

from __future__ import annotations

from typing import Any

from api.times import rfc3339
from cluster.control.runs import AT_ONCE_MAX
from cluster.state.images import pin_of
from cluster.state.model import App, ClusterState, Run
from cluster.state.pins import Pulling
from cluster.state.runs import of_app, run_name
from orchestry.spec.model import AppSpec


def run(
    one: Run, app: App, *, running: int = 0, waits: Pulling | None = None
) -> dict[str, Any]:
    """One run of an app or a job, while so many are `running` in the cluster."""
    return {
        "id": one.id, "app_name": one.app, "kind": one.kind, "status": one.phase,
        "stopping": bool(one.ending), "command": list(one.command) or None,
        "timeout_s": one.timeout_s, "revision": one.revision, "container": run_name(one),
        "requested_at": rfc3339(one.requested_at_ms), "started_at": rfc3339(one.started_at_ms),
        "ended_at": rfc3339(one.ended_at_ms), "exit_code": one.exit_code,
        "due_at": rfc3339(one.due_ms), "attempt": one.attempt,
        "reason": one.reason or _waits_for(one, app, running, waits), "last_lines": list(one.lines),
    }


def running(state: ClusterState) -> int:
    """How many runs have a container."""
    return sum(one.phase == "running" for one in state.runs.values())


def _waits_for(one: Run, app: App, running: int, waits: Pulling | None) -> str | None:
    """Why a run has not begun, if it is for its image or for its turn."""
    if one.phase != "waiting":
        return None
    if waits is not None:
        return f"image {waits.image} is being pulled"
    if pin_of(app, one.template) is None and app.problem:
        return app.problem
    return f"it waits for its turn: {running} others run" if running >= AT_ONCE_MAX else None


def job(state: ClusterState, app: App, spec: AppSpec) -> dict[str, Any]:
    """One job."""
    asked = spec.job
    assert asked is not None
    runs = of_app(state, app.name)
    return {
        "name": app.name, "revision": app.revision, "schedule": asked.schedule or None,
        "timezone": asked.timezone, "concurrency_policy": asked.concurrency_policy,
        "timeout_s": asked.timeout_s, "retries": asked.retries,
        "starting_deadline_s": asked.starting_deadline_s,
        "suspended": app.suspended or asked.suspend,
        "last_due_at": rfc3339(max((one.due_ms for one in runs), default=0)),
        "active": sum(not one.is_over for one in runs),
        "last_status": runs[0].phase if runs else None,
    }
