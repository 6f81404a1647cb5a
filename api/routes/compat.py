"""Compatibility: the unversioned routes that the command line `orchestry` 1.0.1 calls.

Each is one of the calls under /api/v1 by another name and with that client's keys; rights,
redirects, `Idempotency-Key` and errors are the same. Nothing else of the product uses them.
Times are Unix seconds, as that client reads them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import orjson
from flask import Response, request
from pydantic import Field

from api import answers_compat as answers
from api import describe, measured, relay, views
from api.access import caller
from api.blueprint import Blueprint
from api.endpoint import checked
from api.here import answer, app_of, here, read
from api.models import (
    AppHeaders,
    AppPath,
    Body,
    DeleteQuery,
    LogsQuery,
    ReadQuery,
    ScaleBody,
    ScalingBody,
    SpecQuery,
    StartBody,
    StopBody,
    Whole,
    WriteHeaders,
    WriteQuery,
)
from api.routes import apps, logs, scaling
from api.times import since_ns
from cluster.config.keys import spec_defaults
from cluster.history.base import Wanted
from cluster.state.model import App, ClusterState, EventRecord, Replica
from cluster.state.replicas import replica_name
from cluster.state.status import app_status
from orchestry import policy as policies
from orchestry.spec.parse import spec_of

EVENTS = 100
SCALINGS = 10
CLIENT = "python-requests/"
"""It names itself as its HTTP library does, and asks for any type."""

blueprint = Blueprint("compat", __name__, abp_tags=[{"name": "Compatibility"}])


class PolicyBody(Body):
    """Keys of the scaling policy, in the words of a spec."""

    policy: dict[str, Any] = Field(description="As `scaling` of a spec; what is left out stays")


class LinesQuery(ReadQuery):
    """How many lines."""

    lines: Whole = Field(100, ge=0, le=10_000, description="Lines from the end")


def _done(view: Callable[..., Response], **given: Any) -> dict[str, Any]:
    """The answer of one of the API's own views, which gets its arguments validated."""
    found: dict[str, Any] = orjson.loads(inspect.unwrap(view)(**given).get_data())
    return found


@blueprint.post(
    "/apps/register", operation_id="compat_register", request_body=describe.SPEC_BODY,
    responses={200: answers.CompatRegistered},
)
@checked
def register(query: WriteQuery, header: WriteHeaders) -> Response:
    """Register an application from its spec."""
    found = _done(apps.register, query=query, header=header)
    return answer({
        "status": "registered", "app": found["app_name"], "message": found["message"]})


@blueprint.post(
    "/apps/<app_name>/up", operation_id="compat_up", responses={200: answers.CompatDone})
@checked
def up(path: AppPath, query: WriteQuery, header: AppHeaders, body: StartBody) -> Response:
    """Start an application, by default until all its replicas are healthy."""
    found = _done(apps.start, path=path, query=query, header=header, body=body)
    status = "started" if found["status"] == "running" else "starting"
    return answer({"status": status, "app": path.app_name, "replicas": found["replicas"]})


@blueprint.post(
    "/apps/<app_name>/down", operation_id="compat_down", responses={200: answers.CompatDone})
@checked
def down(path: AppPath, query: WriteQuery, header: AppHeaders, body: StopBody) -> Response:
    """Stop an application and wait until its containers are gone."""
    _done(apps.stop, path=path, query=query, header=header, body=body)
    return answer({"status": "stopped", "app": path.app_name, "replicas": 0})


@blueprint.post(
    "/apps/<app_name>/scale", operation_id="compat_scale",
    responses={200: answers.CompatScaled},
)
@checked
def scale(path: AppPath, query: WriteQuery, header: AppHeaders, body: ScaleBody) -> Response:
    """Scale an application to an exact number of replicas."""
    found = _done(apps.scale, path=path, query=query, header=header, body=body)
    return answer({
        "status": "scaled" if body.wait else "scaling", "app": path.app_name,
        "replicas": found["current_replicas"],
        "previous_replicas": found["previous_replicas"],
    })


@blueprint.post(
    "/apps/<app_name>/policy", operation_id="compat_policy",
    responses={200: answers.CompatPolicy},
)
@checked
def policy(path: AppPath, query: WriteQuery, header: AppHeaders, body: PolicyBody) -> Response:
    """Change the keys of the scaling policy that are named; the others stay as they are."""
    changes = {policies.api_name(name): value for name, value in body.policy.items()}
    _done(scaling.update, path=path, query=query, header=header,
          body=ScalingBody.model_validate(changes))
    return answer({"status": "updated", "app": path.app_name, "policy": body.policy})


@blueprint.delete(
    "/apps/<app_name>", operation_id="compat_delete",
    responses={200: answers.CompatDeleted},
)
@checked
def delete(path: AppPath, query: DeleteQuery, header: AppHeaders) -> Response:
    """Remove an application, its containers and, by default, its volumes."""
    found = _done(apps.delete, path=path, query=query, header=header)
    return answer({"status": "deleted", "app": path.app_name, **{
        key: found[key] for key in ("containers_removed", "volumes_removed")}})


@blueprint.get("/apps", operation_id="compat_list", responses={200: answers.CompatList})
@checked
def list_apps(query: ReadQuery) -> Response:
    """List the applications with their counts."""
    state = read(query)
    return answer({"apps": [
        {"name": app.name, **_counts(app), "mode": _mode(state, app),
         "image": spec_of(app.document).image, "created_at": app.created_at_ms / 1000,
         "updated_at": app.updated_at_ms / 1000}
        for app in _visible(state)
    ]})


