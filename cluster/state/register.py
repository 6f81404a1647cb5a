"""Step that adds an app."""

from __future__ import annotations

from dataclasses import replace

from cluster.state import commands as c
from cluster.state.config import settled_addresses
from cluster.state.model import App, ClusterState
from cluster.state.step import Refusal, Step, tell, with_app
from cluster.state.volumes import leaving_of
from orchestry.errors import Code


def register(state: ClusterState, command: c.RegisterApp, stamp: c.Stamp) -> Step:
    """Add an app that does not run yet."""
    there = state.apps.get(command.name)
    if there is not None:
        what = "is still being deleted" if there.deleting else "already exists"
        return Refusal(Code.APP_ALREADY_EXISTS, f"Application '{command.name}' {what}")
    if state.awaiting_restore:
        return Refusal(
            Code.CONFLICT, "This cluster waits for the backup of the cluster that it adopts: "
            "run `orchestry cluster restore FILE --adopt` first")
    leaving = leaving_of(state, command.name)
    if leaving:
        return Refusal(
            Code.CONFLICT, f"Volume '{leaving}' of an earlier application '{command.name}' is "
            "being removed: try again when it is gone")
    addresses = settled_addresses(state, command)
    for address in addresses:
        if address in state.owners:
            return Refusal(
                Code.CONFLICT,
                f"{address} already leads to application '{state.owners[address]}': "
                "choose another host or path in `spec.ingress`",
            )
    app = App(
        name=command.name, document=command.document, revision=state.index, running=False,
        addresses=addresses, template_key=command.template_key,
        replicas=command.min_replicas, created_at_ms=stamp.at_ms, updated_at_ms=stamp.at_ms,
    )
    state = tell(state, stamp, "config", app.name, "Application registered",
                  revision=app.revision)
    # A restore needs an empty cluster, so one that was abandoned takes no more room.
    owners = state.owners.update(dict.fromkeys(app.addresses, app.name))
    state = replace(state, restore=None, owners=owners)
    return with_app(state, app), (("revision", app.revision),)
