"""The node itself: liveness, readiness, health of its parts."""

from __future__ import annotations

from typing import Any

from flask import Response

from api import answers_cluster as answers
from api.access import caller
from api.blueprint import Blueprint
from api.controller import Component
from api.endpoint import checked
from api.here import answer, here, read
from api.models import ReadQuery, WriteQuery
from api.times import rfc3339
from cluster.state.status import count
from orchestry import __version__

blueprint = Blueprint("system", __name__, abp_tags=[{"name": "System"}])

# Keys of the contract that a part must show even before it was measured.
_ALWAYS: dict[str, dict[str, int]] = {
    "docker": {"containers_running": 0}, "nginx": {"configs_active": 0},
}


OPEN = ("Authentication is off (ORCHESTRY_AUTH=off): whoever reaches this API may do everything; "
        "set ORCHESTRY_AUTH=on")
OPEN_DOCKER = ("Docker is asked over a network without TLS (DOCKER_INSECURE=true): whoever reaches "
               "it, or is on the way, is root on its host; set DOCKER_TLS_CA, DOCKER_TLS_CERT and "
               "DOCKER_TLS_KEY")


@blueprint.get("/livez", operation_id="livez", responses={200: answers.Alive})
@checked
def livez(query: WriteQuery) -> Response:
    """200 while the process answers."""
    return answer({"status": "alive"})


@blueprint.get(
    "/readyz", operation_id="readyz",
    responses={200: answers.Readiness, 503: answers.Readiness},
)
@checked
def readyz(query: WriteQuery) -> Response:
    """200 when the state is loaded and a leader is known."""
    log = here().controller.log
    raft = log.status()
    checks = {
        "state_loaded": raft.applied_index > 0,
        "leader_known": log.leader_id() is not None,
        "no_fault": not raft.fault,
    }
    ready = all(checks.values())
    body = {"status": "ready" if ready else "not ready", "checks": checks,
            "fault": raft.fault or None}
    return answer(body, 200 if ready else 503)


@blueprint.get(
    "/health", operation_id="system_health",
    responses={200: answers.SystemHealth, 503: answers.SystemHealth},
)
@checked
def health(query: ReadQuery) -> Response:
    """The parts of this node and the counts of applications; 503 when it cannot serve.

    Who shows no token does not learn why a part does badly.
    """
    state = read(query)
    controller = here().controller
    now_ms = controller.clock.wall_ms()
    components = controller.components()
    raft = controller.log.status()
    serves = not raft.fault and controller.log.leader_id() is not None
    fine = all(part.status in ("healthy", "disabled") for part in components.values())
    status = "unhealthy" if not serves else "healthy" if fine else "degraded"
    counts = count(state.apps.values())
    body = {
        "status": status,
        "timestamp": rfc3339(now_ms),
        "version": __version__,
        "uptime_seconds": (now_ms - controller.started_at_ms) // 1000,
        "components": {
            name: _component(name, part, why=caller().role is not None)
            for name, part in components.items()
        },
        "applications": {key: counts[key] for key in ("total", "running", "stopped", "error")},
        "warnings": [*[OPEN] * (controller.settings.auth == "off"),
                     *[OPEN_DOCKER] * controller.settings.docker_open],
    }
    return answer(body, 200 if serves else 503)


def _component(name: str, part: Component, *, why: bool) -> dict[str, Any]:
    return {
        "status": part.status, "response_time_ms": part.response_time_ms,
        "detail": (part.detail or None) if why else None, **_ALWAYS.get(name, {}), **part.extra,
    }
