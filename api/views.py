"""Views: values of the state -> JSON objects of the contract; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from api.times import rfc3339
from cluster.state.model import App, EventRecord, Replica
from cluster.state.status import app_status, count, healthy_replicas
from orchestry.spec.model import Defaults
from orchestry.spec.parse import DEFAULTS, spec_of

# Null says that something is not measured, where 0 would be a wrong value.
UNKNOWN: Mapping[str, None] = dict.fromkeys(
    ("cpu_percent", "memory_percent", "rps", "latency_p95_ms", "active_connections")
)


def app(app: App, measured: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """`GET /api/v1/apps/{app_name}`."""
    return {
        "name": app.name,
        "status": app_status(app),
        "replicas": {**_replicas(app), "healthy": _healthy(app)},
        "metrics": UNKNOWN if measured is None else measured,
        "created_at": rfc3339(app.created_at_ms),
        "updated_at": rfc3339(app.updated_at_ms),
        "last_scaled_at": rfc3339(app.last_scaled_at_ms),
        "containers": [_container(app.name, replica) for replica in app.reports],
        "revision": app.revision,
        "image": spec_of(app.document).image,
        "problem": {"code": app.problem_code, "message": app.problem} if app.problem else None,
    }


def listing(apps: Iterable[App], *, summary: bool = False) -> dict[str, Any]:
    """`GET /api/v1/apps`."""
    found = list(apps)
    counts = dict(count(found))
    return counts if summary else {"apps": [_row(app) for app in found], **counts}


def _row(app: App) -> dict[str, Any]:
    return {
        "name": app.name,
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


def replica_name(app: str, replica: Replica) -> str:
    """What users call a replica; the engine's own name also tells revision and cluster."""
    return f"{app}-{replica.slot}"


def _container(app: str, replica: Replica) -> dict[str, Any]:
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
    }


def health(app: App, defaults: Defaults = DEFAULTS) -> dict[str, Any]:
    """`GET /api/v1/apps/{app_name}/health`; what no controller replicates is null."""
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
                "last_check": None,
                "consecutive_failures": None,
                "response_time_ms": None,
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
    if healthy >= app.replicas:
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
