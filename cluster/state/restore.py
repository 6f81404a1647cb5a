"""Restore: a backup becomes the state of an empty cluster, in parts, all or nothing."""

from __future__ import annotations

from dataclasses import replace

from immutables import Map

from cluster.state import commands as c
from cluster.state.audit import head_of
from cluster.state.model import GENERATION, ClusterState, Restore, next_generation, owners_of
from cluster.state.secrets import merged as merged_secrets
from cluster.state.step import RECENT_EVENTS_MAX, Refusal, Step, tell
from cluster.state.tokens import merged
from orchestry.errors import Code

APPS_MAX = 50_000


def restore_part(state: ClusterState, command: c.RestorePart, stamp: c.Stamp) -> Step:
    """Keep a part aside; with the last one, all of them are the state.

    Members, leadership, controllers and remembered requests stay those of this cluster.
    """
    if state.apps:
        return Refusal(
            Code.CONFLICT, "This cluster has applications: restore needs an empty cluster")
    if state.volume_removals:
        return Refusal(
            Code.CONFLICT, "Volumes of earlier applications are being removed: try again when "
            "they are gone; `orchestry volumes list` shows them")
    restore = state.restore
    if command.number == 0:
        restore = Restore(command.restore_id, total=command.total)
    if (
        restore is None or restore.id != command.restore_id
        or restore.total != command.total or restore.next < command.number
    ):
        return Refusal(
            Code.CONFLICT, "Another restore has begun, or a part is missing: start again")
    if restore.next == command.number:
        restore = Restore(
            restore.id, restore.next + 1, restore.total,
            restore.apps.update({app.name: app for app in command.apps}),
            (*restore.events, *command.events)[-RECENT_EVENTS_MAX:],
            (*restore.config, *command.config), (*restore.tokens, *command.tokens),
            (*restore.releases, *command.releases),
            (*restore.secrets, *command.secrets),
        )
    if len(restore.apps) > APPS_MAX:
        return Refusal(Code.CONFLICT, f"A cluster has at most {APPS_MAX} applications")
    if restore.next < command.total:
        return replace(state, restore=restore), (("next", restore.next),)
    addresses = sum(len(set(app.addresses)) for app in restore.apps.values())
    if len(owners_of(restore.apps)) < addresses:
        return Refusal(
            Code.CONFLICT, "The backup has two applications under one host and path: it was "
            "not written by Orchestry, or was changed since")
    return _install(state, restore, command, stamp), (("apps", len(restore.apps)),)


def _install(
    state: ClusterState, restore: Restore, command: c.RestorePart, stamp: c.Stamp
) -> ClusterState:
    """Epoch and event ids go on far above the backup's, since the lost cluster went on after it.

    The tokens of this cluster stay, or who restores it would be locked out. The audit goes on
    after the backup's last entry.
    """
    lead = state.leadership
    state = replace(
        state, apps=restore.apps, owners=owners_of(restore.apps), restore=None,
        awaiting_restore=False,
        events=restore.events, audit_head=head_of(restore.events) or state.audit_head,
        config=Map(restore.config),
        tokens=merged(state.tokens, restore.tokens),
        releases=Map({release.name: release for release in restore.releases}),
        secrets=merged_secrets(state.secrets, restore.secrets),
        next_event_id=next_generation(max(
            command.next_event_id, state.next_event_id, state.last_run_id)),
        leadership=replace(lead, epoch=max(lead.epoch, command.epoch) + GENERATION),
    )
    return tell(
        state, stamp, "cluster", "", f"Restored {len(restore.apps)} applications from a backup",
        cluster_id=command.cluster_id,
    )
