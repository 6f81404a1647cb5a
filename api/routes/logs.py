"""Logs: what the containers of an application wrote."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from flask import Response

from api import answers, describe, errors
from api.blueprint import Blueprint
from api.endpoint import checked
from api.here import answer, app_of, here, read
from api.levels import Level, at_least, level_of
from api.models import AppPath, LogsQuery, LogsStreamQuery
from api.replica_logs import Reading
from api.streams.accept import accept, upgrades
from api.streams.logs import Asked, entry
from api.times import since_ns
from cluster.engine.base import LOGS_BYTES_MAX
from cluster.state.model import App, Run
from cluster.state.replicas import is_named, replica_name
from cluster.state.runs import of_app, run_name
from orchestry.errors import Code, OrchestryError

TAIL_MAX = 10_000
ANSWER_BYTES_MAX = LOGS_BYTES_MAX
"""Not above what is read of a container: what was left out there shows here as `has_more`."""

blueprint = Blueprint(
    "logs", __name__, url_prefix="/api/v1/apps",
    abp_tags=[{"name": "Events and logs"}],
)


@blueprint.get(
    "/<app_name>/logs", operation_id="get_app_logs",
    responses={101: describe.STREAM[101], 200: answers.Logs},
)
@checked
def logs(path: AppPath, query: LogsQuery) -> Response:
    """The last log lines of an application's containers, oldest first; with `follow`, and over
    a WebSocket, also those that come.

    A run is read when `container` names it, until half a minute after its end. With `level`, they
    are searched among the last 10000 of each container, 100000 of all.
    """
    state = read(query)
    app = app_of(state, path.app_name)
    if query.follow and upgrades():
        return _stream(app, query.container, query.tail, query.since, query.level)
    if query.follow:
        path_of_stream = f"/api/v1/apps/{app.name}/logs/stream"
        raise errors.invalid([(
            "follow",
            f"needs a WebSocket: connect one to {path_of_stream}, or leave `follow` out")])
    least = query.level
    found = here().logs.read(
        _wanted(app, query.container, of_app(state, app.name)), tail=query.tail,
        since_ns=_since(query.since),
        keep=None if least is None else lambda line: at_least(level_of(line.text), least),
    )
    return answer(_body(app.name, found))


@blueprint.get(
    "/<app_name>/logs/stream", operation_id="stream_logs", responses=describe.STREAM,
)
@checked
def stream(path: AppPath, query: LogsStreamQuery) -> Response:
    """Lines of an application's replicas as they are written, whichever come and go."""
    app = app_of(read(query), path.app_name)
    tail = query.tail if query.tail is not None else TAIL_MAX if query.since is not None else 0
    return _stream(app, query.container, tail, query.since, query.level)


def _stream(
    app: App, container: str | None, tail: int, since: str | None, level: Level | None
) -> Response:
    asked = Asked(app.name, container, tail, _since(since), level)
    _wanted(app, container)
    docker = here().controller.components().get("docker")
    if docker is not None and docker.status == "unavailable":
        raise OrchestryError(Code.DOCKER_ERROR, docker.detail or "Docker does not answer here")
    return accept(here().streams.logs.feed(asked))


def _wanted(
    app: App, container: str | None, runs: Sequence[Run] = ()
) -> dict[str, str]:
    """Container id -> name of the replica, or of the run that is asked for by its name."""
    wanted = {
        replica.container_id: replica_name(app.name, replica) for replica in app.reports
        if container is None or is_named(app.name, replica, container)
    }
    named = [run for run in runs if container in (run_name(run), run.container_name)]
    wanted |= {run.container_id: run_name(run) for run in named if run.container_id}
    if container is not None and not wanted and not named:
        raise errors.invalid([("container", f"is no container of application '{app.name}'")])
    return wanted


def _body(app: str, found: Reading) -> bytes:
    """The JSON text; lines that it has no room for are left out, the oldest first."""
    parts: list[bytes] = []
    left = ANSWER_BYTES_MAX
    for name, line in reversed(found.lines):
        part = orjson.dumps(entry(name, line))
        left -= len(part) + 1
        if left < 0:
            break
        parts.append(part)
    rest = orjson.dumps({
        # The engine counts no lines: this is how many were found.
        "total_lines": found.total,
        "has_more": found.cut or found.total > len(parts),
        "unavailable": [
            {"container": name, "reason": error.reason}
            for name, error in sorted(found.unavailable.items())
        ],
    })
    return b'{"app_name":%b,"logs":[%b],%b' % (
        orjson.dumps(app), b",".join(reversed(parts)), rest[1:])


def _since(text: str | None) -> int:
    if text is None:
        return 0
    try:
        return since_ns(text, here().controller.clock.wall_ms())
    except ValueError as error:
        raise errors.invalid([("since", str(error))]) from None
