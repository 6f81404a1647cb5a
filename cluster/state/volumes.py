"""Steps that let volumes go: no volume is removed but by what is in the state first."""

from __future__ import annotations

from dataclasses import replace

from cluster.state import commands as c
from cluster.state.model import ClusterState, VolumeRemoval
from cluster.state.step import Refusal, Step, tell, with_app
from cluster.state.volume_names import document_names, names_volume
from orchestry.errors import Code

NAMED_MAX = 256
"""Volumes of an app that are named at once; then come the next ones."""
REMOVALS_MAX = 256
VOLUMES_TOLD_MAX = 32
"""By name, of those that went with their app: as many as one spec may name."""
VOLUME_REMOVED = "Volume removed"
VOLUME_STAYS = "Volume not removed"


def name_volumes(state: ClusterState, command: c.NameVolumes, stamp: c.Stamp) -> Step:
    """What was named before has gone; these go next."""
    app = state.apps.get(command.app)
    if app is None or app.revision != command.revision or not app.deleting or app.keep_data:
        return state, ()
    if command.after != app.volumes_named:
        return state, ()
    return with_app(state, replace(
        app, leaving_volumes=command.names[:NAMED_MAX],
        volumes_named=app.volumes_named + len(command.names[:NAMED_MAX]))), ()


def remove_volume(state: ClusterState, command: c.RemoveVolume, stamp: c.Stamp) -> Step:
    """Let a volume go that was left by an app that is not there any more.

    One that has the app's name now may be there, as long as it does not name the volume.
    """
    if state.awaiting_restore:
        return Refusal(
            Code.CONFLICT, "This cluster waits for the backup of the cluster that it adopts, whose "
            "volumes these are: run `orchestry cluster restore FILE --adopt` first")
    there = state.apps.get(command.app)
    if there is not None and (there.deleting or names_volume(there, command.name)):
        return Refusal(Code.CONFLICT, (
            f"Application '{command.app}' is still being deleted: try again when it is gone"
            if there.deleting else
            f"Volume '{command.name}' belongs to application '{command.app}': it goes when that "
            "is deleted without keep_data"))
    known = state.volume_removals.get(command.name)
    if known is not None:
        return state, (("removal", known.index), ("app", known.app))
    if len(state.volume_removals) >= REMOVALS_MAX:
        return Refusal(
            Code.CONFLICT, f"{REMOVALS_MAX} volumes are being removed already: try again later")
    removal = VolumeRemoval(command.name, command.app, state.index, stamp.at_ms)
    state = tell(
        state, stamp, "config", command.app, "Removal of a volume requested", volume=command.name)
    return replace(
        state, volume_removals=state.volume_removals.set(removal.name, removal)
    ), (("removal", removal.index), ("app", removal.app))


def end_volume_removal(
    state: ClusterState, command: c.EndVolumeRemoval, stamp: c.Stamp
) -> Step:
    """Forget a removal that is over, and tell how it ended."""
    known = state.volume_removals.get(command.name)
    if known is None or known.index != command.removal:
        return state, ()
    kind, message = ("error", VOLUME_STAYS) if command.problem else ("config", VOLUME_REMOVED)
    state = tell(
        state, stamp, kind, known.app, message, volume=known.name, removal=known.index,
        problem=command.problem)
    return replace(state, volume_removals=state.volume_removals.delete(known.name)), ()


def leaving_of(state: ClusterState, app: str, document: str | None = None) -> str:
    """The name of a volume that an earlier app of this name left, and that goes now; else "".

    With a document, of those that it names.
    """
    return min((
        removal.name for removal in state.volume_removals.values() if removal.app == app
        and (document is None or document_names(document, app, removal.name))),
        default="")
