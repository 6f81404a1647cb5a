"""Audit: who asked for what, and what came of it."""

from __future__ import annotations

from typing import Any

from flask import Response

from api import answers_access as answers
from api.blueprint import Blueprint
from api.endpoint import checked
from api.here import answer, here, read
from api.models_access import AuditQuery
from api.routes.history import since_of
from api.times import rfc3339
from cluster.history.base import Wanted
from cluster.state.audit import TYPE
from cluster.state.model import EventRecord

blueprint = Blueprint(
    "audit", __name__, url_prefix="/api/v1/audit",
    abp_tags=[{"name": "Access"}],
)


@blueprint.get("", operation_id="get_audit", responses={200: answers.Audit})
@checked
def audit(query: AuditQuery) -> Response:
    """Writes and refused writes, newest first; each entry has the hash of the one before."""
    page = here().controller.history.page(
        read(query), Wanted(type=TYPE, since_ms=since_of(query.since)), limit=query.limit,
        before=query.before)
    return answer({
        "entries": [_view(event) for event in page.events],
        "total": page.total, "has_more": page.has_more, "complete": page.complete,
    })


def _view(event: EventRecord) -> dict[str, Any]:
    return {
        "id": event.id, "timestamp": rfc3339(event.at_ms), "at_ms": event.at_ms,
        "app": event.app, **dict(event.details),
    }
