"""Streams: events, measurements and log lines as they come, on any node."""

from __future__ import annotations

from flask import Response, request

from api import describe, errors
from api.access import caller, must_reach
from api.blueprint import Blueprint
from api.endpoint import checked
from api.here import app_of, here, read
from api.models import AppPath, EventsStreamQuery, MetricsStreamQuery
from api.models_deploys import DeploymentPath
from api.routes.deploys import deployment_of
from api.streams.accept import accept
from cluster.history.base import Wanted

blueprint = Blueprint(
    "streams", __name__, url_prefix="/api/v1",
    abp_tags=[{"name": "Streams"}],
)


@blueprint.get("/events/stream", operation_id="stream_events", responses=describe.STREAM)
@checked
def events(query: EventsStreamQuery) -> Response:
    """Events of the whole cluster as they happen, or after `since_id` without a gap."""
    read(query)
    since_id = query.since_id if query.since_id is not None else _last_event_id()
    if query.app is not None:
        must_reach(query.app)
    wanted = Wanted(query.app, query.type, apps=caller().apps, public=True)
    return accept(here().streams.events.feed(wanted, since_id))


@blueprint.get(
    "/apps/<app_name>/metrics/stream", operation_id="stream_metrics",
    responses=describe.STREAM,
)
@checked
def metrics(path: AppPath, query: MetricsStreamQuery) -> Response:
    """Each measurement of an application, beginning with the last one."""
    app_of(read(query), path.app_name)
    return accept(here().streams.metrics.feed(path.app_name))


@blueprint.get(
    "/apps/<app_name>/deployments/<deployment_id>/stream", operation_id="stream_deployment",
    responses=describe.STREAM,
)
@checked
def deployment(path: DeploymentPath, query: MetricsStreamQuery) -> Response:
    """How a deployment goes, with each replica, each time that it is another way.

    Each message is as the answer of `GET .../deployments/{deployment_id}`; the stream ends with
    the deployment. One that is paused or has failed is not over.
    """
    deployment_of(app_of(read(query), path.app_name), path.deployment_id)
    return accept(here().streams.deployments.feed(path.app_name, path.deployment_id))


def _last_event_id() -> int | None:
    """Where a browser's EventSource was when it lost the connection."""
    given = request.headers.get("Last-Event-ID")
    if not given:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= 18):
        raise errors.invalid([("Last-Event-ID", "must be the id of an event")])
    return int(given)
