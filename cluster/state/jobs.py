"""Steps of jobs: apps without replicas, whose containers run once, by the clock or by request.

A job is due at a time of its schedule; that it was seen to is one entry, which a second one for
the same time, or an earlier one, does not pass.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache

from cluster.state import commands as c
from cluster.state.model import App, ClusterState
from cluster.state.model_runs import Run
from cluster.state.runs import added, cancelled, next_id, no_room
from cluster.state.step import Refusal, Step, tell, wanted_app, with_app
from orchestry.errors import Code


@lru_cache(4096)
def is_job(document: str) -> bool:
    """Whether a stored document is that of a job.

    Not by way of the parser: steps ask, and all versions must find the same.
    """
    if '"Job"' not in document:
        return False
    try:
        return bool(json.loads(document)["kind"] == "Job")
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


INSTEAD = {
    "run": "run it with `orchestry jobs trigger {0}`",
    "stop": "`orchestry jobs suspend {0}` holds its schedule, and `orchestry run {0} --cancel RUN` "
            "stops a run of it",
    "scale": "`job.concurrencyPolicy` of its spec says whether its runs may overlap, and "
             "`job.schedule` when they begin",
    "steer": "an update of it holds from its next run on, and `orchestry jobs suspend {0}` holds "
             "its schedule",
}
"""What to do with a job in place of what is only done with apps that have replicas."""


def not_for_jobs(app: App, instead: str = "run") -> Refusal | None:
    """Why a job is not started, stopped, scaled or restarted, and what to do `instead`."""
    if not is_job(app.document):
        return None
    return Refusal(
        Code.CONFLICT, f"'{app.name}' is of `kind: Job`, which has no replicas: "
        f"{INSTEAD[instead].format(app.name)}")


def wanted_service(
    state: ClusterState,
    command: c.StartApp | c.StopApp | c.ScaleApp | c.SetScaling | c.RestartApp | c.SteerRollout,
    instead: str = "run",
) -> App | Refusal:
    """The app that a user's command is about, if it is none without replicas."""
    app = wanted_app(state, command)
    return app if isinstance(app, Refusal) else not_for_jobs(app, instead) or app


def _job(state: ClusterState, command: c.TriggerJob | c.SuspendJob) -> App | Refusal:
    app = wanted_app(state, command)
    if isinstance(app, App) and not is_job(app.document):
        return Refusal(
            Code.CONFLICT, f"'{app.name}' is no job: `orchestry run` runs a command of an app")
    return app


def trigger_job(state: ClusterState, command: c.TriggerJob, stamp: c.Stamp) -> Step:
    """Let it run now, beside what runs already."""
    app = _job(state, command)
    if isinstance(app, Refusal):
        return app
    full = no_room(state)
    if full is not None:
        return full
    run = _run(state, app, stamp, command.timeout_s, command.retries)
    return added(state, run, stamp, "requested"), (("run", run.id),)


def suspend_job(state: ClusterState, command: c.SuspendJob, stamp: c.Stamp) -> Step:
    """Hold its schedule, or go on from now on: what was due meanwhile is not made up for."""
    app = _job(state, command)
    if isinstance(app, Refusal):
        return app
    if app.suspended == command.suspended:
        return state, ()
    said = "suspended" if command.suspended else "resumed"
    state = tell(state, stamp, "config", app.name, f"Job {said}")
    after = replace(app, suspended=command.suspended, due_ms=max(app.due_ms, stamp.at_ms))
    return with_app(state, after), ()


def fire_job(state: ClusterState, command: c.FireJob, stamp: c.Stamp) -> Step:
    """See to one due time: begin a run, or skip it, as the policy says."""
    app = state.apps.get(command.app)
    if (
        app is None or app.deleting or app.suspended or app.revision != command.revision
        or not app.due_ms < command.due_ms <= max(stamp.at_ms, state.leadership.renewed_at_ms)
    ):
        return state, ()
    state = with_app(state, replace(app, due_ms=command.due_ms))
    busy = any(
        run.app == app.name and run.kind == "job" and not run.is_over
        for run in state.runs.values())
    full = no_room(state)
    if full is not None or (busy and command.policy == "Forbid"):
        return _skipped(state, app, command.due_ms, stamp, full), ()
    if command.policy == "Replace":
        state = cancelled(state, lambda run: run.app == app.name and run.kind == "job")
    run = replace(
        _run(state, app, stamp, command.timeout_s, command.retries), due_ms=command.due_ms)
    return added(state, run, stamp), (("run", run.id),)


def _skipped(
    state: ClusterState, app: App, due_ms: int, stamp: c.Stamp, full: Refusal | None
) -> ClusterState:
    """The state with the event that nothing was begun; of what blocks it told once.

    A job that is due each minute while one run takes a day is no thousand events.
    """
    blocking = max((run.id for run in state.runs.values()
                    if run.app == app.name and run.kind == "job" and not run.is_over), default=0)
    if any(event.app == app.name and dict(event.details).get("blocked_by") == blocking
           for event in state.events):
        return state
    why = full.details if full is not None else f"run {blocking}, the one before, still runs"
    return tell(
        state, stamp, "error", app.name, f"Job skipped: {why}; it is told once",
        due_ms=due_ms, blocked_by=blocking)


def _run(state: ClusterState, app: App, stamp: c.Stamp, timeout_s: int, retries: int) -> Run:
    return Run(next_id(state), app.name, "job", app.made_from, timeout_s, stamp.at_ms,
               revision=app.revision, retries=retries)