@blueprint.get(
    "/apps/<app_name>/status", operation_id="compat_status",
    responses={200: answers.CompatStatus},
)
@checked
def status(path: AppPath, query: ReadQuery) -> Response:
    """Status of one application; what was not measured lately is null."""
    state = read(query)
    app = app_of(state, path.app_name)
    elsewhere = relay.relayed()
    if elsewhere is not None:
        return elsewhere
    controller = here().controller
    record = controller.telemetry.latest(app.name, controller.clock.wall_ms())
    loads = {} if record is None else {one["name"]: one for one in measured.replicas(record)}
    checks = controller.health_records()

    def instance(replica: Replica) -> dict[str, Any]:
        load = loads.get(replica_name(app.name, replica), {})
        check = checks.get(replica.container_id)
        return {
            "container_id": replica.container_id, "ip": replica.ip or None,
            "port": replica.port or None, "state": _state(replica),
            "cpu_percent": load.get("cpu_percent"),
            "memory_percent": load.get("memory_percent"),
            "failures": 0 if check is None else check.failures,
        }

    return answer({
        "app": app.name, **_counts(app), "mode": _mode(state, app),
        "instances": [instance(replica) for replica in app.reports],
    })


@blueprint.get(
    "/apps/<app_name>/raw", operation_id="compat_spec", responses={200: answers.CompatSpec})
@checked
def raw(path: AppPath, query: ReadQuery) -> Response:
    """The spec as registered, and with its defaults filled in."""
    return answer({"name": path.app_name, **{
        key: _done(apps.spec, path=path, query=SpecQuery.model_validate(
            {**_asked(query), "resolved": resolved}))
        for key, resolved in (("raw", "false"), ("parsed", "true"))
    }})


@blueprint.get(
    "/apps/<app_name>/logs", operation_id="compat_logs", responses={200: answers.CompatLogs})
@checked
def log_lines(path: AppPath, query: LinesQuery) -> Response:
    """The last log lines of an application's containers, oldest first."""
    found = _done(logs.logs, path=path, query=LogsQuery.model_validate(
        {**_asked(query), "tail": str(query.lines)}))
    return answer({
        "app": path.app_name,
        "logs": [{"timestamp": since_ns(line["timestamp"], 0) / 1e9,
                  "container": line["container"], "message": line["message"]}
                 for line in found["logs"]],
        "total_containers": len(app_of(read(query), path.app_name).reports),
    })


@blueprint.get(
    "/apps/<app_name>/metrics", operation_id="compat_metrics",
    responses={200: answers.CompatMetrics},
)
@checked
def app_metrics(path: AppPath, query: ReadQuery) -> Response:
    """What was measured last of an application, and its last changes of the number of replicas."""
    state = read(query)
    app = app_of(state, path.app_name)
    latest = here().latest.of(app.name)
    return answer({
        "app": app.name,
        "metrics": {**(views.UNKNOWN if latest is None else latest),
                    "total_replicas": len(app.reports),
                    "healthy_replicas": _counts(app)["ready_replicas"]},
        "scaling_history": [
            {"timestamp": event.at_ms / 1000, "message": event.message,
             "details": dict(event.details)}
            for event in _events(state, Wanted(app.name, "scaling", public=True), SCALINGS)
        ],
    })


@blueprint.get("/events", operation_id="compat_events", responses={200: answers.CompatEvents})
@checked
def all_events(query: ReadQuery) -> Response:
    """The last events of the whole cluster, newest first."""
    found = _events(read(query), Wanted(apps=caller().apps, public=True), EVENTS)
    return answer({"events": [
        {"id": event.id, "app": event.app or None, "kind": event.type,
         "message": event.message, "timestamp": event.at_ms / 1000,
         "payload": dict(event.details)}
        for event in found
    ]})


def wants_json() -> bool:
    """Whether `GET /metrics` is asked for numbers as JSON instead of Prometheus' text.

    So it is for who accepts JSON by name, and for the older client, which accepts anything.
    """
    accept = request.headers.get("Accept", "")
    if "application/json" in accept:
        return True
    return accept == "*/*" and request.headers.get("User-Agent", "").startswith(CLIENT)


def system_metrics() -> Response:
    """Numbers of the whole cluster, of this node's state."""
    controller = here().controller
    found = _visible(controller.log.state())
    replicas = [replica for app in found for replica in app.reports]
    healthy = sum(replica.health == "healthy" for replica in replicas)
    return answer({
        "timestamp": controller.clock.wall_ms() / 1000,
        "apps": {"total": len(found), "running": sum(app.running for app in found)},
        "instances": {"total": len(replicas), "healthy": healthy,
                      "unhealthy": len(replicas) - healthy},
    })


def _asked(query: ReadQuery) -> dict[str, str]:
    return {"min_index": str(query.min_index), "consistency": query.consistency}


def _visible(state: ClusterState) -> list[App]:
    who = caller()
    return [app for name, app in sorted(state.apps.items()) if who.reaches(name)]


def _counts(app: App) -> dict[str, Any]:
    return {
        "status": app_status(app), "replicas": len(app.reports),
        "ready_replicas": sum(replica.health == "healthy" for replica in app.reports),
    }


def _mode(state: ClusterState, app: App) -> str:
    return policies.policy_of(app.document, app.scaling, spec_defaults(state.config)).mode


def _state(replica: Replica) -> answers.State:
    if replica.health == "healthy":
        return "ready"
    return "down" if replica.health == "unhealthy" or replica.phase == "exited" else "pending"


def _events(state: ClusterState, wanted: Wanted, limit: int) -> list[EventRecord]:
    return list(here().controller.history.page(state, wanted, limit=limit).events)
