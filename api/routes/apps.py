"""Applications: register, start, stop, scale, delete, status, list, spec."""

from __future__ import annotations

from flask import Response

from api import answers, beyond, bodies, converging, describe, views
from api.access import caller, must_reach
from api.admission import (
    as_registered,
    as_shown,
    image_must_be_allowed,
    must_be_allowed,
    must_have_replicas,
    secrets_must_be_there,
)
from api.blueprint import Blueprint
from api.endpoint import checked
from api.fit import must_fit
from api.here import answer, app_of, config_of, here, read
from api.models import (
    AppHeaders,
    AppPath,
    DeleteQuery,
    ListQuery,
    ReadQuery,
    ScaleBody,
    SpecQuery,
    StartBody,
    StopBody,
    WriteHeaders,
    WriteQuery,
)
from api.writes import expected_revision, propose
from cluster.config.keys import spec_defaults
from cluster.control.image_needs import pulling_of
from cluster.state.addresses import addresses
from cluster.state.commands import DeleteApp, RegisterApp, ScaleApp, StartApp, StopApp
from cluster.state.status import app_status
from cluster.state.template import template_key
from orchestry.spec import parse

blueprint = Blueprint(
    "apps", __name__, url_prefix="/api/v1/apps",
    abp_tags=[{"name": "Applications"}],
)


@blueprint.post(
    "/register", operation_id="register_app", request_body=describe.SPEC_BODY,
    responses={201: answers.Registered},
)
@checked
def register(query: WriteQuery, header: WriteHeaders) -> Response:
    """Register an application from its spec."""
    document = bodies.read_document()
    spec = parse.parse_app(
        document, min_memory_bytes=here().controller.settings.min_memory_bytes
    )
    must_reach(spec.name)
    state = here().controller.log.state()
    must_be_allowed(spec, state)
    applied = propose(RegisterApp(
        spec.name, parse.canonical(document), spec.scaling.min_replicas,
        addresses(spec, config_of(state).domain), template_key(spec),
    ))
    body = {
        "message": "Application registered successfully", "app_name": spec.name,
        "status": "registered", "revision": applied.get("revision"),
    }
    return _tagged(answer(body, 201), applied.get("revision"))


_STARTED = {
    "running": "Application started successfully", "starting": "Application is starting"}


@blueprint.post("/<app_name>/start", operation_id="start_app", responses={200: answers.Started})
@checked
def start(path: AppPath, query: WriteQuery, header: AppHeaders, body: StartBody) -> Response:
    """Start an application, by default until all its replicas are healthy."""
    name = path.app_name
    known = here().controller.log.state().apps.get(name)
    if known is not None:
        must_have_replicas(known, "run")
        must_fit(parse.spec_of(known.document))
        image_must_be_allowed(parse.spec_of(known.document))
        secrets_must_be_there(parse.spec_of(known.document))
    command = StartApp(name, body.replicas, expected_revision())
    if not body.wait:
        replicas = propose(command).get("replicas")
        return _started(name, replicas, "starting")
    with here().waiting.place():
        applied = propose(command)
        app = converging.until_healthy(name, applied, body.timeout)
    return _started(name, app.replicas, app_status(app))


def _started(name: str, replicas: int, status: str) -> Response:
    message = _STARTED.get(status, f"Application has its replicas; its status is {status}")
    return answer({
        "message": message, "app_name": name, "replicas": replicas, "status": status,
        "warning": _beyond(name, replicas),
    })


def _beyond(name: str, replicas: int) -> str | None:
    controller = here().controller
    state = controller.log.state()
    return beyond.warning(
        state.apps.get(name), replicas, controller.clock.wall_ms(), spec_defaults(state.config))


@blueprint.post("/<app_name>/stop", operation_id="stop_app", responses={200: answers.Stopped})
@checked
def stop(path: AppPath, query: WriteQuery, header: AppHeaders, body: StopBody) -> Response:
    """Stop an application and wait until its containers are gone."""
    name = path.app_name
    with here().waiting.place():
        applied = propose(StopApp(name, body.timeout, body.force, expected_revision()))
        timeout_s = _stop_timeout_s(name, grace_s=body.timeout, force=body.force)
        converging.until_stopped(name, applied, timeout_s)
    return answer({
        "message": "Application stopped successfully", "app_name": name, "status": "stopped",
    })


