"""Status: the one word that tells a user how an app is doing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from cluster.state.model import App

Status = Literal["registered", "starting", "running", "updating", "stopping", "stopped", "error"]
STATUSES: tuple[Status, ...] = get_args(Status)


def healthy_replicas(app: App) -> int:
    """Replicas of the current template that are healthy."""
    return sum(r.health == "healthy" and r.revision == app.made_from for r in app.reports)


def converged(app: App) -> bool:
    """True when exactly the wanted replicas are there, of this template and healthy."""
    return (
        app.running and app.rollout is None
        and healthy_replicas(app) == app.replicas == len(app.reports)
    )


def app_status(app: App) -> Status:
    """The status of one app, from the replicated state alone."""
    if app.deleting or (not app.running and app.reports):
        return "stopping"
    if not app.running:
        return "stopped" if app.started_at_ms else "registered"
    if app.rollout is not None:
        return "error" if app.rollout.phase == "failed" else "updating"
    healthy = healthy_replicas(app)
    if healthy >= app.replicas or (healthy and app.reached):
        return "running"
    if not any(r.health == "healthy" for r in app.reports) and (app.problem or app.reached):
        return "error"
    if any(r.revision != app.made_from for r in app.reports):
        return "updating"
    return "starting"


def count(apps: Iterable[App]) -> Mapping[str, int]:
    """How many apps there are in all (`total`) and in each status."""
    found = Counter(app_status(app) for app in apps)
    return {"total": found.total(), **{status: found[status] for status in STATUSES}}
