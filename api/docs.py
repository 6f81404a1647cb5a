"""/openapi.json and /docs: Swagger UI from files of this machine, with no outside request."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import orjson
from flask import Response
from flask_openapi.blueprint import APIBlueprint
from flask_openapi.openapi import OpenAPI
from pydantic import BaseModel
from werkzeug.exceptions import NotFound

from api.endpoint import checked
from api.models import WriteQuery
from api.roles import TABLE

OPENAPI_VERSION = "3.1.0"
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

blueprint = APIBlueprint("docs", __name__, abp_tags=[{"name": "System"}])


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


@blueprint.get("/docs", responses={200: None})
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
    app.openapi_version = OPENAPI_VERSION
    made: list[bytes] = []

    @app.get(
        "/openapi.json", tags=[{"name": "System"}], summary="The OpenAPI document",
        responses={200: None},
    )
    @checked
    def document(query: WriteQuery) -> Response:
        if not made:
            made.append(orjson.dumps(_described(app.api_doc)))
        return Response(made[0], mimetype="application/json")


def _described(document: dict[str, Any]) -> dict[str, Any]:
    """Bodies whose keys are all optional may be left out; query and path stay as they are."""
    _secure(document)
    schemas = document["components"]["schemas"]
    for item in document["paths"].values():
        for operation in item.values():
            if not isinstance(operation, dict) or "requestBody" not in operation:
                continue
            content = operation["requestBody"]["content"].get("application/json", {})
            name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
            if name and not schemas[name].get("required"):
                operation["requestBody"]["required"] = False
    return document


def _secure(document: dict[str, Any]) -> None:
    """What each route asks of its caller, where the API asks for tokens at all."""
    document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    refusal = {"description": "Refused", "content": {
        "application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
    for (method, rule), right in TABLE.items():
        path = rule.replace("<", "{").replace(">", "}")
        operation = document["paths"].get(path, {}).get(method.lower())
        if operation is None:
            continue
        if right.need == "open":
            operation["security"] = []
            continue
        operation["security"] = [{"token": []}, {}]
        operation["responses"] |= dict.fromkeys(("401", "403", "429"), refusal)
