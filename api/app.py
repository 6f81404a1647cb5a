"""create_app: Flask over a Controller."""

from __future__ import annotations

import os
import re
from typing import Any

import orjson
from flask import Flask, Response, g, request
from flask.json.provider import JSONProvider
from flask_openapi.openapi import OpenAPI

from api import docs, errors, models, writes
from api.bodies import BoundedRequest
from api.controller import Controller
from api.here import EXTENSION, Cache, Here
from api.routes import apps, cluster, history, system
from api.waiting import Waiting
from orchestry import __version__

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class _Json(JSONProvider):
    """orjson, three times as fast as the standard library on a list of applications."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return orjson.dumps(obj).decode()

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        return orjson.loads(s)


def create_app(controller: Controller) -> Flask:
    """The API of one controller."""
    app = OpenAPI(
        "api", doc_ui=False, info={"title": "Orchestry", "version": __version__},
        validation_error_status=400, validation_error_model=models.Error, static_folder=None,
    )
    app.request_class = BoundedRequest
    app.json = _Json(app)
    app.url_map.merge_slashes = False
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.extensions[EXTENSION] = Here(
        controller, Waiting(controller.log, controller.clock), Cache()
    )
    errors.install(app)
    _install_hooks(app, controller)
    for blueprint in (apps.blueprint, history.blueprint, cluster.blueprint, system.blueprint):
        app.register_api(blueprint)
    docs.install(app)
    return app


def _install_hooks(app: Flask, controller: Controller) -> None:
    """The few lines that every request passes; each costs throughput of reads."""
    log, node = controller.log, controller.id

    @app.before_request
    def before() -> Response | None:
        given = request.headers.get("X-Request-Id")
        if given is None or _REQUEST_ID.fullmatch(given) is None:
            given = os.urandom(8).hex()
        g.request_id = given
        if request.method in writes.METHODS and request.url_rule is not None:
            return writes.redirect()
        return None

    @app.after_request
    def after(response: Response) -> Response:
        headers = response.headers
        headers["X-Request-Id"] = g.request_id
        headers["X-Orchestry-Node"] = node
        leader = log.leader_id()
        if leader is not None:
            headers["X-Orchestry-Leader"] = leader
        index = g.get("index")
        headers["X-Orchestry-Index"] = str(log.state().index if index is None else index)
        return response
