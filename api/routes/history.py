"""Events and logs."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any

from flask import Response
from flask_openapi.blueprint import APIBlueprint

from api import errors, views
from api.endpoint import checked
from api.here import answer, app_of, here, read
from api.models import AllEventsQuery, AppPath, Error, EventsQuery, LogsQuery
from api.times import rfc3339, since_ms
from cluster.engine.base import EngineError, LogLine
from cluster.history.base import Wanted
from cluster.state.model import App, ClusterState, Replica
from orchestry.errors import Code, OrchestryError

_LEVELS = {
    "TRACE": "DEBUG", "DEBUG": "DEBUG", "INFO": "INFO", "NOTICE": "INFO", "WARN": "WARN",
    "WARNING": "WARN", "ERR": "ERROR", "ERROR": "ERROR", "FATAL": "ERROR", "CRITICAL": "ERROR",
    "PANIC": "ERROR",
}
_LEVEL_WORD = re.compile(rf"\b({'|'.join(_LEVELS)})\b")
_LEVEL_REACH = 80
_ID_PREFIX_MIN = 6

_ERRORS: dict[str | int | HTTPStatus, Any] = {
    400: Error, 404: Error, 500: Error, 503: Error, 504: Error,
}
blueprint = APIBlueprint(
    "history", __name__, url_prefix="/api/v1", abp_responses=_ERRORS,
    abp_tags=[{"name": "Events and logs"}],
)


@blueprint.get("/events", responses={200: None})
@checked
def all_events(query: AllEventsQuery) -> Response:
    """Events of the whole cluster, newest first."""
    return answer(_events(read(query), query, query.app))


@blueprint.get("/apps/<app_name>/events", responses={200: None})
@checked
def app_events(path: AppPath, query: EventsQuery) -> Response:
    """Events of one application, newest first."""
    state = read(query)
    app_of(state, path.app_name)
    return answer({"app_name": path.app_name, **_events(state, query, path.app_name)})


def _events(state: ClusterState, query: EventsQuery, app: str | None) -> dict[str, Any]:
    wanted = Wanted(app, query.type, _since(query.since))
    page = here().controller.history.page(
        state, wanted, limit=query.limit, before=query.before)
    return {
        "events": [views.event(event) for event in page.events],
        "total": page.total, "has_more": page.has_more, "complete": page.complete,
    }


@blueprint.get("/apps/<app_name>/logs", responses={200: None})
@checked
def logs(path: AppPath, query: LogsQuery) -> Response:
    """The last log lines of an application's containers, oldest first."""
    app = app_of(read(query), path.app_name)
    found = _lines(app, query)
    kept = found[-query.tail:] if query.tail else []
    return answer({
        "app_name": app.name,
        "logs": [
            {
                "timestamp": rfc3339(line.at_ns // 1_000_000),
                "container": container,
                "level": level_of(line.text),
                "message": line.text,
                "stream": line.stream,
            }
            for container, line in kept
        ],
        # The engine counts no lines: this is how many were looked at.
        "total_lines": len(found), "has_more": len(found) > len(kept),
    })


def _lines(app: App, query: LogsQuery) -> list[tuple[str, LogLine]]:
    wanted = [
        replica for replica in app.reports
        if query.container is None or _is_named(app.name, replica, query.container)
    ]
    if query.container is not None and not wanted:
        raise errors.invalid([("container", f"is no container of application '{app.name}'")])
    since_ns = _since(query.since) * 1_000_000
    found: list[tuple[str, LogLine]] = []
    refused = ""
    for replica in wanted:
        try:
            lines = here().controller.engine.logs(
                replica.container_id, tail=query.tail + 1, since_ns=since_ns
            )
        except EngineError as error:
            if error.fault in ("unavailable", "timeout"):
                raise OrchestryError(Code.DOCKER_ERROR, error.reason) from error
            refused = error.reason  # A container may be gone since the last report.
            continue
        found += [(views.replica_name(app.name, replica), line) for line in lines]
    if refused and not found:
        raise OrchestryError(Code.DOCKER_ERROR, refused)
    return sorted(found, key=lambda item: item[1].at_ns)


def _is_named(app: str, replica: Replica, wanted: str) -> bool:
    if wanted in (views.replica_name(app, replica), replica.container_name):
        return True
    return len(wanted) >= _ID_PREFIX_MIN and replica.container_id.startswith(wanted)


def level_of(text: str) -> str:
    """The level that a line shows, from JSON or its first words; else INFO."""
    if text.startswith("{"):
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            document = {}
        named = document.get("level", document.get("severity", ""))
        return _LEVELS.get(str(named).upper(), "INFO")
    match = _LEVEL_WORD.search(text[:_LEVEL_REACH].upper())
    return _LEVELS[match[1]] if match else "INFO"


def _since(text: str | None) -> int:
    if text is None:
        return 0
    try:
        return since_ms(text, here().controller.clock.wall_ms())
    except ValueError as error:
        raise errors.invalid([("since", str(error))]) from None
