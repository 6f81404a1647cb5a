"""Errors over HTTP: one body for every failure, whatever its cause."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, MutableMapping
from datetime import UTC, datetime
from typing import Any

import orjson
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from cluster.history.base import HistoryError
from orchestry.errors import Code, OrchestryError

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 1
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_RETRY_LATER = frozenset({Code.CLUSTER_NOT_READY, Code.NO_LEADER})
_OF_STATUS = {
    404: Code.NOT_FOUND,
    405: Code.METHOD_NOT_ALLOWED,
    413: Code.PAYLOAD_TOO_LARGE,
    415: Code.UNSUPPORTED_MEDIA_TYPE,
}


class Answered(Exception):
    """The request ends with this response, from wherever it is raised."""

    def __init__(self, answer: Response) -> None:
        super().__init__()
        self.answer = answer


def body(code: Code, details: object = None, *, error: str = "") -> dict[str, Any]:
    """The error body of every endpoint."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "error": error or code.value.title, "details": details or None,
        "code": code.value.code, "timestamp": now,
    }


def response(
    code: Code, details: object = None, *, error: str = "", retry_after_s: int | None = None,
) -> Response:
    """The error body with its status."""
    answer = Response(
        orjson.dumps(body(code, details, error=error), default=str),
        code.value.http_status, mimetype="application/json",
    )
    if retry_after_s is None and code in _RETRY_LATER:
        retry_after_s = RETRY_AFTER_S
    if retry_after_s is not None:
        answer.headers["Retry-After"] = str(retry_after_s)
    return answer


def invalid(faults: Iterable[tuple[str, str]]) -> OrchestryError:
    """VALIDATION_ERROR that lists (field, message) pairs."""
    listed = [{"field": field, "message": message} for field, message in faults]
    return OrchestryError(Code.VALIDATION_ERROR, listed)


def request_id(environ: MutableMapping[str, Any]) -> str:
    """The client's `X-Request-Id`, or one made here and kept for the rest of the request."""
    given: str | None = environ.get("HTTP_X_REQUEST_ID")
    if given is None or _REQUEST_ID.fullmatch(given) is None:
        given = environ["HTTP_X_REQUEST_ID"] = os.urandom(8).hex()
    return given


def install(app: Flask) -> None:
    """Make every failure of `app` answer with the error body."""
    app.register_error_handler(OrchestryError, _known)
    app.register_error_handler(HistoryError, _no_history)
    app.register_error_handler(Answered, _answered)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unknown)


def _known(error: Exception) -> Response:
    assert isinstance(error, OrchestryError)
    return response(error.code, error.details)


def _no_history(error: Exception) -> Response:
    assert isinstance(error, HistoryError)
    return response(Code.DATABASE_ERROR, error.reason)


def _answered(error: Exception) -> Response:
    assert isinstance(error, Answered)
    return error.answer


def _http(error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = error.code or 500
    code = _OF_STATUS.get(status, Code.INTERNAL_ERROR if status >= 500 else Code.VALIDATION_ERROR)
    details = {
        404: f"There is no {request.path[:200]}",
        405: f"{request.method} is not allowed here",
        413: "The body is larger than 1 MiB",
    }.get(status, error.description)
    answer = response(code, details)
    valid_methods = getattr(error, "valid_methods", None)
    if valid_methods:
        answer.headers["Allow"] = ", ".join(sorted(valid_methods))
    return answer


def _unknown(error: Exception) -> Response:
    given = request_id(request.environ)
    logger.error("request %s failed: %s %s", given, request.method, request.path, exc_info=error)
    return response(Code.INTERNAL_ERROR, f"Request id {given}")
