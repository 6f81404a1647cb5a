"""Parts of requests: paths, queries and bodies."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from orchestry.client.errors import InvalidRequest


def app_path(name: str, rest: str = "") -> str:
    """The path of an app, or of a part of it."""
    # "." and ".." would change the path; every other name is for the cluster to judge.
    if name in ("", ".", ".."):
        raise InvalidRequest("VALIDATION_ERROR", "Request validation failed",
                             [{"field": "app_name", "message": "give the name of an app"}])
    return f"/api/v1/apps/{quote(name, safe='')}{rest}"


def path_part(field: str, text: str) -> str:
    """An id as a part of a path."""
    if text in ("", ".", ".."):
        raise InvalidRequest("VALIDATION_ERROR", "Request validation failed",
                             [{"field": field, "message": "give the id"}])
    return quote(text, safe="")


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
