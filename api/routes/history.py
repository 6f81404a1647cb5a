"""Events."""

from __future__ import annotations

from typing import Any

from flask import Response

from api import answers, errors, views
from api.access import caller, must_reach
from api.blueprint import Blueprint
from api.endpoint import checked
from api.here import answer, app_of, here, read
from api.models import AllEventsQuery, AppPath, EventsQuery
from api.times import since_ms
from cluster.history.base import Wanted
from cluster.state.model import ClusterState

blueprint = Blueprint(
    "history", __name__, url_prefix="/api/v1",
    abp_tags=[{"name": "Events and logs"}],
)


@blueprint.get("/events", operation_id="get_events", responses={200: answers.Events})
@checked
def all_events(query: AllEventsQuery) -> Response:
    """Events of the whole cluster, newest first."""
    if query.app is not None:
        must_reach(query.app)
    return answer(_events(read(query), query, query.app))


@blueprint.get(
    "/apps/<app_name>/events", operation_id="get_app_events",
    responses={200: answers.AppEvents},
)
@checked
def app_events(path: AppPath, query: EventsQuery) -> Response:
    """Events of one application, newest first."""
    state = read(query)
    app_of(state, path.app_name)
    return answer({"app_name": path.app_name, **_events(state, query, path.app_name)})


def _events(state: ClusterState, query: EventsQuery, app: str | None) -> dict[str, Any]:
    wanted = Wanted(app, query.type, since_of(query.since), caller().apps, public=True)
    page = here().controller.history.page(
        state, wanted, limit=query.limit, before=query.before)
    return {
        "events": [views.event(event) for event in page.events],
        "total": page.total, "has_more": page.has_more, "complete": page.complete,
    }


def since_of(text: str | None) -> int:
    """What a filter means, in Unix ms; 0 without one."""
    if text is None:
        return 0
    try:
        return since_ms(text, here().controller.clock.wall_ms())
    except ValueError as error:
        raise errors.invalid([("since", str(error))]) from None
