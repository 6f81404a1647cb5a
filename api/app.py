"""create_app: Flask over a Controller."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import orjson
from flask import Flask, Response, request
from flask.json.provider import JSONProvider
from flask_openapi.openapi import OpenAPI

from api import access, audit, docs, errors, limits, models, origins
from api.bodies import BoundedRequest
from api.controller import Controller
from api.here import EXTENSION, INDEX, Cache, Here
from api.hosts import Hosts
from api.prometheus import BEGAN, Requests
from api.relay import Latest
from api.replica_logs import LogReader
from api.routes import (
    actions,
    apps,
    authority,
    backup,
    cluster,
    compat,
    config,
    deploys,
    drill,
    exec,
    health,
    history,
    jobs,
    logs,
    members,
    metrics,
    peers,
    registries,
    releases,
    runs,
    scaling,
    secrets,
    system,
    tokens,
    volumes,
)
from api.routes import (
    audit as audit_routes,
)
from api.routes import (
    streams as stream_routes,
)
from api.streams.sources import make_streams
from api.streams.take_over import TakeOver
from api.waiting import Waiting
from cluster.live.memory_limits import MemoryCounters
from cluster.live.relay_mark import RelayMark
from orchestry import __version__


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class _Json(JSONProvider):
    """orjson, three times as fast as the standard library on a list of applications."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return orjson.dumps(obj).decode()

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        return orjson.loads(s)


def create_app(controller: Controller, *, die: Callable[[], None] = _die) -> Flask:
    """The API of one controller; `die` ends its process at once."""
    app = OpenAPI(
        "api", doc_ui=False, info={"title": "Orchestry", "version": __version__},
        validation_error_status=400, validation_error_model=models.Error, static_folder=None,
    )
    app.request_class = BoundedRequest
    app.json = _Json(app)
    app.url_map.merge_slashes = False
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    mark = RelayMark(controller.settings.secret, controller.clock)
    latest = Latest(controller, mark)
    latest.share()
    reader = LogReader(lambda: controller.engine)
    streams = make_streams(controller, latest.all, reader)
    requests = Requests(controller)
    requests.streams(streams.hub)
    app.extensions[EXTENSION] = Here(
        controller, Waiting(controller.log, controller.clock), Cache(), latest, requests,
        streams, reader, mark, Hosts(controller, mark), MemoryCounters(controller.clock), die,
    )
    errors.install(app)
    _mark_responses(app, controller)
    access.identify(app, controller)
    origins.install(app, controller)
    limits.install(app, controller)
    access.guard(app, controller)
    audit.install(app, controller)
    for part in (apps, deploys, scaling, health, metrics, history, logs, cluster, members, actions,
                 backup, drill, system, config, tokens, audit_routes, peers, stream_routes, compat,
                 releases, authority, secrets, volumes, registries, runs, jobs, exec):
        app.register_api(part.blueprint)
    docs.install(app)
    app.wsgi_app = TakeOver(app.wsgi_app, streams.hub)  # type: ignore[method-assign]
    return app


def _mark_responses(app: Flask, controller: Controller) -> None:
    """Say in every response who answered, who leads and which state was read.

    Every request pays for this, so it adds headers without looking for earlier ones.
    """
    log, node = controller.log, controller.id

    requests = app.extensions[EXTENSION].requests

    @app.before_request
    def before() -> None:
        request.environ[BEGAN] = time.monotonic()

    @app.after_request
    def after(response: Response) -> Response:
        requests.count(response.status_code)
        add, environ = response.headers.add, request.environ
        leader = log.leader_id()
        add("X-Request-Id", errors.request_id(environ))
        add("X-Orchestry-Node", node)
        if leader is not None:
            add("X-Orchestry-Leader", leader)
        index = environ.get(INDEX)
        add("X-Orchestry-Index", str(log.state().index if index is None else index))
        return response
