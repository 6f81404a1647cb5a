"""Steps that give an app another revision, and carry a rollout on.

What a rollout wants is in the state: a leader that takes over goes on where the one before was.

Source: docs/adr/0025-rollouts-in-the-state.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from cluster.state import commands as c
from cluster.state.config import settled_addresses
from cluster.state.images import has_made_none
from cluster.state.jobs import is_job, wanted_service
from cluster.state.model import (
    App,
    Canary,
    ClusterState,
    Place,
    Revision,
    Rollout,
    RolloutKind,
    RolloutNote,
    RolloutPhase,
)
from cluster.state.register import register
from cluster.state.revisions import goes_on, is_good, last_good, revisions_until, same_policy
from cluster.state.runs import LINES_MAX, cancelled, must_prepare
from cluster.state.secret_uses import newest_change
from cluster.state.step import (
    TEXT_MAX,
    Refusal,
    Step,
    noted,
    tell,
    wanted_app,
    with_app,
)
from cluster.state.volume_names import past_volumes
from cluster.state.volumes import leaving_of
from orchestry.errors import Code

DEPLOYMENTS_MAX = 10
NOTES_KEPT = 20
"""Of a rollout that is over."""


@dataclass(frozen=True, slots=True)
class _New:
    """What an app is to be from now on; `template` 0 stands for the new revision itself."""

    document: str
    template: int
    template_key: str
    addresses: tuple[str, ...]
    kind: RolloutKind
    cause: str


# -- what users ask for ----------------------------------------------------------------


def update(state: ClusterState, command: c.UpdateApp, stamp: c.Stamp) -> Step:
    """Take another spec; an app that is not there is registered."""
    if command.app not in state.apps:
        return _create(state, command, stamp)
    app = wanted_app(state, command)
    if isinstance(app, Refusal):
        return app
    if is_job(app.document) != is_job(command.document):
        return Refusal(
            Code.CONFLICT, f"'{app.name}' is of another kind: an app does not become a job, nor "
            "the other way round")
    leaving = leaving_of(state, app.name, command.document)
    if leaving:
        return Refusal(Code.CONFLICT, (
            f"Volume '{leaving}', which an earlier application '{app.name}' left, is being "
            "removed: try again when it is gone"))
    addresses = settled_addresses(state, command)
    if command.document == app.document:
        return state, _value(app, "unchanged", 0)
    key = command.template_key
    # Replicas of a template from before a secret's present version would keep the one before.
    oldest = newest_change(state.secrets, command.document)
    new = _New(
        command.document, _template_of(app, key, oldest), key, addresses, "update", "updated")
    if not app.started_at_ms:
        app = replace(app, replicas=command.min_replicas)
    return _revise(state, app, new, stamp)


def _create(state: ClusterState, command: c.UpdateApp, stamp: c.Stamp) -> Step:
    if command.expected_revision is not None:
        return Refusal(
            Code.CONFLICT, f"If-Match: application '{command.app}' does not exist")
    step = register(state, c.RegisterApp(
        command.app, command.document, command.min_replicas, command.addresses,
        command.template_key), stamp)
    if isinstance(step, Refusal):
        return step
    return step[0], (*step[1], ("change", "created"), ("deployment", 0))


def roll_back(state: ClusterState, command: c.RollBackApp, stamp: c.Stamp) -> Step:
    """Take the spec of an earlier revision again."""
    app = wanted_app(state, command)
    if isinstance(app, Refusal):
        return app
    if command.revision is not None:
        found = next((r for r in app.revisions if r.revision == command.revision), None)
        if found is None:
            return Refusal(
                Code.CONFLICT, f"Application '{app.name}' has no earlier revision "
                f"{command.revision}; GET /api/v1/apps/{app.name}/revisions lists them")
    else:
        found = last_good(app)
        if found is None:
            return Refusal(
                Code.CONFLICT, f"Application '{app.name}' has no earlier revision that was "
                f"healthy; name one of GET /api/v1/apps/{app.name}/revisions")
    return _revise(state, app, _again(app, found), stamp)


def restart(state: ClusterState, command: c.RestartApp, stamp: c.Stamp) -> Step:
    """Take the same spec as another template."""
    app = wanted_service(state, command)
    if isinstance(app, Refusal):
        return app
    if not app.running:
        return Refusal(Code.CONFLICT, f"Application '{app.name}' does not run: start it")
    new = _New(app.document, 0, app.template_key, app.addresses, "restart", "restarted")
    return _revise(state, app, new, stamp)


def renew(state: ClusterState, name: str, cause: str, stamp: c.Stamp) -> ClusterState:
    """The app with the same spec as another template, also one that does not run now."""
    app = state.apps[name]
    new = _New(app.document, 0, app.template_key, app.addresses, "restart", cause)
    step = _revise(state, app, new, stamp)
    return state if isinstance(step, Refusal) else step[0]


def steer(state: ClusterState, command: c.SteerRollout, stamp: c.Stamp) -> Step:
    """Pause, resume or promote what is under way; saying it twice changes nothing."""
    app = wanted_service(state, command, "steer")
    if isinstance(app, Refusal):
        return app
    rollout = app.rollout
    if rollout is None:
        return Refusal(
            Code.CONFLICT, f"No deployment of application '{app.name}' is under way")
    if command.verb == "pause" and rollout.phase == "failed":
        return Refusal(
            Code.CONFLICT, f"Deployment {rollout.id} of application '{app.name}' has failed: it "
            "waits already; resume it, roll back or update")
    phase: RolloutPhase = "paused" if command.verb == "pause" else "running"
    promotes = command.verb == "promote"
    canary = rollout.canary
    if promotes and command.canary_step > (canary.step if canary is not None else 0):
        canary = replace(
            canary or Canary(), step=command.canary_step, held_s=0, waits="replicas")
    promoted = rollout.promoted or (promotes and not command.canary_step)
    if rollout.phase == "failed" and must_prepare(app):
        app = replace(app, pre=0)  # it is prepared anew
    value = (("revision", app.revision), ("deployment", rollout.id), ("phase", phase))
    if (phase, promoted, canary) == (rollout.phase, rollout.promoted, rollout.canary):
        return state, value
    said = {"pause": "paused", "resume": "resumed", "promote": "promoted"}[command.verb]
    after = replace(
        rollout, phase=phase, promoted=promoted, canary=canary, reason="", overdue=False,
        step=rollout.step + 1, changed_at_ms=stamp.at_ms,
        notes=noted(rollout, stamp, f"{said} by request"))
    state = tell(state, stamp, "config", app.name, f"Deployment {rollout.id} {said}",
                 deployment=rollout.id)
    return with_app(state, replace(app, rollout=after)), value


# -- what the leader decides -----------------------------------------------------------


def step_rollout(state: ClusterState, command: c.StepRollout, stamp: c.Stamp) -> Step:
    """Want other replicas from now on, unless the decision is about what is no more."""
    app = state.apps.get(command.app)
    rollout = app.rollout if app is not None else None
    if app is None or rollout is None or (rollout.id, rollout.step) != (command.id, command.step):
        return state, ()
    after = replace(
        rollout, new=command.new, old=command.old, step=rollout.step + 1,
        available=command.available, wanted=command.wanted, canary=command.canary,
        changed_at_ms=stamp.at_ms, notes=noted(rollout, stamp, *command.notes))
    return with_app(state, replace(app, rollout=after)), ()


def end_rollout(state: ClusterState, command: c.EndRollout, stamp: c.Stamp) -> Step:
    """Close a rollout, or hold it where it failed; the last healthy revision may come back."""
    app = state.apps.get(command.app)
    rollout = app.rollout if app is not None else None
    if app is None or rollout is None or rollout.id != command.id:
        return state, ()
    # A user may have spoken since it was decided: who pauses wants nothing to go back by itself.
    late = command.step is not None and command.step != rollout.step
    if late or (command.outcome != "done" and rollout.phase != "running"):
        return state, ()
    reason = command.reason[:TEXT_MAX]
    if command.outcome == "done":
        state = tell(state, stamp, "config", app.name, f"Deployment {rollout.id} is complete",
                     deployment=rollout.id, revision=app.revision)
        good = app.replicas > 0
        after = replace(
            _closed(app, "done", stamp), good=app.good or good, reached=app.reached or good)
        return with_app(state, after), ()
    lines = tuple(line[:TEXT_MAX] for line in command.lines[-LINES_MAX:])
    if command.outcome == "overdue":
        state = tell(state, stamp, "error", app.name,
                     f"Deployment {rollout.id} takes too long and goes on: {reason}",
                     deployment=rollout.id, reason=reason, lines=lines)
        return with_app(state, replace(app, rollout=replace(rollout, overdue=True))), ()
    state = tell(state, stamp, "error", app.name, f"Deployment {rollout.id} failed: {reason}",
                 deployment=rollout.id, revision=app.revision, reason=reason, lines=lines)
    failed = replace(
        rollout, phase="failed", reason=reason, changed_at_ms=stamp.at_ms,
        notes=noted(rollout, stamp, f"failed: {reason}"))
    app = replace(app, rollout=failed)
    found = last_good(app) if command.roll_back and rollout.kind != "rollback" else None
    if found is not None:
        step = _revise(state, app, _again(app, found), stamp)
        if not isinstance(step, Refusal):
            return step
    return with_app(state, app), ()


def stopped(app: App, stamp: c.Stamp) -> App:
    """The app without its rollout: when it starts again, all its replicas are new ones."""
    return _closed(app, "stopped", stamp) if app.rollout is not None else app


# -- parts -----------------------------------------------------------------------------


def _revise(state: ClusterState, app: App, new: _New, stamp: c.Stamp) -> Step:
    """The app with another revision, and the rollout that brings its replicas there."""
    for address in new.addresses:
        owner = state.owners.get(address, app.name)
        if owner != app.name:
            return Refusal(
                Code.CONFLICT, f"{address} already leads to application '{owner}': choose "
                "another host or path in `spec.ingress`")
    template = new.template or state.index
    held = app.rollout if _goes_on(app, new) else None
    rollout = held or _begun(app, state.index, template, new.kind, stamp)
    past = revisions_until(app)
    rolls = held is None and rollout.phase == "running"
    before = app
    if app.rollout is not None and held is None:
        phase: RolloutPhase = "failed" if app.rollout.phase == "failed" else "superseded"
        app = _closed(app, phase, stamp)
    after = replace(
        app, document=new.document, revision=state.index, template=template,
        template_key=new.template_key, addresses=new.addresses, cause=new.cause,
        updated_at_ms=stamp.at_ms, revised_at_ms=stamp.at_ms, revisions=past,
        past_volumes=past_volumes(app, past),
        good=is_good(before) and template == before.made_from, problem="", problem_code="",
        scaling=app.scaling if same_policy(app.document, new.document) else "",
        rollout=rollout if rolls else held,
        pre=0 if rolls or not app.running else app.pre, prepared=_prepared(app, template, new.kind),
        deployments=app.deployments if rolls or held else _kept(app, rollout),
    )
    owners = state.owners
    for address in set(app.addresses):
        owners = owners.delete(address)
    owners = owners.update(dict.fromkeys(new.addresses, app.name))
    state = tell(
        state, stamp, "config", app.name, f"Application {new.cause}",
        revision=after.revision, previous_revision=app.revision, deployment=rollout.id)
    state = replace(state, owners=owners)
    if after.pre != app.pre:
        state = cancelled(state, lambda run: run.id == app.pre)
    waits = held is not None and held.phase != "running"
    return with_app(state, after), _value(after, "updated", 0 if waits else rollout.id)


def _goes_on(app: App, new: _New) -> bool:
    return (app.rollout is not None and new.kind == "update" and new.template == app.made_from
            and goes_on(app.document, new.document))


def _prepared(app: App, template: int, kind: RolloutKind) -> int:
    """What counts as prepared: what ran already, and a restart of what was."""
    if kind == "rollback":
        return template
    served = app.reached and app.good and app.rollout is None
    again = kind == "restart" and (served or app.prepared == app.made_from)
    return template if again else app.prepared


def _begun(app: App, revision: int, template: int, kind: RolloutKind, stamp: c.Stamp) -> Rollout:
    """A rollout from what is wanted now; one with nothing to replace is done at once."""
    places = _places(app)
    own = {(template, slot) for slot in range(1, app.replicas + 1)}
    rollout = Rollout(
        revision, kind, app.revision, stamp.at_ms, changed_at_ms=stamp.at_ms,
        new=tuple(place[1] for place in places if place in own),
        old=tuple(place for place in places if place not in own),
        wanted=app.replicas if app.running else 0,
        canary=_carried(app, template) if kind == "update" else None)
    if app.running and (app.rollout is not None or template != app.made_from):
        return rollout
    why = "no replica has to be replaced" if app.running else "the application does not run"
    return replace(
        rollout, phase="done", ended_at_ms=stamp.at_ms, available=len(rollout.new),
        notes=(RolloutNote(stamp.at_ms, why),))


def _carried(app: App, template: int) -> Canary | None:
    """Whose share of the requests an update takes over, until it has replicas of its own."""
    before = app.rollout.canary if app.rollout is not None else None
    if before is None or not before.template:
        return None
    return replace(before, step=before.step if before.template == template else 0, held_s=0)


def _places(app: App) -> tuple[Place, ...]:
    """All replicas that are wanted now, and that were allowed to start."""
    if not app.running:
        return ()
    if app.rollout is None:
        own = tuple((app.made_from, slot) for slot in range(1, app.replicas + 1))
        if has_made_none(app) or must_prepare(app):  # what is there all the same stays
            own = tuple(p for p in own if p in {(r.revision, r.slot) for r in app.reports})
        return own
    mine = ((app.made_from, slot) for slot in app.rollout.new)
    return tuple(sorted({*mine, *app.rollout.old}))


def _template_of(app: App, key: str, oldest: int) -> int:
    """The template with this key whose containers are there, the newest first, to take them over.

    None that has failed, or is not there: it would bring its old image along, which may be why.
    Except for the present one, none from before `oldest`.
    """
    if key and key == app.template_key:
        return app.made_from
    there = {template for template, _ in app.rollout.old} if app.rollout is not None else set()
    there -= {one.id for one in app.deployments if one.phase == "failed"}
    for one in reversed(app.revisions):
        if key and key == one.template_key and one.template >= oldest and one.template in there:
            return one.template
    return 0


def _again(app: App, found: Revision) -> _New:
    return _New(found.document, found.template, found.template_key, found.addresses,
                "rollback", f"rolled back to revision {found.revision}")


def _closed(app: App, phase: RolloutPhase, stamp: c.Stamp) -> App:
    assert app.rollout is not None
    over = replace(app.rollout, phase=phase, ended_at_ms=stamp.at_ms)
    if phase == "done":
        over = replace(over, available=app.replicas, wanted=app.replicas)
    return replace(app, rollout=None, deployments=_kept(app, over))


def _kept(app: App, rollout: Rollout) -> tuple[Rollout, ...]:
    over = replace(rollout, notes=rollout.notes[-NOTES_KEPT:])
    return (*app.deployments, over)[-DEPLOYMENTS_MAX:]


def _value(app: App, change: str, deployment: int) -> tuple[tuple[str, Any], ...]:
    return ("revision", app.revision), ("change", change), ("deployment", deployment)
