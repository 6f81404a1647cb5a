"""Here: the controller that serves this request, and what the routes share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import orjson
from flask import Response, current_app, request

from api import views
from api.controller import Controller
from api.models import ReadQuery
from api.waiting import Waiting
from cluster.config.effective import Config
from cluster.control.vitals import NOT_ASKED
from cluster.live.relay_mark import RelayMark
from cluster.state.commands import Noop, Stamp
from cluster.state.model import App, ClusterState
from cluster.state.pins import Pulling
from orchestry.errors import Code, OrchestryError

if TYPE_CHECKING:
    from api.hosts import Hosts
    from api.prometheus import Requests
    from api.relay import Latest
    from api.replica_logs import LogReader
    from api.streams.sources import Streams
    from cluster.live.memory_limits import MemoryCounters

EXTENSION = "orchestry"
INDEX = "orchestry.index"
READ_WAIT_S = 5.0
APPS_CACHED_MAX = 4096


@dataclass(slots=True)
class Here:
    """One per Flask application."""

    controller: Controller
    waiting: Waiting
    cache: Cache
    latest: Latest
    requests: Requests
    streams: Streams
    logs: LogReader
    mark: RelayMark
    hosts: Hosts
    failures: MemoryCounters
    """Wrong tokens and wrong proofs of each client."""
    die: Callable[[], None]
    """Ends this controller as `kill -9` does."""


class Cache:
    """Serialised answers, kept while the immutable value that they show is the current one.

    Thread: any; a race only costs a second serialisation.
    """

    def __init__(self) -> None:
        self._apps: dict[str, tuple[App, Mapping[str, Any] | None, Pulling | None, bytes]] = {}
        self._list: tuple[Mapping[str, App], bytes] | None = None

    def status(
        self, app: App, measured: Mapping[str, Any] | None, waits: Pulling | None
    ) -> bytes:
        """The body of `GET /api/v1/apps/{app_name}`."""
        kept = self._apps.get(app.name)
        if kept is not None and kept[0] is app and kept[1] is measured and kept[2] == waits:
            return kept[3]
        if len(self._apps) >= APPS_CACHED_MAX:
            self._apps.clear()
        body = orjson.dumps(views.app(app, measured, waits))
        self._apps[app.name] = (app, measured, waits, body)
        return body

    def listing(self, apps: Mapping[str, App]) -> bytes:
        """The body of `GET /api/v1/apps` without a filter."""
        kept = self._list
        if kept is not None and kept[0] is apps:
            return kept[1]
        body = orjson.dumps(views.listing(app for _, app in sorted(apps.items())))
        self._list = (apps, body)
        return body


def here() -> Here:
    """The shared parts of the current application."""
    return cast(Here, current_app.extensions[EXTENSION])


def answer(body: bytes | Mapping[str, Any], status: int = 200) -> Response:
    """A JSON response."""
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return Response(data, status, content_type="application/json")


def read(query: ReadQuery) -> ClusterState:
    """The state that a read asks for.

    Raises:
        OrchestryError: TIMEOUT, CLUSTER_NOT_READY or UNKNOWN_OUTCOME.
    """
    parts = here()
    log = parts.controller.log
    state = log.state()
    least = query.min_index
    if query.consistency == "linearizable" or least > state.index:
        with parts.waiting.place():
            if query.consistency == "linearizable":
                stamp = Stamp(parts.controller.clock.wall_ms(), parts.controller.id)
                applied = log.submit(Noop(), stamp).wait(READ_WAIT_S)
                least = max(least, applied.index)
            if not log.wait_applied(least, READ_WAIT_S):
                raise OrchestryError(
                    Code.TIMEOUT,
                    f"Index {least} was not applied here within {READ_WAIT_S:g} s; "
                    "ask again, or another node",
                )
        state = log.state()
    request.environ[INDEX] = state.index
    return state


def must_have_engine() -> None:
    """Refuse what needs the engine, where it is known not to answer.

    Raises:
        OrchestryError: DOCKER_ERROR.
    """
    docker = here().controller.components().get("docker")
    if docker is not None and docker.status == "unavailable" and docker != NOT_ASKED:
        raise OrchestryError(Code.DOCKER_ERROR, docker.detail or "Docker does not answer here")


def config_of(state: ClusterState) -> Config:
    """The configuration that holds on this controller."""
    return here().controller.configured(state.config)


def app_of(state: ClusterState, name: str) -> App:
    """The application, or APP_NOT_FOUND."""
    app = state.apps.get(name)
    if app is None:
        raise OrchestryError(Code.APP_NOT_FOUND, f"Application '{name}' does not exist")
    return app
