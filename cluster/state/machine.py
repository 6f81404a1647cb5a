"""apply: one committed command, one step; pure and total."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from cluster.state import commands as c
from cluster.state.audit import record_refusals, recorded
from cluster.state.config import set_config
from cluster.state.exits import grown
from cluster.state.images import (
    begin_pull,
    forget_pulled,
    kept_pulls,
    note_pulled,
    pin_image,
    tell_pulls,
)
from cluster.state.jobs import fire_job, suspend_job, trigger_job, wanted_service
from cluster.state.members import announce, bind_member, change_members
from cluster.state.memory import Outcome
from cluster.state.model import Applied, ClusterState, Leadership
from cluster.state.receipts import keep_receipt
from cluster.state.register import register
from cluster.state.releases import AppSteps, apply_release, uninstall_release
from cluster.state.restore import restore_part
from cluster.state.rollouts import (
    end_rollout,
    restart,
    roll_back,
    steer,
    step_rollout,
    stopped,
    update,
)
from cluster.state.runs import (
    cancel_run,
    cancelled,
    end_run,
    forgotten,
    prepare,
    request_run,
    step_run,
)
from cluster.state.scaling import auto_scale, scale, set_scaling
from cluster.state.secrets import delete_secret, reseal_secret, set_secret
from cluster.state.status import converged, settled
from cluster.state.step import (
    REPLICAS_MAX,
    Refusal,
    Step,
    leaving,
    overtaken,
    tell,
    wanted_app,
    with_app,
)
from cluster.state.tokens import create_token, revoke_token
from cluster.state.volumes import (
    VOLUMES_TOLD_MAX,
    end_volume_removal,
    name_volumes,
    remove_volume,
)
from orchestry.errors import Code


def apply(
    state: ClusterState, command: c.Command, stamp: c.Stamp, index: int
) -> tuple[ClusterState, Applied]:
    """Apply one committed command.

    Never raises and never reads a clock: PySyncObj retries an entry whose method raised
    on every tick, for ever, on every controller.

    Source: docs/adr/0002-one-replicated-method.md.
    """
    known = state.memory.recall(stamp.request_id) if stamp.request_id else None
    if not isinstance(command, c.ChangeMembers):  # of those, the log alone decides
        early = _without_it(state, stamp, index, known)
        if early is not None:
            after = replace(state, index=index)
            if stamp.origin is not None and early.index == index:  # refused now, not before
                after = recorded(after, command, stamp, early)
            return after, early
    step = _STEPS[type(command)](replace(state, index=index), command, stamp)
    if isinstance(step, Refusal):
        after, applied = replace(state, index=index), Applied(index, step.code, step.details)
    else:
        after, value = step
        applied = Applied(index, value=value)
    if stamp.origin is not None:
        after = recorded(after, command, stamp, applied)
    if stamp.request_id and known is None:
        outcome = Outcome(stamp.request_id, stamp.fingerprint, stamp.at_ms, applied)
        after = replace(after, memory=after.memory.remember(outcome))
    return after, applied


def _without_it(
    state: ClusterState, stamp: c.Stamp, index: int, known: Outcome | None
) -> Applied | None:
    """The outcome of a repeat, or of a command from an epoch that is over."""
    if known is not None and known.fingerprint == stamp.fingerprint:
        return known.applied
    if known is not None:
        why = f"The Idempotency-Key {stamp.request_id} belongs to another request"
        return Applied(index, Code.CONFLICT, why)
    if stamp.epoch is not None and stamp.epoch != state.leadership.epoch:
        stale = f"epoch {stamp.epoch} is not the current {state.leadership.epoch}"
        return Applied(index, Code.STALE_EPOCH, stale)
    return None


def _noop(state: ClusterState, command: c.Noop, stamp: c.Stamp) -> Step:
    return state, ()


def _start(state: ClusterState, command: c.StartApp, stamp: c.Stamp) -> Step:
    app = wanted_service(state, command)
    if isinstance(app, Refusal):
        return app
    replicas = command.replicas if command.replicas is not None else max(app.replicas, 1)
    if not 0 <= replicas <= REPLICAS_MAX:
        return Refusal(Code.VALIDATION_ERROR, f"replicas must be 0-{REPLICAS_MAX}")
    value = (("previous_replicas", app.replicas if app.running else 0), ("replicas", replicas))
    if app.running and app.replicas == replicas:
        return state, value
    after = replace(
        app, running=True, replicas=replicas, reached=app.running and app.reached,
        started_at_ms=app.started_at_ms if app.running else stamp.at_ms,
        updated_at_ms=stamp.at_ms, scaling_until_ms=0, stop_grace_s=None, stop_force=False,
        by_hand=command.replicas is not None, problem="", problem_code="",
        reports=leaving(app, above=replicas), rollout=overtaken(app),
        pre=app.pre if app.running else 0,
    )
    state = tell(state, stamp, "config", app.name,
                  f"Application started with {replicas} replicas", replicas=replicas,
                  previous_replicas=app.replicas if app.running else 0)
    return with_app(state, after), value


def _stop(state: ClusterState, command: c.StopApp, stamp: c.Stamp) -> Step:
    app = wanted_service(state, command, "stop")
    if isinstance(app, Refusal):
        return app
    after = replace(
        stopped(app, stamp), running=False, updated_at_ms=stamp.at_ms, reached=False,
        scaling_until_ms=0,
        stop_grace_s=command.grace_s, stop_force=command.force, problem="", problem_code="",
        reports=leaving(app, above=0),
    )
    if app.running:
        state = tell(state, stamp, "config", app.name, "Application stopped",
                      force=command.force, previous_replicas=app.replicas)
    state = cancelled(state, lambda run: run.app == app.name and run.kind == "pre")
    return with_app(state, after), (("was_running", app.running),)


def _delete(state: ClusterState, command: c.DeleteApp, stamp: c.Stamp) -> Step:
    app = wanted_app(state, command)
    if isinstance(app, Refusal):
        return app
    value = (("revision", app.revision), ("containers", len(app.reports)))
    after = replace(
        app, running=False, deleting=True, updated_at_ms=stamp.at_ms, scaling_until_ms=0,
        stop_force=command.force or app.stop_force, stop_grace_s=0 if command.force else None,
        # Some of them may be gone already when they have been named; what was to stay stays.
        keep_data=(command.keep_data or (app.deleting and app.keep_data))
        and not app.volumes_named, problem="", problem_code="",
    )
    if not app.deleting:
        state = tell(state, stamp, "config", app.name, "Application deletion requested",
                      force=command.force, keep_data=command.keep_data)
    state = cancelled(state, lambda run: run.app == app.name)
    return with_app(state, after), value


def _finish_delete(state: ClusterState, command: c.FinishDelete, stamp: c.Stamp) -> Step:
    app = state.apps.get(command.app)
    if app is None or app.revision != command.revision or not app.deleting:
        return state, ()
    state = tell(state, stamp, "config", command.app, "Application deleted",
                 revision=app.revision, volumes_removed=command.volumes_removed,
                 removed_volumes=app.leaving_volumes[:VOLUMES_TOLD_MAX])
    apps, owners = state.apps.delete(app.name), state.owners
    for address in set(app.addresses):
        owners = owners.delete(address)
    return forgotten(replace(state, apps=apps, owners=owners), app.name), ()


def _report(state: ClusterState, command: c.ReportApp, stamp: c.Stamp) -> Step:
    app = state.apps.get(command.app)
    if app is None or app.revision != command.revision:
        return state, ()
    failures, oom_kills = grown(app.attempts, command.attempts)
    after = replace(
        app, reports=command.replicas, problem=command.problem,
        problem_code=command.problem_code, attempts=command.attempts,
        failures=app.failures + failures, oom_kills=app.oom_kills + oom_kills)
    if converged(after):
        after = replace(
            after, reached=True, good=app.good or app.replicas > 0, scaling_until_ms=0)
    elif settled(after):
        after = replace(after, scaling_until_ms=0)
    return with_app(state, after), ()


def _record_event(state: ClusterState, command: c.RecordEvent, stamp: c.Stamp) -> Step:
    details = dict(command.details)
    return tell(state, stamp, command.type, command.app, command.message, **details), ()


def _begin_epoch(state: ClusterState, command: c.BeginEpoch, stamp: c.Stamp) -> Step:
    before = state.leadership
    lead = Leadership(
        before.epoch + 1, command.holder, stamp.at_ms, stamp.at_ms, command.ttl_ms
    )
    state = replace(
        state, leadership=lead, cluster_id=state.cluster_id or command.cluster_id,
        awaiting_restore=state.awaiting_restore if state.cluster_id else command.adopts,
        pulls=kept_pulls(state, stamp.at_ms),
    )
    if before.holder != command.holder:
        state = tell(state, stamp, "cluster", "", f"{command.holder} leads",
                      epoch=lead.epoch, previous=before.holder)
    return state, (
        ("epoch", lead.epoch), ("previous_holder", before.holder),
        ("previous_ttl_ms", before.ttl_ms), ("previous_renewed_at_ms", before.renewed_at_ms),
    )


def _renew(state: ClusterState, command: c.RenewLease, stamp: c.Stamp) -> Step:
    lead = replace(state.leadership, renewed_at_ms=stamp.at_ms, ttl_ms=command.ttl_ms)
    return replace(state, leadership=lead), ()


_OF_APPS = AppSteps(update=update, start=_start, delete=_delete)
_STEPS: dict[type[Any], Callable[[ClusterState, Any, c.Stamp], Step]] = {
    c.Noop: _noop,
    c.RegisterApp: register,
    c.UpdateApp: update,
    c.RollBackApp: roll_back,
    c.RestartApp: restart,
    c.SteerRollout: steer,
    c.StepRollout: step_rollout,
    c.EndRollout: end_rollout,
    c.KeepReceipt: keep_receipt,
    c.StartApp: _start,
    c.StopApp: _stop,
    c.ScaleApp: scale,
    c.SetScaling: set_scaling,
    c.SetConfig: set_config,
    c.AutoScale: auto_scale,
    c.DeleteApp: _delete,
    c.FinishDelete: _finish_delete,
    c.ReportApp: _report,
    c.RecordEvent: _record_event,
    c.AnnounceController: announce,
    c.ChangeMembers: change_members,
    c.BindMember: bind_member,
    c.RestorePart: restore_part,
    c.BeginEpoch: _begin_epoch,
    c.RenewLease: _renew,
    c.CreateToken: create_token,
    c.RevokeToken: revoke_token,
    c.RecordRefusals: record_refusals,
    c.ApplyRelease: partial(apply_release, steps=_OF_APPS),
    c.UninstallRelease: partial(uninstall_release, steps=_OF_APPS),
    c.SetSecret: set_secret,
    c.DeleteSecret: delete_secret,
    c.ResealSecret: reseal_secret,
    c.NameVolumes: name_volumes,
    c.RemoveVolume: remove_volume,
    c.EndVolumeRemoval: end_volume_removal,
    c.RequestRun: request_run,
    c.CancelRun: cancel_run,
    c.PrepareRevision: prepare,
    c.StepRun: step_run,
    c.EndRun: end_run,
    c.FireJob: fire_job,
    c.TriggerJob: trigger_job,
    c.SuspendJob: suspend_job,
    c.PinImage: pin_image,
    c.BeginPull: begin_pull,
    c.TellPulls: tell_pulls,
    c.NotePulled: note_pulled,
    c.ForgetPulled: forget_pulled,
}
