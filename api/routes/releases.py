"""Releases: charts that are installed, their revisions, the way back, the end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NoReturn

from flask import Response

from api import answers_releases as answers
from api import errors, release_views, writes
from api.access import caller, must_reach
from api.admission import must_be_allowed
from api.blueprint import Blueprint
from api.endpoint import checked
from api.fit import must_fit
from api.here import answer, config_of, here, read
from api.models import ReadQuery, WriteHeaders
from api.models_releases import (
    ApplyQuery,
    DiffQuery,
    ReleaseBody,
    ReleasePath,
    ReleaseRollbackBody,
    RevisionPath,
    UninstallQuery,
)
from cluster.state.addresses import addresses
from cluster.state.commands import ApplyRelease, UninstallRelease, UpdateApp
from cluster.state.model import ClusterState, Release, ReleaseRevision
from cluster.state.releases import current
from cluster.state.template import template_key
from orchestry.errors import Code, OrchestryError
from orchestry.spec import parse
from orchestry.spec.model import AppSpec

blueprint = Blueprint(
    "releases", __name__, url_prefix="/api/v1/releases",
    abp_tags=[{"name": "Releases"}],
)


@blueprint.get("", operation_id="list_releases", responses={200: answers.Releases})
@checked
def releases(query: ReadQuery) -> Response:
    """All releases, by name."""
    found = [one for _, one in sorted(read(query).releases.items()) if _reaches(one)]
    return answer({"releases": [release_views.summary(one) for one in found],
                   "total": len(found)})


@blueprint.get("/<release>", operation_id="get_release", responses={200: answers.Release})
@checked
def release(path: ReleasePath, query: ReadQuery) -> Response:
    """One release: its values, its applications, its revisions."""
    state = read(query)
    return answer(release_views.full(_found(state, path.release), state.apps))


@blueprint.get(
    "/<release>/revisions/<revision>", operation_id="get_release_revision",
    responses={200: answers.ReleaseRevisionFull})
@checked
def revision(path: RevisionPath, query: DiffQuery) -> Response:
    """One revision with its specs, and how they differ from those of another one."""
    found = _found(read(query), path.release)
    this = _revision(found, path.revision)
    if query.against is None:
        other = next((one for one in reversed(found.revisions) if one.number < this.number), None)
    else:
        other = _revision(found, query.against) if query.against else None
    return answer(release_views.revision(found, this, other))


@blueprint.put("/<release>", operation_id="apply_release", responses={
    200: answers.ReleaseApplied})
@checked
def apply(path: ReleasePath, query: ApplyQuery, header: WriteHeaders,
          body: ReleaseBody) -> Response:
    """Install what a chart rendered, or make a release what it rendered now: all or nothing.

    New applications start, changed ones are replaced replica by replica, and those that the
    chart no longer renders are removed.
    """
    state = here().controller.log.state()
    last = current(state, path.release)
    if last is not None:
        _found(state, path.release)
    if query.only == "install" and last is not None and writes.repeated(state) is None:
        raise OrchestryError(
            Code.CONFLICT, f"Release '{path.release}' exists at revision {last.number}: upgrade it")
    if query.only == "upgrade" and last is None:
        _no_release(path.release)
    apps = _checked_specs(body.specs)
    values = parse.canonical(body.values)
    command = ApplyRelease(
        path.release, last.number if last is not None else 0, body.chart, body.chart_version,
        values, apps, "Upgraded" if last is not None else "Installed", query.keep_data)
    return _applied(state, command, dry_run=query.dry_run)


@blueprint.post("/<release>/rollback", operation_id="rollback_release", responses={
    200: answers.ReleaseApplied})
@checked
def rollback(path: ReleasePath, query: ApplyQuery, header: WriteHeaders,
             body: ReleaseRollbackBody) -> Response:
    """Make a release what it was in an earlier revision, as a new one."""
    state = here().controller.log.state()
    found = _found(state, path.release)
    if body.revision is None and len(found.revisions) < 2:
        raise OrchestryError(
            Code.CONFLICT, f"Of release '{path.release}' no earlier revision is kept")
    to = (_revision(found, body.revision) if body.revision is not None
          else found.revisions[-2])
    specs = [json.loads(app.document) for app in to.apps]
    command = ApplyRelease(
        path.release, found.revisions[-1].number, to.chart, to.chart_version, to.values,
        _checked_specs(specs), f"Rolled back to revision {to.number}", query.keep_data)
    return _applied(state, command, dry_run=query.dry_run)


@blueprint.delete("/<release>", operation_id="uninstall_release", responses={
    200: answers.ReleaseGone})
@checked
def uninstall(path: ReleasePath, query: UninstallQuery, header: WriteHeaders) -> Response:
    """Forget a release and remove its applications; they drain after the answer."""
    state = here().controller.log.state()
    expected = 0
    if writes.repeated(state) is None:
        expected = _found(state, path.release).revisions[-1].number
    applied = writes.propose(
        UninstallRelease(path.release, query.force, query.keep_data, expected))
    return answer({
        "message": "Release uninstalled: its applications are being removed",
        "release": path.release, "apps": list(applied.get("apps"))})


def _applied(state: ClusterState, command: ApplyRelease, *, dry_run: bool) -> Response:
    """Commit a change of a release, or only tell what it means."""
    before = {app.name: app.document for app in state.apps.values()
              if app.release == command.release}
    if dry_run:
        _, applied = writes.previewed(state, command)
        if applied.rejected is not None:
            raise OrchestryError(applied.rejected, applied.details)
    else:
        applied = writes.propose(command)
    return answer({
        "message": "Nothing was changed" if dry_run else command.note,
        "release": command.release, "revision": applied.get("revision"), "dry_run": dry_run,
        "changes": release_views.changed(
            dict(applied.get("changes")), before, {one.app: one.document for one in command.apps})})


def _checked_specs(documents: Sequence[dict[str, Any]]) -> tuple[UpdateApp, ...]:
    """The specs as commands; every fault of all of them is told at once.

    Raises:
        OrchestryError: INVALID_SPEC, FORBIDDEN for what is not the caller's, or
            INSUFFICIENT_RESOURCES.
    """
    state = here().controller.log.state()
    domain = config_of(state).domain
    faults: list[dict[str, str]] = []
    found: dict[str, UpdateApp] = {}
    for number, document in enumerate(documents):
        try:
            spec = _allowed_spec(document, state)
        except OrchestryError as error:
            if error.code is not Code.INVALID_SPEC or not isinstance(error.details, list):
                raise
            faults += [_placed(number, one["field"], one["message"]) for one in error.details]
            continue
        if spec.name in found:
            faults.append(_placed(number, "metadata.name", f"{spec.name!r} is given twice"))
        found[spec.name] = UpdateApp(
            spec.name, parse.canonical(document), template_key(spec),
            spec.scaling.min_replicas, addresses(spec, domain))
    if faults:
        raise OrchestryError(Code.INVALID_SPEC, faults)
    return tuple(found.values())


def _allowed_spec(document: dict[str, Any], state: ClusterState) -> AppSpec:
    spec = parse.parse_app(
        document, min_memory_bytes=here().controller.settings.min_memory_bytes)
    must_reach(spec.name)
    must_be_allowed(spec, state)
    must_fit(spec)
    return spec


def _placed(number: int, field: str, message: str) -> dict[str, str]:
    return {"field": f"specs[{number}].{field}".rstrip("."), "message": message}


def _apps_ever(release: Release) -> set[str]:
    """Applications of all kept revisions, which may be looked at and come back."""
    return {app.name for one in release.revisions for app in one.apps}


def _reaches(release: Release) -> bool:
    return all(map(caller().reaches, _apps_ever(release)))


def _found(state: ClusterState, name: str) -> Release:
    """The release, if there is one, and the caller reaches all that it has and had."""
    found = state.releases.get(name)
    if found is None:
        _no_release(name)
    for app in sorted(_apps_ever(found)):
        must_reach(app)
    return found


def _revision(release: Release, number: int) -> ReleaseRevision:
    found = next((one for one in release.revisions if one.number == number), None)
    if found is None:
        kept = ", ".join(str(one.number) for one in release.revisions)
        raise errors.Answered(errors.response(
            Code.NOT_FOUND, f"Of release '{release.name}' these revisions are kept: {kept}",
            error="No such revision"))
    return found


def _no_release(name: str) -> NoReturn:
    raise errors.Answered(errors.response(
        Code.NOT_FOUND, f"There is no release '{name}'; GET /api/v1/releases lists them",
        error="No such release"))
