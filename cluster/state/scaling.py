"""Steps that change how many replicas an app has, or the policy that decides it."""

from __future__ import annotations

from dataclasses import replace

from cluster.config.keys import spec_defaults
from cluster.state import commands as c
from cluster.state.jobs import wanted_service
from cluster.state.model import ClusterState
from cluster.state.step import (
    REPLICAS_MAX,
    Refusal,
    Step,
    leaving,
    overtaken,
    tell,
    with_app,
)
from orchestry.errors import Code, OrchestryError
from orchestry.policy import changed, text_of


def scale(state: ClusterState, command: c.ScaleApp, stamp: c.Stamp) -> Step:
    """Take the number of replicas that a user asks for."""
    app = wanted_service(state, command, "scale")
    if isinstance(app, Refusal):
        return app
    if not 0 <= command.replicas <= REPLICAS_MAX:
        return Refusal(Code.VALIDATION_ERROR, f"replicas must be 0-{REPLICAS_MAX}")
    before = app.replicas if app.running else 0
    value = (("previous_replicas", before), ("replicas", command.replicas))
    if app.running and before == command.replicas:
        return state, value
    if app.scaling_until_ms > stamp.at_ms:
        return Refusal(
            Code.SCALING_IN_PROGRESS,
            f"Application '{app.name}' is still scaling to {app.replicas} replicas",
        )
    after = replace(
        app, running=True, replicas=command.replicas, updated_at_ms=stamp.at_ms,
        last_scaled_at_ms=stamp.at_ms, reached=app.running and app.reached,
        started_at_ms=app.started_at_ms if app.running else stamp.at_ms,
        scaling_until_ms=stamp.at_ms + command.timeout_s * 1000,
        reports=leaving(app, above=command.replicas),
        last_scaling=(before, command.replicas, command.reason),
        stop_grace_s=None, stop_force=False, by_hand=True, problem="", problem_code="",
        rollout=overtaken(app), pre=app.pre if app.running else 0,
    )
    state = tell(
        state, stamp, "scaling", app.name,
        f"Scaled from {before} to {command.replicas} replicas: {command.reason}",
        previous_replicas=before, new_replicas=command.replicas, trigger=command.reason,
    )
    return with_app(state, after), value


def set_scaling(state: ClusterState, command: c.SetScaling, stamp: c.Stamp) -> Step:
    """Change some keys of the policy; what is not named stays as it is."""
    app = wanted_service(state, command, "scale")
    if isinstance(app, Refusal):
        return app
    defaults = spec_defaults(state.config)
    try:
        after = changed(app.document, app.scaling, command.changes)
        value = (("previous", text_of(app.document, app.scaling, defaults)),
                 ("policy", text_of(app.document, after, defaults)))
    except OrchestryError as error:
        return Refusal(Code.VALIDATION_ERROR, str(error))
    except (ValueError, TypeError, RecursionError) as error:
        return Refusal(Code.VALIDATION_ERROR, f"not readable: {error}")
    if after == app.scaling:
        return state, value
    state = tell(
        state, stamp, "config", app.name, "Scaling policy updated",
        before=app.scaling, after=after,
    )
    return with_app(state, replace(app, scaling=after, updated_at_ms=stamp.at_ms)), value


def auto_scale(state: ClusterState, command: c.AutoScale, stamp: c.Stamp) -> Step:
    """Take the autoscaler's number, unless the app has changed since it was decided."""
    app = state.apps.get(command.app)
    if (
        app is None or app.revision != command.revision or not app.running or app.deleting
        or app.replicas != command.previous or app.scaling_until_ms > stamp.at_ms
        or not 0 <= command.replicas <= REPLICAS_MAX or command.replicas == app.replicas
    ):
        return state, (("replicas", app.replicas if app is not None else 0),)
    after = replace(
        app, replicas=command.replicas, last_scaled_at_ms=stamp.at_ms, updated_at_ms=stamp.at_ms,
        last_scaling=(app.replicas, command.replicas, command.reason),
        by_hand=False, scaling_until_ms=0, reports=leaving(app, above=command.replicas),
        rollout=overtaken(app),
    )
    state = tell(
        state, stamp, "scaling", app.name, command.reason,
        previous_replicas=app.replicas, new_replicas=command.replicas, trigger=command.trigger,
        **dict(command.inputs),
    )
    return with_app(state, after), (("replicas", command.replicas),)
