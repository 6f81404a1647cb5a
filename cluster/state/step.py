"""Step: what one command makes of a state."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from cluster.state import commands as c
from cluster.state.model import App, ClusterState, EventRecord, Replica, Rollout, RolloutNote
from orchestry.errors import Code

RECENT_EVENTS_MAX = 512
REPLICAS_MAX = 100
NOTES_MAX = 60
"""Of one rollout."""
TEXT_MAX = 500
STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a command changed nothing."""

    code: Code
    details: str = ""


Value = tuple[tuple[str, Any], ...]
Step = tuple[ClusterState, Value] | Refusal


def tell(
    state: ClusterState, stamp: c.Stamp, kind: Any, app: str, message: str, /, **details: Any
) -> ClusterState:
    """The state with one event more; the oldest goes when there are too many."""
    who = {"by": stamp.by}
    if stamp.origin is not None and stamp.origin.token:
        who["actor"] = stamp.origin.token
    details = {**who, **details}
    event = EventRecord(
        state.next_event_id, kind, app, message, stamp.at_ms, tuple(sorted(details.items()))
    )
    return append(state, event)


def append(state: ClusterState, event: EventRecord) -> ClusterState:
    """The state with this event as its last."""
    events = (*state.events, event)[-RECENT_EVENTS_MAX:]
    return replace(state, events=events, next_event_id=event.id + 1)


def with_app(state: ClusterState, app: App) -> ClusterState:
    """The state with this app in the place of the one of its name."""
    if app.running and app.replicas > app.slots_used:
        app = replace(app, slots_used=app.replicas)
    return replace(state, apps=state.apps.set(app.name, app))


def wanted_app(
    state: ClusterState,
    command: c.StartApp | c.StopApp | c.ScaleApp | c.SetScaling | c.DeleteApp | c.UpdateApp
    | c.RollBackApp | c.RestartApp | c.SteerRollout | c.RequestRun
    | c.CancelRun | c.TriggerJob | c.SuspendJob,
) -> App | Refusal:
    """The app that a user's command is about, if it is there and of the expected revision."""
    name, expected = command.app, command.expected_revision
    app = state.apps.get(name)
    if app is None:
        return Refusal(Code.APP_NOT_FOUND, f"Application '{name}' does not exist")
    if app.deleting and not isinstance(command, c.DeleteApp):
        return Refusal(Code.APP_NOT_FOUND, f"Application '{name}' is being deleted")
    if expected is not None and expected != app.revision:
        return Refusal(
            Code.CONFLICT,
            f"If-Match: application '{name}' is at revision {app.revision}, not {expected}",
        )
    return app


def leaving(app: App, *, above: int) -> tuple[Replica, ...]:
    """The last reports, in which replicas that are no longer wanted do not count as healthy.

    A start that follows at once must wait for replicas of its own.
    """
    return tuple(
        replace(r, health="unhealthy", last_error=STOPPING) if r.slot > above else r
        for r in app.reports
    )


def noted(rollout: Rollout, stamp: c.Stamp, *texts: str) -> tuple[RolloutNote, ...]:
    """Its notes, and these."""
    more = (RolloutNote(stamp.at_ms, text[:TEXT_MAX]) for text in texts)
    return (*rollout.notes, *more)[-NOTES_MAX:]


def overtaken(app: App) -> Rollout | None:
    """The app's rollout; what was decided about it, but is not applied yet, holds no more."""
    return replace(app.rollout, step=app.rollout.step + 1) if app.rollout is not None else None
