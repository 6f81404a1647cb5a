"""Converging: wait until an application is as a write asked for, or say why it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from flask import request

from api import writes
from api.here import INDEX, here
from api.waiting import Stopping
from cluster.state.model import App, Applied, ClusterState
from cluster.state.status import app_status, settled
from orchestry.errors import Code, OrchestryError
from orchestry.spec.model import AppSpec

STOP_MARGIN_S = 30.0
Found = TypeVar("Found")
_PROBLEMS = {code.name: code for code in (
    Code.DOCKER_ERROR, Code.INSUFFICIENT_RESOURCES, Code.CONFLICT)}


def until_healthy(name: str, applied: Applied, timeout_s: float) -> App:
    """The application once exactly its wanted replicas are healthy.

    They may be old ones while its deployment is paused or has failed.

    Raises:
        OrchestryError: DOCKER_ERROR, INSUFFICIENT_RESOURCES or CONFLICT with the reason while
            nothing is healthy, CONFLICT when somebody else stops it, TIMEOUT.
    """
    def look(state: ClusterState) -> App | None:
        app = state.apps.get(name)
        if app is None or app.deleting:
            raise OrchestryError(Code.APP_NOT_FOUND, f"Application '{name}' was deleted meanwhile")
        if not app.running:
            raise OrchestryError(Code.CONFLICT, f"Application '{name}' was stopped meanwhile")
        if settled(app):
            return app
        code = _PROBLEMS.get(app.problem_code)
        if code is not None and not any(r.health == "healthy" for r in app.reports):
            raise OrchestryError(code, app.problem)
        return None

    app = _until(applied, look, timeout_s)
    if app is None:
        raise _timeout(name, timeout_s)
    return app


def until_stopped(name: str, applied: Applied, timeout_s: float) -> None:
    """Return once no replica of the application is left.

    Raises:
        OrchestryError: CONFLICT when somebody else starts it, TIMEOUT.
    """
    def look(state: ClusterState) -> bool | None:
        app = state.apps.get(name)
        if app is None or not app.reports:
            return True
        if app.running:
            raise OrchestryError(Code.CONFLICT, f"Application '{name}' was started meanwhile")
        return None

    if _until(applied, look, timeout_s) is None:
        raise _timeout(name, timeout_s)


def until_gone(name: str, applied: Applied, timeout_s: float) -> tuple[int, list[str]]:
    """The number of volumes removed, and names of them, once the application is forgotten.

    Raises:
        OrchestryError: TIMEOUT.
    """
    revision = applied.get("revision")

    def look(state: ClusterState) -> tuple[int, list[str]] | None:
        app = state.apps.get(name)
        if app is not None and app.revision == revision:
            return None
        for event in reversed(state.events):
            details = dict(event.details)
            removed = details.get("volumes_removed")
            if event.app == name and details.get("revision") == revision and removed is not None:
                return int(removed), list(details.get("removed_volumes", ()))
        return 0, []

    volumes = _until(applied, look, timeout_s)
    if volumes is None:
        raise _timeout(name, timeout_s)
    return volumes


def until_volume_gone(name: str, applied: Applied, timeout_s: float) -> None:
    """Return once the removal of a volume has ended well.

    Raises:
        OrchestryError: CONFLICT with the reason why it stays, TIMEOUT.
    """
    removal = applied.get("removal")

    def look(state: ClusterState) -> str | None:
        present = state.volume_removals.get(name)
        if present is not None and present.index == removal:
            return None
        for event in reversed(state.events):
            details = dict(event.details)
            if details.get("removal") == removal and details.get("volume") == name:
                return str(details.get("problem", ""))
        return ""

    problem = _until(applied, look, timeout_s)
    if problem is None:
        raise OrchestryError(
            Code.TIMEOUT, f"Volume '{name}' is not removed after {timeout_s:g} s; its removal "
            "goes on, as soon as the container engine answers")
    if problem:
        raise OrchestryError(Code.CONFLICT, f"Volume '{name}' was not removed: {problem}")


def stop_timeout_s(spec: AppSpec, *, grace_s: int | None, force: bool) -> float:
    """How long a stop may take: drain, grace period and a margin."""
    if force:
        return STOP_MARGIN_S
    grace = spec.termination.grace_period_s if grace_s is None else grace_s
    return spec.termination.drain_s + grace + STOP_MARGIN_S


def _until(
    applied: Applied, look: Callable[[ClusterState], Found | None], timeout_s: float
) -> Found | None:
    def later(state: ClusterState) -> Found | None:
        if state.index < applied.index:
            return None
        # A read of at least this index, on any node, shows what ended the wait: also a fault.
        request.environ[INDEX] = state.index
        return look(state)

    try:
        return here().waiting.until(later, timeout_s)
    except Stopping:
        # What was asked for is committed; repeated at another node, the wait goes on there.
        raise writes.unknown_outcome() from None


def _timeout(name: str, timeout_s: float) -> OrchestryError:
    app = here().controller.log.state().apps.get(name)
    text = f"Not done after {timeout_s:g} s; the operation goes on"
    if app is not None:
        healthy = sum(replica.health == "healthy" for replica in app.reports)
        wanted = app.replicas if app.running else 0
        text += (f": application '{name}' is {app_status(app)}, {healthy} replicas are healthy, "
                 f"{len(app.reports)} there, {wanted} wanted")
        if app.problem:
            text += f", because: {app.problem}"
    return OrchestryError(Code.TIMEOUT, f"{text}. Follow it with GET /api/v1/apps/{name}")
