"""Drills: a leader fails on purpose, where that is allowed, for a bounded time."""

from __future__ import annotations

from flask import Response

from api import answers_cluster as answers
from api import writes
from api.blueprint import Blueprint
from api.endpoint import checked
from api.here import answer, here
from api.limits import PROBE
from api.models import WriteHeaders, WriteQuery
from api.models_cluster import DrillBody
from api.routes.cluster import addresses
from cluster.consensus.membership import majority
from cluster.state.commands import Noop, RecordEvent
from cluster.state.model import ClusterState
from orchestry.errors import Code, OrchestryError

MEMBERS_MIN = 3

blueprint = Blueprint("drill", __name__, abp_tags=[{"name": "Cluster"}])


@blueprint.post(
    "/cluster/drill", operation_id="begin_drill", responses={200: answers.DrillBegun})
@checked
def begin(body: DrillBody, query: WriteQuery, header: WriteHeaders) -> Response:
    """Let the leader of `term` fail on purpose; only where ORCHESTRY_DRILL=on allows it."""
    parts, fault = here(), body.fault
    controller = parts.controller
    seconds = None if fault == "leader-kill" else body.seconds
    response = answer({
        "message": f"{controller.id} fails on purpose", "fault": fault,
        "node_id": controller.id, "term": body.term, "seconds": seconds,
    })
    _check_allowed()
    state = controller.log.state()
    if writes.repeated(state) is not None:
        return response
    _check(state, body)
    writes.propose(RecordEvent(
        "cluster", "", f"Drill: {fault} of {controller.id}",
        (("fault", fault), ("seconds", seconds))))
    if fault == "leader-kill":
        response.call_on_close(parts.die)  # the answer is on its way then
    else:
        controller.cut_off(fault, body.seconds)
    return response


@blueprint.post(PROBE, operation_id="probe_drill", responses={200: answers.Probed})
@checked
def probe(query: WriteQuery, header: WriteHeaders) -> Response:
    """Commit an entry that changes nothing: how a drill measures writes."""
    _check_allowed()
    return answer({"message": "Committed", "index": writes.propose(Noop(), audited=False).index})


def _check_allowed() -> None:
    controller = here().controller
    if controller.settings.drill != "on":
        raise OrchestryError(
            Code.CONFLICT, f"{controller.id} allows no drills: start all controllers with "
            "ORCHESTRY_DRILL=on first")


def _check(state: ClusterState, body: DrillBody) -> None:
    """A drill must cost no majority, and hit whom the caller looked at.

    Raises:
        OrchestryError: CONFLICT.
    """
    controller = here().controller
    if body.term != state.leadership.epoch or state.leadership.holder != controller.id:
        raise OrchestryError(Code.CONFLICT, "Leadership changed meanwhile: look, and ask again")
    members = addresses(state)
    if len(members) < MEMBERS_MIN:
        raise OrchestryError(
            Code.CONFLICT, f"A drill needs {MEMBERS_MIN} controllers, this cluster has "
            f"{len(members)}: `orchestry cluster add` adds one")
    peers = controller.log.status().peers
    down = sorted(name for name in members if name != controller.id and not (
        name in peers and peers[name].connected and not peers[name].refused))
    if down:
        raise OrchestryError(
            Code.CONFLICT, f"{', '.join(down)} cannot be reached, and {majority(len(members))} "
            f"of {len(members)} are needed: start them first")
    if body.fault == "db-down" and controller.history.status().backend != "postgresql":
        raise OrchestryError(
            Code.CONFLICT, "This cluster has no PostgreSQL that could fail: set DATABASE_URL or "
            "POSTGRES_HOST")
