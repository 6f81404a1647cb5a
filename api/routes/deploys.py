"""Deployments: update, roll back, restart, and what comes of it."""

from __future__ import annotations

from flask import Response

from api import answers_deploys as answers
from api import bodies, describe, views_deploys
from api.admission import as_shown, image_must_be_allowed, must_be_allowed, secrets_must_be_there
from api.blueprint import Blueprint
from api.endpoint import checked
from api.fit import must_fit
from api.here import answer, app_of, config_of, here, read
from api.models import AppHeaders, AppPath, ReadQuery, WriteQuery
from api.models_deploys import DeploymentPath, PromoteBody, RollbackBody, UpdateQuery
from api.routes import apps
from api.writes import expected_revision, previewed, propose
from cluster.control.image_needs import pulling_of
from cluster.state.addresses import addresses
from cluster.state.commands import (
    Command,
    RestartApp,
    RollBackApp,
    SteerRollout,
    UpdateApp,
)
from cluster.state.model import App, Rollout
from cluster.state.template import template_key
from orchestry.errors import Code, OrchestryError
from orchestry.spec import parse
from orchestry.spec.model import AppSpec

blueprint = Blueprint(
    "deploys", __name__, url_prefix="/api/v1/apps", abp_tags=[{"name": "Deployments"}],
)

_SAID = {"created": "registered", "updated": "updated", "unchanged": "already has this spec"}


# A path is described by one blueprint: that of the other calls of this path.
@apps.blueprint.put(
    "/<app_name>", operation_id="update_app", request_body=describe.SPEC_BODY,
    responses={200: answers.Updated},
)
@checked
def update(path: AppPath, query: UpdateQuery, header: AppHeaders) -> Response:
    """Give an application this spec, or register it; replicas are replaced without a gap.

    Answers when it is accepted: `GET .../deployments/{deployment_id}` tells how it goes on.
    """
    document = bodies.read_document()
    spec = parse.parse_app(
        document, min_memory_bytes=here().controller.settings.min_memory_bytes)
    if spec.name != path.app_name:
        raise OrchestryError(Code.INVALID_SPEC, [{
            "field": "metadata.name",
            "message": f'must be "{path.app_name}", as in the path, not "{spec.name}"'}])
    state = here().controller.log.state()
    must_be_allowed(spec, state)
    known = state.apps.get(spec.name)
    if known is not None and known.running:
        must_fit(spec)
    command = UpdateApp(
        spec.name, parse.canonical(document), template_key(spec), spec.scaling.min_replicas,
        addresses(spec, config_of(state).domain), expected_revision())
    if query.dry_run:
        return _dry_run(command, spec)
    applied = propose(command)
    change = applied.get("change")
    return _tagged({
        "message": f"Application {_SAID[change]}", "app_name": spec.name, "status": change,
        "revision": applied.get("revision"), "deployment": applied.get("deployment") or None,
        "dry_run": False, "plan": None,
    })


def _dry_run(command: UpdateApp, spec: AppSpec) -> Response:
    """What the command would do to the state as it is now; nothing is written."""
    state = here().controller.log.state()
    after, applied = previewed(state, command)
    if applied.rejected is not None:
        raise OrchestryError(applied.rejected, applied.details)
    change = applied.get("change")
    known = state.apps.get(spec.name)
    revision = known.revision if known is not None else 0
    body = {
        "message": "Nothing was changed: this was a dry run", "app_name": spec.name,
        "status": change, "revision": revision, "deployment": None, "dry_run": True,
        "plan": views_deploys.plan(
            known, after.apps[spec.name], here().controller.clock.wall_ms()),
    }
    return _tagged(body)


@blueprint.get(
    "/<app_name>/revisions", operation_id="list_revisions", responses={200: answers.Revisions})
@checked
def revisions(path: AppPath, query: ReadQuery) -> Response:
    """The specs that an application has and had, newest first."""
    app = app_of(read(query), path.app_name)
    found = views_deploys.revisions(app)
    for one in found:
        one["spec"] = as_shown(one["spec"])
    return answer({"app_name": app.name, "revisions": found, "total": len(found)})


@blueprint.post(
    "/<app_name>/rollback", operation_id="rollback_app", responses={200: answers.Revised})
