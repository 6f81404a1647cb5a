"""Streams: events, measurements and log lines as they come, on any node."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from flask import Response, request
from flask_openapi.blueprint import APIBlueprint

from api import errors
from api.access import caller, must_reach, still_allowed
from api.endpoint import checked
from api.here import app_of, here, read
from api.models import AppPath, Error, EventsStreamQuery, LogsStreamQuery, MetricsStreamQuery
from api.routes.logs import since_of, wanted_of
from api.streams.hub import Begin, Hub
from api.streams.logs import Asked
from api.streams.peer import Feed, Peer
from api.streams.take_over import SOCKET, STREAM, UPGRADE, Accepted
from api.streams.wire import Refused, SseWire, WebSocketWire, Wire
from cluster.history.base import Wanted
from orchestry.errors import Code, OrchestryError

_ERRORS: dict[str | int | HTTPStatus, Any] = {
    400: Error, 404: Error, 500: Error, 503: Error, 504: Error,
}
blueprint = APIBlueprint(
    "streams", __name__, url_prefix="/api/v1", abp_responses=_ERRORS,
    abp_tags=[{"name": "Streams"}],
)
TAIL_MAX = 10_000
_SSE = "text/event-stream"
_NEITHER = (
    "is a stream: connect with a WebSocket, or send `Accept: text/event-stream` for "
    "server-sent events"
)


@blueprint.get("/events/stream", responses={101: None, 200: None})
@checked
def events(query: EventsStreamQuery) -> Response:
    """Events of the whole cluster as they happen, or after `since_id` without a gap."""
    read(query)
    since_id = query.since_id if query.since_id is not None else _last_event_id()
    if query.app is not None:
        must_reach(query.app)
    wanted = Wanted(query.app, query.type, apps=caller().apps, public=True)
    return _accept(here().streams.events.feed(wanted, since_id))


@blueprint.get("/apps/<app_name>/metrics/stream", responses={101: None, 200: None})
@checked
def metrics(path: AppPath, query: MetricsStreamQuery) -> Response:
    """Each measurement of an application, beginning with the last one."""
    app_of(read(query), path.app_name)
    return _accept(here().streams.metrics.feed(path.app_name))


@blueprint.get("/apps/<app_name>/logs/stream", responses={101: None, 200: None})
@checked
def logs(path: AppPath, query: LogsStreamQuery) -> Response:
    """Lines of an application's replicas as they are written, whichever come and go."""
    app = app_of(read(query), path.app_name)
    since = since_of(query.since)
    wanted_of(app, query.container)
    docker = here().controller.components().get("docker")
    if docker is not None and docker.status == "unavailable":
        raise OrchestryError(Code.DOCKER_ERROR, docker.detail or "Docker does not answer here")
    tail = query.tail if query.tail is not None else TAIL_MAX if query.since is not None else 0
    return _accept(here().streams.logs.feed(
        Asked(app.name, query.container, tail, since, query.level)))


def _last_event_id() -> int | None:
    """Where a browser's EventSource was when it lost the connection."""
    given = request.headers.get("Last-Event-ID")
    if not given:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= 18):
        raise errors.invalid([("Last-Event-ID", "must be the id of an event")])
    return int(given)


def _accept(begin: Begin) -> Response:
    """Take the stream, or refuse it before anything was upgraded.

    Raises:
        OrchestryError: VALIDATION_ERROR for what is no stream, CLUSTER_NOT_READY when all
            places are taken.
    """
    answer, wire = _wire()
    if SOCKET not in request.environ:
        raise OrchestryError(Code.CLUSTER_NOT_READY, "This server cannot hand over connections")
    hub = here().streams.hub
    place = hub.reserve()
    if place is None:
        raise OrchestryError(
            Code.CLUSTER_NOT_READY,
            f"This node serves {hub.streams_max} streams already; close some, ask another node, "
            "or raise ORCHESTRY_STREAMS_MAX",
        )
    allowed = still_allowed()

    def begin_allowed(hub: Hub, peer: Peer) -> Feed:
        peer.allowed = allowed
        return begin(hub, peer)

    request.environ[STREAM] = Accepted(wire, begin_allowed, place)
    return answer


def _wire() -> tuple[Response, Wire]:
    upgrade = request.environ.get(UPGRADE, "")
    if request.method == "GET" and upgrade.strip().lower() == "websocket":
        try:
            wire = WebSocketWire(request.path, [("Upgrade", upgrade), *_headers()])
        except Refused as refused:
            raise errors.invalid([("Upgrade", refused.reason)]) from None
        answer = Response(status=HTTPStatus.SWITCHING_PROTOCOLS)
        for name, value in wire.response_headers:
            answer.headers.add(name, value)
        return answer, wire
    if request.method == "GET" and _SSE in request.headers.get("Accept", "").lower():
        answer = Response(content_type=f"{_SSE}; charset=utf-8")
        answer.headers["Cache-Control"] = "no-store"
        answer.headers["X-Accel-Buffering"] = "no"
        chunked = request.environ.get("SERVER_PROTOCOL") == "HTTP/1.1"
        if chunked:
            answer.headers["Transfer-Encoding"] = "chunked"
        return answer, SseWire(chunked=chunked)
    raise errors.invalid([("Accept", f"{request.path} {_NEITHER}")])


def _headers() -> Iterator[tuple[str, str]]:
    wanted = {"host", "connection", "origin"}
    for name, value in request.headers.items():
        if name.lower() in wanted or name.lower().startswith("sec-websocket-"):
            yield name, value
