"""Runs: a command in a container like those of an application, once."""

from __future__ import annotations

from flask import Response

from api import answers_runs as answers
from api import views_runs
from api.access import must_reach_secret
from api.admission import image_must_be_allowed, secrets_must_be_there
from api.blueprint import Blueprint
from api.endpoint import checked
from api.here import answer, app_of, here, read
from api.models import AppHeaders, AppPath, ReadQuery, WriteQuery
from api.models_runs import RunBody, RunPath
from api.writes import expected_revision, propose
from cluster.control.image_needs import pulling_of
from cluster.state.commands import CancelRun, RequestRun
from cluster.state.model import ClusterState, Run
from cluster.state.runs import of_app
from cluster.state.secret_uses import wanted_secrets
from orchestry.errors import Code, OrchestryError
from orchestry.spec import parse

blueprint = Blueprint(
    "runs", __name__, url_prefix="/api/v1/apps", abp_tags=[{"name": "Runs and jobs"}],
)


@blueprint.post(
    "/<app_name>/run", operation_id="run_app", responses={202: answers.RunRequested})
@checked
def run_app(path: AppPath, query: WriteQuery, header: AppHeaders, body: RunBody) -> Response:
    """Run a command once, in a container like those of the application, which need not run.

    Answers when it is accepted: `GET .../runs/{run_id}` tells how it goes.
    """
    app = here().controller.log.state().apps.get(path.app_name)
    if app is not None:
        spec = parse.spec_of(app.document)
        for name in sorted(wanted_secrets(spec)):
            must_reach_secret(name)  # the command may print them
        image_must_be_allowed(spec)
        secrets_must_be_there(spec)
    applied = propose(RequestRun(
        path.app_name, tuple(body.command), body.timeout_s, expected_revision()))
    return answer({
        "message": "The run waits for its turn", "app_name": path.app_name,
        "run": applied.get("run")}, 202)


@blueprint.get("/<app_name>/runs", operation_id="list_runs", responses={200: answers.Runs})
@checked
def list_runs(path: AppPath, query: ReadQuery) -> Response:
    """The runs of an application that wait or run, and the last ones that are over."""
    state = read(query)
    app = app_of(state, path.app_name)
    running, waits = views_runs.running(state), pulling_of(state, app)
    found = [views_runs.run(one, app, running=running, waits=waits)
             for one in of_app(state, app.name)]
    return answer({"app_name": app.name, "runs": found, "total": len(found)})


@blueprint.get(
    "/<app_name>/runs/<run_id>", operation_id="get_run", responses={200: answers.Run})
@checked
def get_run(path: RunPath, query: ReadQuery) -> Response:
    """One run; what it wrote is under `GET .../logs?container=` the name of its container."""
    state = read(query)
    app = app_of(state, path.app_name)
    return answer(views_runs.run(
        run_of(state, app.name, path.run_id), app, running=views_runs.running(state),
        waits=pulling_of(state, app)))


@blueprint.post(
    "/<app_name>/runs/<run_id>/cancel", operation_id="cancel_run",
    responses={200: answers.RunCancelled})
@checked
def cancel_run(path: RunPath, query: WriteQuery, header: AppHeaders) -> Response:
    """Stop a run, or do not begin it."""
    propose(CancelRun(path.app_name, path.run_id, expected_revision()))
    return answer({
        "message": "The run is being stopped", "app_name": path.app_name, "run": path.run_id})


def run_of(state: ClusterState, app: str, run_id: int) -> Run:
    """The run of an application; raises NOT_FOUND."""
    run = state.runs.get(str(run_id))
    if run is None or run.app != app:
        raise OrchestryError(
            Code.NOT_FOUND, f"'{app}' has no run {run_id} that is still known; "
            f"GET /api/v1/apps/{app}/runs lists those that are")
    return run