@checked
def rollback(
    path: AppPath, query: WriteQuery, header: AppHeaders, body: RollbackBody
) -> Response:
    """Go back to an earlier revision, by default to the last one that was healthy."""
    return _revised(
        path.app_name, RollBackApp(path.app_name, body.revision, expected_revision()),
        "Application is rolled back")


@blueprint.post(
    "/<app_name>/restart", operation_id="restart_app", responses={200: answers.Revised})
@checked
def restart(path: AppPath, query: WriteQuery, header: AppHeaders) -> Response:
    """Replace all replicas by new ones of the same spec, without a gap."""
    return _revised(
        path.app_name, RestartApp(path.app_name, expected_revision()),
        "Application is restarted")


def _revised(name: str, command: Command, message: str) -> Response:
    state = here().controller.log.state()
    after, preview = previewed(state, command)
    if preview.rejected is None and name in after.apps:
        spec = parse.spec_of(after.apps[name].document)
        image_must_be_allowed(spec)
        secrets_must_be_there(spec)
        if isinstance(command, RollBackApp):  # its hosts come back, and may be reserved since
            must_be_allowed(spec, state)
    applied = propose(command)
    return _tagged({
        "message": message, "app_name": name, "revision": applied.get("revision"),
        "deployment": applied.get("deployment"),
    })


@blueprint.post(
    "/<app_name>/pause", operation_id="pause_app", responses={200: answers.Steered})
@checked
def pause(path: AppPath, query: WriteQuery, header: AppHeaders) -> Response:
    """Hold the deployment that is under way where it is."""
    return _steered(SteerRollout(path.app_name, "pause", expected_revision()), "paused")


@blueprint.post(
    "/<app_name>/resume", operation_id="resume_app", responses={200: answers.Steered})
@checked
def resume(path: AppPath, query: WriteQuery, header: AppHeaders) -> Response:
    """Let a deployment that is paused or has failed go on."""
    return _steered(SteerRollout(path.app_name, "resume", expected_revision()), "resumed")


@blueprint.post(
    "/<app_name>/promote", operation_id="promote_app", responses={200: answers.Steered})
@checked
def promote(
    path: AppPath, query: WriteQuery, header: AppHeaders, body: PromoteBody
) -> Response:
    """Let the deployment that is under way wait for nothing but healthy replicas.

    A canary goes on to its next step only, unless `all` is asked for.
    """
    app = here().controller.log.state().apps.get(path.app_name)
    step = 0 if body.all or app is None else views_deploys.next_canary_step(app)
    return _steered(SteerRollout(
        path.app_name, "promote", expected_revision(), canary_step=step), "promoted")


def _steered(command: SteerRollout, said: str) -> Response:
    applied = propose(command)
    return answer({
        "message": f"Deployment {said}", "app_name": command.app,
        "deployment": applied.get("deployment"), "phase": applied.get("phase"),
    })


@blueprint.get(
    "/<app_name>/deployments", operation_id="list_deployments",
    responses={200: answers.Deployments},
)
@checked
def deployments(path: AppPath, query: ReadQuery) -> Response:
    """The last deployments of an application, newest first."""
    app = app_of(read(query), path.app_name)
    found = [views_deploys.deployment(app, one) for one in views_deploys.deployments(app)]
    return answer({"app_name": app.name, "deployments": found, "total": len(found)})


@blueprint.get(
    "/<app_name>/deployments/<deployment_id>", operation_id="get_deployment",
    responses={200: answers.DeploymentDetail},
)
@checked
def deployment(path: DeploymentPath, query: ReadQuery) -> Response:
    """One deployment, with each replica and why it is not healthy."""
    state = read(query)
    app = app_of(state, path.app_name)
    return answer(views_deploys.detail(
        app, deployment_of(app, path.deployment_id), pulling_of(state, app)))


def deployment_of(app: App, number: int) -> Rollout:
    """One that is known; raises NOT_FOUND."""
    for one in views_deploys.deployments(app):
        if one.id == number:
            return one
    raise OrchestryError(
        Code.NOT_FOUND, f"Application '{app.name}' has no deployment {number}; "
        f"GET /api/v1/apps/{app.name}/deployments lists those that are known")


def _tagged(body: dict[str, object]) -> Response:
    response = answer(body)
    response.headers.add("ETag", f'"{body["revision"]}"')
    return response
