"""Streams: events, measurements and log lines as they come, on any node."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Response, request
from flask_openapi.blueprint import APIBlueprint

from api import errors
from api.endpoint import checked
from api.here import app_of, here, read
from api.models import AppPath, Error, EventsStreamQuery, ReadQuery
from api.streams.accept import accept
from cluster.history.base import Wanted

_ERRORS: dict[str | int | HTTPStatus, Any] = {
    400: Error, 404: Error, 500: Error, 503: Error, 504: Error,
}
blueprint = APIBlueprint(
    "streams", __name__, url_prefix="/api/v1", abp_responses=_ERRORS,
    abp_tags=[{"name": "Streams"}],
)


@blueprint.get("/events/stream", responses={101: None, 200: None})
@checked
def events(query: EventsStreamQuery) -> Response:
    """Events of the whole cluster as they happen, or after `since_id` without a gap."""
    read(query)
    since_id = query.since_id if query.since_id is not None else _last_event_id()
    wanted = Wanted(query.app, query.type)
    return accept(here().streams.events.feed(wanted, since_id))


@blueprint.get("/apps/<app_name>/metrics/stream", responses={101: None, 200: None})
@checked
def metrics(path: AppPath, query: ReadQuery) -> Response:
    """Each measurement of an application, beginning with the last one."""
    app_of(read(query), path.app_name)
    return accept(here().streams.metrics.feed(path.app_name))


def _last_event_id() -> int | None:
    """Where a browser's EventSource was when it lost the connection."""
    given = request.headers.get("Last-Event-ID")
    if not given:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= 18):
        raise errors.invalid([("Last-Event-ID", "must be the id of an event")])
    return int(given)
