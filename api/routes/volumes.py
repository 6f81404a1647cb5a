"""Volumes: what applications have stored, and what deleted ones left behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Response

from api import answers_volumes as answers
from api import converging, errors
from api.access import caller
from api.blueprint import Blueprint
from api.endpoint import checked
from api.here import answer, app_of, here, read
from api.models import AppPath, WriteHeaders, WriteQuery
from api.models_volumes import VolumePath, VolumesQuery
from api.times import rfc3339
from api.writes import propose, repeated
from cluster.engine.base import EngineError, Volume
from cluster.state.commands import RemoveVolume
from cluster.state.model import ClusterState
from cluster.state.volume_names import goes_with, names_volume
from orchestry.errors import Code, OrchestryError

REMOVE_WAIT_S = 30.0

blueprint = Blueprint("volumes", __name__, url_prefix="/api/v1", abp_tags=[{"name": "Volumes"}])


@blueprint.get("/volumes", operation_id="list_volumes", responses={200: answers.Volumes})
@checked
def volumes(query: VolumesQuery) -> Response:
    """All volumes of applications, also of those that were deleted with `keep_data`."""
    state, who = read(query), caller()
    with here().waiting.place():
        found = [one for one in _observed(state, sizes=query.sizes) if who.reaches(one.app)]
    return _listing(found, state)


@blueprint.get(
    "/apps/<app_name>/volumes", operation_id="list_app_volumes",
    responses={200: answers.Volumes})
@checked
def of_app(path: AppPath, query: VolumesQuery) -> Response:
    """The volumes of one application, also those that its spec names no more."""
    state = read(query)
    app = app_of(state, path.app_name)
    with here().waiting.place():
        found = [one for one in _observed(state, sizes=query.sizes) if one.app == app.name]
    return _listing(found, state)


@blueprint.delete(
    "/volumes/<volume_name>", operation_id="remove_volume",
    responses={200: answers.VolumeRemoved})
@checked
def remove(path: VolumePath, query: WriteQuery, header: WriteHeaders) -> Response:
    """Remove a volume that a deleted application left behind, with all that is in it."""
    name = path.volume_name
    with here().waiting.place():
        state = here().controller.log.state()
        earlier = repeated(state)
        app = str(earlier.get("app")) if earlier is not None else _owner(state, name)
        applied = propose(RemoveVolume(name, app))
        converging.until_volume_gone(name, applied, REMOVE_WAIT_S)
    return answer({"message": "Volume removed", "name": name, "app": app})


def _owner(state: ClusterState, name: str) -> str:
    """The application that a volume is of.

    Raises:
        OrchestryError: NOT_FOUND; CONFLICT while a container has it; DOCKER_ERROR.
    """
    found = next((one for one in _observed(state, sizes=False) if one.name == name), None)
    if found is None:
        raise errors.Answered(errors.response(
            Code.NOT_FOUND, f"There is no volume {name!r}; `orchestry volumes list` shows all",
            error="No such volume"))
    app = state.apps.get(found.app)
    if found.used_by and (app is None or not names_volume(app, name)):
        raise OrchestryError(
            Code.CONFLICT, f"Volume '{name}' is used by container {found.used_by[0]}: remove "
            "that first")
    return found.app


def _observed(state: ClusterState, *, sizes: bool) -> Sequence[Volume]:
    if not state.cluster_id:
        return ()
    try:
        return here().controller.engine.volumes(state.cluster_id, sizes=sizes)
    except EngineError as error:
        raise OrchestryError(Code.DOCKER_ERROR, error.reason) from None


def _listing(found: Sequence[Volume], state: ClusterState) -> Response:
    return answer({"volumes": [_view(one, state) for one in found], "total": len(found)})


def _view(volume: Volume, state: ClusterState) -> dict[str, Any]:
    app = state.apps.get(volume.app)
    return {
        "name": volume.name, "app": volume.app, "in_use": bool(volume.used_by),
        "used_by": list(volume.used_by),
        "orphaned": app is None or not names_volume(app, volume.name),
        "goes_with_app": app is not None and goes_with(app, volume.name),
        "removing": volume.name in state.volume_removals
        or (app is not None and volume.name in app.leaving_volumes),
        "created_at": rfc3339(volume.created_at_ms), "size_bytes": volume.size_bytes,
    }
