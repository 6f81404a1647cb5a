"""@checked: path, query, headers and body of a view, validated with every fault at once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, get_type_hints

from flask import Response, request
from pydantic import BaseModel, ValidationError

from api import bodies, errors, writes

View = Callable[..., Response]
_MESSAGES = {"extra_forbidden": "is not known here", "missing": "is required"}


def checked(view: View) -> View:
    """Call `view` with its annotated `path`, `query`, `header` and `body` models.

    A write that cannot be taken here is answered before anything of it is looked at.

    The models also describe the endpoint in /openapi.json. flask-openapi's own validation
    is left out: it stops at the first of the three, computes a JSON schema at each request
    and decodes a JSON string as a second document.
    """
    hints = get_type_hints(view)
    path_model = hints.get("path")
    query_model = hints.get("query")
    header_model = hints.get("header")
    body_model = hints.get("body")
    bytes_max = getattr(body_model, "bytes_max", bodies.BODY_BYTES_MAX)
    required = query_model is not None and any(
        one.is_required() for one in query_model.model_fields.values())
    no_query = None if query_model is None or required else query_model()

    @functools.wraps(view)
    def wrapper(**variables: Any) -> Response:
        if request.method in writes.METHODS:
            elsewhere = writes.redirect()
            if elsewhere is not None:
                return elsewhere
        faults: list[tuple[str, str]] = []
        given: dict[str, Any] = {}
        if path_model is not None:
            given["path"] = _read(path_model, variables, faults)
        if query_model is not None:
            if request.query_string or required:
                given["query"] = _read(query_model, _query(faults), faults)
            else:
                given["query"] = no_query
        if header_model is not None:
            given["header"] = _read(header_model, dict(request.headers), faults)
        if body_model is not None:
            given["body"] = _read(body_model, bodies.read_json(bytes_max) or {}, faults)
        if faults:
            raise errors.invalid(faults)
        return view(**given)

    # Tells flask-openapi that the view validates its arguments itself.
    wrapper.__delay_validate_request__ = True  # type: ignore[attr-defined]
    return wrapper


def _query(faults: list[tuple[str, str]]) -> dict[str, str]:
    found = {}
    for name, values in request.args.lists():
        if len(values) > 1:
            faults.append((name[:100], "is given more than once"))
        found[name] = values[-1]
    return found


def _read(
    model: type[BaseModel], values: dict[str, Any], faults: list[tuple[str, str]]
) -> BaseModel | None:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False):
            message = _MESSAGES.get(fault["type"])
            if message is None:
                message = fault["msg"].removeprefix("Value error, ")
            faults.append((_field(fault["loc"]), message))
        return None


def _field(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text[:200]
