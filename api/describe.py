"""The OpenAPI document: what flask-openapi collects, completed by what all routes share.

A route names its success body, and other bodies that only it has. What follows from the route
itself is added here, so that no route can forget it: the errors that its parameters and its
method bring about, the headers of every response, the body of a redirect.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, TypeAdapter

from api import limits
from api.models_secrets import SecretBody
from api.roles import TABLE
from api.writes import METHODS
from cluster.config.keys import KEYS
from cluster.state.commands import RestorePart
from orchestry.errors import Code
from orchestry.policy import api_name
from orchestry.spec import schema

VERSION = "3.1.0"
_SCHEMAS = "#/components/schemas/"
_ERROR = {"$ref": f"{_SCHEMAS}Error"}
_HEADERS: dict[str, Any] = {
    "X-Orchestry-Node": {
        "description": "Id of the controller that answers", "required": True,
        "schema": {"type": "string"},
    },
    "X-Orchestry-Leader": {
        "description": "Id of the leader; absent while none is known",
        "schema": {"type": "string"},
    },
    "X-Orchestry-Index": {
        "description": "Raft index of the state that was read or written: `min_index` of a later "
                       "read at any node", "required": True,
        "schema": {"type": "integer", "minimum": 0},
    },
    "X-Request-Id": {
        "description": "The client's, or one made here; the log has it too", "required": True,
        "schema": {"type": "string"},
    },
    "ETag": {
        "description": "The application's revision in quotes, for `If-Match`", "required": True,
        "schema": {"type": "string", "pattern": '^"[0-9]+"$'},
    },
    "Location": {
        "description": "The same path and query at the leader", "required": True,
        "schema": {"type": "string", "format": "uri"},
    },
    "WWW-Authenticate": {
        "description": "`Bearer`, with `error` for a token that is no good", "required": True,
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "Seconds after which the same request may succeed",
        "schema": {"type": "integer", "minimum": 0},
    },
    "X-RateLimit-Limit": {
        "description": "Requests that a client may send in the window that ends it first; "
                       "absent without limits", "schema": {"type": "integer", "minimum": 1},
    },
    "X-RateLimit-Remaining": {
        "description": "How many are left", "schema": {"type": "integer", "minimum": 0},
    },
    "X-RateLimit-Reset": {
        "description": "When the window is over, Unix seconds",
        "schema": {"type": "integer", "minimum": 0},
    },
    "Content-Security-Policy": {
        "description": "The page asks nothing of another origin", "required": True,
        "schema": {"type": "string"},
    },
    "Content-Disposition": {
        "description": "A name for the file", "required": True, "schema": {"type": "string"},
    },
}
_ON_ALL = ("X-Orchestry-Node", "X-Orchestry-Leader", "X-Orchestry-Index", "X-Request-Id")
_ON_LIMITED = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
_TAGGED = {
    "register_app", "get_app_status", "get_app_spec", "update_app", "rollback_app", "restart_app"}
_WHY = {
    307: "This node does not lead: `NOT_LEADER`",
    400: "The path, the query, a header or the body is wrong, each fault with its field",
    401: "No token, or one that is unknown, expired or revoked: `UNAUTHORIZED`",
    403: "The token does not suffice, or a page of another site asks: `FORBIDDEN`",
    404: "Nothing has this name",
    409: "The state, `If-Match` or `Idempotency-Key` does not allow it",
    413: "The body is too large",
    414: "The path or the query is longer than the server reads",
    415: "The body has another type",
    429: "This client sent too many requests: `RATE_LIMIT_EXCEEDED`",
    500: "A fault of this node, its engine or its history",
    503: "No leader, no room, or no resources",
    504: "It takes longer than the wait, or the outcome of a write is unknown",
}
_OF_ERRORS = {307: "Location", 401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """The document with all that follows from its routes."""
    components = document["components"]
    schemas: dict[str, Any] = components["schemas"]
    _bodies(schemas)
    components["headers"] = _HEADERS
    components["responses"] = {f"Error{status}": _error(status) for status in _WHY}
    components["securitySchemes"] = {"token": {
        "type": "http", "scheme": "bearer",
        "description": "Where the API asks for tokens, see `ORCHESTRY_AUTH`"}}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            operation["security"] = [] if _is_open(method, path) else [{"token": []}, {}]
            _parameters(operation)
            _request_body(operation, schemas)
            _responses(method.upper(), path, operation)
    return document


def _bodies(schemas: dict[str, Any]) -> None:
    """Schemas of what is read by tables and not by models, or has words that collecting drops."""
    changes = schema.scaling(api_name)
    schemas["AppSpec"] = schema.app_spec()
    schemas["SecretBody"] = SecretBody.model_json_schema()
    schemas["ScalingBody"] |= {**changes, "minProperties": 1}
    schemas["PolicyBody"]["properties"]["policy"] |= {**schema.scaling(str), "minProperties": 1}
    schemas["SimulateBody"]["properties"]["policy"] |= changes
    schemas["ConfigBody"] |= _configuration()
    part = TypeAdapter(RestorePart).json_schema(ref_template=_SCHEMAS + "Backup{model}")
    for name, value in part.pop("$defs", {}).items():
        schemas[f"Backup{name}"] = value
    schemas["RestoreBody"]["properties"]["part"] |= part
    schemas["Error"]["properties"]["code"]["enum"] = sorted({code.value.code for code in Code})


def _configuration() -> dict[str, Any]:
    """The keys that can be changed for all controllers; null takes a change back."""
    groups: dict[str, dict[str, Any]] = {}
    for key in KEYS:
        if key.shape is not None:
            group, _, name = key.path.partition(".")
            groups.setdefault(group, {})[name] = {
                "anyOf": [schema.of(key.shape), {"type": "null"}], "description": key.doc}
    return {
        "minProperties": 1, "additionalProperties": False,
        "properties": {
            group: {"type": "object", "properties": keys, "additionalProperties": False}
            for group, keys in groups.items()
        },
    }


def _parameters(operation: dict[str, Any]) -> None:
    """A parameter that is left out is not null: it is not there."""
    for parameter in operation.get("parameters", ()):
        given = parameter["schema"]
        kinds = [kind for kind in given.get("anyOf", ()) if kind != {"type": "null"}]
        if len(kinds) == 1:
            del given["anyOf"]
            given |= kinds[0]


def _request_body(operation: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    """A body whose keys are all optional may be left out."""
    body = operation.get("requestBody")
    if body is None:
        return
    name = body["content"]["application/json"]["schema"].get("$ref", "").rpartition("/")[2]
    body["required"] = bool(schemas[name].get("required") or schemas[name].get("minProperties"))


def _responses(method: str, path: str, operation: dict[str, Any]) -> None:
    found = {str(key): value for key, value in operation["responses"].items()}
    del found["400"]  # flask-openapi's own idea of it
    for status, response in found.items():
        response["headers"] = {
            **{name: _header(name) for name in (*_ON_ALL, *_ON_LIMITED)},
            **response.get("headers", {}),
        }
        if status in ("200", "201") and operation["operationId"] in _TAGGED:
            response["headers"]["ETag"] = _header("ETag")
    for error in _errors(method, path, operation):
        key = str(error)
        if key in found:  # the same status with a body of its own
            content = found[key]["content"]["application/json"]
            content["schema"] = {"anyOf": [content["schema"], _ERROR]}
        else:
            found[key] = {"$ref": f"#/components/responses/Error{error}"}
    operation["responses"] = dict(sorted(found.items()))


def _is_open(method: str, path: str) -> bool:
    right = TABLE.get((method.upper(), path.replace("{", "<").replace("}", ">")))
    return right is not None and right.need == "open"


def _errors(method: str, path: str, operation: Mapping[str, Any]) -> set[int]:
    """The errors that can come of a route's method and parameters."""
    parameters = {parameter["name"]: parameter for parameter in operation.get("parameters", ())}
    found = {400, 500}
    if path not in limits.EXEMPT or "consistency" in parameters:
        found.add(429)
    places = {parameter["in"] for parameter in parameters.values()}
    if "path" in places:
        found.add(404)
    if places & {"path", "query"}:
        found.add(414)
    if "min_index" in parameters:
        found |= {503, 504}
    if not _is_open(method, path) or "consistency" in parameters:
        found |= {401, 403, 429}
    if method in METHODS:
        found |= {307, 403, 503}
    if "101" in operation["responses"]:
        found.add(403)
    if operation["operationId"] == "exec_app":
        found |= {409, 503}
    if "Idempotency-Key" in parameters:
        found |= {409, 413, 504}
    if "requestBody" in operation:
        found |= {413, 415}
    return found


