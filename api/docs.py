"""/openapi.json and /docs: Swagger UI from files of this machine, with no outside request."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import orjson
from flask import Response
from flask_openapi.openapi import OpenAPI
from pydantic import BaseModel
from werkzeug.exceptions import NotFound

from api import answers, describe
from api.blueprint import Blueprint, document_of
from api.endpoint import checked
from api.models import WriteQuery

_MAX_AGE_S = 3600
# The browser itself refuses whatever the page might ask of another origin.
_POLICY = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'"
_ASSETS = {
    "swagger-ui.css": ("css", "text/css"),
    "swagger-ui-bundle.js": ("js", "text/javascript"),
    "swagger-ui-standalone-preset.js": ("js", "text/javascript"),
}
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Orchestry API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/swagger-ui-standalone-preset.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
# `validatorUrl: null` keeps the UI from asking the validator of swagger.io for a badge.
_START = """window.ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
});
"""

blueprint = Blueprint("docs", __name__, abp_tags=[{"name": "System"}])


@cache
def _asset(name: str) -> bytes:
    folder, _ = _ASSETS[name]
    return (
        files("flask_openapi_swagger") / "templates" / "swagger" / folder / name
    ).read_bytes()


def _file(data: bytes | str, mimetype: str) -> Response:
    answer = Response(data, mimetype=mimetype)
    answer.headers["Content-Security-Policy"] = _POLICY
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.cache_control.max_age = _MAX_AGE_S
    return answer


@blueprint.get(
    "/docs", operation_id="get_docs",
    responses={200: describe.file("text/html", headers=("Content-Security-Policy",))})
@checked
def docs(query: WriteQuery) -> Response:
    """This reference as a page."""
    return _file(_PAGE, "text/html")


class _Asset(BaseModel):
    file_name: str


@blueprint.get("/docs/<file_name>", doc_ui=False)
@checked
def asset(path: _Asset) -> Response:
    """A part of the page."""
    file_name = path.file_name
    if file_name == "start.js":
        return _file(_START, "text/javascript")
    if file_name not in _ASSETS:
        raise NotFound
    return _file(_asset(file_name), _ASSETS[file_name][1])


def install(app: OpenAPI) -> None:
    """Add /docs, and /openapi.json for what is registered before the first request."""
    app.register_api(blueprint)
    app.openapi_version = describe.VERSION
    made: list[bytes] = []

    @app.get(
        "/openapi.json", tags=[{"name": "System"}], summary="The OpenAPI document",
        operation_id="get_openapi", responses={200: answers.Document},
    )
    @checked
    def document(query: WriteQuery) -> Response:
        if not made:
            made.append(orjson.dumps(describe.complete(document_of(app))))
        return Response(made[0], mimetype="application/json")
