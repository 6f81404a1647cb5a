"""Parts of requests: paths, queries and bodies."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from orchestry.client.errors import InvalidRequest


def app_path(name: str, rest: str = "") -> str:
    """The path of an app, or of a part of it."""
    return f"/api/v1/apps/{path_part('app_name', name, 'give the name of an app')}{rest}"


def path_part(field: str, text: str, wanted: str = "give the id") -> str:
    """An id as a part of a path."""
    # "." and ".." would change the path; every other name is for the cluster to judge.
    if text in ("", ".", ".."):
        raise _invalid(field, wanted)
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise _invalid(field, "is no well-formed text") from None


def _invalid(field: str, message: str) -> InvalidRequest:
    return InvalidRequest("VALIDATION_ERROR", "Request validation failed",
                          [{"field": field, "message": message}])


def given(**query: str | int | None) -> dict[str, str]:
    """A query of all that is not None."""
    return {name: str(value) for name, value in query.items() if value is not None}


def flag(value: bool) -> str:
    """A flag of a query."""
    return "true" if value else "false"


def encoded(body: dict[str, Any]) -> bytes:
    """A JSON body."""
    try:
        return json.dumps(body, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest("VALIDATION_ERROR", "The request is not representable as JSON",
                             str(error)) from None
