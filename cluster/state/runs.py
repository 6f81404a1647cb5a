"""Steps of containers that run once.

A run is in the state, with its id, before its container is made. A leader that takes over goes
on with the container that carries the id, so that none is run twice.

Source: docs/adr/0033-runs-and-jobs.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache

from immutables import Map

from cluster.state import commands as c
from cluster.state.model import GENERATION, App, ClusterState, next_generation
from cluster.state.model_runs import Run
from cluster.state.step import Refusal, Step, noted, tell, wanted_app, with_app
from orchestry.errors import Code

WAITING_MAX = 100
"""Runs that are not over, of the whole cluster."""
AHEAD_MAX = GENERATION // 2
"""How far ids of runs get ahead of those of events before the latter leap."""
KEPT_PER_APP = 10
KEPT_MAX = 300
"""Runs that are over."""
LINES_MAX = 20
LINE_CHARACTERS_MAX = 300
REASON_CHARACTERS_MAX = 300
COMMAND_CHARACTERS_MAX = 16 * 1024
_SAID = {"succeeded": "succeeded", "failed": "failed", "timed_out": "took too long",
         "cancelled": "was cancelled", "lost": "is lost"}


def run_name(run: Run) -> str:
    """What users call the container of a run."""
    return f"{run.app}-run-{run.id}"


def why_ending(run: Run) -> str:
    """Why a run that is to end was stopped."""
    return f"it took longer than {run.timeout_s} s" if run.ending == "timed_out" else "by request"


def of_app(state: ClusterState, app: str) -> list[Run]:
    """The runs of an app or a job, newest first."""
    found = (run for run in state.runs.values() if run.app == app)
    return sorted(found, key=lambda run: run.id, reverse=True)


def request_run(state: ClusterState, command: c.RequestRun, stamp: c.Stamp) -> Step:
    """Let a run wait for its turn."""
    app = wanted_app(state, command)
    if isinstance(app, Refusal):
        return app
    full = no_room(state)
    if full is not None:
        return full
    size = sum(map(len, command.command))
    if size > COMMAND_CHARACTERS_MAX:
        return Refusal(
            Code.VALIDATION_ERROR, f"command must have at most {COMMAND_CHARACTERS_MAX} characters "
            f"in all, not {size}")
    run = Run(
        next_id(state), app.name, "run", app.made_from, command.timeout_s, stamp.at_ms,
        command.command, app.revision)
    return added(state, run, stamp, "requested"), (("run", run.id),)


def no_room(state: ClusterState) -> Refusal | None:
    """Why no other run can wait now; None when one can."""
    if sum(not run.is_over for run in state.runs.values()) < WAITING_MAX:
        return None
    return Refusal(
        Code.CONFLICT, f"{WAITING_MAX} runs wait or run already: try again when some are over, "
        "or cancel some")


def next_id(state: ClusterState) -> int:
    """The id of the next run, which no restore and no rescue gives again."""
    return max(state.next_event_id, state.last_run_id + 1)


def added(state: ClusterState, run: Run, stamp: c.Stamp, what: str = "") -> ClusterState:
    """The state with another run, and the event that somebody asked for it.

    What the clock begins is told of by its end alone. Since ids of events leap where ids could
    be given twice, those of runs stay near them.
    """
    if what:
        kind = "Pre-deploy job" if run.kind == "pre" else "Run"
        state = tell(state, stamp, "config", run.app, f"{kind} {run.id} {what}", run=run.id)
    if run.id - state.next_event_id >= AHEAD_MAX:
        state = replace(state, next_event_id=next_generation(run.id))
    return _with(replace(state, last_run_id=run.id), run)


def cancel_run(state: ClusterState, command: c.CancelRun, stamp: c.Stamp) -> Step:
    """Note that a run is to be stopped; saying it twice changes nothing."""
    app = wanted_app(state, command)
    if isinstance(app, Refusal):
        return app
    run = state.runs.get(str(command.id))
    if run is None or run.app != command.app:
        return Refusal(
            Code.NOT_FOUND, f"'{command.app}' has no run {command.id} that is still known")
    if run.is_over:
        return Refusal(Code.CONFLICT, f"Run {run.id} of '{run.app}' is over: {run.phase}")
    return _ending(state, run), (("run", run.id),)


def cancelled(state: ClusterState, which: Callable[[Run], bool]) -> ClusterState:
    """The state in which all runs of a kind that are not over are to be stopped."""
    for run in state.runs.values():
        if not run.is_over and which(run):
            state = _ending(state, run)
    return state


def _ending(state: ClusterState, run: Run) -> ClusterState:
    return state if run.ending else _with(state, replace(run, ending="cancelled"))


# -- what prepares a revision ----------------------------------------------------------


def prepare(state: ClusterState, command: c.PrepareRevision, stamp: c.Stamp) -> Step:
    """Begin the one run that prepares a revision, unless there is one, or one of another."""
    app = state.apps.get(command.app)
    if app is None or app.deleting or not app.running or app.revision != command.revision:
        return state, ()
    if app.pre or any(
        run.app == app.name and run.kind == "pre" and not run.is_over
        for run in state.runs.values()
    ):
        return state, ()
    run = Run(
        next_id(state), app.name, "pre", app.made_from, command.timeout_s, stamp.at_ms,
        revision=app.revision)
    state = added(state, run, stamp, f"begins for revision {app.revision}")
    app = _noted(app, stamp, f"its pre-deploy job (run {run.id}) begins")
    return with_app(state, replace(app, pre=run.id)), (("run", run.id),)


def _noted(app: App, stamp: c.Stamp, text: str) -> App:
    """The app, whose deployment tells of its job."""
    rollout = app.rollout
    return app if rollout is None else replace(
        app, rollout=replace(rollout, notes=noted(rollout, stamp, text)))


@lru_cache(4096)
def has_pre(document: str) -> bool:
    """Whether a stored document has a job before each deployment.

    Not by way of the parser: steps ask, and all versions must find the same.
    """
    if '"pre"' not in document:
        return False
    try:
        return json.loads(document)["deploy"]["pre"] is not None
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


def must_prepare(app: App) -> bool:
    """Whether no replica of the present template may start before a run has prepared it.

    An app whose replicas were healthy already, and that no rollout replaces, was given the
    command afterwards: it is for the next revision.
    """
    if not has_pre(app.document) or app.prepared == app.made_from:
        return False
    served = app.rollout is None and app.reached and app.good
    return app.running and not app.deleting and not served


# -- what the leader tells -------------------------------------------------------------


def step_run(state: ClusterState, command: c.StepRun, stamp: c.Stamp) -> Step:
    """Note the container of a run, or that its time is up."""
    run = state.runs.get(str(command.id))
    if run is None or run.is_over:
        return state, ()
    after = replace(
        run, phase="running", container_id=command.container_id,
        container_name=command.container_name, started_at_ms=command.started_at_ms)
    if command.timed_out and not run.ending:
        after = replace(after, ending="timed_out")
    return _with(state, after), ()


def end_run(state: ClusterState, command: c.EndRun, stamp: c.Stamp) -> Step:
    """Close a run; what it prepared is prepared if it succeeded.

    One that was to be stopped ends as such, whatever the leader saw before it knew of that.
    """
    run = state.runs.get(str(command.id))
    if run is None or run.is_over:
        return state, ()
    over = replace(
        run, phase=run.ending or command.outcome, ending="", exit_code=command.exit_code,
        reason=(why_ending(run) if run.ending else command.reason)[:REASON_CHARACTERS_MAX],
        lines=tuple(line[:LINE_CHARACTERS_MAX] for line in command.lines[-LINES_MAX:]),
        container_id=command.container_id or run.container_id,
        container_name=command.container_name or run.container_name,
        started_at_ms=command.started_at_ms or run.started_at_ms,
        ended_at_ms=command.ended_at_ms or stamp.at_ms)
    good = over.phase == "succeeded"
    state = trimmed(_with(_told(state, over, stamp), over))
    app = state.apps.get(run.app)
    if run.kind == "pre" and good and app is not None and app.pre == run.id:
        app = _noted(app, stamp, f"its pre-deploy job (run {run.id}) succeeded")
        state = with_app(state, replace(app, prepared=app.made_from))
    if over.kind == "job" and over.phase in ("failed", "timed_out") and over.retries:
        app = state.apps.get(run.app)
        if app is not None and not app.deleting:
            again = replace(
                run, id=next_id(state), phase="waiting", ending="", container_id="",
                container_name="", started_at_ms=0, requested_at_ms=stamp.at_ms,
                attempt=run.attempt + 1, retries=run.retries - 1)
            state = added(state, again, stamp, "" if again.due_ms else (
                f"is attempt {again.attempt} of run {run.id}"))
    return state, ()


def _told(state: ClusterState, over: Run, stamp: c.Stamp) -> ClusterState:
    """The state with the event that a run has ended.

    Runs by the clock come again and again: success is told of when it is the first after
    something else, of failures in a row once for each due time, and with the lines of the first;
    each run has its own.
    """
    good = over.phase == "succeeded"
    before = max((run for run in of_app(state, over.app) if run.is_over and run.due_ms),
                 key=lambda run: run.id, default=None) if over.due_ms else None
    if good and before is not None and before.phase == "succeeded":
        return state
    again = before is not None and before.phase == over.phase
    why = f": {over.reason}" if over.reason and not good else ""
    left = f"; attempts left: {over.retries}" if over.retries and (
        over.phase in ("failed", "timed_out")) else ""
    if again and left:
        return state
    kind = "Pre-deploy job" if over.kind == "pre" else "Run"
    return tell(
        state, stamp, "config" if good or over.phase == "cancelled" else "error", over.app,
        f"{kind} {over.id} {_SAID[over.phase]}{why}{left}", run=over.id,
        exit_code=over.exit_code, **({} if good or again else {"lines": over.lines}))


# -- parts -----------------------------------------------------------------------------


def forgotten(state: ClusterState, app: str) -> ClusterState:
    """The state without the runs of an app or a job."""
    runs = state.runs
    for run in of_app(state, app):
        runs = runs.delete(str(run.id))
    return replace(state, runs=runs)


def trimmed(state: ClusterState) -> ClusterState:
    """The state without the oldest runs that are over, where there are too many."""
    over = sorted((run for run in state.runs.values() if run.is_over), key=lambda run: -run.id)
    kept: dict[str, int] = {}
    gone: list[Run] = []
    for number, run in enumerate(over):
        kept[run.app] = kept.get(run.app, 0) + 1
        if number >= KEPT_MAX or kept[run.app] > KEPT_PER_APP:
            gone.append(run)
    return replace(state, runs=_without(state.runs, gone)) if gone else state


def _without(runs: Map[str, Run], gone: Iterable[Run]) -> Map[str, Run]:
    for run in gone:
        runs = runs.delete(str(run.id))
    return runs


def _with(state: ClusterState, run: Run) -> ClusterState:
    return replace(state, runs=state.runs.set(str(run.id), run))
