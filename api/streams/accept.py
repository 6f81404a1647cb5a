"""Accept: from a request to a stream that the hub takes over, or a refusal in plain HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http import HTTPStatus

from flask import Response, request

from api import errors
from api.access import still_allowed
from api.here import here
from api.streams.hub import Begin, Hub, Place
from api.streams.peer import Feed, Peer
from api.streams.take_over import SOCKET, STREAM, UPGRADE, Accepted
from api.streams.wire import Refused, SseWire, WebSocketWire, Wire
from orchestry.errors import Code, OrchestryError

_SSE = "text/event-stream"
_NEITHER = (
    "is a stream: connect with a WebSocket, or send `Accept: text/event-stream` for "
    "server-sent events"
)


def upgrades() -> bool:
    """Whether the client asks for a WebSocket."""
    upgrade: str = request.environ.get(UPGRADE, "")
    return request.method == "GET" and upgrade.strip().lower() == "websocket"


def accept(
    begin: Begin, *, listens_bytes_max: int = 0, also: Callable[[], None] | None = None
) -> Response:
    """Take the stream, or refuse it before anything was upgraded.

    With `listens_bytes_max` it is a WebSocket whose client says something, too. `also` is called
    when its place is given back.

    Raises:
        OrchestryError: VALIDATION_ERROR for what is no stream, CLUSTER_NOT_READY when all
            places are taken.
    """
    answer, wire = _wire(listens_bytes_max)
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
    if also is not None:
        place = _both(place, also)
    allowed = still_allowed()

    def begin_allowed(hub: Hub, peer: Peer) -> Feed:
        peer.allowed = allowed
        return begin(hub, peer)

    request.environ[STREAM] = Accepted(wire, begin_allowed, place)
    return answer


def _both(place: Place, also: Callable[[], None]) -> Place:
    def release() -> None:
        place.release()
        also()

    return Place(release)


def _wire(listens_bytes_max: int) -> tuple[Response, Wire]:
    if upgrades():
        try:
            wire = WebSocketWire(request.path, [("Upgrade", "websocket"), *_headers()],
                                 listens_bytes_max=listens_bytes_max)
        except Refused as refused:
            raise errors.invalid([("Upgrade", refused.reason)]) from None
        answer = Response(status=HTTPStatus.SWITCHING_PROTOCOLS)
        for name, value in wire.response_headers:
            answer.headers.add(name, value)
        return answer, wire
    if listens_bytes_max:
        raise errors.invalid([("Upgrade", f"{request.path} is a WebSocket: connect with one")])
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
