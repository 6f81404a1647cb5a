"""Health of an application's replicas: as the leader's checks last saw it, and checked now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response

from api import answers, answers_config, relay, views
from api.blueprint import Blueprint
from api.endpoint import checked
from api.here import answer, app_of, here, read
from api.models import AppPath, Error, ReadQuery, WriteQuery
from api.writes import redirect
from cluster.config.keys import spec_defaults
from cluster.control.checks import Checked
from cluster.state.model import App
from cluster.state.replicas import name_of_slot
from orchestry.errors import Code, OrchestryError
from orchestry.spec.parse import spec_of

CHECK_MARGIN_S = 5.0
CHECK_S_MAX = 60.0

blueprint = Blueprint(
    "health", __name__, url_prefix="/api/v1/apps",
    abp_tags=[{"name": "Scaling and health"}],
)


@blueprint.get("/<app_name>/health", operation_id="get_health", responses={200: answers.AppHealth})
@checked
def health(path: AppPath, query: ReadQuery) -> Response:
    """Health of each replica; what the leader does not tell in time is null."""
    state = read(query)
    app = app_of(state, path.app_name)
    return answer(views.health(app, _last_checks(app), spec_defaults(state.config)))


@blueprint.post(
    "/<app_name>/health/check", operation_id="check_health",
    responses={200: answers_config.HealthChecked, 504: Error},
)
@checked
def check(path: AppPath, query: WriteQuery) -> Response:
    """Check every replica now, and wait for the answers; they count as those of other checks.

    A replica has one check at a time: requests that come together share theirs.
    """
    controller = here().controller
    app = app_of(controller.log.state(), path.app_name)
    with here().waiting.place():
        asked = controller.check_health(app.name)
        if asked is None:
            raise OrchestryError(
                Code.CLUSTER_NOT_READY, "Too many checks are under way; try again in a second")
        timeout_s = _wait_s(app)
        found = asked.wait(timeout_s)
    if found is None:
        elsewhere = redirect()
        if elsewhere is not None:
            return elsewhere
        raise OrchestryError(
            Code.TIMEOUT,
            f"Not all replicas answered within {timeout_s:g} s; the checks go on, see "
            f"/api/v1/apps/{app.name}/health")
    results = [_result(app.name, one) for one in found]
    healthy = sum(one["ok"] for one in results)
    return answer({
        "message": "Health check triggered", "app_name": app.name,
        "containers_checked": len(results), "healthy": healthy,
        "unhealthy": len(results) - healthy, "results": results,
    })


def _wait_s(app: App) -> float:
    """A check may have to wait for the one before it, which ends at its own time-out."""
    defaults = spec_defaults(here().controller.log.state().config)
    spec = spec_of(app.document, defaults)
    return min(2 * spec.health_check.timeout_s + CHECK_MARGIN_S, CHECK_S_MAX)


def _result(app: str, one: Checked) -> dict[str, Any]:
    return {
        "id": one.container.id, "name": name_of_slot(app, one.container.slot),
        "container_name": one.container.name, "ok": one.probe.ok, "health": one.record.health,
        "last_error": one.probe.error or None, **views.last_check(one.record),
    }


def _last_checks(app: App) -> Mapping[str, Mapping[str, Any]]:
    """What the checks said, by container id: the leader's own memory, elsewhere asked of it."""
    told = relay.from_leader(f"/api/v1/apps/{app.name}/health")
    if told is None:
        records = here().controller.health_records()
        return {
            replica.container_id: views.last_check(record) for replica in app.reports
            if (record := records.get(replica.container_id)) is not None
        }
    rows = told.get("containers")
    return {
        str(row.get("id")): {key: row.get(key) for key in views.NEVER_CHECKED}
        for row in (rows if isinstance(rows, list) else ()) if isinstance(row, dict)
    }
