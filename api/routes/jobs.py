"""Jobs: apps without replicas whose containers run once, by the clock or by request.

They are registered, updated and removed as every app is, and their runs are under
`/api/v1/apps/{app_name}/runs`.
"""

from __future__ import annotations

from flask import Response

from api import answers_runs as answers
from api import views_runs
from api.access import caller
from api.admission import image_must_be_allowed, secrets_must_be_there
from api.blueprint import Blueprint
from api.endpoint import checked
from api.here import answer, app_of, here, read
from api.models import AppHeaders, AppPath, ReadQuery, WriteQuery
from api.writes import expected_revision, propose
from cluster.control.specs import spec_for
from cluster.state.commands import SuspendJob, TriggerJob
from cluster.state.jobs import is_job
from orchestry.errors import Code, OrchestryError

blueprint = Blueprint(
    "jobs", __name__, url_prefix="/api/v1/jobs", abp_tags=[{"name": "Runs and jobs"}],
)


@blueprint.get("", operation_id="list_jobs", responses={200: answers.Jobs})
@checked
def list_jobs(query: ReadQuery) -> Response:
    """All jobs, by name."""
    state, who = read(query), caller()
    found = [
        views_runs.job(state, app, spec) for name, app in sorted(state.apps.items())
        if is_job(app.document) and who.reaches(name) and (spec := spec_for(app)) is not None]
    return answer({"jobs": found, "total": len(found)})


@blueprint.get("/<app_name>", operation_id="get_job", responses={200: answers.Job})
@checked
def get_job(path: AppPath, query: ReadQuery) -> Response:
    """One job."""
    state = read(query)
    app = app_of(state, path.app_name)
    spec = spec_for(app)
    if spec is None or spec.job is None:
        raise OrchestryError(Code.NOT_FOUND, f"'{app.name}' is no job")
    return answer(views_runs.job(state, app, spec))


@blueprint.post(
    "/<app_name>/trigger", operation_id="trigger_job", responses={202: answers.RunRequested})
@checked
def trigger_job(path: AppPath, query: WriteQuery, header: AppHeaders) -> Response:
    """Run a job now, beside what runs of it already."""
    app = here().controller.log.state().apps.get(path.app_name)
    spec = spec_for(app) if app is not None else None
    if spec is not None:
        image_must_be_allowed(spec)
        secrets_must_be_there(spec)
    job = spec.job if spec is not None else None
    applied = propose(TriggerJob(
        path.app_name, job.timeout_s if job else 1, job.retries if job else 0,
        expected_revision()))
    return answer({
        "message": "The run waits for its turn", "app_name": path.app_name,
        "run": applied.get("run")}, 202)


@blueprint.post(
    "/<app_name>/suspend", operation_id="suspend_job", responses={200: answers.JobSteered})
@checked
def suspend_job(path: AppPath, query: WriteQuery, header: AppHeaders) -> Response:
    """Begin nothing by its schedule any more; what runs goes on."""
    return _steered(path.app_name, suspended=True)


@blueprint.post(
    "/<app_name>/resume", operation_id="resume_job", responses={200: answers.JobSteered})
@checked
def resume_job(path: AppPath, query: WriteQuery, header: AppHeaders) -> Response:
    """Go on with its schedule, from now on."""
    return _steered(path.app_name, suspended=False)


def _steered(name: str, *, suspended: bool) -> Response:
    app = here().controller.log.state().apps.get(name)
    spec = spec_for(app) if app is not None else None
    if not suspended and spec is not None and spec.job is not None and spec.job.suspend:
        raise OrchestryError(
            Code.CONFLICT, f"`job.suspend` is true in the spec of '{name}': apply it with false, "
            "or without that key")
    propose(SuspendJob(name, suspended, expected_revision()))
    said = "suspended" if suspended else "resumed"
    return answer({"message": f"Job {said}", "app_name": name, "suspended": suspended})
