"""Logs: what the containers of an application wrote."""

from __future__ import annotations

import orjson
from flask import Response

from api import answers, describe, errors
from api.blueprint import Blueprint
from api.endpoint import checked
from api.here import answer, app_of, here, must_have_engine, read
from api.levels import at_least, level_of
from api.models import AppPath, LogsQuery, LogsStreamQuery
from api.replica_logs import Reading
from api.run_lines import with_kept
from api.streams.accept import accept, upgrades
from api.streams.logs import Asked, entry
from api.times import since_ns
from cluster.engine.base import LOGS_BYTES_MAX
from cluster.state.jobs import is_job
from cluster.state.model import App, ClusterState, Run
from cluster.state.readable import named_run, readable
from cluster.state.runs import of_app

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

    Runs are read when `container` names one, and those of a job; ten minutes after their end, of
    each its last 20 lines, without their times. With `level`, lines are searched among the last
    10000 of each container, 100000 of all.
    """
    state = read(query)
    app = app_of(state, path.app_name)
    if query.follow and upgrades():
        return _stream(state, app, query, query.tail)
    if query.follow:
        path_of_stream = f"/api/v1/apps/{app.name}/logs/stream"
        raise errors.invalid([(
            "follow",
            f"needs a WebSocket: connect one to {path_of_stream}, or leave `follow` out")])
    wanted, run = _wanted(state, app, query.container)
    least, since_ns = query.level, _since(query.since)
    keep = None if least is None else lambda line: at_least(level_of(line.text), least)
    found = here().logs.read(wanted, tail=query.tail, since_ns=since_ns, keep=keep)
    runs = [run] if run is not None else of_app(state, app.name) if is_job(app.document) else []
    if runs:
        found = with_kept(found, runs, named=run is not None, tail=query.tail,
                          since_ns=since_ns, keep=keep)
    return answer(_body(app.name, found))


@blueprint.get(
    "/<app_name>/logs/stream", operation_id="stream_logs", responses=describe.STREAM,
)
@checked
def stream(path: AppPath, query: LogsStreamQuery) -> Response:
    """Lines of an application's replicas as they are written, whichever come and go.

    Of a job those of its runs; a run that `container` names ends the stream with its own end.
    """
    state = read(query)
    tail = query.tail if query.tail is not None else TAIL_MAX if query.since is not None else 0
    return _stream(state, app_of(state, path.app_name), query, tail)


def _stream(
    state: ClusterState, app: App, query: LogsQuery | LogsStreamQuery, tail: int
) -> Response:
    _, run = _wanted(state, app, query.container)
    asked = Asked(
        app.name, query.container, run.id if run is not None else 0, tail, _since(query.since),
        query.level)
    must_have_engine()
    return accept(here().streams.logs.feed(asked))


def _wanted(
    state: ClusterState, app: App, container: str | None
) -> tuple[dict[str, str], Run | None]:
    """Container id -> name of a replica or a run; and the run that is asked for by its name."""
    wanted = {one.container_id: one.name for one in readable(state, app, container)}
    if container is None:
        return wanted, None
    replicas = {one.container_id for one in app.reports}
    run = None if replicas & wanted.keys() else named_run(state, app.name, container)
    if run is None and not wanted:
        raise errors.invalid([(
            "container", (
                f"names no replica of application '{app.name}', and no run of it that is still "
                f"known: see GET /api/v1/apps/{app.name} and GET /api/v1/apps/{app.name}/runs"))])
    return wanted, run


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
