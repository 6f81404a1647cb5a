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


def finished_replicas(app: App) -> int:
    """Replicas of the current template that ended well, and that nobody wants again."""
    return sum(
        one.over == "finished" and one.revision == app.made_from and one.slot <= app.replicas
        for one in app.attempts)


def converged(app: App) -> bool:
    """True when exactly the wanted replicas are there, of this template, healthy or finished."""
    if not app.running or app.rollout is not None:
        return False
    done = {one.place for one in app.attempts if one.over == "finished"}
    there = {(r.revision, r.slot) for r in app.reports}
    good = done | {(r.revision, r.slot) for r in app.reports if r.health == "healthy"}
    wanted = {(app.made_from, slot) for slot in range(1, app.replicas + 1)}
    return wanted <= good and there <= wanted and len(there) == len(app.reports)


def settled(app: App) -> bool:
    """True when it has converged, or its replicas have as far as a deployment lets them.

    One that is paused, has failed, or waits for its job before any new replica may last, but the
    number of replicas is followed meanwhile.
    """
    rollout = app.rollout
    if rollout is None or not app.running or (rollout.phase == "running" and rollout.new):
        return converged(app)
    wanted = {*rollout.old, *((app.made_from, slot) for slot in rollout.new)}
    good = {(r.revision, r.slot) for r in app.reports if r.health == "healthy"}
    good |= {one.place for one in app.attempts if one.over == "finished"}
    there = {(r.revision, r.slot) for r in app.reports}
    if rollout.phase == "failed":  # what is broken of it stays, beside as many as are wanted
        return rollout.wanted == app.replicas <= len(wanted & good) and there <= wanted
    return len(wanted) == app.replicas and wanted <= good and there <= wanted


def app_status(app: App) -> Status:
    """The status of one app, from the replicated state alone."""
    if app.deleting or (not app.running and app.reports):
        return "stopping"
    if not app.running:
        return "stopped" if app.started_at_ms else "registered"
    if app.rollout is not None:
        return "error" if app.rollout.phase == "failed" else "updating"
    healthy, finished = healthy_replicas(app), finished_replicas(app)
    if finished >= app.replicas > 0 and not healthy:
        return "stopped"
    if healthy + finished >= app.replicas or (healthy and app.reached):
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
