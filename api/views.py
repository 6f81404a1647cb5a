"""Views: values of the state -> JSON objects of the contract; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from api.times import rfc3339
from cluster.control.judge import Record
from cluster.state.exits import Attempts, Exit
from cluster.state.images import pin_of
from cluster.state.jobs import is_job
from cluster.state.model import App, EventRecord, Replica
from cluster.state.pins import Pulling
from cluster.state.replicas import name_of_slot, replica_name
from cluster.state.status import app_status, count, finished_replicas, healthy_replicas
from orchestry.spec.model import Defaults
from orchestry.spec.parse import DEFAULTS, spec_of

# Null says that something is not measured, where 0 would be a wrong value.
UNKNOWN: Mapping[str, None] = dict.fromkeys(
    ("cpu_percent", "memory_percent", "rps", "latency_p95_ms", "active_connections")
)


def app(
    app: App, measured: Mapping[str, Any] | None = None, waits: Pulling | None = None,
) -> dict[str, Any]:
    """`GET /api/v1/apps/{app_name}`."""
    attempts = {one.place: one for one in app.attempts}
    return {
        "name": app.name,
        "kind": "Job" if is_job(app.document) else "App",
        "status": app_status(app),
        "replicas": {**_replicas(app), "healthy": _healthy(app)},
        "metrics": UNKNOWN if measured is None else measured,
        "created_at": rfc3339(app.created_at_ms),
        "updated_at": rfc3339(app.updated_at_ms),
        "last_scaled_at": rfc3339(app.last_scaled_at_ms),
        "containers": [
            _container(app.name, replica, attempts.get((replica.revision, replica.slot)))
            for replica in app.reports],
        "revision": app.revision,
        "image": spec_of(app.document).image,
        "pinned": pinned(app, app.made_from),
        "pulling": pulling(waits),
        "problem": _problem(app),
        "deployment": _deployment(app),
        "restarts": {
            "failures": app.failures,
            "oom_kills": app.oom_kills,
            "replicas": [_attempts(app.name, one) for one in app.attempts],
        },
    }


def pinned(app: App, template: int) -> str | None:
    """The image that replicas of a template are made from, once it is known."""
    pin = pin_of(app, template)
    return pin.ref if pin is not None else None


def pulling(one: Pulling | None) -> dict[str, Any] | None:
    """The pull that an app waits for."""
    if one is None:
        return None
    return {"image": one.image, "began_at": rfc3339(one.began_at_ms),
            "done_bytes": one.done_bytes, "total_bytes": one.total_bytes}


def _problem(app: App) -> dict[str, str] | None:
    if app.problem:
        return {"code": app.problem_code, "message": app.problem}
    if app.rollout is not None and app.rollout.phase == "failed":
        return {"code": "DEPLOYMENT_FAILED", "message": app.rollout.reason}
    return None


def _deployment(app: App) -> dict[str, Any] | None:
    """What is under way, in short."""
    if app.rollout is None:
        return None
    rollout = app.rollout
    return {"id": rollout.id, "kind": rollout.kind, "phase": rollout.phase,
            "wanted": rollout.wanted, "available": rollout.available}


def listing(apps: Iterable[App], *, summary: bool = False) -> dict[str, Any]:
    """`GET /api/v1/apps`."""
    found = list(apps)
    counts = dict(count(found))
    return counts if summary else {"apps": [_row(app) for app in found], **counts}


def _row(app: App) -> dict[str, Any]:
    return {
        "name": app.name,
        "kind": "Job" if is_job(app.document) else "App",
        "status": app_status(app),
        "replicas": {**_replicas(app), "healthy": _healthy(app)},
        "image": spec_of(app.document).image,
        "created_at": rfc3339(app.created_at_ms),
        "revision": app.revision,
    }


def _replicas(app: App) -> dict[str, int]:
    return {"current": len(app.reports), "desired": app.replicas if app.running else 0}


def _healthy(app: App) -> int:
    return sum(replica.health == "healthy" for replica in app.reports)


def _attempts(app: str, one: Attempts) -> dict[str, Any]:
    """What one slot has been through."""
    return {
        "name": name_of_slot(app, one.slot),
        "slot": one.slot,
        "revision": one.revision,
        "failures": one.failures,
        "failures_in_a_row": one.in_a_row,
        "oom_kills": one.oom_kills,
        "crash_loop": one.looping,
        "over": one.over or None,
        "next_attempt_at": rfc3339(one.next_at_ms),
        "last_exit": _exit(one.last),
    }


def _exit(how: Exit | None) -> dict[str, Any] | None:
    if how is None:
        return None
    return {
        "reason": how.reason, "exit_code": how.exit_code, "signal": how.signal or None,
        "container_id": how.container, "at": rfc3339(how.at_ms),
    }


def _state(replica: Replica, attempts: Attempts | None) -> str:
    """The one word for what a replica does, where its phase says too little."""
    if replica.phase != "exited" or attempts is None:
        return replica.phase
    if attempts.over:
        return attempts.over
    return "crash_loop" if attempts.looping else "waiting" if attempts.next_at_ms else "exited"


def _container(app: str, replica: Replica, attempts: Attempts | None) -> dict[str, Any]:
    return {
        "id": replica.container_id,
        "name": replica_name(app, replica),
        "container_name": replica.container_name,
        "ip": replica.ip,
        "port": replica.port,
        "status": replica.phase,
        "health": replica.health,
        "started_at": rfc3339(replica.started_at_ms),
        "slot": replica.slot,
        "revision": replica.revision,
        "restarts": replica.restarts,
        "last_error": replica.last_error or None,
        "state": _state(replica, attempts),
        "next_attempt_at": rfc3339(attempts.next_at_ms) if attempts is not None else None,
    }


NEVER_CHECKED: Mapping[str, None] = dict.fromkeys(
    ("last_check", "consecutive_failures", "response_time_ms"))


def last_check(record: Record) -> Mapping[str, Any]:
    """When a replica was last checked, and what came of it."""
    if not record.checks:
        return NEVER_CHECKED
    return {
        "last_check": rfc3339(record.checked_at_ms),
        "consecutive_failures": record.failures,
        "response_time_ms": record.response_ms,
    }


def health(
    app: App, checks: Mapping[str, Mapping[str, Any]], defaults: Defaults = DEFAULTS
) -> dict[str, Any]:
    """`GET /api/v1/apps/{app_name}/health`; `checks` are by container id, as far as known."""
    check = spec_of(app.document, defaults).health_check
    return {
        "app_name": app.name,
        "overall_health": _overall(app),
        "healthy_replicas": _healthy(app),
        "total_replicas": len(app.reports),
        "containers": [
            {
                "id": replica.container_id,
                "name": replica_name(app.name, replica),
                "container_name": replica.container_name,
                "health": replica.health,
                **checks.get(replica.container_id, NEVER_CHECKED),
                "last_error": replica.last_error or None,
            }
            for replica in app.reports
        ],
        "health_check_config": {
            "path": check.path if check.protocol == "HTTP" else None,
            "port": check.port,
            "protocol": check.protocol,
            "period_seconds": check.period_s,
            "timeout_seconds": check.timeout_s,
            "failure_threshold": check.failure_threshold,
            "success_threshold": check.success_threshold,
            "initial_delay_seconds": check.initial_delay_s,
        },
    }


def _overall(app: App) -> str:
    if not app.running:
        return "stopped"
    healthy = healthy_replicas(app)
    if healthy + finished_replicas(app) >= app.replicas:
        return "healthy"
    if healthy:
        return "degraded"
    return "unhealthy" if app.reached or app.problem else "starting"


def event(record: EventRecord) -> dict[str, Any]:
    """One event."""
    return {
        "id": record.id,
        "type": record.type,
        "app_name": record.app or None,
        "message": record.message,
        "timestamp": rfc3339(record.at_ms),
        "details": dict(record.details),
    }
