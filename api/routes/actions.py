"""Actions: what a controller did, and what the engine holds, for `orchestry cluster verify`."""

from __future__ import annotations

from flask import Response

from api import answers_cluster as answers
from api.blueprint import Blueprint
from api.endpoint import checked
from api.here import answer, here, read
from api.models import ActionsQuery, ReadQuery
from cluster.engine.base import EngineError
from orchestry.errors import Code, OrchestryError

blueprint = Blueprint(
    "actions", __name__, url_prefix="/cluster",
    abp_tags=[{"name": "Cluster"}],
)


@blueprint.get("/actions", operation_id="get_actions", responses={200: answers.Actions})
@checked
def actions(query: ActionsQuery) -> Response:
    """This controller's own record of its side effects, the oldest first."""
    read(query)
    controller = here().controller
    records = controller.actions.read(query.after, query.limit)
    return answer({
        "node_id": controller.id, "records": records, "lost": controller.actions.lost,
        "more": len(records) == query.limit,
    })


@blueprint.get(
    "/containers", operation_id="get_containers",
    responses={200: answers.EngineContainers},
)
@checked
def containers(query: ReadQuery) -> Response:
    """All containers of this cluster with the epoch that started each, by start time."""
    state = read(query)
    try:
        found = here().controller.engine.observe(state.cluster_id) if state.cluster_id else ()
    except EngineError as error:
        raise OrchestryError(Code.DOCKER_ERROR, error.reason) from error
    return answer({"containers": [
        {"id": c.id, "name": c.name, "app": c.app, "slot": c.slot, "revision": c.revision,
         "epoch": c.epoch, "phase": c.phase, "started_at_ms": c.started_at_ms}
        for c in sorted(found, key=lambda c: (c.started_at_ms, c.name))
    ]})
