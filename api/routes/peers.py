"""What controllers ask of one another about the past."""

from __future__ import annotations

from flask import Response

from api import answers_scaling as answers
from api.blueprint import Blueprint
from api.endpoint import checked
from api.here import answer, here
from api.models import PastEventsQuery, PastSamplesQuery
from cluster.history import peers

blueprint = Blueprint(
    "peers", __name__, url_prefix="/cluster/history",
    abp_tags=[{"name": "Cluster"}],
)


@blueprint.get("/events", operation_id="get_past_events", responses={200: answers.PastEvents})
@checked
def events(query: PastEventsQuery) -> Response:
    """Events from this node's own disk, oldest first, for a node that missed them."""
    controller = here().controller
    page = controller.history.for_peer(
        controller.log.state().cluster_id, query.after, query.before, query.limit)
    return answer(peers.encode_events(page))


@blueprint.get("/samples", operation_id="get_past_samples", responses={200: answers.PastSamples})
@checked
def samples(query: PastSamplesQuery) -> Response:
    """Measurements from this node's own disk, oldest first: about `limit`, whole moments."""
    controller = here().controller
    return answer(peers.encode_samples(controller.history.samples_for_peer(
        controller.log.state().cluster_id, query.after_ms, query.limit)))