@blueprint.post("/<app_name>/scale", operation_id="scale_app", responses={200: answers.Scaled})
@checked
def scale(path: AppPath, query: WriteQuery, header: AppHeaders, body: ScaleBody) -> Response:
    """Scale an application to an exact number of replicas."""
    name, clock = path.app_name, here().controller.clock
    known = here().controller.log.state().apps.get(name)
    if known is not None:
        must_have_replicas(known, "scale")
    if known is not None and body.replicas:
        must_fit(parse.spec_of(known.document))
        if not known.running:  # which starts it
            image_must_be_allowed(parse.spec_of(known.document))
            secrets_must_be_there(parse.spec_of(known.document))
    command = ScaleApp(
        name, body.replicas, body.timeout, expected_revision=expected_revision()
    )
    began_s = clock.monotonic_s()
    if body.wait:
        with here().waiting.place():
            applied = propose(command)
            current = converging.until_healthy(name, applied, body.timeout).replicas
        message = "Application scaled successfully"
    else:
        applied = propose(command)
        current = applied.get("previous_replicas")  # as it was, so that a repeat says the same
        message = "Application is scaling"
    return answer({
        "message": message, "app_name": name,
        "previous_replicas": applied.get("previous_replicas"),
        "current_replicas": current, "desired_replicas": applied.get("replicas"),
        "scaling_time": round(clock.monotonic_s() - began_s, 3),
        "warning": _beyond(name, body.replicas),
    })


@blueprint.delete("/<app_name>", operation_id="remove_app", responses={200: answers.Removed})
@checked
def delete(path: AppPath, query: DeleteQuery, header: AppHeaders) -> Response:
    """Remove an application, its containers and, by default, its volumes."""
    name = path.app_name
    with here().waiting.place():
        applied = propose(
            DeleteApp(name, query.force, query.keep_data, expected_revision())
        )
        timeout_s = _stop_timeout_s(name, grace_s=None, force=query.force)
        volumes, names = converging.until_gone(name, applied, timeout_s)
    return answer({
        "message": "Application removed successfully", "app_name": name,
        "containers_removed": applied.get("containers"), "volumes_removed": volumes,
        "removed_volumes": names,
    })


@blueprint.get("", operation_id="list_apps", responses={200: answers.AppList})
@checked
def list_apps(query: ListQuery) -> Response:
    """List the applications with their counts."""
    apps, who = read(query).apps, caller()
    if query.status is None and query.format == "json" and not who.apps:
        return answer(here().cache.listing(apps))
    found = [
        app for name, app in sorted(apps.items())
        if who.reaches(name) and query.status in (None, app_status(app))
    ]
    return answer(views.listing(found, summary=query.format == "summary"))


@blueprint.get("/<app_name>", operation_id="get_app_status", responses={200: answers.AppStatus})
@checked
def status(path: AppPath, query: ReadQuery) -> Response:
    """Status of one application; what was not measured lately is null under `metrics`."""
    state = read(query)
    app = app_of(state, path.app_name)
    return _tagged(answer(here().cache.status(
        app, here().latest.of(app.name), pulling_of(state, app))), app.revision)


@blueprint.get("/<app_name>/spec", operation_id="get_app_spec", responses={200: describe.SPEC})
@checked
def spec(path: AppPath, query: SpecQuery) -> Response:
    """The spec as registered, or with its defaults filled in."""
    state = read(query)
    app = app_of(state, path.app_name)
    if query.resolved:
        found = parse.spec_of(app.document, spec_defaults(state.config))
        return _tagged(answer(as_shown(parse.resolved(found))), app.revision)
    return _tagged(answer(as_registered(app.document)), app.revision)


def _tagged(response: Response, revision: int) -> Response:
    response.headers.add("ETag", f'"{revision}"')
    return response


def _stop_timeout_s(name: str, *, grace_s: int | None, force: bool) -> float:
    app = here().controller.log.state().apps.get(name)
    if app is None:
        return converging.STOP_MARGIN_S
    return converging.stop_timeout_s(parse.spec_of(app.document), grace_s=grace_s, force=force)

