"""Metrics: of an application, of the system, and for Prometheus."""

from __future__ import annotations

from typing import Any

from flask import Response, request

from api import answers_compat, describe, errors, measured, prometheus, relay, views
from api import answers_scaling as answers
from api.access import caller
from api.blueprint import Blueprint
from api.endpoint import checked
from api.here import answer, app_of, here, read
from api.models import AppPath, MetricsQuery, SystemMetricsQuery, WriteQuery
from api.routes import compat
from api.times import rfc3339
from cluster.history.base import Point
from cluster.live.relay_mark import HEADER
from cluster.state.model import ClusterState
from orchestry.errors import Code, OrchestryError

blueprint = Blueprint(
    "metrics", __name__, abp_tags=[{"name": "Scaling and metrics"}],
)
_INTERVALS_S = {None: 0, "5m": 300, "1h": 3600, "1d": 86_400}
_MB = 1024**2


@blueprint.get(
    "/api/v1/apps/<app_name>/metrics", operation_id="get_app_metrics",
    responses={200: answers.AppMetrics},
)
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


@blueprint.get(
    "/api/v1/metrics", operation_id="system_metrics",
    responses={200: answers.SystemMetrics},
)
@checked
def system_metrics(query: SystemMetricsQuery) -> Response:
    """The leader's host, all applications, what the ingresses carried, and every host.

    With `node` the `system` is that controller's.
    """
    state = read(query)
    if query.node is not None and query.node not in {here().controller.id, *state.controllers}:
        raise errors.invalid([("node", f"is none of {', '.join(sorted(state.controllers))}")])
    if request.headers.get(HEADER):
        return answer(_measured(state))
    found = relay.from_leader("/api/v1/metrics") or _measured(state)
    if query.node is None:
        hosts = here().hosts.all()
        return answer({**found, "nodes": [
            {"node_id": node, "reachable": system is not None, "system": system}
            for node, system in hosts.items()
        ]})
    system = here().hosts.of(query.node)
    if system is None:
        raise OrchestryError(
            Code.TIMEOUT, f"{query.node} does not answer; see `nodes` of {request.path}")
    return answer({**found, "node_id": query.node, "system": system})


def _measured(state: ClusterState) -> dict[str, Any]:
    """What this controller knows, which is all of it on the leader only."""
    controller = here().controller
    now_ms = controller.clock.wall_ms()
    records = controller.telemetry.all_latest(now_ms)
    totals = controller.telemetry.totals()
    rows, who = [], caller()
    for name, app in sorted(state.apps.items()):
        if not who.reaches(name):
            continue
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
    return {
        "timestamp": rfc3339(now_ms), "node_id": controller.id, "system": here().hosts.own(),
        "applications": rows,
        "network": {
            "requests_per_second": _round(totals.rps), "total_requests": totals.requests,
            "error_rate_percent": _round(totals.error_percent),
            "avg_response_time_ms": _round(totals.mean_ms),
        },
    }


@blueprint.get(
    "/cluster/host", operation_id="get_host", responses={200: answers.NodeHost})
@checked
def host(query: WriteQuery) -> Response:
    """The machine of the controller that answers."""
    return answer({"node_id": here().controller.id, "system": here().hosts.own()})


@blueprint.get(
    "/cluster/measurements", operation_id="get_measurements",
    responses={200: answers.Measurements},
)
@checked
def measurements(query: WriteQuery) -> Response:
    """This node's own current measurements of all applications; empty but on the leader."""
    return answer({"apps": measured.latest(here().controller)})


@blueprint.get(
    "/metrics", operation_id="get_prometheus_metrics",
    responses={200: describe.file(*prometheus.CONTENT_TYPES, json=answers_compat.CompatSystem)},
)
@checked
def exposition(query: WriteQuery) -> Response:
    """Everything for Prometheus, as text; applications and ingress on the leader only.

    With `Accept: application/json` numbers of the cluster, for the older command line.
    """
    if compat.wants_json():
        return compat.system_metrics()
    body, content_type = prometheus.exposition(request.headers.get("Accept", ""))
    return Response(body, 200, content_type=content_type)


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
