"""Backup and restore of the replicated state."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from flask import Response
from pydantic import TypeAdapter, ValidationError

from api import answers_cluster as answers
from api import describe, errors, writes
from api.blueprint import Blueprint
from api.endpoint import checked
from api.here import answer, here, read
from api.models import NAME_PATTERN, ReadQuery, WriteHeaders, WriteQuery
from api.models_cluster import RestoreBody
from cluster.config.keys import read_value
from cluster.state import backup
from cluster.state.codec import decode_part
from cluster.state.commands import RestorePart
from cluster.state.model import Release, Token
from cluster.state.step import REPLICAS_MAX
from orchestry import __version__
from orchestry.access import APPS_PATTERN, HASH_PATTERN, ID_PATTERN
from orchestry.access import NAME_PATTERN as LABEL_PATTERN
from orchestry.errors import Code, OrchestryError
from orchestry.policy import changed
from orchestry.spec import parse
from orchestry.spec.shapes import BAD

_SHAPE = TypeAdapter(RestorePart)
_COUNT_MAX = 2**53  # whole in every JSON reader; epochs and event ids stay far below

blueprint = Blueprint(
    "backup", __name__, url_prefix="/cluster",
    abp_tags=[{"name": "Cluster"}],
)


@blueprint.get(
    "/backup", operation_id="take_backup",
    responses={200: describe.file("application/x-ndjson", headers=("Content-Disposition",))},
)
@checked
def take(query: ReadQuery) -> Response:
    """The state at one index, as lines of JSON that end with a checksum."""
    state = read(query)
    controller = here().controller
    about = {
        "created_at_ms": controller.clock.wall_ms(), "version": __version__,
        "raft_term": controller.log.status().term,
    }
    name = f"orchestry-{state.cluster_id[:8]}-{state.index}.backup"
    return Response(
        backup.lines(state, about), content_type="application/x-ndjson",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@blueprint.post("/restore", operation_id="restore_part", responses={200: answers.Restored})
@checked
def restore(body: RestoreBody, query: WriteQuery, header: WriteHeaders) -> Response:
    """One part of a backup, into an empty cluster; all take effect with the last one."""
    part = _part(body.part)
    _check_cluster(part, adopt=body.adopt)
    applied = writes.propose(replace(part, restore_id=body.restore_id))
    return answer({
        "message": "Restored" if part.number == part.total - 1 else "Part received",
        "restore_id": body.restore_id, "part": part.number, "parts": part.total,
        "apps": applied.get("apps"),
    })


def _part(data: dict[str, Any]) -> RestorePart:
    """The part, with nothing in it that the state machine or a control loop cannot bear.

    Raises:
        OrchestryError: VALIDATION_ERROR or INVALID_SPEC.
    """
    try:
        _SHAPE.validate_json(json.dumps(data), strict=True)
        part = decode_part(data)
        documents = [json.loads(app.document) for app in part.apps]
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, ("part", *fault["loc"])))
        raise errors.invalid([(where[:200], f"is no part of a backup: {fault['msg']}")]) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise errors.invalid([("part", f"is no part of a backup: {error!r:.200}")]) from None
    if not 0 <= part.number < part.total:
        raise errors.invalid([("part.number", f"must be below total, {part.total}")])
    for name in ("epoch", "next_event_id"):
        if not 0 <= getattr(part, name) <= _COUNT_MAX:
            raise errors.invalid([(f"part.{name}", f"must be 0 to {_COUNT_MAX}")])
    for path, value in part.config:
        if read_value(path, value) is BAD:
            raise errors.invalid([
                ("part.config", f"{path!r:.80} is no key of this version, or not its value")])
    if not all(map(_is_token, part.tokens)):
        raise errors.invalid([("part.tokens", "has one that is no token of this version")])
    _check_releases(part)
    floor = here().controller.settings.min_memory_bytes
    for app, document in zip(part.apps, documents, strict=True):
        if parse.parse_app(document, min_memory_bytes=floor).name != app.name:
            raise errors.invalid([("part.apps", f"{app.name!r:.80} has the spec of another app")])
        try:
            changed(app.document, "", app.scaling or "{}")
        except (OrchestryError, ValueError, TypeError, RecursionError) as error:
            raise errors.invalid([
                ("part.apps", f"{app.name}: its scaling is no policy: {error!s:.200}")]) from None
        if not 0 <= app.replicas <= REPLICAS_MAX:
            raise errors.invalid([
                ("part.apps", f"{app.name}: replicas must be 0 to {REPLICAS_MAX}")])
    return part


def _check_releases(part: RestorePart) -> None:
    for release in part.releases:
        wrong = _fault_of(release)
        if wrong:
            raise errors.invalid([("part.releases", f"{release.name!r:.80} {wrong}")])


def _fault_of(release: Release) -> str:
    """What makes a release one that nobody could work with; "" when nothing does."""
    numbers = [one.number for one in release.revisions]
    if not re.fullmatch(NAME_PATTERN, release.name):
        return "is no name of a release"
    if not numbers or numbers[0] < 1 or numbers != sorted(set(numbers)):
        return "has no revisions in order"
    for one in release.revisions:
        try:
            values = json.loads(one.values)
            names = [parse.spec_of(app.document).name for app in one.apps]
        except (OrchestryError, ValueError, TypeError, RecursionError):
            return f"has values or specs in revision {one.number} that cannot be read"
        if not isinstance(values, dict) or names != [app.name for app in one.apps] or not names:
            return f"has no values, or specs of other applications, in revision {one.number}"
    return ""


def _is_token(token: Token) -> bool:
    matches = (
        re.fullmatch(HASH_PATTERN, token.hash), re.fullmatch(LABEL_PATTERN, token.name),
        re.fullmatch(ID_PATTERN, token.id),
        not token.apps or (token.role != "admin" and re.fullmatch(APPS_PATTERN, token.apps)),
    )
    return all(matches)


def _check_cluster(part: RestorePart, *, adopt: bool) -> None:
    """Containers of the lost cluster are ours only under its id, and only when that is meant."""
    ours = here().controller.log.state().cluster_id
    if adopt and ours != part.cluster_id:
        raise OrchestryError(
            Code.CONFLICT, f"To adopt the containers of cluster {part.cluster_id}, start the "
            f"controllers with empty data folders and CLUSTER_ADOPT={part.cluster_id}, and make "
            "sure that no controller of the old cluster runs")
    if not adopt and ours == part.cluster_id:
        raise OrchestryError(
            Code.CONFLICT, "This cluster has the id of the backup's, so it would adopt its "
            "containers: say so with `adopt: true`, or restore into a new cluster")


