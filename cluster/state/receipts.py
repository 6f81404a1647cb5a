"""Step that keeps what users saw of a deployment."""

from __future__ import annotations

from dataclasses import replace

from cluster.state import commands as c
from cluster.state.model import ClusterState
from cluster.state.step import Step, with_app


def keep_receipt(state: ClusterState, command: c.KeepReceipt, stamp: c.Stamp) -> Step:
    """Beside the deployment that it is of, under way or over, if that is known still."""
    app = state.apps.get(command.app)
    if app is None:
        return state, ()
    if app.rollout is not None and app.rollout.id == command.id:
        app = replace(app, rollout=replace(app.rollout, receipt=command.receipt))
    else:
        app = replace(app, deployments=tuple(
            replace(one, receipt=command.receipt) if one.id == command.id else one
            for one in app.deployments))
    return with_app(state, app), ()