def _error(status: int) -> dict[str, Any]:
    # What is too long to be read is answered before there is a state to tell of.
    own = filter(None, (_OF_ERRORS.get(status),))
    names = () if status == 414 else (*_ON_ALL, *_ON_LIMITED, *own)
    return {
        "description": _WHY[status], "headers": {name: _header(name) for name in names},
        "content": {"application/json": {"schema": _ERROR}},
    }


def _header(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/headers/{name}"}


def file(
    *content_types: str, headers: tuple[str, ...] = (), json: type[BaseModel] | None = None
) -> dict[str, Any]:
    """A response that is text of one of these types, or a JSON object of models without parts."""
    content: dict[str, Any] = {kind: {"schema": {"type": "string"}} for kind in content_types}
    if json is not None:
        whole = json.model_json_schema(ref_template="{model}")
        parts = whole.pop("$defs", {})
        whole["properties"] = {
            name: parts.get(part.get("$ref"), part) for name, part in whole["properties"].items()}
        content["application/json"] = {"schema": whole}
    return {
        "content": content,
        "headers": {name: _header(name) for name in headers},
    }


STREAM: dict[str | int | HTTPStatus, Any] = {
    101: {
        "description": "A WebSocket: one JSON object a message; with `Upgrade: websocket`",
    },
    200: {
        "description": "Server-sent events, each with one JSON object; with "
                       "`Accept: text/event-stream`",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
}
SPEC: dict[str, Any] = {
    "content": {"application/json": {"schema": {"$ref": f"{_SCHEMAS}AppSpec"}}},
}
SPEC_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        kind: {"schema": {"$ref": f"{_SCHEMAS}AppSpec"}}
        for kind in ("application/json", "application/yaml")
    },
}
