"""Metrics: of an application, of the system, and for Prometheus."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import psutil
from flask import Response, request
from flask_openapi.blueprint import APIBlueprint

from api import measured, prometheus, relay, views
from api.endpoint import checked
from api.here import answer, app_of, here, read
from api.models import AppPath, Error, MetricsQuery, ReadQuery, WriteQuery
from api.times import rfc3339
from cluster.history.base import Point

_ERRORS: dict[str | int | HTTPStatus, Any] = {
    400: Error, 404: Error, 500: Error, 503: Error, 504: Error,
}
blueprint = APIBlueprint(
    "metrics", __name__, abp_responses=_ERRORS, abp_tags=[{"name": "Scaling and metrics"}],
)
_INTERVALS_S = {None: 0, "5m": 300, "1h": 3600, "1d": 86_400}
_GB = 1024**3
_MB = 1024**2


@blueprint.get("/api/v1/apps/<app_name>/metrics", responses={200: None})
@checked
def app_metrics(path: AppPath, query: MetricsQuery) -> Response:
    """Current measurements of an application, and their history, oldest first."""
    app = app_of(read(query), path.app_name)
    elsewhere = relay.relayed()
    if elsewhere is not None:
        return elsewhere
    controller = here().controller
    now_ms = controller.clock.wall_ms()
    record = controller.telemetry.latest(app.name, now_ms)
    points = _points(app.name, query.history, _INTERVALS_S[query.interval])
    current = measured.current(record.point) if record is not None else views.UNKNOWN
    return answer({
        "app_name": app.name, "timestamp": rfc3339(now_ms),
        "current": {
            **current,
            "healthy_replicas": sum(r.health == "healthy" for r in app.reports),
            "total_replicas": len(app.reports),
        },
        "replicas": measured.replicas(record) if record is not None else [],
        "history": [measured.of_history(point) for point in points],
    })


def _points(app: str, count: int, interval_s: int) -> list[Point]:
    """From disk, and what is not there yet from memory."""
    controller = here().controller
    kept = list(controller.history.points(app, count=count, interval_s=interval_s))
    if interval_s:
        return kept
    recent = controller.telemetry.points(app, count=count)
    if recent:
        kept = [point for point in kept if point.at_ms < recent[0].at_ms]
    return [*kept, *recent][-count:] if count else []


@blueprint.get("/api/v1/metrics", responses={200: None})
@checked
def system_metrics(query: ReadQuery) -> Response:
    """This host, all applications, and what the ingresses carried."""
    state = read(query)
    elsewhere = relay.relayed()
    if elsewhere is not None:
        return elsewhere
    controller = here().controller
    now_ms = controller.clock.wall_ms()
    records = controller.telemetry.all_latest(now_ms)
    totals = controller.telemetry.totals()
    rows = []
    for name, app in sorted(state.apps.items()):
        point = records[name].point if name in records else None
        size = point.memory_bytes if point is not None else None
        rows.append({
            "name": name,
            "cpu_percent": measured.current(point)["cpu_percent"] if point else None,
            "memory_mb": round(size / _MB, 1) if size is not None else None,
            "replicas": len(app.reports),
            "rps": measured.current(point)["rps"] if point else None,
            "latency_p95_ms": measured.current(point)["latency_p95_ms"] if point else None,
        })
    return answer({
        "timestamp": rfc3339(now_ms), "node_id": controller.id, "system": _system(),
        "applications": rows,
        "network": {
            "requests_per_second": _round(totals.rps), "total_requests": totals.requests,
            "error_rate_percent": _round(totals.error_percent),
            "avg_response_time_ms": _round(totals.mean_ms),
        },
    })


def _system() -> dict[str, Any]:
    memory, disk = psutil.virtual_memory(), psutil.disk_usage("/")
    state = here().controller
    running = state.components()["docker"].extra.get("containers_running")
    return {
        "cpu_percent": psutil.cpu_percent(),
        "memory_used_gb": round((memory.total - memory.available) / _GB, 2),
        "memory_total_gb": round(memory.total / _GB, 2),
        "disk_used_gb": round(disk.used / _GB, 2), "disk_total_gb": round(disk.total / _GB, 2),
        "containers_running": running,
        "containers_total": sum(len(app.reports) for app in state.log.state().apps.values()),
    }


@blueprint.get("/cluster/measurements", responses={200: None})
@checked
def measurements(query: WriteQuery) -> Response:
    """This node's own current measurements of all applications; empty but on the leader."""
    return answer({"apps": measured.latest(here().controller)})


@blueprint.get("/metrics", responses={200: None})
@checked
def exposition(query: WriteQuery) -> Response:
    """Everything for Prometheus, as text; applications and ingress on the leader only."""
    body, content_type = prometheus.exposition(request.headers.get("Accept", ""))
    return Response(body, 200, content_type=content_type)


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
